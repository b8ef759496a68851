package idle

import (
	"context"
	"time"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// Host is the machine as a watcher needs it.
type Host interface {
	// Look gathers facts, without the state.
	Look(ctx context.Context) Facts
	// Observe observes the state.
	Observe(ctx context.Context) mode.State
	// Guards runs the guards of a transition from desktop to compute.
	Guards(ctx context.Context) []guard.Result
	// Request asks for compute, as anybody may, and gives the record of how that
	// ended.
	Request(ctx context.Context) (record.Event, error)
}

// Bounds are what the parts of a look may take.
type Bounds struct{ Look, Observe, Guards, Request time.Duration }

// Watcher looks again and again.
type Watcher struct {
	Host     Host
	Policy   Policy
	Interval time.Duration // between two looks
	Bounds   Bounds
	// Begin is told what is about to be done and how long it may take, so that
	// a watchdog can tell waiting from hanging.
	Begin func(what string, bound time.Duration)
	// Report is told what came of each look, and how long the watcher then rests.
	Report func(Decision, Facts, Memory, time.Duration)
	// Asked is told how a request ended.
	Asked func(record.Event, error)

	memory Memory
}

// Watch looks until ctx ends.
func (w *Watcher) Watch(ctx context.Context) {
	for ctx.Err() == nil {
		d, f := w.Once(ctx)
		if ctx.Err() != nil {
			return // what was cut off says nothing
		}
		rest := w.Interval
		if d.At > f.Now {
			rest = min(rest, d.At-f.Now)
		}
		w.Begin("rest", rest)
		w.Report(d, f, w.memory, rest)
		t := time.NewTimer(rest)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// Once looks, decides, and asks where that is due. It gives what was decided in
// the end: behind a request, that is what the request taught.
func (w *Watcher) Once(ctx context.Context) (Decision, Facts) {
	var f Facts
	w.bounded(ctx, "look", w.Bounds.Look, func(ctx context.Context) { f = w.Host.Look(ctx) })
	d := w.decide(f)
	if d.Do == Observe {
		w.bounded(ctx, "observe", w.Bounds.Observe, func(ctx context.Context) { f.State = w.Host.Observe(ctx) })
		d = w.decide(f)
	}
	if d.Do != Ask || ctx.Err() != nil {
		return d, f
	}
	// The controller runs them again, and has the last word. To look first keeps
	// the history free of requests that could not have gone through.
	var results []guard.Result
	w.bounded(ctx, "guards", w.Bounds.Guards, func(ctx context.Context) { results = w.Host.Guards(ctx) })
	if ctx.Err() != nil {
		return d, f
	}
	if guard.Worst(results) != nil {
		w.memory = Blocked(w.memory, f, results, w.Policy)
		return w.decide(f), f
	}
	var ev record.Event
	var err error
	w.bounded(ctx, "request", w.Bounds.Request, func(ctx context.Context) { ev, err = w.Host.Request(ctx) })
	if ctx.Err() != nil {
		return d, f
	}
	w.Asked(ev, err)
	if err != nil {
		w.memory = Failed(w.memory, f, err.Error(), w.Policy)
		return w.decide(f), f
	}
	if w.memory = Ended(w.memory, f, ev, w.Policy); ev.Success {
		f.State = mode.StateCompute
		return Decision{Rest, InCompute, "the machine was brought to compute by transition " + ev.ID, 0}, f
	}
	return w.decide(f), f
}

func (w *Watcher) decide(f Facts) (d Decision) {
	d, w.memory = Decide(f, w.memory, w.Policy)
	return d
}

func (w *Watcher) bounded(ctx context.Context, what string, bound time.Duration, do func(context.Context)) {
	w.Begin(what, bound)
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	do(ctx)
}
