package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// releaseTimeout bounds giving claims back when a worker stops.
const releaseTimeout = 3 * time.Second

// lane is the work for one model.
type lane struct {
	*Worker
	model    outbox.Model
	embedder embed.Embedder
	log      *slog.Logger
	breaker  breaker
	counts   *laneMeasures
	link     link
	filling  filling
}

func newLane(w *Worker, model outbox.Model, e embed.Embedder) *lane {
	l := &lane{Worker: w, model: model, embedder: e, log: w.options.Log.With("model", model.Name)}
	l.counts = w.metrics.lane(model.Name, func() bool { return !l.breaker.open() })
	l.link.changed = make(chan struct{})
	return l
}

// run works until ctx ends; what is under way then may go on until work ends.
func (l *lane) run(ctx, work context.Context) {
	var all sync.WaitGroup
	if l.stream != nil {
		all.Go(func() { l.connect(ctx) })
		all.Go(func() { l.relay(ctx) })
		all.Go(func() { l.reclaim(ctx, work) })
	}
	for range l.options.Concurrency {
		all.Go(func() { l.fetch(ctx, work) })
	}
	all.Wait()
	if up, _ := l.link.state(); up {
		if err := l.stream.leave(context.WithoutCancel(ctx), l.model.ID, l.options.Name); err != nil {
			l.log.Debug("a consumer stays in the stream's group", "error", err)
		}
	}
}

// fetch takes batch after batch, from the stream or, without it, from the
// outbox.
func (l *lane) fetch(ctx, work context.Context) {
	failures := 0
	for ctx.Err() == nil {
		if !l.ready(ctx) {
			continue
		}
		var err error
		if up, _ := l.link.state(); up {
			err = l.fromStream(ctx, work)
		} else {
			err = l.fromOutbox(ctx, work)
		}
		if err == nil {
			failures = 0
			continue
		}
		failures++
		if ctx.Err() == nil {
			l.log.Warn("work can't be taken; trying again", "error", err)
			sleep(ctx, jitter(backoff(failures, l.options.Poll/4, 5*time.Second)))
		}
	}
}

// ready waits until the provider may be asked, or finds out that it may.
func (l *lane) ready(ctx context.Context) bool {
	s, rest, changed := l.breaker.enter(time.Now())
	switch s {
	case waiting:
		sleep(ctx, rest, changed)
		return false
	case probe:
		err := canary(ctx, l.embedder)
		switch {
		case ctx.Err() != nil:
			l.breaker.giveUp()
			return false
		case err != nil:
			l.outage(err)
			return false
		}
		l.breaker.pass()
		l.log.Info("the provider is back")
	}
	return true
}

// outage leaves the provider alone for a while.
func (l *lane) outage(err error) {
	var e *embed.Error
	asked := time.Duration(0)
	if errors.As(err, &e) {
		asked = e.RetryAfter
	}
	first := !l.breaker.open()
	rest := l.breaker.fail(time.Now(), asked)
	l.counts.outages.Inc()
	if first {
		l.log.Warn("the provider can't serve; no row is charged for it", "error", err, "rest", rest)
	}
}

// fromOutbox claims due rows itself, or waits for some.
func (l *lane) fromOutbox(ctx, work context.Context) error {
	seen := l.wake.next()
	jobs, err := l.store.ClaimDue(ctx, l.model.ID, l.options.Batch, l.options.Name, l.options.Lease)
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		if n, err := l.refill(ctx); err != nil || n > 0 {
			return err
		}
		sleep(ctx, l.options.Poll, seen)
		return nil
	}
	l.process(work, jobs)
	return nil
}

// process embeds claimed rows, and says to the outbox what became of each.
func (l *lane) process(ctx context.Context, jobs []outbox.Job) {
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	stop := l.extend(ctx, ids)
	defer stop()

	var failures []outbox.Failure
	bad := func(job outbox.Job, err error) {
		failures = append(failures, l.failure(job, err))
	}
	done := func(jobs []outbox.Job, vectors [][]float32) { l.complete(ctx, jobs, vectors) }
	groups := groups(jobs)
	var left []outbox.Job
	for i, group := range groups {
		l.counts.requests.Inc()
		var err error
		if left, err = divide(ctx, l.embedder, group, done, bad); err == nil {
			continue
		}
		for _, rest := range groups[i+1:] {
			left = append(left, rest...)
		}
		if ctx.Err() == nil {
			l.outage(err)
		}
		break
	}
	l.fail(ctx, failures)
	l.release(ctx, left)
}

