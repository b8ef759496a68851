package worker

import (
	"context"
	"time"

	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// Store is the outbox and the tables of vectors, as a worker needs them. Each
// method is one transaction, and is safe when several workers on several
// machines call it at once. Instants are the database's own.
type Store interface {
	// Models lists the register.
	Models(ctx context.Context) ([]outbox.Model, error)

	// Hand chooses up to limit rows of the model that wait, are due, and were
	// not handed over within the last again, oldest first, and marks them as
	// handed over now. Rows locked by another call are passed over.
	Hand(ctx context.Context, model int32, limit int, again time.Duration) ([]outbox.Handed, error)
	// Unhand takes that mark off: the rows did not reach the stream.
	Unhand(ctx context.Context, ids []int64) error

	// Claim makes those of the named rows ours for the length of lease that
	// wait and are due. It waits for rows that another call has locked.
	Claim(ctx context.Context, ids []int64, worker string, lease time.Duration) (outbox.Claims, error)
	// ClaimDue claims up to limit rows of the model that wait and are due,
	// oldest first, handed over or not. Rows locked by another call are passed
	// over (FOR UPDATE SKIP LOCKED).
	ClaimDue(ctx context.Context, model int32, limit int, worker string, lease time.Duration) ([]outbox.Job, error)
	// Extend lets the claims that the worker still has on the named rows last
	// for the length of lease from now.
	Extend(ctx context.Context, worker string, ids []int64, lease time.Duration) error
	// Complete writes the vectors and ends their rows, together, where the
	// rows are still claimed by the worker. A vector is stored under memory,
	// version and model, and only when the memory still has that version.
	Complete(ctx context.Context, worker string, results []outbox.Result) (outbox.Completed, error)
	// Fail counts an attempt against rows claimed by the worker, and lets them
	// rest or gives them up. The claims end, and the mark of having been handed
	// over is taken off.
	Fail(ctx context.Context, worker string, failures []outbox.Failure) error
	// Release gives rows claimed by the worker back, as if they had not been
	// claimed, and handed over: no attempt is counted.
	Release(ctx context.Context, worker string, ids []int64) error

	// Backfill puts up to limit live memories that have neither a vector of
	// the model nor a row for it into the outbox, and says how many.
	Backfill(ctx context.Context, model int32, limit int) (int, error)

	// Await returns when rows may have been added since the last call, or when
	// ctx ends; it returns early without need, but never late without an error.
	Await(ctx context.Context) error
}
