package eventlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// writerEnv makes the test binary a process that appends to the log that it
// names: writerCount events after it was told to begin, or without end when
// that is 0. Each event carries writerName and a number.
const (
	writerEnv   = "EVENTLOG_TEST_WRITER"
	writerCount = "EVENTLOG_TEST_COUNT"
	writerName  = "EVENTLOG_TEST_NAME"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		os.Exit(appendEvents(path))
	}
	os.Exit(m.Run())
}

type event struct {
	Writer string `json:"writer"`
	N      int    `json:"n"`
	Fill   string `json:"fill,omitempty"`
}

func appendEvents(path string) int {
	var count int
	if _, err := fmt.Sscan(os.Getenv(writerCount), &count); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bufio.NewReader(os.Stdin).ReadString('\n')
	for n := 0; count == 0 || n < count; n++ {
		e := event{Writer: os.Getenv(writerName), N: n, Fill: strings.Repeat("x", n%7*100)}
		if err := Append(path, e); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if count == 0 && n == 2 {
			fmt.Println("running")
		}
	}
	return 0
}

// startWriter starts a writing process; closing the returned writer tells it
// to begin.
func startWriter(t *testing.T, path, name string, count int) (*exec.Cmd, io.WriteCloser, io.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), writerEnv+"="+path, writerName+"="+name, fmt.Sprint(writerCount, "=", count))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, in, out
}

// lines reads the one file, which may be absent: its events and how many bad
// lines there are.
func lines(t *testing.T, path string) (events []string, bad int) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if events, bad, err = collect(f); err != nil {
		t.Fatal(err)
	}
	return events, bad
}

func appendAll(t *testing.T, path string, events ...any) {
	t.Helper()
	for _, e := range events {
		if err := Append(path, e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendAndRead(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if events, bad := lines(t, path); events != nil || bad != 0 {
		t.Errorf("a log that doesn't exist holds %v and %d bad lines", events, bad)
	}
	appendAll(
		t, path,
		event{Writer: "a<b>&c", N: 1},
		map[string]any{"message": "two\nlines"},
		json.RawMessage("{\n  \"indented\":\n  true }"),
	)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"writer":"a<b>&c","n":1}
{"message":"two\nlines"}
{"indented":true}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fileMode {
		t.Errorf("mode %v, want %v despite the umask", info.Mode(), fs.FileMode(fileMode))
	}
	events, bad := lines(t, path)
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), events); diff != "" || bad != 0 {
		t.Errorf("%d bad lines, %s", bad, diff)
	}
}

// A log cut anywhere in its last line loses that line and no other, and never
// the next one.
func TestTornTailAtEveryOffset(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	appendAll(t, whole, event{Writer: "one", N: 1}, event{Writer: "two", N: 2}, event{Writer: "three", N: 3})
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	const next = `{"writer":"next","n":4}`
	start := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	for cut := start; cut <= len(data); cut++ {
		path := filepath.Join(dir, fmt.Sprint("cut-", cut))
		if err := os.WriteFile(path, data[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		appendAll(t, path, event{Writer: "next", N: 4})
		want, wantBad := []string{`{"writer":"one","n":1}`, `{"writer":"two","n":2}`}, 1
		if cut == start {
			wantBad = 0
		}
		if cut >= len(data)-1 {
			// Only the newline is missing, or nothing.
			want, wantBad = append(want, `{"writer":"three","n":3}`), 0
		}
		events, bad := lines(t, path)
		if diff := cmp.Diff(append(want, next), events); diff != "" || bad != wantBad {
			t.Errorf("cut at %d: %d bad lines, want %d, %s", cut, bad, wantBad, diff)
		}
	}
}

func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	const count = 200
	var writers []*exec.Cmd
	var begin []io.Closer
	for _, name := range []string{"left", "right"} {
		cmd, in, _ := startWriter(t, path, name, count)
		writers, begin = append(writers, cmd), append(begin, in)
	}
	for _, b := range begin {
		b.Close()
	}
	for _, w := range writers {
		if err := w.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	events, bad := lines(t, path)
	if bad != 0 || len(events) != 2*count {
		t.Errorf("%d events and %d bad lines, want %d and none", len(events), bad, 2*count)
	}
	// Each writer's events are all there, in its order.
	next := map[string]int{}
	for _, line := range events {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.N != next[e.Writer] {
			t.Fatalf("event %d of %s follows %d", e.N, e.Writer, next[e.Writer]-1)
		}
		next[e.Writer]++
	}
	if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, []byte("\n\n")) {
		t.Errorf("the log holds empty lines, so a writer went without the lock (%v)", err)
	}
}

// Writers are killed in the middle of it; what they had reported as written is
// there, and the log goes on.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	for round := range 4 {
		cmd, in, out := startWriter(t, path, fmt.Sprint("round-", round), 0)
		in.Close()
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "running\n" {
			t.Fatalf("the writer said %q, %v", line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		appendAll(t, path, event{Writer: "after", N: round})
		events, bad := lines(t, path)
		if bad > round+1 {
			t.Errorf("%d bad lines after %d killed writers", bad, round+1)
		}
		if want := fmt.Sprintf(`{"writer":"after","n":%d}`, round); events[len(events)-1] != want {
			t.Errorf("the last event is %s, want %s", events[len(events)-1], want)
		}
		for _, n := range []int{0, 1, 2} {
			prefix := fmt.Sprintf(`{"writer":"round-%d","n":%d`, round, n)
			if !strings.Contains(strings.Join(events, "\n"), prefix) {
				t.Errorf("an event that was reported as written is gone: %s", prefix)
			}
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		v          any
		want       error
		text       string
	}{
		{"a number", path, 12, ErrNotObject, ""},
		{"a list", path, []int{1}, ErrNotObject, ""},
		{"null", path, nil, ErrNotObject, ""},
		{"too long", path, event{Fill: strings.Repeat("x", MaxLine)}, ErrTooLong, ""},
		{"not encodable", path, map[string]any{"f": func() {}}, nil, "unsupported type"},
		{"no folder", filepath.Join(dir, "none", "log"), event{}, fs.ErrNotExist, ""},
		{"a folder", dir, event{}, unix.EISDIR, ""},
		{"a FIFO", filepath.Join(dir, "fifo"), event{}, nil, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Append(tt.path, tt.v)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v %s", err, tt.want, tt.text)
			}
		})
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused event made a log: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	path := filepath.Join(b.TempDir(), "events.jsonl")
	e := event{Writer: "bench", Fill: strings.Repeat("x", 600)}
	for b.Loop() {
		if err := Append(path, e); err != nil {
			b.Fatal(err)
		}
	}
}
