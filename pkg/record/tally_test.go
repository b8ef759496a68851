package record

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ryjen/dubnium/pkg/eventlog"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
)

// ended is the record of a transition from desktop to compute.
func ended(id string, o Outcome, guards ...guard.Result) Event {
	return Event{
		SchemaVersion: 1, Type: TypeTransition, ID: id, Requested: mode.Compute, Prior: mode.StateDesktop,
		Outcome: o, DurationMS: 100, Guards: guards, Actions: []Action{},
	}
}

// TestTallyCountsOnce holds that each event counts once, whether the tally was
// kept in between or not, over rotations, a torn tail and a lost tally.
func TestTallyCountsOnce(t *testing.T) {
	s := store(t)
	add := func(events ...Event) {
		t.Helper()
		for _, e := range events {
			if err := s.Append(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	tally := func(keep bool, converged, blocked int64) {
		t.Helper()
		got, err := s.Tally()
		if err != nil {
			t.Fatal(err)
		}
		want := Tally{SchemaVersion: 1, Transitions: []TransitionCount{}, Guards: []GuardCount{}}
		for o, n := range map[Outcome]int64{Blocked: blocked, Converged: converged} {
			if n > 0 {
				want.Transitions = append(want.Transitions, TransitionCount{mode.StateDesktop, mode.Compute, o, n, float64(100 * n)})
			}
		}
		if blocked > 0 {
			want.Guards = append(want.Guards, GuardCount{"check_a", blocked, 0}, GuardCount{"check_b", 0, blocked})
		}
		sorted := cmpopts.SortSlices(func(a, b TransitionCount) bool { return a.Outcome < b.Outcome })
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Tally{}, "Counted"), sorted); diff != "" {
			t.Errorf("(-want +got): %s", diff)
		}
		if keep {
			if err := s.SetTally(got); err != nil {
				t.Fatal(err)
			}
		}
	}
	block := ended("2", Blocked,
		guard.Result{Guard: "check_a", Class: guard.Block}, guard.Result{Guard: "check_b", Class: guard.Error}, guard.Result{Guard: "check_c", OK: true, Class: guard.Pass})
	tally(true, 0, 0)
	intent := ended("1", "")
	intent.Type = TypeIntent
	add(intent, ended("1", Converged), block)
	tally(false, 1, 1)
	tally(true, 1, 1)
	tally(true, 1, 1)
	f, err := os.OpenFile(s.Root.Path(EventsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"torn`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tally(true, 1, 1)
	add(block)
	tally(true, 1, 2)
	if err := os.Rename(s.Root.Path(EventsFile), s.Root.Path(EventsFile)+".1"); err != nil {
		t.Fatal(err)
	}
	tally(true, 1, 2)
	add(ended("3", Converged))
	tally(true, 2, 2)
	// A tally that nobody can read is made anew from what history there is.
	s.put(t, tallyFile, "rubbish")
	tally(true, 2, 2)
}

// TestLongEvent holds that an event with more evidence than a line may hold is
// recorded without it.
func TestLongEvent(t *testing.T) {
	s := store(t)
	e := ended("1", Converged, guard.Result{Guard: "check_a", OK: true, Class: guard.Pass, Evidence: json.RawMessage(`"` + strings.Repeat("x", eventlog.MaxLine) + `"`)})
	e.After = &observe.Observation{State: mode.StateCompute}
	if err := s.Append(e); err != nil {
		t.Fatal(err)
	}
	var got []Event
	bad, err := s.Events(func(e Event) error { got = append(got, e); return nil })
	if err != nil || bad != 0 || len(got) != 1 {
		t.Fatalf("%d events, %d bad lines, %v", len(got), bad, err)
	}
	if got[0].After.State != mode.StateCompute || string(got[0].Guards[0].Evidence) != "{}" || got[0].Guards[0].Guard != "check_a" {
		t.Errorf("%+v", got[0])
	}
}
