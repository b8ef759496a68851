package memoryfaults

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/worker"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
)

// BenchmarkQueue measures how fast the outbox is emptied, against what the
// provider does when it is asked for the same texts with nothing around it; and
// how long a memory takes from the end of its write until it has its vector.
//
//	go test -run '^$' -bench Queue -benchtime 1x ./tests/memoryfaults
func BenchmarkQueue(b *testing.B) {
	const memories = 2000
	w := newWorld(b)
	w.provider = embeddings.Start(b, "127.0.0.1:0", dimensions)
	w.provider.Does(embeddings.Behaviour{EachRequest: 5 * time.Millisecond, EachText: time.Millisecond})
	openai, err := embed.NewOpenAI(embed.OpenAIConfig{URL: w.provider.URL, Model: model, Preset: embed.Preset{Dimensions: dimensions}})
	if err != nil {
		b.Fatal(err)
	}
	builtin, err := embed.NewBuiltin()
	if err != nil {
		b.Fatal(err)
	}
	first := 0
	for _, e := range []embed.Embedder{openai, builtin} {
		m, err := w.store.EnsureModel(b.Context(), outbox.Model{
			Name: e.Model(), Provider: "x", Dimensions: e.Dimensions(), State: outbox.Building,
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := w.store.ActivateModel(b.Context(), m.ID); err != nil {
			b.Fatal(err)
		}
		for _, redis := range []bool{true, false} {
			name := e.Model() + "/outbox alone"
			if redis {
				name = e.Model() + "/stream"
			}
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					w.fill(first, memories)
					limit := float64(memories) / alone(b, e, first, memories).Seconds()
					stop := w.work(b, e, redis)
					began := time.Now()
					w.settled()
					rate := memories / time.Since(began).Seconds()
					first += memories
					times := w.oneByOne(b, first)
					stop()
					first += len(times)
					b.ReportMetric(rate, "items/s")
					b.ReportMetric(limit, "provider-items/s")
					b.ReportMetric(100*rate/limit, "%-of-provider")
					b.ReportMetric(times[len(times)/2].Seconds()*1e3, "searchable-p50-ms")
					b.ReportMetric(times[len(times)*95/100].Seconds()*1e3, "searchable-p95-ms")
				}
			})
		}
	}
}

// fill stores memories that no worker has seen.
func (w *world) fill(first, count int) {
	for i := 0; i < count; i += 200 {
		w.add("note", first+i, first+i+200)
	}
}

// alone has the provider embed as many texts, with the worker's batches and
// concurrency.
func alone(b *testing.B, e embed.Embedder, first, count int) time.Duration {
	texts := make(chan []string, count)
	for i := 0; i < count; i += 32 {
		var batch []string
		for _, entry := range entries("note", first+i, min(first+i+32, first+count)) {
			batch = append(batch, entry.Summary)
		}
		texts <- batch
	}
	close(texts)
	began := time.Now()
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for batch := range texts {
				if _, err := e.Embed(b.Context(), batch, embed.Document); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// work runs a worker with the options that it has by itself.
func (w *world) work(b *testing.B, e embed.Embedder, redis bool) (stop func()) {
	var stream *worker.Stream
	if redis {
		var err error
		if stream, err = worker.NewStream(w.redis.URL, "speed"); err != nil {
			b.Fatal(err)
		}
	}
	run, err := worker.New(w.store, []embed.Embedder{e}, stream, worker.Options{Name: "speed"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var one sync.WaitGroup
	one.Go(func() {
		if err := run.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	return func() {
		cancel()
		one.Wait()
		if stream != nil {
			if err := stream.Close(); err != nil {
				b.Error(err)
			}
		}
	}
}

// oneByOne stores memories one after the other, and gives the times until each
// has its vector, in order.
func (w *world) oneByOne(b *testing.B, first int) []time.Duration {
	var times []time.Duration
	for i := range 40 {
		w.add("single", first+i, first+i+1)
		began := time.Now()
		for w.ask("SELECT count(*) FROM outbox") > 0 {
			if time.Since(began) > patience {
				b.Fatal("a memory has no vector yet")
			}
			time.Sleep(time.Millisecond)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times
}
