package worker

import (
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/ryjen/dubnium/pkg/memory/meter"
)

// What a worker counts, all but the first for each model.
var (
	byModel = []string{"model"}

	streamUp   = meter.Metric{Name: "dubnium_embed_stream_up", Kind: meter.Gauge, Help: "1 while work comes from the Redis stream, 0 while it comes from the database."}
	providerUp = meter.Metric{Name: "dubnium_embed_provider_up", Kind: meter.Gauge, Labels: byModel, Help: "1 while the provider of the model is asked, 0 while it is left alone after an outage."}

	vectorsTotal  = meter.Metric{Name: "dubnium_embed_vectors_total", Kind: meter.Counter, Labels: byModel, Help: "Vectors that were stored."}
	staleTotal    = meter.Metric{Name: "dubnium_embed_stale_total", Kind: meter.Counter, Labels: byModel, Help: "Vectors that were not, since the memory was gone or had changed meanwhile."}
	lostTotal     = meter.Metric{Name: "dubnium_embed_lost_total", Kind: meter.Counter, Labels: byModel, Help: "Vectors that were not, since another worker had taken over the work."}
	failuresTotal = meter.Metric{Name: "dubnium_embed_failures_total", Kind: meter.Counter, Labels: byModel, Help: "Attempts at a text that the provider could not embed."}
	deadTotal     = meter.Metric{Name: "dubnium_embed_dead_total", Kind: meter.Counter, Labels: byModel, Help: "Memories that were given up after the last attempt; `ai-memory queue dead` lists them."}
	releasedTotal = meter.Metric{Name: "dubnium_embed_released_total", Kind: meter.Counter, Labels: byModel, Help: "Work that was given back undone, to be taken again."}
	outagesTotal  = meter.Metric{Name: "dubnium_embed_outages_total", Kind: meter.Counter, Labels: byModel, Help: "How often the provider could not serve at all, which is charged to no memory."}
	batchesTotal  = meter.Metric{Name: "dubnium_embed_batches_total", Kind: meter.Counter, Labels: byModel, Help: "Batches of texts that were begun."}

	searchableSeconds = meter.Metric{Name: "dubnium_embed_searchable_seconds", Kind: meter.Histogram, Labels: byModel, Help: "The time from the write of a memory to that of its vector."}
)

// Metrics lists what a worker counts.
func Metrics() []meter.Metric {
	return []meter.Metric{
		streamUp, providerUp, vectorsTotal, staleTotal, lostTotal, failuresTotal, deadTotal, releasedTotal, outagesTotal, batchesTotal,
		searchableSeconds,
	}
}

// measures are the counters of a worker.
type measures struct {
	set      *metrics.Set
	streamUp atomic.Bool
}

func newMeasures() *measures {
	m := &measures{set: metrics.NewSet()}
	m.set.NewGauge(streamUp.Series(), func() float64 { return number(m.streamUp.Load()) })
	return m
}

// number is 1 for true.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// laneMeasures are the counters of one model.
type laneMeasures struct {
	embedded, stale, lost, failed, dead, released, outages, requests *metrics.Counter
	// searchable is the time from the write of a memory to that of its vector.
	searchable *metrics.Histogram
}

func (m *measures) lane(model string, up func() bool) *laneMeasures {
	counter := func(of meter.Metric) *metrics.Counter { return m.set.GetOrCreateCounter(of.Series(model)) }
	m.set.GetOrCreateGauge(providerUp.Series(model), func() float64 { return number(up()) })
	return &laneMeasures{
		embedded: counter(vectorsTotal), stale: counter(staleTotal), lost: counter(lostTotal), failed: counter(failuresTotal),
		dead: counter(deadTotal), released: counter(releasedTotal), outages: counter(outagesTotal), requests: counter(batchesTotal),
		searchable: m.set.GetOrCreateHistogram(searchableSeconds.Series(model)),
	}
}

// since is a time in seconds, never negative: the clocks of two machines differ.
func since(t time.Time) float64 { return max(0, time.Since(t).Seconds()) }
