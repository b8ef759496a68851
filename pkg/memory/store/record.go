package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// recorder writes the events of retrievals that end at about the same time in
// one transaction, as a database commits those of many clients at once: who
// comes while one is written waits, and the next one who writes takes all.
type recorder struct {
	mu sync.Mutex
	// waiting are those that are to be written, when somebody writes.
	waiting []*recording
	writing bool
}

// recording is an event and its hits as arguments of AddEvent.sql, the first of
// them the scope.
type recording struct {
	scope int32
	args  []any
	at    time.Time
	// done is closed when it was written or failed, with err, or, without, when
	// it is its turn to write.
	done    chan struct{}
	err     error
	written bool
}

// Bounds of one transaction.
const (
	mostRecords  = 64
	recordWithin = 30 * time.Second
)

// write writes the record, or waits until another one has. Whoever no longer
// waits does not hear whether it was written.
func (r *recorder) write(ctx context.Context, one *recording, do func(context.Context, []*recording) error) error {
	one.done = make(chan struct{})
	r.mu.Lock()
	r.waiting = append(r.waiting, one)
	lead := !r.writing
	r.writing = true
	r.mu.Unlock()
	if !lead {
		select {
		case <-one.done:
		case <-ctx.Done():
			return r.leave(ctx, one)
		}
		if one.written || one.err != nil {
			return one.err
		}
	}
	r.lead(ctx, do)
	return one.err
}

// leave takes back a record that nobody has begun to write, and passes the turn
// on if it has come to it.
func (r *recorder) leave(ctx context.Context, one *recording) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.waiting {
		if w != one {
			continue
		}
		r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
		select {
		case <-one.done: // it was to write
			r.next()
		default:
		}
		break
	}
	return ctx.Err()
}

// lead writes what waits, its own record first, and gives the turn to the next.
func (r *recorder) lead(ctx context.Context, do func(context.Context, []*recording) error) {
	r.mu.Lock()
	n := min(len(r.waiting), mostRecords)
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	r.mu.Unlock()

	// The others' events do not end with the one who writes them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	err := do(ctx, batch)
	var fault *pgconn.PgError
	for _, w := range batch {
		if w.err = err; errors.As(err, &fault) && len(batch) > 1 {
			w.err = do(ctx, []*recording{w}) // one of them is at fault
		}
		w.written = w.err == nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range batch {
		select {
		case <-w.done: // our own, when its turn came
		default:
			close(w.done)
		}
	}
	r.next()
}

// next gives the turn to the first that waits.
func (r *recorder) next() {
	r.writing = len(r.waiting) > 0
	if r.writing {
		close(r.waiting[0].done)
	}
}

// record writes events in one transaction.
func (s *Store) record(ctx context.Context, records []*recording) error {
	var b pgx.Batch
	scopes := make([]string, len(records))
	for i, r := range records {
		scopes[i] = strconv.Itoa(int(r.scope))
	}
	b.Queue(query("EnterScope"), "{"+strings.Join(scopes, ",")+"}", Role)
	if s.options.LazyEvents {
		b.Queue(query("LazyCommit"))
	}
	for _, r := range records {
		b.Queue(query("AddEvent"), r.args...).Query(scanOne(&r.at))
	}
	return s.pool.SendBatch(ctx, &b).Close()
}
