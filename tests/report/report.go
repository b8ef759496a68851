package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const module = "github.com/ryjen/dubnium/"

// event is a line of go test -json (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of what was built, in the events of a build
	Test        string // empty where the event is about the package
	Output      string
	Elapsed     float64 // seconds
	FailedBuild string
}

// test is one that ended. A subtest is one of its own.
type test struct {
	pkg, name string
	took      time.Duration
	reason    string // why it was skipped
}

// line is a piece of output and the test that printed it.
type line struct{ test, text string }

// report is what is known so far.
type report struct {
	out      io.Writer
	pending  map[string]map[string]bool // the tests under way, by package
	ended    map[string]map[string]bool // whether they failed, by package and name
	lines    map[string][]line          // what is printed only when it fails, by package
	builds   map[string][]string        // what the compiler said, by what it built
	packages int
	failed   []test
	skipped  []test
	passed   []test
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, pending: map[string]map[string]bool{}, ended: map[string]map[string]bool{},
		lines: map[string][]line{}, builds: map[string][]string{},
	}
}

// read takes events until the input ends. A line that is no event is passed on.
func (r *report) read(in io.Reader) error {
	for br := bufio.NewReader(in); ; {
		text, err := br.ReadBytes('\n')
		if len(text) > 0 {
			var e event
			if json.Unmarshal(text, &e) != nil || e.Action == "" {
				fmt.Fprintf(r.out, "%s\n", strings.TrimRight(string(text), "\n"))
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			r.unfinished()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	pkg := strings.TrimPrefix(e.Package, module)
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case "start":
		r.pending[pkg], r.ended[pkg] = map[string]bool{}, map[string]bool{}
	case "run":
		if r.pending[pkg] != nil {
			r.pending[pkg][e.Test] = true
		}
	case "output":
		r.lines[pkg] = append(r.lines[pkg], line{e.Test, e.Output})
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(pkg, e)
		} else {
			r.endTest(pkg, e)
		}
	}
}

func (r *report) endTest(pkg string, e event) {
	t := test{pkg: pkg, name: e.Test, took: time.Duration(e.Elapsed * float64(time.Second))}
	switch e.Action {
	case "pass":
		r.passed = append(r.passed, t)
	case "fail":
		r.failed = append(r.failed, t)
	case "skip":
		t.reason = reason(r.lines[pkg], e.Test)
		r.skipped = append(r.skipped, t)
	}
	delete(r.pending[pkg], e.Test)
	if r.ended[pkg] != nil {
		r.ended[pkg][e.Test] = e.Action == "fail"
	}
}

// endPackage prints go test's own line about a package, and before it all
// that its failed tests said.
func (r *report) endPackage(pkg string, e event) {
	if e.Action == "fail" {
		before := len(r.failed)
		for _, name := range slices.Sorted(maps.Keys(r.pending[pkg])) {
			r.failed = append(r.failed, test{pkg: pkg, name: name})
		}
		if e.FailedBuild != "" {
			fmt.Fprint(r.out, strings.Join(r.builds[e.FailedBuild], ""))
		}
		if before == len(r.failed) && !slices.ContainsFunc(r.failed, func(t test) bool { return t.pkg == pkg }) {
			r.failed = append(r.failed, test{pkg: pkg, name: "the package itself"})
		}
	}
	for _, l := range r.lines[pkg] {
		failing, ended := r.ended[pkg][l.test]
		switch {
		case l.test == "" && (strings.HasPrefix(l.text, "ok  ") || strings.HasPrefix(l.text, "FAIL\t")):
			fmt.Fprint(r.out, l.text)
		case e.Action == "fail" && (failing || !ended) && !strings.HasPrefix(l.text, "=== "):
			fmt.Fprint(r.out, l.text)
		}
	}
	if e.Action != "skip" { // a package without tests
		r.packages++
	}
	delete(r.pending, pkg)
	delete(r.ended, pkg)
	delete(r.lines, pkg)
}

// unfinished counts the packages that never ended: go test was killed.
func (r *report) unfinished() {
	for _, pkg := range slices.Sorted(maps.Keys(r.pending)) {
		r.endPackage(pkg, event{Action: "fail"})
	}
}

// reason is what a test said when it was skipped, without file and line.
func reason(lines []line, name string) string {
	var said []string
	for _, l := range lines {
		text := strings.TrimSpace(l.text)
		if l.test != name || text == "" || strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		if at, rest, found := strings.Cut(text, ": "); found && strings.Contains(at, ".go:") {
			text = rest
		}
		said = append(said, text)
	}
	if len(said) == 0 {
		return "it gave no reason"
	}
	return strings.Join(said, " ")
}

// finish prints the summary and tells whether all is well.
func (r *report) finish(allowed map[string]string) bool {
	section := func(title string, list []test, row func(test) string) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(r.out, "\n%s:\n", title)
		for _, t := range list {
			fmt.Fprintf(r.out, "  %s\n", row(t))
		}
	}
	// A test with subtests takes as long as they do: only the whole is told.
	slow := slices.DeleteFunc(slices.Concat(r.passed, r.failed), func(t test) bool {
		return strings.Contains(t.name, "/") || t.took < 100*time.Millisecond
	})
	slices.SortStableFunc(slow, func(a, b test) int { return cmp.Compare(b.took, a.took) })
	section("slowest", slow[:min(10, len(slow))], func(t test) string {
		return fmt.Sprintf("%6.1f s  %s %s", t.took.Seconds(), t.pkg, t.name)
	})

	ok := true
	section("skipped", r.skipped, func(t test) string {
		if why, found := allowed[t.pkg+" "+t.name]; found {
			return fmt.Sprintf("%s %s: %s (may be: %s)", t.pkg, t.name, t.reason, why)
		}
		ok = false
		return fmt.Sprintf("FAIL: %s %s: %s: no test is skipped unless the list of skips names it", t.pkg, t.name, t.reason)
	})
	section("failed", r.failed, func(t test) string { return "FAIL: " + t.pkg + " " + t.name })
	if len(r.passed)+len(r.failed) == 0 {
		fmt.Fprintln(r.out, "\nFAIL: no test ran")
		ok = false
	}
	fmt.Fprintf(r.out, "\n%d packages\n%d passed, %d failed, %d skipped\n", r.packages, len(r.passed), len(r.failed), len(r.skipped))
	return ok && len(r.failed) == 0
}

// parseSkips reads the list of tests that may be skipped: "package test: reason".
func parseSkips(text string) (map[string]string, error) {
	allowed := map[string]string{}
	for i, row := range strings.Split(text, "\n") {
		row = strings.TrimSpace(row)
		if row == "" || strings.HasPrefix(row, "#") {
			continue
		}
		name, why, found := strings.Cut(row, ": ")
		if !found || strings.TrimSpace(why) == "" || len(strings.Fields(name)) != 2 {
			return nil, fmt.Errorf("line %d: %q is not 'package test: reason'", i+1, row)
		}
		allowed[strings.Join(strings.Fields(name), " ")] = strings.TrimSpace(why)
	}
	return allowed, nil
}
