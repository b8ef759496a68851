// Package meter describes the figures that the memory service and its workers
// answer at GET /metrics: the name and the meaning of each are said once, and
// both who counts and the documentation take them from there.
package meter

import "strings"

// Kind is what Prometheus calls the type of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is one figure, of which there is a series for each combination of
// values of its labels.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string // one sentence, with the unit where the name has none
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// Series names the series with these values of the labels, one for each, in
// their order.
func (m Metric) Series(values ...string) string {
	if len(values) != len(m.Labels) {
		panic(m.Name + " has other labels")
	}
	if len(values) == 0 {
		return m.Name
	}
	pairs := make([]string, len(values))
	for i, label := range m.Labels {
		pairs[i] = label + `="` + escape.Replace(values[i]) + `"`
	}
	return m.Name + "{" + strings.Join(pairs, ",") + "}"
}
