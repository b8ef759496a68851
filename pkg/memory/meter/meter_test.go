package meter

import (
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

func TestSeries(t *testing.T) {
	plain, two := Metric{Name: "up"}, Metric{Name: "asked_total", Labels: []string{"path", "code"}}
	for got, want := range map[string]string{
		plain.Series():                    `up`,
		two.Series("/a", "200"):           `asked_total{path="/a",code="200"}`,
		two.Series("", ""):                `asked_total{path="",code=""}`,
		two.Series("a\"b\\c\nd", "},é ="): `asked_total{path="a\"b\\c\nd",code="},é ="}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		metrics.NewSet().NewCounter(got) // it panics where that is no name
	}
	for _, values := range [][]string{nil, {"a"}, {"a", "b", "c"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q pass for two labels", values)
				}
			}()
			two.Series(values...)
		}()
	}
}
