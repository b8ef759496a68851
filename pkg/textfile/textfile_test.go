package textfile

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	metrics := []Metric{
		{Name: "dubnium_state", Type: Gauge, Help: "A state.\nWith a \\ in it.", Samples: States("state", []string{"a", "b"}, "b")},
		{Name: "dubnium_runs_total", Type: Counter, Help: "Runs.", Samples: []Sample{
			{Labels: []Label{{"from", `a "quoted" \ one`}, {"to", "x\ny"}}, Value: 3},
			{Labels: []Label{{"from", "\xff"}}, Value: 1e21},
		}},
		{Name: "dubnium_none", Type: Gauge, Help: "Without samples."},
		{Name: "dubnium_took_seconds", Type: Summary, Help: "Took.", Samples: []Sample{{Suffix: "_sum", Value: 1.5}, {Suffix: "_count", Value: 2}}},
		{Name: "dubnium_odd", Type: Gauge, Help: "Odd.", Samples: []Sample{{Value: math.Inf(1)}, {Labels: []Label{{"x", "nan"}}, Value: math.NaN()}}},
	}
	const want = `# HELP dubnium_state A state.\nWith a \\ in it.
# TYPE dubnium_state gauge
dubnium_state{state="a"} 0
dubnium_state{state="b"} 1
# HELP dubnium_runs_total Runs.
# TYPE dubnium_runs_total counter
dubnium_runs_total{from="a \"quoted\" \\ one",to="x\ny"} 3
dubnium_runs_total{from="�"} 1e+21
# HELP dubnium_took_seconds Took.
# TYPE dubnium_took_seconds summary
dubnium_took_seconds_sum 1.5
dubnium_took_seconds_count 2
# HELP dubnium_odd Odd.
# TYPE dubnium_odd gauge
dubnium_odd +Inf
dubnium_odd{x="nan"} NaN
`
	got, err := Render(metrics)
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if parsed, err := parse(string(got)); err != nil || len(parsed) != 8 {
		t.Errorf("%d samples, %v", len(parsed), err)
	}
}

func TestRenderRefuses(t *testing.T) {
	one := []Sample{{Value: 1}}
	for name, metrics := range map[string][]Metric{
		"a name":               {{Name: "a-b", Type: Gauge, Help: "h", Samples: one}},
		"no name":              {{Type: Gauge, Help: "h", Samples: one}},
		"a digit first":        {{Name: "1a", Type: Gauge, Help: "h", Samples: one}},
		"no help":              {{Name: "a", Type: Gauge, Samples: one}},
		"a counter's name":     {{Name: "a", Type: Counter, Help: "h", Samples: one}},
		"a gauge's name":       {{Name: "a_total", Type: Gauge, Help: "h", Samples: one}},
		"a metric twice":       {{Name: "a", Type: Gauge, Help: "h", Samples: one}, {Name: "a", Type: Gauge, Help: "h", Samples: one}},
		"a sample twice":       {{Name: "a", Type: Gauge, Help: "h", Samples: []Sample{{Value: 1}, {Value: 2}}}},
		"a label's name":       {{Name: "a", Type: Gauge, Help: "h", Samples: []Sample{{Labels: []Label{{"__x", ""}}}}}},
		"a summary's suffix":   {{Name: "a", Type: Summary, Help: "h", Samples: one}},
		"a suffix of no sumry": {{Name: "a", Type: Gauge, Help: "h", Samples: []Sample{{Suffix: "_sum"}}}},
	} {
		if got, err := Render(metrics); err == nil {
			t.Errorf("%s is rendered: %s", name, got)
		}
	}
}

// TestParseRefuses holds that the check of these tests can say no.
func TestParseRefuses(t *testing.T) {
	const head = "# HELP a h\n# TYPE a gauge\n"
	for _, text := range []string{
		head + "a 1", head + "a\n", head + "a x\n", head + "a 1 1700000000\n", head + "a 1\na 2\n", "a 1\n",
		head + "b 1\n", head + "a{x=\"1\"\n", head + "a{x=\"\\q\"} 1\n", head + "a{x=\"1\",} 1\n", head + "a{x=\"1\",x=\"2\"} 1\n",
		"# HELP a h\na 1\n", head + head + "a 1\n", "# HELP a h\n# TYPE a thing\na 1\n", head + "a 1\n\n",
		head + "a 1\n# HELP b h\n# TYPE b gauge\nb 1\n" + "# HELP a h\n",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("passes: %q", text)
		}
	}
}

func TestStates(t *testing.T) {
	for holds, want := range map[string]map[string]float64{
		"a": {"a": 1, "b": 0}, "": {"a": 0, "b": 0}, "new": {"a": 0, "b": 0, "new": 1},
	} {
		got := map[string]float64{}
		for _, s := range States("state", []string{"a", "b"}, holds) {
			got[s.Labels[0].Value] = s.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", holds, diff)
		}
	}
}

// TestWriteIsAtomic holds that a reader never meets a half-written file, and
// that nothing but the file has the extension that node_exporter looks for.
func TestWriteIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dubnium"+Extension)
	many := func(n int) []Metric {
		var s []Sample
		for i := range 500 {
			s = append(s, Sample{Labels: []Label{{"n", strings.Repeat("x", i)}}, Value: float64(n)})
		}
		return []Metric{{Name: "dubnium_x", Type: Gauge, Help: "X.", Samples: s}}
	}
	if err := Write(path, many(0)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for n := 1; n <= 30 && err == nil; n++ {
			err = Write(path, many(n))
		}
		done <- err
	}()
	for reading := true; reading; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			reading = false
		default:
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(string(data))
		if err != nil || len(got) != 500 {
			t.Fatalf("%d samples, %v", len(got), err)
		}
		entries, err := filepath.Glob(filepath.Join(dir, "*"+Extension))
		if err != nil || len(entries) != 1 {
			t.Fatalf("node_exporter would read %v, %v", entries, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("a\"b\\c\nd", "help\\\n")
	f.Fuzz(func(t *testing.T, value, help string) {
		text, err := Render([]Metric{{Name: "a", Type: Gauge, Help: "h" + help, Samples: []Sample{{Labels: []Label{{"x", value}}, Value: 1}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parse(string(text)); err != nil || len(got) != 1 {
			t.Errorf("%v: %q", err, text)
		}
	})
}
