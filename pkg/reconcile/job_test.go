package reconcile

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/tests/hosts"
)

// What a step comes to.
type fate int

const (
	works    fate = iota
	broken40      // it failed, and the transition is rolled back
	late43        // its time ran out
)

// TestJobs holds what becomes of a step whose systemd job does anything but end
// well: it ends within its bound, and is told as late only where time ran out.
func TestJobs(t *testing.T) {
	refuse := func(name string, times int) []hosts.Outcome {
		all := make([]hosts.Outcome, times)
		for i := range all {
			all[i].Error = name
		}
		return all
	}
	const (
		destructive = "org.freedesktop.systemd1.TransactionIsDestructive"
		deadlock    = "System.Error.EDEADLK"
	)
	const short, patient = 300 * time.Millisecond, 8 * time.Second
	for name, tt := range map[string]struct {
		jobs  []hosts.Outcome
		bound time.Duration
		want  fate
	}{
		"done":                     {nil, patient, works},
		"stuck":                    {[]hosts.Outcome{{Stuck: true}}, short, late43},
		"done, and nobody is told": {[]hosts.Outcome{{Lost: true}}, patient, works},
		"canceled":                 {[]hosts.Outcome{{Result: "canceled"}}, patient, broken40},
		"canceled, nobody is told": {[]hosts.Outcome{{Result: "canceled", Lost: true, State: hosts.Props{"ActiveState": "failed"}}}, patient, broken40},
		"timeout of the unit's":    {[]hosts.Outcome{{Result: "timeout", State: hosts.Props{"ActiveState": "failed", "Result": "timeout"}}}, patient, broken40},
		"start limit":              {[]hosts.Outcome{{Result: "failed", State: hosts.Props{"ActiveState": "failed", "Result": "start-limit-hit"}}}, patient, broken40},
		"another job in the way":   {refuse(destructive, 3), patient, works},
		"always one in the way":    {refuse(destructive, 10000), short, late43},
		"a deadlock that passes":   {refuse(deadlock, 3), patient, works},
		"a deadlock that stays":    {refuse(deadlock, 10000), short, late43},
		"refused":                  {refuse("org.freedesktop.DBus.Error.AccessDenied", 1), patient, broken40},
	} {
		for action, on := range map[mode.Action]struct{ machine, unit, verb string }{
			mode.StartUnit: {"idle-desktop", "compute.target", "start"},
			mode.StopUnit:  {"compute", "compute.target", "stop"},
		} {
			want := tt.want
			if action == mode.StopUnit && len(tt.jobs) == 1 && tt.jobs[0].State["ActiveState"] == "failed" && (tt.jobs[0].Result == "" || tt.jobs[0].Lost) {
				want = works // a unit that failed on its way down is down
			}
			t.Run(on.verb+" "+name, func(t *testing.T) {
				t.Parallel()
				h := hosts.Start(t, on.machine)
				h.Systemd.OnJob(on.verb, on.unit, tt.jobs...)
				r := &run{Engine: &Engine{Host: &Machine{Root: h.Root(), Config: config.Default()}, Now: time.Now}, target: mode.Compute}
				begin := time.Now()
				_, err := r.step(t.Context(), plan.Step{Action: action, Unit: on.unit, Bound: tt.bound})
				got := works
				switch {
				case errors.Is(err, context.DeadlineExceeded):
					got = late43
				case err != nil:
					got = broken40
				}
				if got != want {
					t.Errorf("got %d, want %d: %v", got, want, err)
				}
				const slack = 5 * time.Second
				if took := time.Since(begin); took > tt.bound+slack {
					t.Errorf("with a bound of %v it took %v", tt.bound, took)
				}
			})
		}
	}
}
