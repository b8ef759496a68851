package httpapi

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// TestMetrics holds that what is counted and what is described are the same.
func TestMetrics(t *testing.T) {
	m := NewMeters()
	m.Retrieval(service.Stages{Embed: time.Second, Rows: 3, Hits: 2})
	m.stored(memory.Stored{Redactions: []memory.Redaction{{Rule: "r"}}, Flags: []string{"f"}})
	m.stored(memory.Stored{Existing: true})
	m.request("GET /memory/{id}", 200, time.Second)
	m.request("", 404, time.Second)
	counted := map[string]bool{}
	for _, series := range m.set.ListMetricNames() {
		name, _, _ := strings.Cut(series, "{")
		counted[name] = true
	}
	described := map[string]bool{}
	for _, d := range Metrics() {
		described[d.Name] = true
	}
	if diff := cmp.Diff(described, counted); diff != "" {
		t.Errorf("-described +counted:\n%s", diff)
	}
	if names := m.set.ListMetricNames(); !slices.Contains(names, `dubnium_memory_requests_total{method="",path="none",code="404"}`) {
		t.Errorf("an unknown path is not counted as none: %q", names)
	}
}
