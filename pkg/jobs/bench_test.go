package jobs

import (
	"testing"

	"github.com/ryjen/dubnium/pkg/config"
)

// BenchmarkLookOnce is one look at the machine that runs the benchmark: what a
// guard costs beyond the window that it waits, once when nobody is busy and
// twice otherwise.
func BenchmarkLookOnce(b *testing.B) {
	processes := 0
	for b.Loop() {
		l, err := lookOnce("")
		if err != nil {
			b.Fatal(err)
		}
		processes = len(l.scan.Processes)
	}
	b.ReportMetric(float64(processes), "processes")
}

// BenchmarkFind judges a thousand processes.
func BenchmarkFind(b *testing.B) {
	var s Sight
	for i := range 1000 {
		s.Processes = append(s.Processes, p(i+2, i/3+1, "program", unit))
	}
	s.Groups = []Group{group(unit, 80), group(scope, 3)}
	policy, compositors := config.Default().Guards.Jobs, config.Default().Desktop.Compositors
	for b.Loop() {
		if len(Find(s, policy, compositors)) != 1 {
			b.Fatal("the busy unit was not found")
		}
	}
}
