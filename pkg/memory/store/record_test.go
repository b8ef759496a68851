package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestRecorder holds that events which come while one is written are written
// together, that one which fails does not take the others with it, and that
// whoever stops waiting keeps nobody from writing.
func TestRecorder(t *testing.T) {
	var r recorder
	begun, finish := make(chan int), make(chan struct{})
	poison := &recording{scope: 2}
	errPoison := errors.New("at fault")
	do := func(_ context.Context, records []*recording) error {
		begun <- len(records)
		<-finish
		for _, one := range records {
			if one == poison {
				return errors.Join(errPoison, &pgconn.PgError{Code: "23514"})
			}
		}
		return nil
	}
	var all sync.WaitGroup
	write := func(ctx context.Context, one *recording, want error) {
		all.Go(func() {
			if err := r.write(ctx, one, do); !errors.Is(err, want) {
				t.Errorf("scope %d: %v, want %v", one.scope, err, want)
			}
		})
	}
	waiting := func(want int) {
		t.Helper()
		n := -1
		for end := time.Now().Add(10 * time.Second); n != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
			r.mu.Lock()
			n = len(r.waiting)
			r.mu.Unlock()
		}
		if n != want {
			t.Fatalf("%d wait, want %d", n, want)
		}
	}
	step := func(want int) {
		t.Helper()
		if n := <-begun; n != want {
			t.Errorf("%d are written together, want %d", n, want)
		}
		finish <- struct{}{}
	}
	write(t.Context(), &recording{scope: 1}, nil)
	if n := <-begun; n != 1 {
		t.Errorf("%d are written, want the first", n)
	}
	gone, leave := context.WithCancel(t.Context())
	write(gone, &recording{scope: 9}, context.Canceled)
	waiting(1)
	write(t.Context(), poison, errPoison)
	waiting(2)
	for i := range 3 {
		write(t.Context(), &recording{scope: 3}, nil)
		waiting(3 + i)
	}
	leave()
	waiting(4)
	finish <- struct{}{}
	step(4) // all who waited
	for range 4 {
		step(1) // and, since one of them is at fault, each alone
	}
	all.Wait()
	if r.writing || len(r.waiting) > 0 {
		t.Errorf("%d wait, writing: %t", len(r.waiting), r.writing)
	}
}

// TestTurnOfOneWhoLeft holds that the turn goes on to the next one.
func TestTurnOfOneWhoLeft(t *testing.T) {
	left, other := &recording{done: make(chan struct{})}, &recording{done: make(chan struct{})}
	r := recorder{waiting: []*recording{left, other}, writing: true}
	close(left.done)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.leave(ctx, left); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-other.done:
	default:
		t.Error("nobody has the turn")
	}
	if len(r.waiting) != 1 || r.waiting[0] != other {
		t.Errorf("%d wait", len(r.waiting))
	}
}