// groups puts fresh rows together, and each row that failed before alone: it
// shall not spoil the same work again.
func groups(jobs []outbox.Job) [][]outbox.Job {
	var fresh []outbox.Job
	var all [][]outbox.Job
	for _, job := range jobs {
		if job.Attempts == 0 {
			fresh = append(fresh, job)
		} else {
			all = append(all, []outbox.Job{job})
		}
	}
	if len(fresh) > 0 {
		all = append([][]outbox.Job{fresh}, all...)
	}
	return all
}

// failure is what an attempt that failed does to its row.
func (l *lane) failure(job outbox.Job, err error) outbox.Failure {
	l.counts.failed.Inc()
	f := outbox.Failure{ID: job.ID, Reason: err.Error(), Dead: job.Attempts+1 >= l.options.Attempts}
	if f.Dead {
		l.counts.dead.Inc()
		l.log.Warn("a memory is given up: it can't be embedded", "memory", job.MemoryID, "attempts", job.Attempts+1, "error", err)
		return f
	}
	f.After = jitter(backoff(job.Attempts, l.options.Rest, l.options.MaxRest))
	return f
}

// extend keeps the claims of rows alive until the returned function is called.
func (l *lane) extend(ctx context.Context, ids []int64) func() {
	ctx, cancel := context.WithCancel(ctx)
	var one sync.WaitGroup
	one.Go(func() {
		for last := time.Now(); ; {
			sleep(ctx, l.options.Lease/3)
			if ctx.Err() != nil {
				return
			}
			// It may take for as long as the claims last: to cut it off ends its
			// connection, and the next try has to make one first.
			at := time.Now()
			within, end := context.WithTimeout(ctx, max(l.options.Lease/3, l.options.Lease-at.Sub(last)))
			err := l.store.Extend(within, l.options.Name, ids, l.options.Lease)
			end()
			switch {
			case err == nil:
				last = at
			case ctx.Err() == nil:
				l.log.Warn("claims can't be extended", "error", err)
			}
		}
	})
	return func() { cancel(); one.Wait() }
}

// complete writes vectors. A database that is away is waited for: the vectors
// were the costly part. Should it have taken them and lost only its answer, the
// second time finds the rows ended.
func (l *lane) complete(ctx context.Context, jobs []outbox.Job, vectors [][]float32) {
	results := make([]outbox.Result, len(jobs))
	for i, job := range jobs {
		results[i] = outbox.Result{Job: job, Vector: vectors[i]}
	}
	l.persist(ctx, func(ctx context.Context) error {
		c, err := l.store.Complete(ctx, l.options.Name, results)
		if err != nil {
			return err
		}
		l.counts.embedded.Add(c.Written)
		l.counts.stale.Add(c.Stale)
		l.counts.lost.Add(c.Lost)
		for _, job := range jobs {
			l.counts.searchable.Update(since(job.StoredAt))
		}
		return nil
	})
}

func (l *lane) fail(ctx context.Context, failures []outbox.Failure) {
	if len(failures) > 0 {
		l.persist(ctx, func(ctx context.Context) error { return l.store.Fail(ctx, l.options.Name, failures) })
	}
}

// release gives claims back, also when the worker has to stop.
func (l *lane) release(ctx context.Context, jobs []outbox.Job) {
	if len(jobs) == 0 {
		return
	}
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	l.counts.released.Add(len(ids))
	l.persist(ctx, func(ctx context.Context) error { return l.store.Release(ctx, l.options.Name, ids) })
}

// persist tries to tell the database until it listens, or ctx has ended and it
// was tried once more. Should it never listen, the claims run out.
func (l *lane) persist(ctx context.Context, tell func(context.Context) error) {
	for failures := 0; ; failures++ {
		over := ctx.Err() != nil
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(releaseTimeout, l.options.Lease))
		if over {
			cancel()
			within, cancel = context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		}
		err := tell(within)
		cancel()
		if err == nil {
			return
		}
		l.log.Warn("the outbox can't be told; trying again", "error", err)
		if over {
			return
		}
		sleep(ctx, jitter(backoff(failures, 100*time.Millisecond, 5*time.Second)))
	}
}

// filling is when memories without a vector were last looked for.
type filling struct {
	mu   sync.Mutex
	next atomic.Int64 // Unix nanoseconds; before that, there are none
}

// refill puts memories that a model has not seen into the outbox: all of them
// when it is new, some when it is taken back. It is called when there is
// nothing else to do, so that fresh memories never wait for old ones.
func (l *lane) refill(ctx context.Context) (int, error) {
	if time.Now().UnixNano() < l.filling.next.Load() || !l.filling.mu.TryLock() {
		return 0, nil
	}
	defer l.filling.mu.Unlock()
	n, err := l.store.Backfill(ctx, l.model.ID, l.options.Window)
	if err == nil && n == 0 {
		l.filling.next.Store(time.Now().Add(l.options.Refill).UnixNano())
	}
	return n, err
}
