// Package textfile writes metrics where node_exporter's textfile collector
// reads them: a file in Prometheus' text exposition format (version 0.0.4),
// replaced as a whole.
package textfile

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/atomicfile"
)

// Extension is that of the files that node_exporter reads.
const Extension = ".prom"

// Type is a metric's type. The format has no states or infos: those are gauges
// of 1.
type Type string

// The types that we use.
const (
	Gauge   Type = "gauge"
	Counter Type = "counter" // its name ends in _total
	Summary Type = "summary" // of its sum and its count alone
)

// Metric is a name with its samples.
type Metric struct {
	Name    string
	Type    Type
	Help    string
	Samples []Sample
}

// Sample is one value.
type Sample struct {
	Suffix string // _sum or _count, of a summary
	Labels []Label
	Value  float64
}

// Label is a name and a value; any text may be a value.
type Label struct{ Name, Value string }

// States are the samples of a set of states of which one holds: 1 for that
// one, 0 for each other. A state that is in no list is added to it, so that
// there is always one that holds; "" stands for none.
func States(label string, all []string, holds string) []Sample {
	var samples []Sample
	found := holds == ""
	for _, s := range all {
		value := 0.0
		if s == holds {
			value, found = 1, true
		}
		samples = append(samples, Sample{Labels: []Label{{label, s}}, Value: value})
	}
	if !found {
		samples = append(samples, Sample{Labels: []Label{{label, holds}}, Value: 1})
	}
	return samples
}

// Write replaces the file at path. A reader sees the old metrics or the new
// ones; the name under which they are written has another extension.
func Write(path string, metrics []Metric) error {
	data, err := Render(metrics)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o644)
}

// Render gives the text. A metric without samples is left out. A name that the
// format does not allow, a sample that is there twice and a counter that is not
// named as one are errors: node_exporter would drop the whole file.
func Render(metrics []Metric) ([]byte, error) {
	var b bytes.Buffer
	seen := map[string]bool{}
	for _, m := range metrics {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("render the metric %q: %w", m.Name, err)
		}
		if len(m.Samples) == 0 {
			continue
		}
		if seen["# "+m.Name] {
			return nil, fmt.Errorf("render the metric %q: it is there twice", m.Name)
		}
		seen["# "+m.Name] = true
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.Name, helpText.Replace(m.Help), m.Name, m.Type)
		for _, s := range m.Samples {
			line := m.Name + s.Suffix + s.labels()
			if seen[line] {
				return nil, fmt.Errorf("render the metric %q: the sample %s is there twice", m.Name, line)
			}
			seen[line] = true
			b.WriteString(line + " " + number(s.Value) + "\n")
		}
	}
	return b.Bytes(), nil
}

var (
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func (s Sample) labels() string {
	if len(s.Labels) == 0 {
		return ""
	}
	var parts []string
	for _, l := range s.Labels {
		parts = append(parts, l.Name+`="`+labelText.Replace(strings.ToValidUTF8(l.Value, "\uFFFD"))+`"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// check tells what in a metric the format does not allow.
func (m Metric) check() error {
	if !name(m.Name) {
		return fmt.Errorf("a name is made of letters, digits and underscores")
	}
	if (m.Type == Counter) != strings.HasSuffix(m.Name, "_total") {
		return fmt.Errorf("a counter's name ends in _total, and no other's does")
	}
	if m.Help == "" {
		return fmt.Errorf("it has no help")
	}
	for _, s := range m.Samples {
		if summary := s.Suffix == "_sum" || s.Suffix == "_count"; summary != (m.Type == Summary) || !summary && s.Suffix != "" {
			return fmt.Errorf("a sample of a %s has the suffix %q", m.Type, s.Suffix)
		}
		for _, l := range s.Labels {
			if !name(l.Name) || strings.HasPrefix(l.Name, "__") {
				return fmt.Errorf("%q is no name of a label", l.Name)
			}
		}
	}
	return nil
}

func name(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && (s[0] < '0' || s[0] > '9')
}
