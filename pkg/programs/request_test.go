package programs

import (
	"testing"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// TestMine holds that a request answers with its own record, and with no other
// that appears while it waits: it would tell another's success as its own.
func TestMine(t *testing.T) {
	a := asked{target: mode.Compute, invocation: "f00d", before: "t0"}
	unseen := asked{target: mode.Compute, before: "t0"} // systemd could not be asked how the unit ended
	good := record.Event{ID: "t1", Requested: mode.Compute, InvocationID: "f00d", Outcome: record.Converged}
	for name, test := range map[string]struct {
		asked  asked
		change func(*record.Event)
		want   bool
	}{
		"its own":                                  {a, func(*record.Event) {}, true},
		"that of before":                           {a, func(e *record.Event) { e.ID = "t0" }, false},
		"another's":                                {a, func(e *record.Event) { e.Requested, e.InvocationID = mode.Desktop, "beef" }, false},
		"another's, the same mode":                 {a, func(e *record.Event) { e.InvocationID = "beef" }, false},
		"its own, stopped before it did":           {a, func(e *record.Event) { e.Outcome = record.Interrupted }, true},
		"out of sight":                             {unseen, func(*record.Event) {}, true},
		"out of sight, another's":                  {unseen, func(e *record.Event) { e.Requested = mode.Desktop }, false},
		"out of sight, one that was killed before": {unseen, func(e *record.Event) { e.Outcome = record.Interrupted }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := good
			test.change(&ev)
			if got := test.asked.mine(ev); got != test.want {
				t.Errorf("mine: %v, want %v", got, test.want)
			}
		})
	}
}
