package worker

import (
	"math/rand/v2"
	"sync"
	"time"
)

// How long a provider that failed is left alone, at first and at most.
const (
	outageRest    = time.Second
	outageMaxRest = time.Minute
)

// breaker keeps the provider of one model from being asked while it is not
// there, and lets one caller at a time find out whether it is back. While it
// is open, nothing is claimed, so no outage is ever held against a row.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // the provider is left alone
	probing  bool
	changed  chan struct{} // closed when the provider is back
}

// state is what a caller of enter may do.
type state int

const (
	closed  state = iota // ask
	waiting              // wait; the time is how long at most
	probe                // find out, and call pass or fail
)

// enter says whether the provider may be asked now, and where it may not, how
// long to wait for a change.
func (b *breaker) enter(now time.Time) (state, time.Duration, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures == 0:
		return closed, 0, nil
	case now.Before(b.until):
		return waiting, b.until.Sub(now), b.changed
	case b.probing:
		return waiting, outageRest, b.changed
	}
	b.probing = true
	return probe, 0, nil
}

// fail opens it, for longer each time, or for as long as the provider asked.
func (b *breaker) fail(now time.Time, asked time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Callers that were under way when the first of them failed say nothing new.
	if b.failures > 0 && !b.probing {
		return b.until.Sub(now)
	}
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	rest := jitter(backoff(b.failures, outageRest, outageMaxRest))
	b.failures, b.probing = b.failures+1, false
	b.until = now.Add(max(rest, asked))
	return max(rest, asked)
}

// pass closes it.
func (b *breaker) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
	}
	b.failures, b.probing, b.changed = 0, false, nil
}

// giveUp ends a probe that learnt nothing.
func (b *breaker) giveUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// open tells whether the provider is left alone.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures > 0
}

// backoff doubles from first to last with each failure before this one.
func backoff(failures int, first, last time.Duration) time.Duration {
	if failures > 30 {
		return last
	}
	return min(first<<failures, last)
}

// jitter takes up to half off, so that workers that failed together don't
// come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
