package apid

import (
	"context"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
)

// What is kept for how long, besides what the configuration says.
const (
	// retainEvery is how often what is old is removed.
	retainEvery = time.Hour
	// keysFor is how long a request can be sent again under its
	// Idempotency-Key.
	keysFor = 24 * time.Hour
	// expiredFor is how long an expired memory, which no retrieval returns, is
	// still there to tell a replay why it is gone.
	expiredFor = 30 * 24 * time.Hour
	// retainBatch bounds one transaction.
	retainBatch = 1000
)

// retained is what is kept for a time.
type retained interface {
	RemoveKeys(ctx context.Context, before time.Time) (int64, error)
	RemoveExpired(ctx context.Context, before time.Time, most int) (int64, error)
	RemoveEvents(ctx context.Context, before time.Time, most int) (int64, error)
}

// retain removes what has been kept for long enough.
func retain(ctx context.Context, db retained, cfg config.MemoryRetention, now time.Time) error {
	if _, err := db.RemoveKeys(ctx, now.Add(-keysFor)); err != nil {
		return err
	}
	if err := inBatches(ctx, db.RemoveExpired, now.Add(-expiredFor)); err != nil || cfg.EventDays == 0 {
		return err
	}
	return inBatches(ctx, db.RemoveEvents, now.Add(-days(cfg.EventDays)))
}

// inBatches removes until nothing is left to be removed.
func inBatches(ctx context.Context, remove func(context.Context, time.Time, int) (int64, error), before time.Time) error {
	for {
		n, err := remove(ctx, before, retainBatch)
		if err != nil || n < retainBatch {
			return err
		}
	}
}
