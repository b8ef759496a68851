package docgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/memory/httpapi"
	"github.com/ryjen/dubnium/pkg/memory/meter"
	"github.com/ryjen/dubnium/pkg/memory/worker"
	"github.com/ryjen/dubnium/pkg/programs"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/units"
)

// pages are the reference pages that need more than a table to be made from.
func pages(files map[string][]byte) error {
	rendered, err := parsedUnits()
	if err != nil {
		return err
	}
	api, err := httpAPI()
	if err != nil {
		return err
	}
	files["docs/units.md"] = unitTable(rendered)
	files["docs/http-api.md"] = api
	files["docs/metrics.md"] = metricTable()
	files["docs/events.md"] = eventTable()
	files["docs/diagrams/transitions.dot"] = transitionDiagram()
	files["docs/diagrams/units.dot"] = unitDiagram(rendered)
	return nil
}

// parsed is a unit with the default configuration, by section and key.
type parsed struct {
	name string
	keys map[string][]string // "Unit.After": words
}

func (p parsed) words(key string) []string { return p.keys[key] }
func (p parsed) text(key string) string    { return strings.Join(p.keys[key], " ") }

func parsedUnits() ([]parsed, error) {
	files, err := units.Render(config.Default(), units.Paths{})
	if err != nil {
		return nil, err
	}
	var all []parsed
	for _, f := range files {
		if strings.Contains(f.Path, "/") {
			continue // not a unit: sysusers, tmpfiles, polkit, drop-ins
		}
		options, err := unit.DeserializeOptions(strings.NewReader(f.Text))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Path, err)
		}
		p := parsed{f.Path, map[string][]string{}}
		for _, o := range options {
			key := o.Section + "." + o.Name
			p.keys[key] = append(p.keys[key], strings.Fields(o.Value)...)
		}
		all = append(all, p)
	}
	return all, nil
}

func unitTable(all []parsed) []byte {
	var b bytes.Buffer
	b.WriteString(header + "# Units\n\nWhat is installed, with the default configuration. `systemctl cat UNIT` shows a unit with what the machine's own configuration changes, and the reason of each key that is not obvious.\n\n| unit | what | slice | enabled as |\n| --- | --- | --- | --- |\n")
	for _, p := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.name, p.text("Unit.Description"), code(p.words("Service.Slice")), code(slices.Concat(p.words("Install.WantedBy"), p.words("Install.Also"))))
	}
	return b.Bytes()
}

// code lists words as code.
func code(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, "`"+w+"`")
	}
	return strings.Join(out, ", ")
}

// operation is what of an OpenAPI operation goes into the table.
type operation struct {
	Summary    string
	Parameters []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct{}
	Responses   map[string]struct{ Description string }
}

// answer takes what a handler answers.
type answer struct {
	bytes.Buffer
	header http.Header
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}
func (a *answer) WriteHeader(int) {}

// httpAPI asks the handler itself for its document, which it makes of its routes.
func httpAPI() ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, "http://localhost/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	var answer answer
	httpapi.New(nil, httpapi.Options{}).ServeHTTP(&answer, request)
	var doc struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal(answer.Bytes(), &doc); err != nil || len(doc.Paths) == 0 {
		return nil, fmt.Errorf("read the memory service's OpenAPI document: %w: it answers %.200s", err, answer.Bytes())
	}
	var b bytes.Buffer
	b.WriteString(header + "# The memory service's HTTP API\n\n`GET /openapi.json` has every type; [`GET /metrics`](metrics.md) is in Prometheus's text format. A fault is answered with its code, and with each field that is wrong.\n\n| request | what | parameters | answer |\n| --- | --- | --- | --- |\n")
	var paths []string
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		for _, method := range []string{"get", "post", "patch", "put", "delete"} {
			if op, found := doc.Paths[path][method]; found {
				fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s |\n", strings.ToUpper(method), path, op.Summary, op.takes(), op.gives())
			}
		}
	}
	return b.Bytes(), nil
}

func (o operation) takes() string {
	var out []string
	if o.RequestBody != nil {
		out = append(out, "a body")
	}
	for _, p := range o.Parameters {
		if p.In == "path" {
			continue // it is in the path to be seen
		}
		word := "`" + p.Name + "`"
		if p.Required {
			word += " (required)"
		}
		out = append(out, word)
	}
	return strings.Join(out, ", ")
}

func (o operation) gives() string {
	var out []string
	for status, r := range o.Responses {
		if status != "default" {
			out = append(out, status+" "+r.Description)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func metricTable() []byte {
	var b bytes.Buffer
	b.WriteString(header + "# Metrics\n\nWhat stands in the file for node_exporter's textfile collector (`metrics.textfile`).\n\n" + metricHead)
	for _, m := range programs.Metrics() {
		var labels []string
		if len(m.Samples) > 0 {
			for _, l := range m.Samples[0].Labels {
				labels = append(labels, l.Name)
			}
		}
		fmt.Fprintf(&b, metricRow, m.Name, m.Type, code(labels), m.Help)
	}
	for _, part := range []struct {
		title, where string
		metrics      []meter.Metric
	}{
		{"The memory service", "At `GET /metrics` of the service, as long as it runs. The figures of the worker that is part of it, those of the process (`process_`) and of the Go runtime (`go_`) are there too. The buckets of histograms are those of VictoriaMetrics: a `vmrange` each, empty ones left out, with `_sum` and `_count`.", httpapi.Metrics()},
		{"embed-worker", "At `GET /metrics` of the address `memory.embeddings.metrics`, in the same form.", worker.Metrics()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s", part.title, part.where, metricHead)
		for _, m := range part.metrics {
			fmt.Fprintf(&b, metricRow, m.Name, m.Kind, code(m.Labels), m.Help)
		}
	}
	return b.Bytes()
}

const (
	metricHead = "| metric | type | labels | what |\n| --- | --- | --- | --- |\n"
	metricRow  = "| `%s` | %s | %s | %s |\n"
)

func eventTable() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s# Events\n\nOne line of JSON a transition, appended to `%s`; the last one is also `%s/last-transition.json`. Times are RFC 3339 in UTC. The states, conflicts and guarantees are those of [observer.md](observer.md), the guards' results those of [guards.md](guards.md), the codes those of [exit-codes.md](exit-codes.md).\n", header, record.EventsFile, record.RunDir)
	words(&b, "Types", record.Types())
	words(&b, "Outcomes", record.Outcomes())
	fields[record.Event](&b, "An event")
	fields[record.Action](&b, "One of its actions")
	words(&b, "An action's status", record.Statuses())
	fields[record.Override](&b, "Its override")
	fields[record.Asker](&b, "Who asked")
	fields[record.Question](&b, "Its question")
	return b.Bytes()
}

// words lists the words of a closed list with their meanings.
func words[T ~string](b *bytes.Buffer, title string, all []record.Word[T]) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	for _, w := range all {
		fmt.Fprintf(b, "- `%s`: %s\n", w.Word, w.Meaning)
	}
}

// fields is the table of a type's fields, whose meanings are in their tags.
func fields[T any](b *bytes.Buffer, title string) {
	fmt.Fprintf(b, "\n## %s\n\n| field | type | what |\n| --- | --- | --- |\n", title)
	of := reflect.TypeFor[T]()
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		what := f.Tag.Get("doc")
		if strings.Contains(options, "omitempty") {
			what += "; absent when empty"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, jsonType(f.Type), what)
	}
}

// jsonType says what a Go type is in JSON.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "list of " + jsonType(t.Elem()) + "s"
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "number"
}
