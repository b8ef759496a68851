package eventlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRotationBetweenAppends(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	appendAll(t, path, event{N: 1})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, path, event{N: 2})
	for name, want := range map[string]string{path + ".1": `{"writer":"","n":1}`, path: `{"writer":"","n":2}`} {
		events, bad := lines(t, name)
		if diff := cmp.Diff([]string{want}, events); diff != "" || bad != 0 {
			t.Errorf("%s: %d bad lines, %s", name, bad, diff)
		}
	}
}

// A log that is rotated after it was opened and before it was locked is not
// written any more.
func TestRotationWhileWaitingForTheLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	appendAll(t, path, event{N: 1})
	holder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	f, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if current, err := names(path, f); err != nil || !current {
		t.Errorf("before the rotation: current %v, %v, want true", current, err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if current, err := names(path, f); err != nil || current {
		t.Errorf("after the rotation: current %v, %v, want false", current, err)
	}
	appendAll(t, path, event{N: 2})
	if current, err := names(path, f); err != nil || current {
		t.Errorf("with a new log: current %v, %v, want false", current, err)
	}
	if events, _ := lines(t, path+".1"); len(events) != 1 {
		t.Errorf("the rotated log was written: %v", events)
	}
}

// Somebody who only reads the log holds its lock; the history goes on.
func TestSquatterOnTheLock(t *testing.T) {
	defer func(d time.Duration) { lockWait = d }(lockWait)
	lockWait = 10 * time.Millisecond
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1})
	squatter, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	if err := unix.Flock(int(squatter.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	appendAll(t, path, event{N: 2})
	// The empty line is the sign that the lock was asked for and not had.
	want := "{\"writer\":\"\",\"n\":1}\n\n{\"writer\":\"\",\"n\":2}\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the log holds %q, %v, want %q", got, err, want)
	}
	torn, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer torn.Close()
	if _, err := torn.WriteString(`{"writer":`); err != nil {
		t.Fatal(err)
	}
	appendAll(t, path, event{N: 3})
	events, bad := lines(t, path)
	wantEvents := []string{`{"writer":"","n":1}`, `{"writer":"","n":2}`, `{"writer":"","n":3}`}
	if diff := cmp.Diff(wantEvents, events); diff != "" || bad != 1 {
		t.Errorf("%d bad lines, want 1, %s", bad, diff)
	}
}

// A writer that holds the lock for a moment is waited for.
func TestWaitForTheLock(t *testing.T) {
	defer func(d time.Duration) { lockWait = d }(lockWait)
	lockWait = time.Minute
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1})
	other, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Append(path, event{N: 3}) }()
	if _, err := other.WriteString("{\"writer\":\"\",\"n\":2}\n"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(other.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := "{\"writer\":\"\",\"n\":1}\n{\"writer\":\"\",\"n\":2}\n{\"writer\":\"\",\"n\":3}\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the log holds %q, %v, want %q", got, err, want)
	}
}
