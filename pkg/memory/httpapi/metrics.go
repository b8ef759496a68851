package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// Meters counts requests and what the service did for them.
type Meters struct {
	set *metrics.Set
}

// NewMeters makes a set of counters of its own.
func NewMeters() *Meters { return &Meters{set: metrics.NewSet()} }

// Retrieval counts the stages of one retrieval.
func (m *Meters) Retrieval(s service.Stages) {
	for name, took := range map[string]time.Duration{"embed": s.Embed, "candidates": s.Candidates, "rank": s.Rank, "record": s.Record} {
		m.set.GetOrCreateHistogram(`dubnium_memory_retrieval_stage_seconds{stage="` + name + `"}`).Update(took.Seconds())
	}
	m.set.GetOrCreateHistogram("dubnium_memory_retrieval_candidates").Update(float64(s.Rows))
	m.set.GetOrCreateHistogram("dubnium_memory_retrieval_hits").Update(float64(s.Hits))
	if !s.Exact {
		m.set.GetOrCreateCounter("dubnium_memory_retrieval_indexed_total").Inc()
	}
}

// Set gives the counters, for others of the same process to add theirs.
func (m *Meters) Set() *metrics.Set { return m.set }

func (m *Meters) stored(s memory.Stored) {
	result := "new"
	if s.Existing {
		result = "existing"
	}
	m.set.GetOrCreateCounter(`dubnium_memory_stored_total{result="` + result + `"}`).Inc()
	for _, r := range s.Redactions {
		m.set.GetOrCreateCounter(`dubnium_memory_redactions_total{rule="` + r.Rule + `"}`).Inc()
	}
	for _, f := range s.Flags {
		m.set.GetOrCreateCounter(`dubnium_memory_flags_total{flag="` + f + `"}`).Inc()
	}
}

// request counts one answer. pattern is that of the mux, so that ids and scopes
// make no series of their own.
func (m *Meters) request(pattern string, status int, took time.Duration) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = "", "none"
	}
	labels := `{method="` + method + `",path="` + path + `"`
	m.set.GetOrCreateCounter("dubnium_memory_requests_total" + labels + `,code="` + strconv.Itoa(status) + `"}`).Inc()
	m.set.GetOrCreateHistogram("dubnium_memory_request_seconds" + labels + "}").Update(took.Seconds())
}

// metrics writes them in Prometheus's text format.
func (a *API) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	a.meters.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
