// Package reconcile carries a transition out: lock, observe, plan, guards,
// actions, gates, observe again, classify, roll back where needed, record,
// unlock. Success is only ever what the last observation shows.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// Host is the machine as the engine needs it.
type Host interface {
	// Observe looks at the machine. It does not count the engine's own lock
	// and marker.
	Observe(ctx context.Context) observe.Observation
	// Guards runs the guards of a plan, and the site's own for the target, at
	// the same time. cutOff says that an operator lets requests be cut off that
	// vLLM is at, where the configuration leaves that to one.
	Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result
	// Gate runs guards at the same time and gives their results in order.
	Gate(ctx context.Context, names []string, target mode.Mode) []guard.Result
	// Hold keeps the machine from being shut down or put to sleep half-way, until
	// the returned function is called. It does what it can.
	Hold(ctx context.Context, target mode.Mode) (release func())
	// Do carries one step out. The context ends with the step's bound.
	Do(ctx context.Context, step plan.Step, target mode.Mode) (detail string, err error)
}

// Engine carries out one transition at a time.
type Engine struct {
	Host   Host
	Config config.Config
	Store  record.Store
	// Progress is told of every change, beside what is written to the marker.
	Progress func(record.Marker)
	// Ended is told of every end that is recorded, and so of those of
	// controllers that were killed before.
	Ended func(record.Event)
	Now   func() time.Time
	// ID, BootID, InvocationID and PID go into the record.
	ID, BootID, InvocationID string
	PID                      int
}

// poll is the pause between two looks of a loop that waits for the machine to
// change. Jobs are awaited by event; this is for what announces itself to
// nobody.
const poll = 100 * time.Millisecond

// Plan observes and plans without touching anything.
func (e *Engine) Plan(ctx context.Context, target mode.Mode) (observe.Observation, plan.Plan) {
	o := e.look(ctx)
	return o, plan.Make(o, target, e.Config)
}

// Run brings the machine to the target and gives the record of how it went.
// An error means that nothing was begun; the record then says nothing.
func (e *Engine) Run(ctx context.Context, target mode.Mode) (record.Event, error) {
	lock, err := e.acquire(target)
	if err != nil {
		return record.Event{}, err
	}
	defer lock.Release()
	if err := e.seal(); err != nil {
		return record.Event{}, err
	}
	// What a full disk kept the boot from closing is closed as soon as there is
	// room; that there is none is for the next intent to say.
	_ = e.sealHistory()
	e.catchUp()
	override, err := e.Store.TakeOverride(target, e.BootID, e.Now())
	if err != nil {
		return record.Event{}, err
	}
	r := &run{Engine: e, target: target, started: e.Now()}
	r.event.Override, r.event.AskedBy = override, e.asked(target)
	return r.transition(ctx)
}

func (e *Engine) look(ctx context.Context) observe.Observation {
	ctx, cancel := context.WithTimeout(ctx, e.Config.Timeouts.Observe.Std())
	defer cancel()
	return e.Host.Observe(ctx)
}

// run is the state of one transition.
type run struct {
	*Engine
	target  mode.Mode
	started time.Time
	marker  record.Marker
	event   record.Event
}

func (r *run) transition(ctx context.Context) (record.Event, error) {
	before := r.look(ctx)
	p := plan.Make(before, r.target, r.Config)
	r.begin(before)
	if p.Noop {
		return r.finish(record.Noop, exitcode.OK, before, "already there"), nil
	}
	if err := r.Store.SetMarker(r.marker); err != nil {
		return record.Event{}, fmt.Errorf("record the transition before it begins: %w", err)
	}
	if stops := r.guards(ctx, p.Guards); len(stops) > 0 {
		return r.blocked(before, stops), nil
	}
	if ctx.Err() != nil {
		return r.finish(record.Interrupted, exitcode.RolledBack, before, "stopped before anything was touched"), nil
	}
	if err := r.intend(p, before); err != nil {
		r.drop()
		return record.Event{}, err
	}
	if err := r.Store.SetMarker(r.marker); err != nil {
		// The intent is in the history, which has to tell how it ended.
		return r.finish(record.Interrupted, exitcode.RolledBack, before, fmt.Sprintf("stopped before anything was touched: %v", err)), nil
	}
	defer r.hold(ctx)()
	failure := r.act(ctx, p.Steps, false)
	if failure == nil {
		after := r.settle(ctx, r.target.State())
		switch base, ok := after.State.Base(); {
		case after.State == r.target.State():
			return r.finish(record.Converged, exitcode.OK, after, "the last observation shows "+string(r.target)), nil
		case ok && base == r.target:
			return r.finish(record.Degraded, exitcode.Degraded, after, unmet(after)), nil
		}
		failure = fmt.Errorf("every action succeeded, but the machine is then observed as %s", after.State)
	}
	return r.rollBack(ctx, before, failure), nil
}

