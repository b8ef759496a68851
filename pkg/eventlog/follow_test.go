package eventlog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// follower follows a log until the test ends and hands on what it is told.
func follower(t *testing.T, path string) (next func() string) {
	t.Helper()
	was := followPoll
	followPoll = 5 * time.Millisecond
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Follow(ctx, func(line []byte) error {
			told <- string(line)
			return nil
		}, func() { told <- "bad" })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("follow: %v", err)
		}
		followPoll = was
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() string {
		select {
		case line := <-told:
			return line
		case <-time.After(10 * time.Second):
			return "nothing in 10 s"
		}
	}
}

func want(t *testing.T, next func() string, lines ...string) {
	t.Helper()
	for _, w := range lines {
		if diff := cmp.Diff(w, next()); diff != "" {
			t.Fatal(diff)
		}
	}
}

func n(n int) string { return fmt.Sprintf(`{"writer":"","n":%d}`, n) }

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	next := follower(t, path) // before there is a log
	appendAll(t, path, event{N: 1}, event{N: 2})
	want(t, next, n(1), n(2))
	// A line in two pieces, a torn one, one that is too long.
	write(t, path, `{"a"`)
	write(t, path, ":1}\n{\"torn\":\n")
	want(t, next, `{"a":1}`, "bad")
	write(t, path, strings.Repeat("x", 2*MaxLine)+"\n")
	want(t, next, "bad")
	appendAll(t, path, event{N: 3})
	want(t, next, n(3))
}

// TestFollowStartsAtTheEnd holds that what was there before is not told, and
// that what Back told is not told again.
func TestFollowStartsAtTheEnd(t *testing.T) {
	for name, tail := range map[string]string{"whole": "", "no newline": `{"b":1}`} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.jsonl")
			appendAll(t, path, event{N: 1})
			write(t, path, tail)
			next := follower(t, path)
			appendAll(t, path, event{N: 2})
			want(t, next, n(2))
		})
	}
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1})
	write(t, path, `{"torn`)
	next := follower(t, path)
	appendAll(t, path, event{N: 2})
	want(t, next, "bad", n(2))
}

// TestFollowThroughRotation rotates the log as logrotate does, by a new name
// and by truncation, while a writer still has the old one open.
func TestFollowThroughRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1})
	next := follower(t, path)
	old, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	for i := range 5 {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := old.WriteString(n(99) + "\n"); err != nil {
				t.Fatal(err)
			}
			want(t, next, n(99))
		}
		appendAll(t, path, event{N: 10 + i}, event{N: 20 + i})
		want(t, next, n(10+i), n(20+i))
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	appendAll(t, path, event{N: 3})
	want(t, next, n(3))
}
