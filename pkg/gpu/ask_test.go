package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program writes a shell script that stands for observe-gpu.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), Binary)
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAsk(t *testing.T) {
	dir := t.TempDir()
	const small = `{"schema_version":1,"reason":"library-missing","gpus":[]}`
	tests := map[string]struct {
		script string
		reason Reason
		want   string // a part of the error
	}{
		"a report":               {"echo '" + small + "'", LibraryMissing, ""},
		"a report and a code":    {"echo '" + small + "'; exit 20", LibraryMissing, ""},
		"a report in many lines": {"printf '{\\n \"schema_version\": 1,\\n \"reason\": \"ok\"\\n}\\n'", OK, ""},
		"a report, and a child":  {"sleep 60 & echo '" + small + "'", LibraryMissing, ""},
		"words for people":       {"echo hello >&2; echo '" + small + "'", LibraryMissing, ""},
		"nothing, and a crash":   {"echo 'the loader is unhappy' >&2; kill -SEGV $$", "", "the loader is unhappy"},
		"rubbish":                {"echo hello", "", "invalid character"},
		"no answer":              {"sleep 60", "", "no answer in time"},
		"a gigabyte":             {"head -c 1000000000 /dev/zero", "", "more than"},
		"no environment":         {`[ -z "$LD_LIBRARY_PATH$HOME$DUBNIUM_TEST" ] && echo '` + small + "'", LibraryMissing, ""},
	}
	t.Setenv("DUBNIUM_TEST", "x")
	t.Setenv("LD_LIBRARY_PATH", dir)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if test.want == "no answer in time" {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			defer cancel()
			start := time.Now()
			r, err := Ask(ctx, "", program(t, test.script), "")
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if r.Reason != test.reason {
				t.Errorf("reason %q, want %q", r.Reason, test.reason)
			}
			if deadline, _ := ctx.Deadline(); time.Since(start) > deadline.Sub(start)+500*time.Millisecond {
				t.Errorf("it took %v", time.Since(start))
			}
		})
	}
}

func TestAskTellsWhatToDo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	script := program(t, `printf '{"schema_version":1,"reason":"ok","message":"%s"}' "$*"`)
	r, err := Ask(ctx, "/fixture", script, "/lib/x.so")
	if err != nil {
		t.Fatal(err)
	}
	format, rest, _ := strings.Cut(r.Message, " ")
	timeout, rest, _ := strings.Cut(rest, " ")
	limit, err := time.ParseDuration(strings.TrimPrefix(timeout, "--timeout="))
	if err != nil || limit < time.Second || limit > 2*time.Second-lastWords {
		t.Errorf("%q: %v, want a little less than the 2 s there are", timeout, err)
	}
	if format != "--format=json" || rest != "--root=/fixture --library=/lib/x.so" {
		t.Errorf("the arguments are %q and %q", format, rest)
	}
}

func TestAskWithoutProgram(t *testing.T) {
	_, err := Ask(t.Context(), "", filepath.Join(t.TempDir(), Binary), "")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that says that it does not exist", err)
	}
}

// TestNothingIsLeft holds that a program which hangs, and what it started, are
// gone when Ask returns or shortly after.
func TestNothingIsLeft(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	script := program(t, fmt.Sprintf("sleep 300 & echo $! $$ >%s\nwait\n", pids))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, "", script, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want that of the deadline", err)
	}
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); alive(pid); {
			if time.Now().After(end) {
				t.Fatalf("process %d is left", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// alive tells whether a process runs; one that is dead and not collected does
// not.
func alive(pid int) bool {
	if unix.Kill(pid, 0) != nil {
		return false
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(state, "Z")
}

// TestStoppedProgram holds that a program that is stopped does not outlive the
// deadline either.
func TestStoppedProgram(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Ask(ctx, "", program(t, "kill -STOP $$\n"), ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the deadline", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
