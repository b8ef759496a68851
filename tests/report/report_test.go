package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stream renders events as go test -json does, from "action package test output".
func stream(events ...event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, `{"Action":%q,"Package":%q,"ImportPath":%q,"Test":%q,"Output":%q,"Elapsed":%g,"FailedBuild":%q}`+"\n",
			e.Action, e.Package, e.ImportPath, e.Test, e.Output, e.Elapsed, e.FailedBuild)
	}
	return b.String()
}

func TestReport(t *testing.T) {
	const p = module + "pkg/x"
	start := event{Action: "start", Package: p}
	run := func(name string) event { return event{Action: "run", Package: p, Test: name} }
	says := func(name, text string) event { return event{Action: "output", Package: p, Test: name, Output: text} }
	ends := func(action, name string) event { return event{Action: action, Package: p, Test: name, Elapsed: 0.01} }

	tests := []struct {
		name   string
		events string
		skips  map[string]string
		want   string
		ok     bool
	}{
		{
			name: "a test that passes is a count",
			events: stream(start, run("TestA"), says("TestA", "chatter\n"), ends("pass", "TestA"),
				says("", "PASS\n"), says("", "ok  \tpkg/x\t0.1s\n"), ends("pass", "")),
			want: "ok  \tpkg/x\t0.1s\n\n1 packages\n1 passed, 0 failed, 0 skipped\n",
			ok:   true,
		},
		{
			name: "what failed is shown, what passed beside it is not",
			events: stream(start, run("TestA"), says("TestA", "=== RUN   TestA\n"), says("TestA", "    a_test.go:3: 1, not 2\n"), ends("fail", "TestA"),
				run("TestB"), says("TestB", "chatter\n"), ends("pass", "TestB"),
				says("", "FAIL\tpkg/x\t0.1s\n"), ends("fail", "")),
			want: "    a_test.go:3: 1, not 2\nFAIL\tpkg/x\t0.1s\n\nfailed:\n  FAIL: pkg/x TestA\n\n1 packages\n1 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a test that never ended failed",
			events: stream(start, run("TestA"), says("TestA", "panic: oh\n"),
				says("", "FAIL\tpkg/x\t0.1s\n"), ends("fail", "")),
			want: "panic: oh\nFAIL\tpkg/x\t0.1s\n\nfailed:\n  FAIL: pkg/x TestA\n\n1 packages\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a package that does not compile failed",
			events: stream(event{Action: "build-output", ImportPath: "x.test", Output: "x.go:1: no\n"}, event{Action: "build-fail", ImportPath: "x.test"},
				start, says("", "FAIL\tpkg/x [build failed]\n"), event{Action: "fail", Package: p, FailedBuild: "x.test"}),
			want: "x.go:1: no\nFAIL\tpkg/x [build failed]\n\nfailed:\n  FAIL: pkg/x the package itself\n\n1 packages\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name:   "a package that was cut off failed",
			events: stream(start, run("TestA"), says("TestA", "so far\n")),
			want:   "so far\n\nfailed:\n  FAIL: pkg/x TestA\n\n1 packages\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a skip that nobody allowed is no success",
			events: stream(start, run("TestA"), ends("pass", "TestA"), run("TestB"), says("TestB", "    b_test.go:7: no card\n"), says("TestB", "--- SKIP: TestB (0.00s)\n"), ends("skip", "TestB"),
				says("", "ok  \tpkg/x\t0.1s\n"), ends("pass", "")),
			want: "ok  \tpkg/x\t0.1s\n\nskipped:\n  FAIL: pkg/x TestB: no card: no test is skipped unless the list of skips names it\n\n1 packages\n1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "a skip that the list names is told with both reasons",
			events: stream(start, run("TestA"), ends("pass", "TestA"), run("TestB"), ends("skip", "TestB"),
				says("", "ok  \tpkg/x\t0.1s\n"), ends("pass", "")),
			skips: map[string]string{"pkg/x TestB": "needs a card"},
			want:  "ok  \tpkg/x\t0.1s\n\nskipped:\n  pkg/x TestB: it gave no reason (may be: needs a card)\n\n1 packages\n1 passed, 0 failed, 1 skipped\n",
			ok:    true,
		},
		{
			name:   "the slowest are told without their subtests",
			events: stream(start, event{Action: "pass", Package: p, Test: "TestA/sub", Elapsed: 2}, event{Action: "pass", Package: p, Test: "TestA", Elapsed: 2.5}, ends("pass", "")),
			want:   "\nslowest:\n     2.5 s  pkg/x TestA\n\n1 packages\n2 passed, 0 failed, 0 skipped\n",
			ok:     true,
		},
		{
			name:   "no test is no success",
			events: stream(event{Action: "start", Package: p}, event{Action: "skip", Package: p}),
			want:   "\nFAIL: no test ran\n\n0 packages\n0 passed, 0 failed, 0 skipped\n",
		},
		{
			name:   "what is no event is passed on",
			events: "go: no such flag\n",
			want:   "go: no such flag\n\nFAIL: no test ran\n\n0 packages\n0 passed, 0 failed, 0 skipped\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			ok := r.finish(tt.skips)
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if ok != tt.ok {
				t.Errorf("ok is %t", ok)
			}
		})
	}
}

func TestParseSkips(t *testing.T) {
	got, err := parseSkips("# a comment\n\npkg/x  TestA: needs a card: really\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"pkg/x TestA": "needs a card: really"}, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"pkg/x TestA", "pkg/x TestA: ", "TestA: reason", "a b c: reason"} {
		if got, err := parseSkips(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add(stream(event{Action: "start", Package: "p"}, event{Action: "run", Package: "p", Test: "T"}, event{Action: "fail", Package: "p"}))
	f.Add("{\"Action\":\"run\"}\nnoise")
	f.Fuzz(func(t *testing.T, text string) {
		var out strings.Builder
		r := newReport(&out)
		if err := r.read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if r.finish(nil) && (len(r.passed) == 0 || len(r.failed)+len(r.skipped) > 0) {
			t.Errorf("a success without one: %s", out.String())
		}
	})
}
