package reconcile

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// draining is a world whose guards pass when what is waited for was told twice.
type draining struct {
	*world
	told chan struct{}
}

func (d *draining) Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result {
	for range cap(d.told) {
		<-d.told
	}
	return d.world.Guards(ctx, names, target, cutOff)
}

func (d *draining) Drain(ctx context.Context, tell func(record.Drain)) {
	for n := cap(d.told); n > 0; n-- {
		tell(record.Drain{Unit: "vllm.service", Running: n})
		d.told <- struct{}{}
	}
	tell(record.Drain{Unit: "late"}) // while the guards end: it may come or not
	<-ctx.Done()
}

// TestDrainIsTold holds that watchers see what the guards wait for, as long as
// they do, and that nothing is left of it.
func TestDrainIsTold(t *testing.T) {
	w := newWorld(t, mode.Compute)
	e := newEngine(t, w)
	e.Host = &draining{w, make(chan struct{}, 2)}
	var told []int
	e.Progress = func(m record.Marker) {
		switch {
		case m.Drain != nil && m.Phase != record.Guarding:
			t.Errorf("in the phase %s it is told that %+v is waited for", m.Phase, m.Drain)
		case m.Drain != nil && m.Drain.Unit != "late":
			told = append(told, m.Drain.Running)
		}
	}
	ev, err := e.Run(t.Context(), mode.Desktop)
	if err != nil || ev.Outcome != record.Converged {
		t.Fatalf("%s (%s), %v", ev.Outcome, ev.Reason, err)
	}
	if diff := cmp.Diff([]int{2, 1}, told); diff != "" {
		t.Error(diff)
	}
	// Where vLLM is not to be drained, nobody looks at it.
	w = newWorld(t, mode.Desktop)
	e = newEngine(t, w)
	e.Host = &draining{w, make(chan struct{})}
	e.Progress = func(m record.Marker) {
		if m.Drain != nil {
			t.Errorf("told: %+v", m.Drain)
		}
	}
	if ev, err := e.Run(t.Context(), mode.Compute); err != nil || ev.Outcome != record.Converged {
		t.Errorf("%s (%s), %v", ev.Outcome, ev.Reason, err)
	}
}
