package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// figures are what a measurement gave.
type figures struct {
	p50, p95, p99 time.Duration
	// rate is in operations a second, of all clients together.
	rate float64
	n    int
}

func (f figures) String() string {
	return fmt.Sprintf("%.2f\t%.2f\t%.2f\t%.0f", ms(f.p50), ms(f.p95), ms(f.p99), f.rate)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// summarise makes figures of the times of single operations.
func summarise(times []time.Duration, wall time.Duration) figures {
	if len(times) == 0 || wall <= 0 {
		return figures{}
	}
	slices.Sort(times)
	at := func(share float64) time.Duration { return times[min(int(share*float64(len(times))), len(times)-1)] }
	return figures{at(0.5), at(0.95), at(0.99), float64(len(times)) / wall.Seconds(), len(times)}
}

// operation does the n-th of a client's operations.
type operation func(ctx context.Context, client, n int) error

// drive has clients do operations, each one after the other, for a while. A
// tenth of the time before that is not counted.
func drive(ctx context.Context, clients int, span time.Duration, do operation) (figures, error) {
	begin := time.Now().Add(span / 10)
	end := begin.Add(span)
	var mu sync.Mutex
	var all []time.Duration
	var failed []error
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			var mine []time.Duration
			var err error
			for n := 0; err == nil; n++ {
				at := time.Now()
				if !at.Before(end) {
					break
				}
				err = do(ctx, c, n)
				if at.After(begin) {
					mine = append(mine, time.Since(at))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			if err != nil {
				failed = append(failed, fmt.Errorf("client %d: %w", c, err))
			}
		})
	}
	group.Wait()
	return summarise(all, time.Since(begin)), errors.Join(failed...)
}

// way is one way to ask.
type way struct {
	name string
	do   operation
}

// onceFor bounds what once does: a question that reads half a million memories
// by a query that nobody has thought about takes seconds.
const onceFor = time.Minute

// once does the first n operations of one client, each once, or as many as it
// gets to.
func once(ctx context.Context, n int, do operation) (figures, error) {
	var times []time.Duration
	begin := time.Now()
	for i := 0; i < n && time.Since(begin) < onceFor; i++ {
		at := time.Now()
		if err := do(ctx, 0, i); err != nil {
			return figures{}, err
		}
		times = append(times, time.Since(at))
	}
	return summarise(times, time.Since(begin)), nil
}
