package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// hasty is a machine whose gate says in its first rounds what it finds, and is
// cut off by the bound in the one after.
type hasty struct {
	*world
	rounds [][]guard.Result
}

func (h *hasty) Gate(ctx context.Context, _ []string, _ mode.Mode) []guard.Result {
	if len(h.rounds) > 0 {
		now := h.rounds[0]
		h.rounds = h.rounds[1:]
		return now
	}
	<-ctx.Done()
	return []guard.Result{{Guard: "check_gpu_display_released", Class: guard.Error, Code: 21, Hard: true, Reason: "guard-overdue", Message: "stopped before it answered"}}
}

// A gate that never passes tells what was in the way, and not that its last
// round came to no end.
func TestGateOutOfTime(t *testing.T) {
	held := func(pid string) []guard.Result {
		return []guard.Result{{Guard: "check_gpu_display_released", Class: guard.Block, Code: 11, Hard: true, Reason: "held-by-session", Message: "helper (pid " + pid + ") holds card0"}}
	}
	for name, test := range map[string]struct {
		rounds [][]guard.Result
		want   string
	}{
		"one round":   {[][]guard.Result{held("1")}, "check_gpu_display_released: held-by-session: helper (pid 1) holds card0"},
		"two rounds":  {[][]guard.Result{held("1"), held("2")}, "check_gpu_display_released: held-by-session: helper (pid 2) holds card0"},
		"not a round": {nil, "check_gpu_display_released: guard-overdue: stopped before it answered"},
		"it passes":   {[][]guard.Result{held("1"), {{Guard: "check_gpu_display_released", Class: guard.Pass, OK: true}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			host := &hasty{newWorld(t, mode.Desktop), test.rounds}
			r := &run{Engine: &Engine{Host: host, Store: record.Store{Root: hostfs.Root(t.TempDir())}, Now: time.Now}, target: mode.Compute}
			got := ""
			if err := r.gate(ctx, plan.Step{Guards: []string{"gpu_display_released"}}); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if worst := guard.Worst(r.event.Guards); worst != nil {
				if diff := cmp.Diff(test.want, worst.Guard+": "+worst.Reason+": "+worst.Message); diff != "" {
					t.Errorf("recorded (-want +got):\n%s", diff)
				}
			} else if test.want != "" {
				t.Error("nothing is recorded")
			}
		})
	}
}

// tardy is a machine whose state is degraded, and which takes longer to look at
// from the second time on than there is.
type tardy struct {
	*world
	looks int
}

func (h *tardy) Observe(ctx context.Context) observe.Observation {
	if h.looks++; h.looks == 1 {
		return observe.Observation{State: mode.DegradedDesktop}
	}
	<-ctx.Done()
	return observe.Observation{State: mode.Unknown}
}

// A look that the bound cut off does not take back what the one before saw.
func TestSettleOutOfTime(t *testing.T) {
	for name, test := range map[string]struct {
		looks int // that were taken already
		want  mode.State
	}{
		"one look":   {0, mode.DegradedDesktop},
		"not a look": {1, mode.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Timeouts.Settle = config.Duration(300 * time.Millisecond)
			host := &tardy{newWorld(t, mode.Desktop), test.looks}
			r := &run{Engine: &Engine{Host: host, Config: cfg, Store: record.Store{Root: hostfs.Root(t.TempDir())}, Now: time.Now}, target: mode.Compute}
			if got := r.settle(t.Context(), mode.StateDesktop).State; got != test.want {
				t.Errorf("settled as %s, want %s", got, test.want)
			}
		})
	}
}
