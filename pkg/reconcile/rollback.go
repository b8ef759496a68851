package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// rollBack restores the prior mode after a failure and records what is then
// observed. It runs to its end even when the controller was told to stop: the
// machine is not left in between.
func (r *run) rollBack(ctx context.Context, before observe.Observation, failure error) record.Event {
	ctx = context.WithoutCancel(ctx)
	prior, known := before.State.Base()
	if !known {
		// No mode to go back to: the configured default is the safe harbour.
		prior = r.Config.Boot.DefaultMode
	}
	now := r.look(ctx)
	p := plan.Restore(now, prior, r.Config)
	steps := plan.WayBack(p).Steps
	for _, s := range steps {
		r.marker.Steps = append(r.marker.Steps, planned(s, true))
	}
	r.marker.Phase = record.RollingBack
	r.save()
	undo := r.act(ctx, steps, true)
	after := now
	if !p.Noop {
		after = r.settle(ctx, prior.State())
	}
	reason := failure.Error()
	if undo != nil {
		reason += fmt.Sprintf("; rolling back to %s: %v", prior, undo)
	}
	outcome, code := classify(prior, after.State, errors.Is(failure, context.DeadlineExceeded))
	if code != exitcode.RolledBack && code != exitcode.TimedOut {
		reason += "; the machine is then " + unmet(after)
	}
	return r.finish(outcome, code, after, reason)
}

// classify says how a transition ended that was rolled back to prior. That the
// machine was less than that before, a degraded form of it or no mode at all,
// does not make of what is now there in full something less.
func classify(prior mode.Mode, after mode.State, late bool) (record.Outcome, exitcode.Code) {
	_, usable := after.Base()
	switch {
	case after == prior.State() && late:
		return record.TimedOut, exitcode.TimedOut
	case after == prior.State():
		return record.RolledBack, exitcode.RolledBack
	case usable:
		return record.Degraded, exitcode.Degraded
	default:
		return record.Failed, exitcode.Failed
	}
}

// unmet says in one sentence what is missing.
func unmet(o observe.Observation) string {
	s := string(o.State)
	for _, u := range o.Unmet {
		s += fmt.Sprintf("; unmet: %s (%s)", u.Predicate, u.Message)
	}
	for _, c := range o.Conflicts {
		s += fmt.Sprintf("; conflict: %s (%s)", c.Code, c.Message)
	}
	for _, e := range o.InspectionErrors {
		s += fmt.Sprintf("; unread: %s (%s)", e.Source, e.Message)
	}
	return s
}
