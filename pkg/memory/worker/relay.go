package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// handAtOnce bounds how many rows one transaction hands over.
const handAtOnce = 512

// fullPause is how long the relay waits for room in the stream.
const fullPause = 20 * time.Millisecond

// link is whether the stream can be used.
type link struct {
	mu      sync.Mutex
	up      bool
	lostAt  time.Time     // what was handed over before this is gone
	changed chan struct{} // closed at the next change
}

// state tells whether the stream is up, and gives a channel that is closed
// when that changes.
func (k *link) state() (bool, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.up, k.changed
}

// set tells whether that was a change.
func (k *link) set(up bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.up == up {
		return false
	}
	k.up = up
	close(k.changed)
	k.changed = make(chan struct{})
	return true
}

// lost notes that all entries are gone.
func (k *link) lost(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lostAt = now
}

// again is after how long a row is handed over once more: at most usual, and
// less when the stream was lost since.
func (k *link) again(now time.Time, usual time.Duration) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return min(usual, now.Sub(k.lostAt))
}

// connect watches over the link to the stream: it makes it, and makes it again
// when it was lost.
func (l *lane) connect(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if up, changed := l.link.state(); up {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		made, err := l.stream.ensure(ctx, l.model.ID)
		if err != nil {
			if failures == 0 && ctx.Err() == nil {
				l.log.Warn("Redis can't be used; working from the outbox alone until it can", "error", err)
			}
			sleep(ctx, jitter(backoff(failures, 100*time.Millisecond, 5*time.Second)))
			failures++
			continue
		}
		if made {
			l.link.lost(time.Now())
		}
		failures = 0
		l.link.set(true)
		l.metrics.streamUp.Store(true)
		l.log.Info("working from the stream", "stream", l.stream.key(l.model.ID))
	}
}

// broken takes the stream out of use after an error of it.
func (l *lane) broken(ctx context.Context, err error) {
	if ctx.Err() == nil && l.link.set(false) {
		l.metrics.streamUp.Store(false)
		l.log.Warn("the stream is lost", "error", err)
	}
}

// relay hands rows of the outbox to the stream while it is up.
func (l *lane) relay(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		up, changed := l.link.state()
		if !up {
			sleep(ctx, l.options.Lease, changed)
			continue
		}
		seen := l.wake.next()
		n, full, err := l.handOver(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				l.log.Warn("rows can't be handed over; trying again", "error", err)
			}
			sleep(ctx, jitter(backoff(failures, l.options.Poll/4, 5*time.Second)))
			failures++
			continue
		case full:
			sleep(ctx, fullPause)
		case n == 0:
			sleep(ctx, l.options.Poll, seen)
		}
		failures = 0
	}
}

// handOver moves due rows to the stream, as far as there is room. Rows are
// marked first: should the process die in between, they are handed over again
// a while later.
func (l *lane) handOver(ctx context.Context) (n int, full bool, err error) {
	length, err := l.stream.length(ctx, l.model.ID)
	if err != nil {
		l.broken(ctx, err)
		return 0, false, err
	}
	room := l.options.Window - int(length)
	if room <= 0 {
		return 0, true, nil
	}
	rows, err := l.store.Hand(ctx, l.model.ID, min(room, handAtOnce), l.link.again(time.Now(), l.options.Again))
	if err != nil {
		return 0, false, err
	}
	if len(rows) == 0 {
		if length > 0 {
			return 0, false, nil
		}
		n, err := l.refill(ctx)
		return n, false, err
	}
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	if err := l.stream.add(ctx, l.model.ID, ids); err != nil {
		l.broken(ctx, err)
		return 0, false, errors.Join(err, l.unhand(ctx, ids))
	}
	return len(ids), false, nil
}

// unhand takes back that rows were handed over, also when the worker stops.
func (l *lane) unhand(ctx context.Context, ids []int64) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return l.store.Unhand(within, ids)
}

// fromStream waits for entries and works on them.
func (l *lane) fromStream(ctx, work context.Context) error {
	entries, err := l.stream.read(ctx, l.model.ID, l.options.Name, l.options.Batch, l.options.Poll)
	if err != nil {
		l.broken(ctx, err)
		return err
	}
	return l.take(ctx, work, entries)
}

// take works on the rows of entries, and acknowledges the entries when the
// outbox knows all about the rows: done, resting, dead, given back, or in the
// hands of another. Each of these finds its way without the entry. When the
// outbox could not be asked, the entries stay, and are reclaimed later.
func (l *lane) take(ctx, work context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	ids := make([]int64, 0, len(entries))
	for _, e := range entries {
		if e.row > 0 {
			ids = append(ids, e.row)
		}
	}
	if l.breaker.open() { // since this call began to wait
		if err := l.unhand(ctx, ids); err != nil {
			return err
		}
		return l.finish(work, entries)
	}
	claims, err := l.store.Claim(ctx, ids, l.options.Name, l.options.Lease)
	if err != nil {
		return err
	}
	if len(claims.Jobs) > 0 {
		l.process(work, claims.Jobs)
	}
	return l.finish(work, entries)
}

// finish acknowledges entries. Should it fail, they come again, and their rows
// will have nothing left to do.
func (l *lane) finish(work context.Context, entries []entry) error {
	err := l.stream.finish(context.WithoutCancel(work), l.model.ID, entries)
	if err != nil {
		l.broken(work, err)
	}
	return err
}

// unseen is after how long a consumer that has no entries is removed.
const unseen = time.Hour

// reclaim takes over what was given to workers that died.
func (l *lane) reclaim(ctx, work context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, jitter(l.options.Lease))
		if up, _ := l.link.state(); !up || l.breaker.open() || ctx.Err() != nil {
			continue
		}
		if err := l.reclaimAll(ctx, work); err != nil {
			l.broken(ctx, err)
		}
	}
}

func (l *lane) reclaimAll(ctx, work context.Context) error {
	for cursor := "0-0"; ctx.Err() == nil; {
		entries, next, err := l.stream.reclaim(ctx, l.model.ID, l.options.Name, l.options.Lease, cursor, l.options.Batch)
		if err != nil {
			return err
		}
		if err := l.take(ctx, work, entries); err != nil {
			l.log.Warn("abandoned entries can't be worked on yet", "error", err)
			return nil
		}
		if next == "0-0" {
			break
		}
		cursor = next
	}
	return l.stream.sweep(ctx, l.model.ID, unseen)
}
