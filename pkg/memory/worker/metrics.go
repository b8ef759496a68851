package worker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// measures are the counters of a worker.
type measures struct {
	set      *metrics.Set
	streamUp atomic.Bool
}

func newMeasures() *measures {
	m := &measures{set: metrics.NewSet()}
	m.set.NewGauge("dubnium_embed_stream_up", func() float64 { return number(m.streamUp.Load()) })
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

func (m *measures) lane(model string, providerUp func() bool) *laneMeasures {
	counter := func(name string) *metrics.Counter {
		return m.set.GetOrCreateCounter(fmt.Sprintf("dubnium_embed_%s_total{model=%q}", name, model))
	}
	m.set.GetOrCreateGauge(fmt.Sprintf("dubnium_embed_provider_up{model=%q}", model), func() float64 { return number(providerUp()) })
	return &laneMeasures{
		embedded: counter("vectors"), stale: counter("stale"), lost: counter("lost"), failed: counter("failures"),
		dead: counter("dead"), released: counter("released"), outages: counter("outages"), requests: counter("batches"),
		searchable: m.set.GetOrCreateHistogram(fmt.Sprintf("dubnium_embed_searchable_seconds{model=%q}", model)),
	}
}

// since is a time in seconds, never negative: the clocks of two machines differ.
func since(t time.Time) float64 { return max(0, time.Since(t).Seconds()) }