// hold keeps the machine up. What it takes to ask for that is bounded as a look
// is.
func (r *run) hold(ctx context.Context) (release func()) {
	ctx, cancel := context.WithTimeout(ctx, r.Config.Timeouts.Observe.Std())
	defer cancel()
	return r.Host.Hold(ctx, r.target)
}

// begin fills in what is known before anything happens.
func (r *run) begin(before observe.Observation) {
	r.marker = record.Marker{
		SchemaVersion: record.SchemaVersion, ID: r.ID, BootID: r.BootID, InvocationID: r.InvocationID,
		PID: r.PID, Requested: r.target, Prior: before.State, Trigger: r.event.AskedBy.Trigger(),
		Started: r.stamp(), Phase: record.Guarding, Guards: []guard.Result{}, Steps: []record.Action{},
		Override: r.event.Override, AskedBy: r.event.AskedBy,
	}
	r.event = record.Event{
		SchemaVersion: record.SchemaVersion, Type: record.TypeTransition, ID: r.ID, BootID: r.BootID,
		InvocationID: r.InvocationID, Requested: r.target, Prior: before.State, Trigger: r.event.AskedBy.Trigger(),
		Guards: []guard.Result{}, Actions: []record.Action{}, Override: r.event.Override, AskedBy: r.event.AskedBy,
		Conflicts: []observe.Conflict{}, Unmet: []observe.Unmet{}, Errors: []observe.InspectionError{},
	}
	r.report()
}

// guards runs the guards of the plan and gives those that did not pass and are
// not overridden.
func (r *run) guards(ctx context.Context, names []string) []guard.Result {
	ctx, cancel := context.WithTimeout(ctx, plan.GuardBound(names, r.Config))
	defer cancel()
	r.marker.Guards = r.whileDraining(ctx, names, func() []guard.Result {
		return r.Host.Guards(ctx, names, r.target, r.event.AskedBy != nil && r.event.AskedBy.CutOff)
	})
	r.event.Guards = r.marker.Guards
	r.save()
	_ = r.Store.SetGuards(record.Guards{
		SchemaVersion: record.SchemaVersion, Timestamp: r.stamp(), ID: r.ID,
		Target: r.target, Results: r.marker.Guards,
	})
	var stops []guard.Result
	for _, g := range r.marker.Guards {
		if o := r.event.Override; o.Covers(g) {
			o.Used = append(o.Used, g.Guard)
			continue
		}
		if !g.OK {
			stops = append(stops, g)
		}
	}
	return stops
}

func (r *run) blocked(before observe.Observation, stops []guard.Result) record.Event {
	worst, outcome := guard.Worst(stops), record.Blocked
	if worst.Class != guard.Block {
		outcome = record.CheckError
	}
	reason := fmt.Sprintf("%s: %s: %s", worst.Guard, worst.Reason, worst.Message)
	if q := r.question(stops); q != nil {
		r.event.Question = q
		reason += "; " + q.Yes + " cuts them off"
	}
	return r.finish(outcome, worst.Code, before, reason)
}

// intend writes down what is about to happen, on the disk, before it happens.
// A transition that can't be recorded does not start.
func (r *run) intend(p plan.Plan, before observe.Observation) error {
	for _, s := range p.Steps {
		r.marker.Steps = append(r.marker.Steps, planned(s, false))
	}
	r.marker.Phase = record.Acting
	if err := r.Store.CanAppend(); err != nil {
		return exitcode.Errorf(exitcode.Internal, "no transition starts that can't be recorded: %w", err)
	}
	intent := r.event
	intent.Type, intent.Timestamp, intent.Reason = record.TypeIntent, r.stamp(), p.Row
	intent.Actions, intent.Before = r.marker.Steps, &before
	if err := r.Store.Append(intent); err != nil {
		return exitcode.Errorf(exitcode.Internal, "no transition starts that can't be recorded: %w", err)
	}
	return nil
}

// drop takes back a marker of a transition that did not begin.
func (r *run) drop() { _ = r.Store.ClearMarker() }

func planned(s plan.Step, rollback bool) record.Action {
	a := record.Action{
		Title: s.Title(), Action: s.Action, Unit: s.Unit, Status: record.Pending,
		BoundMS: s.BoundMS, Rollback: rollback,
	}
	if s.Skip != "" {
		a.Status, a.Detail = record.Skipped, s.Skip
	}
	return a
}

