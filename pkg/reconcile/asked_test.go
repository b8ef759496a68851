package reconcile

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// request is a world of which it is known who asks.
type request struct {
	*world
	askers []record.Asker
	cutOff bool // what the guards were told
}

func (r *request) Asked(mode.Mode) []record.Asker { return r.askers }

func (r *request) Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result {
	r.cutOff = cutOff
	return r.world.Guards(ctx, names, target, cutOff)
}

// TestAsked holds what the history says of who asked: in the intent and in the
// end, and nothing where it is not known.
func TestAsked(t *testing.T) {
	ada := record.Asker{UID: 1000, LoginUID: 1000, User: "ada", PID: 7, Unit: "session-3.scope"}
	cuts := ada
	cuts.CutOff = true
	bob := record.Asker{UID: 1001, LoginUID: 1001, User: "bob", PID: 8}
	again := ada
	again.PID = 9
	idle := record.Asker{LoginUID: -1, User: "root", PID: 3, Unit: "mode-idle.service"}
	disguised := idle
	disguised.UID = 1000
	for name, tt := range map[string]struct {
		askers  []record.Asker
		want    *record.Asker
		trigger string
		cutOff  bool
	}{
		"nobody says so":           {nil, nil, "unit", false},
		"a person":                 {[]record.Asker{ada}, &ada, "operator", false},
		"a person, who cuts off":   {[]record.Asker{cuts}, &cuts, "operator", true},
		"twice the same":           {[]record.Asker{ada, again}, &ada, "operator", false},
		"two":                      {[]record.Asker{ada, bob}, nil, "unit", false},
		"two, one of whom cuts":    {[]record.Asker{cuts, bob}, nil, "unit", false},
		"the same, once cutting":   {[]record.Asker{ada, cuts}, nil, "unit", false},
		"mode-idle.service":        {[]record.Asker{idle}, &idle, "idle", false},
		"a unit of that name only": {[]record.Asker{disguised}, &disguised, "operator", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, nil)
			host := &request{world: newWorld(t, mode.Desktop), askers: tt.askers}
			e.Host = host
			var told *record.Asker
			e.Progress = func(m record.Marker) { told = m.AskedBy }
			if ev, err := e.Run(t.Context(), mode.Compute); err != nil || !ev.Success {
				t.Fatalf("%+v, %v", ev, err)
			}
			events := history(t, e)
			if len(events) != 2 {
				t.Fatalf("%d events", len(events))
			}
			for _, ev := range events {
				if diff := cmp.Diff(tt.want, ev.AskedBy); diff != "" || ev.Trigger != tt.trigger {
					t.Errorf("the %s was triggered by %s: %s", ev.Type, ev.Trigger, diff)
				}
			}
			if diff := cmp.Diff(tt.want, told); diff != "" || host.cutOff != tt.cutOff {
				t.Errorf("the guards were told to cut off: %v; the marker says: %s", host.cutOff, diff)
			}
		})
	}
}

// TestSealedAsker holds that the record of a transition that was killed names
// who had asked for it.
func TestSealedAsker(t *testing.T) {
	e := newEngine(t, newWorld(t, mode.Desktop))
	ada := &record.Asker{UID: 1000, User: "ada"}
	if err := e.Store.SetMarker(record.Marker{ID: "before", BootID: "b1", Requested: mode.Compute, Phase: record.Acting, AskedBy: ada}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), mode.Desktop); err != nil {
		t.Fatal(err)
	}
	if ev := history(t, e)[0]; ev.ID != "before" || cmp.Diff(ada, ev.AskedBy) != "" {
		t.Errorf("%+v", ev)
	}
}

// TestQuestion holds when a block is a question: where the configuration leaves
// it to a person, and that person's answer is all that is missing.
func TestQuestion(t *testing.T) {
	busy := guard.Result{Class: guard.Block, Code: exitcode.VLLMNotDrainable, Hard: true, Reason: "drain-overdue", Evidence: json.RawMessage(`{"running":2,"waiting":1}`)}
	unseen := guard.Result{Class: guard.Error, Code: exitcode.VLLMNotDrainable.InspectionOf(), Hard: true, Reason: "deadline"}
	low := guard.Result{Class: guard.Block, Code: exitcode.MemoryLow, Reason: "low"}
	open := &record.Question{About: "drain", Unit: "vllm.service", Running: 2, Waiting: 1, Yes: "mode request desktop --cut-off"}
	for name, tt := range map[string]struct {
		then  string
		block map[string]guard.Result
		want  *record.Question
	}{
		"asks":                  {config.DrainAsk, map[string]guard.Result{"vllm_drainable": busy}, open},
		"fails":                 {config.DrainFail, map[string]guard.Result{"vllm_drainable": busy}, nil},
		"stops":                 {config.DrainStop, map[string]guard.Result{"vllm_drainable": busy}, nil},
		"another guard says no": {config.DrainAsk, map[string]guard.Result{"vllm_drainable": busy, "memory_headroom": low}, nil},
		"only another says no":  {config.DrainAsk, map[string]guard.Result{"memory_headroom": low}, nil},
		"it can't be counted":   {config.DrainAsk, map[string]guard.Result{"vllm_drainable": unseen}, nil},
		"nothing is in the way": {config.DrainAsk, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, mode.Compute)
			w.block = tt.block
			e := newEngine(t, w)
			e.Config.VLLM.DrainThen = tt.then
			ev, err := e.Run(t.Context(), mode.Desktop)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ev.Question); diff != "" {
				t.Errorf("%s: %s", ev.Reason, diff)
			}
			if tt.want != nil && (ev.Outcome != record.Blocked || ev.ExitCode != exitcode.VLLMNotDrainable || len(ev.Actions) != 0) {
				t.Errorf("%s with %d, and did %v", ev.Outcome, ev.ExitCode, ev.Actions)
			}
		})
	}
}
