package idle

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

var errGone = errors.New("gone")

// world is a machine that a test changes.
type world struct {
	begin    time.Time
	facts    Facts
	state    mode.State
	results  []guard.Result
	ends     record.Event
	err      error
	did      []string
	hangs    string
	deadline bool
}

func (w *world) do(ctx context.Context, what string) {
	if what != "look" {
		w.did = append(w.did, fmt.Sprintf("%s at %v", what, time.Since(w.begin)))
	}
	if w.hangs == what {
		<-ctx.Done()
	}
	_, bounded := ctx.Deadline()
	w.deadline = w.deadline && bounded
}

func (w *world) Look(ctx context.Context) Facts {
	w.do(ctx, "look")
	f := w.facts
	f.Now = time.Since(w.begin) + 1
	return f
}

func (w *world) Observe(ctx context.Context) mode.State { w.do(ctx, "observe"); return w.state }

func (w *world) Guards(ctx context.Context) []guard.Result { w.do(ctx, "guards"); return w.results }

func (w *world) Request(ctx context.Context) (record.Event, error) {
	w.do(ctx, "request")
	if w.ends.Success {
		w.state = mode.StateCompute
	}
	return w.ends, w.err
}

// watch runs a watcher for so long.
func watch(t *testing.T, w *world, d time.Duration) (last Decision) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		w.begin, w.deadline = time.Now(), true
		(&Watcher{
			Host: w, Policy: Policy{Quiet: 10 * minute, First: 5 * minute, Most: 15 * minute}, Interval: 4 * minute,
			Bounds: Bounds{time.Second, time.Second, time.Second, minute},
			Begin:  func(string, time.Duration) {}, Asked: func(record.Event, error) {},
			Report: func(d Decision, _ Facts, _ Memory, _ time.Duration) { last = d },
		}).Watch(ctx)
	})
	if !w.deadline {
		t.Error("something was done without a deadline")
	}
	return last
}

func TestWatch(t *testing.T) {
	passes := []guard.Result{{Guard: "check_fine", OK: true, Class: guard.Pass}}
	good := record.Event{ID: "x", Outcome: record.Converged, Success: true}
	for name, tt := range map[string]struct {
		w    world
		want []string
		last Reason
	}{
		"asks once, on time": {
			world{state: mode.StateDesktop, results: passes, ends: good},
			[]string{"observe at 10m0s", "guards at 10m0s", "request at 10m0s", "observe at 14m0s", "observe at 18m0s"},
			InCompute,
		},
		"never from studio-local": {
			world{state: mode.StateStudioLocal, results: passes, ends: good},
			[]string{"observe at 10m0s", "observe at 14m0s", "observe at 18m0s"},
			InStudio,
		},
		"backs off from a block": {
			world{state: mode.StateDesktop, results: no("check_a", "b"), ends: good},
			[]string{"observe at 10m0s", "guards at 10m0s", "observe at 15m0s", "guards at 15m0s"},
			BackingOff,
		},
		"backs off from the controller's block": {
			world{state: mode.StateDesktop, results: passes, ends: record.Event{Outcome: record.Blocked, Guards: no("check_a", "b")}},
			[]string{"observe at 10m0s", "guards at 10m0s", "request at 10m0s", "observe at 15m0s", "guards at 15m0s", "request at 15m0s"},
			BackingOff,
		},
		"a request that could not be made": {
			world{state: mode.StateDesktop, results: passes, err: errGone},
			[]string{"observe at 10m0s", "guards at 10m0s", "request at 10m0s"},
			BackingOff,
		},
		"nothing is looked at while somebody is there": {
			world{facts: Facts{Sessions: []Session{ada(Active, 1)}}, state: mode.StateDesktop, results: passes, ends: good}, nil, SessionActive,
		},
		"a request that hangs": {
			world{state: mode.StateDesktop, results: passes, err: errGone, hangs: "request"},
			[]string{"observe at 10m0s", "guards at 10m0s", "request at 10m0s"},
			BackingOff,
		},
	} {
		t.Run(name, func(t *testing.T) {
			last := watch(t, &tt.w, 20*minute)
			if diff := cmp.Diff(tt.want, tt.w.did); diff != "" || last.Reason != tt.last {
				t.Errorf("last %+v, did %s", last, diff)
			}
		})
	}
}
