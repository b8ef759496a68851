package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/meter"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// What the service counts.
var (
	requestsTotal  = meter.Metric{Name: "dubnium_memory_requests_total", Kind: meter.Counter, Labels: []string{"method", "path", "code"}, Help: "Requests answered, by the pattern of their path and the status of the answer; `none` is a path that there is not."}
	requestSeconds = meter.Metric{Name: "dubnium_memory_request_seconds", Kind: meter.Histogram, Labels: []string{"method", "path"}, Help: "How long answering them took."}

	storedTotal     = meter.Metric{Name: "dubnium_memory_stored_total", Kind: meter.Counter, Labels: []string{"result"}, Help: "Memories that were sent: `new` ones, and those whose content was `existing` in their scope and class."}
	redactionsTotal = meter.Metric{Name: "dubnium_memory_redactions_total", Kind: meter.Counter, Labels: []string{"rule"}, Help: "Secrets taken out of them, by the rule that found them."}
	flagsTotal      = meter.Metric{Name: "dubnium_memory_flags_total", Kind: meter.Counter, Labels: []string{"flag"}, Help: "Flags put on them."}

	stageSeconds        = meter.Metric{Name: "dubnium_memory_retrieval_stage_seconds", Kind: meter.Histogram, Labels: []string{"stage"}, Help: "How long a retrieval took in each stage: to embed the query, to yield candidates, to rank them, and to record the event."}
	retrievalCandidates = meter.Metric{Name: "dubnium_memory_retrieval_candidates", Kind: meter.Histogram, Help: "How many candidates a retrieval had."}
	retrievalHits       = meter.Metric{Name: "dubnium_memory_retrieval_hits", Kind: meter.Histogram, Help: "How many memories it returned."}
	indexedTotal        = meter.Metric{Name: "dubnium_memory_retrieval_indexed_total", Kind: meter.Counter, Help: "Retrievals whose candidates an approximate index chose; for all others the whole scope was looked at."}
)

// Metrics lists what the service counts.
func Metrics() []meter.Metric {
	return []meter.Metric{
		requestsTotal, requestSeconds, storedTotal, redactionsTotal, flagsTotal,
		stageSeconds, retrievalCandidates, retrievalHits, indexedTotal,
	}
}

// Meters counts requests and what the service did for them.
type Meters struct {
	set *metrics.Set
}

// NewMeters makes a set of counters of its own.
func NewMeters() *Meters { return &Meters{set: metrics.NewSet()} }

// count adds one.
func (m *Meters) count(to meter.Metric, labels ...string) {
	m.set.GetOrCreateCounter(to.Series(labels...)).Inc()
}

// update adds a value to a histogram.
func (m *Meters) update(to meter.Metric, value float64, labels ...string) {
	m.set.GetOrCreateHistogram(to.Series(labels...)).Update(value)
}

// Retrieval counts the stages of one retrieval.
func (m *Meters) Retrieval(s service.Stages) {
	for name, took := range map[string]time.Duration{"embed": s.Embed, "candidates": s.Candidates, "rank": s.Rank, "record": s.Record} {
		m.update(stageSeconds, took.Seconds(), name)
	}
	m.update(retrievalCandidates, float64(s.Rows))
	m.update(retrievalHits, float64(s.Hits))
	if !s.Exact {
		m.count(indexedTotal)
	}
}

// Set gives the counters, for others of the same process to add theirs.
func (m *Meters) Set() *metrics.Set { return m.set }

func (m *Meters) stored(s memory.Stored) {
	result := "new"
	if s.Existing {
		result = "existing"
	}
	m.count(storedTotal, result)
	for _, r := range s.Redactions {
		m.count(redactionsTotal, r.Rule)
	}
	for _, f := range s.Flags {
		m.count(flagsTotal, f)
	}
}

// request counts one answer. pattern is that of the mux, so that ids and scopes
// make no series of their own.
func (m *Meters) request(pattern string, status int, took time.Duration) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = "", "none"
	}
	m.count(requestsTotal, method, path, strconv.Itoa(status))
	m.update(requestSeconds, took.Seconds(), method, path)
}

// metrics writes them in Prometheus's text format.
func (a *API) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	a.meters.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
