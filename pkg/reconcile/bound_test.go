package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// sloth is a world in which everything takes until its deadline, and fails the
// test where there is none.
type sloth struct {
	*world
	lost bool // after the first step, what is observed is no mode
}

func (s *sloth) wait(ctx context.Context, what string) {
	s.t.Helper()
	if _, bounded := ctx.Deadline(); !bounded {
		s.t.Errorf("%s has no deadline", what)
		return
	}
	<-ctx.Done()
}

func (s *sloth) Observe(ctx context.Context) observe.Observation {
	s.wait(ctx, "a look")
	o := s.world.Observe(ctx)
	if s.lost && len(s.did) > 0 {
		o.State = mode.Unknown
	}
	return o
}

func (s *sloth) Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result {
	s.wait(ctx, "a guard")
	return s.world.Guards(ctx, names, target, cutOff)
}

func (s *sloth) Gate(ctx context.Context, names []string, target mode.Mode) []guard.Result {
	s.wait(ctx, "a gate")
	return s.world.Guards(ctx, names, target, false)
}

func (s *sloth) Hold(ctx context.Context, _ mode.Mode) func() {
	s.wait(ctx, "the inhibitor")
	return func() {}
}

func (s *sloth) Do(ctx context.Context, step plan.Step, target mode.Mode) (string, error) {
	s.wait(ctx, step.Title())
	return s.world.Do(ctx, step, target)
}

// TestWholeRunIsBounded holds that the sum that mode explain tells bounds the
// whole run, when each action, wait and check takes as long as it may: the way
// there, and with the way back from a failure at its end. The time is false,
// the engine is the real one.
func TestWholeRunIsBounded(t *testing.T) {
	for _, row := range mode.Transitions() {
		for _, lost := range []bool{false, true} {
			name := string(row.From) + " to " + string(row.To)
			if lost {
				name += " and back"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { boundedRun(t, row, lost) })
			})
		}
	}
}

func boundedRun(t *testing.T, row mode.Transition, lost bool) {
	w := newWorld(t, row.From)
	e := newEngine(t, w)
	cfg := config.Default()
	cfg.VLLM.Enable = true
	e.Host, e.Config = &sloth{w, lost}, cfg
	bound := plan.ForState(row.From.State(), row.To, cfg).Bound(cfg)
	start := time.Now()
	ev, err := e.Run(t.Context(), row.To)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	want, least, most := record.Converged, bound.Guards+bound.Steps/2, bound.Forward
	if lost {
		want, least, most = record.Failed, bound.Forward, bound.Whole
	}
	if ev.Outcome != want || took > most || took < least {
		t.Errorf("%s (%s) after %v, want %s after at least %v and at most %v", ev.Outcome, ev.Reason, took, want, least, most)
	}
	t.Logf("took %v of %v", took, most)
}
