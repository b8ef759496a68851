package plan

import (
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Bounds are the longest that the parts of a transition may take, and so the
// transition. The engine takes its deadlines from the same figures.
type Bounds struct {
	Observe time.Duration // the first look, and asking logind not to let the machine go down
	Guards  time.Duration // all of them at the same time
	Steps   time.Duration // one after the other
	Settle  time.Duration // looks until the last one shows what is wanted
	Forward time.Duration // the sum of these

	// Back is the way back from a failure: a look, the steps, and looks until the
	// prior mode shows.
	Back  time.Duration
	Whole time.Duration // Forward and Back
}

// handover is what it takes to start and end the guards' processes around
// their own deadline.
const handover = time.Second

// GuardBound is the time in which guards that run at the same time have
// answered, or count as not having.
func GuardBound(names []string, cfg config.Config) time.Duration {
	bound := cfg.Timeouts.Guard.Std() + handover
	if slices.Contains(names, drains) {
		bound += cfg.VLLM.DrainTimeout.Std()
	}
	return bound
}

// drains is the guard that waits for vLLM's requests.
const drains = "vllm_drainable"

// Bound sums up. Steps that are skipped take no time, but those that may be
// skipped, because nobody has looked, count.
func (p Plan) Bound(cfg config.Config) Bounds {
	look := cfg.Timeouts.Observe.Std()
	b := Bounds{Observe: look}
	if !p.Noop {
		b.Observe = 2 * look
		b.Guards, b.Steps, b.Settle = GuardBound(p.Guards, cfg), p.Total(), cfg.Timeouts.Settle.Std()
		prior, known := p.From.Base()
		if !known {
			prior = cfg.Boot.DefaultMode
		}
		b.Back = look + WayBack(ForState(mode.Unknown, prior, cfg)).Total() + b.Settle
	}
	b.Forward = b.Observe + b.Guards + b.Steps + b.Settle
	b.Whole = b.Forward + b.Back
	return b
}

// WayBack is a plan without what is not done on the way back: people have been
// told already.
func WayBack(p Plan) Plan {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Action == mode.Announce })
	return p
}

// Longest is the longest that any transition and its way back may take.
func Longest(cfg config.Config) time.Duration {
	var most time.Duration
	for _, from := range mode.States() {
		for _, to := range mode.All() {
			most = max(most, ForState(from, to, cfg).Bound(cfg).Whole)
		}
	}
	return most
}
