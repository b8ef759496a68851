// Package worker turns rows of the outbox into vectors.
//
// A row is handed to a Redis stream, where a worker on any machine picks it
// up, claims it in the database, has its text embedded together with others,
// and writes the vector and the end of the row in one transaction. Redis only
// spreads the work: when it is gone, each worker takes rows from the outbox
// directly, and when it is back, from the stream again. Nothing is lost or
// done twice by that, since every row is claimed in the database either way.
//
// What goes wrong is told apart by whose fault it is. A provider that is not
// there, is overloaded or is wrongly configured costs no row an attempt: its
// claims are given back and it is left alone for a while. A text that the
// provider can't embed is found by halving its batch, tried again after rests,
// and then given up, until somebody asks for it to be tried again.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// Options bound a worker. What is zero has its default.
type Options struct {
	// Name tells workers apart, on all machines; required. Two that run at
	// once must not share one.
	Name string
	// Batch is the most rows that are embedded together (32), Concurrency how
	// many batches of a model are under way at once (2).
	Batch, Concurrency int
	// Lease is how long a claim outlives a worker that was killed (30 s).
	// Claims of a worker at work are extended.
	Lease time.Duration
	// Again is after how long a row that was handed to the stream, and that
	// nobody has claimed, is handed over again (30 s).
	Again time.Duration
	// Poll is how often is looked for rows that nothing told of (1 s).
	Poll time.Duration
	// Refill is how often is looked for memories that have neither a vector nor a
	// row, once there were none (1 min).
	Refill time.Duration
	// Attempts is how often a row may fail for its own sake (5). After each it
	// rests, from Rest (2 s) doubling to MaxRest (10 min).
	Attempts      int
	Rest, MaxRest time.Duration
	// Window is the most entries that are in the stream at once (4096).
	Window int
	// Grace is how long a batch under way may take once the worker is asked to
	// stop (10 s); then its claims are given back.
	Grace time.Duration
	// Log is for people; nil is silent.
	Log *slog.Logger
}

func (o *Options) defaults() error {
	if o.Name == "" {
		return errors.New("a worker has no name: give one that no other has")
	}
	number := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	number(&o.Batch, 32)
	number(&o.Concurrency, 2)
	number(&o.Attempts, 5)
	number(&o.Window, 4096)
	duration(&o.Lease, 30*time.Second)
	duration(&o.Again, 30*time.Second)
	duration(&o.Poll, time.Second)
	duration(&o.Refill, time.Minute)
	duration(&o.Rest, 2*time.Second)
	duration(&o.MaxRest, 10*time.Minute)
	duration(&o.Grace, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if min(o.Batch, o.Concurrency, o.Attempts, o.Window) < 1 || min(o.Lease, o.Again, o.Poll, o.Refill, o.Rest, o.MaxRest, o.Grace) < 0 {
		return fmt.Errorf("the options of the worker %s hold a number below what makes sense", o.Name)
	}
	return nil
}

// Worker embeds what the outbox holds, for each model that is being filled or
// is in use and that it has an embedder for.
type Worker struct {
	store     Store
	embedders map[string]embed.Embedder
	stream    *Stream
	options   Options
	metrics   *measures
	wake      wake
}

// New gives a worker. The embedders are found by the name of their model;
// stream may be nil, then the worker works from the outbox alone.
func New(store Store, embedders []embed.Embedder, stream *Stream, options Options) (*Worker, error) {
	if err := options.defaults(); err != nil {
		return nil, err
	}
	w := &Worker{
		store: store, stream: stream, options: options,
		embedders: map[string]embed.Embedder{}, metrics: newMeasures(),
	}
	for _, e := range embedders {
		w.embedders[e.Model()] = e
	}
	return w, nil
}

// WriteMetrics writes what the worker counted, in Prometheus's text format.
func (w *Worker) WriteMetrics(out io.Writer) { w.metrics.set.WritePrometheus(out) }

// Run works until ctx ends. Then it takes no more rows, lets the batches under
// way end within the grace, and gives back the claims of those that don't.
func (w *Worker) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(w.options.Grace, cancel) })
	defer stop()

	var all sync.WaitGroup
	all.Go(func() { w.listen(ctx) })
	lanes := map[int32]context.CancelFunc{}
	told := map[string]bool{}
	away := false
	for ctx.Err() == nil {
		models, err := w.store.Models(ctx)
		if err != nil && !away && ctx.Err() == nil {
			w.options.Log.Warn("the register of models can't be read; trying again", "error", err)
		}
		away = err != nil
		wanted := map[int32]bool{}
		for _, model := range models {
			e, why := w.embedderOf(model)
			if why != "" && !told[why] {
				told[why] = true
				w.options.Log.Warn(why)
			}
			if e == nil {
				continue
			}
			wanted[model.ID] = true
			if lanes[model.ID] == nil {
				within, leave := context.WithCancel(ctx)
				lanes[model.ID] = leave
				l := newLane(w, model, e)
				all.Go(func() { l.run(within, work) })
			}
		}
		for id, leave := range lanes {
			if err == nil && !wanted[id] {
				leave()
				delete(lanes, id)
			}
		}
		sleep(ctx, 2*w.options.Poll)
	}
	all.Wait()
	return nil
}

// embedderOf gives the embedder of a model that there is work for, or says why
// there is none that should be there.
func (w *Worker) embedderOf(model outbox.Model) (embed.Embedder, string) {
	if model.State != outbox.Building && model.State != outbox.Active {
		return nil, ""
	}
	e := w.embedders[model.Name]
	switch {
	case e == nil:
		return nil, fmt.Sprintf("the model %s is %s, and this worker has no provider for it", model.Name, model.State)
	case e.Dimensions() != model.Dimensions:
		return nil, fmt.Sprintf("the model %s has %d dimensions in the register, and %d here: it is not served",
			model.Name, model.Dimensions, e.Dimensions())
	}
	return e, ""
}

// listen wakes the lanes when rows were added.
func (w *Worker) listen(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if err := w.store.Await(ctx); err != nil {
			// The lanes poll meanwhile.
			failures++
			sleep(ctx, jitter(backoff(failures, w.options.Poll, 30*time.Second)))
			continue
		}
		failures = 0
		w.wake.all()
	}
}

// wake tells all who wait that there may be work.
type wake struct {
	mu sync.Mutex
	ch chan struct{}
}

// next gives a channel that is closed at the next call of all.
func (k *wake) next() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ch == nil {
		k.ch = make(chan struct{})
	}
	return k.ch
}

func (k *wake) all() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ch != nil {
		close(k.ch)
		k.ch = nil
	}
}

// sleep waits for d, for any of the channels, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration, early ...<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	var first <-chan struct{}
	if len(early) > 0 {
		first = early[0]
	}
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-first:
	}
}