// act carries the steps out, whose records are the last len(steps) of the
// marker. It ends at the first failure, or, when rolling back, goes on: what
// can be restored is restored.
func (r *run) act(ctx context.Context, steps []plan.Step, rollback bool) error {
	first := len(r.marker.Steps) - len(steps)
	var failure error
	for i, s := range steps {
		if s.Skip != "" {
			continue
		}
		a := &r.marker.Steps[first+i]
		a.Status = record.Running
		r.save()
		begin := r.Now()
		detail, err := r.step(ctx, s)
		a.DurationMS, a.Detail, a.Status = ms(r.Now().Sub(begin)), detail, record.Done
		switch {
		case err == nil:
		case s.Tolerated:
			a.Status, a.Detail = record.Tolerated, err.Error()
		default:
			a.Status, a.Detail = record.Errored, err.Error()
			if failure == nil {
				failure = fmt.Errorf("%s: %w", s.Title(), err)
			}
		}
		r.save()
		if failure != nil && !rollback {
			return failure
		}
	}
	return failure
}

// step carries one step out within its bound. That the bound ran out shows in
// the error as context.DeadlineExceeded; that somebody stopped the controller,
// as context.Canceled.
func (r *run) step(ctx context.Context, s plan.Step) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("the controller was told to stop: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.Bound)
	defer cancel()
	var detail string
	var err error
	if s.Action == mode.Gate {
		err = r.gate(bounded, s)
	} else {
		detail, err = r.Host.Do(bounded, s, r.target)
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: not done within %v: %w", context.DeadlineExceeded, s.Bound, err)
	}
	return detail, err
}

// gate runs its guards until all pass or the bound runs out: what ended may
// take a moment to let go. Of a round that the bound cut off, the one before it
// tells more.
func (r *run) gate(ctx context.Context, s plan.Step) error {
	passed := len(r.event.Guards)
	var worst *guard.Result
	for {
		results := r.Host.Gate(ctx, s.Guards, r.target)
		if now := guard.Worst(results); now == nil || worst == nil || ctx.Err() == nil {
			r.event.Guards = append(r.event.Guards[:passed:passed], results...)
			r.marker.Guards = r.event.Guards
			worst = now
		}
		if worst == nil {
			return nil
		}
		if err := pause(ctx, poll); err != nil {
			return fmt.Errorf("%s: %s: %s", worst.Guard, worst.Reason, worst.Message)
		}
	}
}

// settle observes until the wanted state shows or the bound runs out: systemd
// and logind tell of some changes a little late.
func (r *run) settle(ctx context.Context, want mode.State) observe.Observation {
	r.marker.Phase = record.Observing
	r.save()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Config.Timeouts.Settle.Std())
	defer cancel()
	o := r.look(ctx)
	for o.State != want && pause(ctx, poll) == nil {
		// A look that the bound cut off does not take back what the one before saw.
		if next := r.look(ctx); ctx.Err() == nil || next.State == want {
			o = next
		}
	}
	return o
}

// save writes the marker for watchers and for whoever comes after a crash.
// That it can't be written must not end a transition half-way.
func (r *run) save() {
	_ = r.Store.SetMarker(r.marker)
	r.report()
}

func (r *run) report() {
	if r.Progress != nil {
		r.Progress(r.marker)
	}
}

// finish records the end: history first, since only that outlives a reboot; then
// the result, which whoever asked is told from, after all that it says is so.
func (r *run) finish(outcome record.Outcome, code exitcode.Code, last observe.Observation, reason string) record.Event {
	ev := &r.event
	ev.Timestamp, ev.Final, ev.Outcome, ev.Success = r.stamp(), last.State, outcome, outcome.Success()
	ev.ExitCode, ev.Reason, ev.DurationMS = code, reason, ms(r.Now().Sub(r.started))
	ev.Actions = append([]record.Action{}, r.marker.Steps...)
	ev.Confidence, ev.Conflicts, ev.Unmet, ev.Errors = last.Confidence, last.Conflicts, last.Unmet, last.InspectionErrors
	ev.After = &last
	if err := r.Store.Append(*ev); err != nil {
		ev.Reason += fmt.Sprintf(" (the history could not be written: %v)", err)
	}
	if outcome.Success() || outcome == record.Degraded && code == exitcode.Degraded && baseIs(last.State, r.target) {
		_ = r.Store.SetDesired(r.target)
	}
	_ = r.Store.SetCurrent(last.State)
	_ = r.Store.SetLast(*ev)
	_ = r.Store.ClearMarker()
	r.ended(*ev)
	return *ev
}

func (e *Engine) ended(ev record.Event) {
	if e.Ended != nil {
		e.Ended(ev)
	}
}

func baseIs(s mode.State, m mode.Mode) bool {
	base, ok := s.Base()
	return ok && base == m
}

func (r *run) stamp() string { return r.Now().UTC().Format(guard.TimeFormat) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// pause waits d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
