package worker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMetrics holds that what is counted and what is described are the same.
func TestMetrics(t *testing.T) {
	m := newMeasures()
	m.lane("m", func() bool { return true })
	counted := map[string]bool{}
	for _, series := range m.set.ListMetricNames() {
		counted[series] = true
	}
	described := map[string]bool{}
	for _, d := range Metrics() {
		if len(d.Labels) == 0 {
			described[d.Series()] = true
		} else {
			described[d.Series("m")] = true
		}
	}
	if diff := cmp.Diff(described, counted); diff != "" {
		t.Errorf("-described +counted:\n%s", diff)
	}
}
