package eventlog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a tmpfs of its own for the test.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("eventlog-test", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("this test needs root and a tmpfs of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=64k")
	path, ballast := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "ballast")
	appendAll(t, path, event{Writer: "before", N: 1})
	if err := Check(path); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("check with 64 KiB in all: %v, want ENOSPC", err)
	}
	// Fill the disk up to the last page, which the log has begun.
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(make([]byte, 128<<10))
	if f.Close(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v, want ENOSPC", err)
	}
	// This one doesn't fit into what is left of the page: cut short, then
	// nothing at all.
	long := event{Writer: "torn", Fill: strings.Repeat("x", 6000)}
	if err := Append(path, long); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("append over the end of the disk: %v, want %v", err, io.ErrShortWrite)
	}
	if err := Append(path, long); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("append to a full disk: %v, want ENOSPC", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	appendAll(t, path, event{Writer: "after", N: 2})
	events, bad := lines(t, path)
	want := []string{`{"writer":"before","n":1}`, `{"writer":"after","n":2}`}
	if diff := cmp.Diff(want, events); diff != "" || bad != 1 {
		t.Errorf("%d bad lines, want 1, %s", bad, diff)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t, "size=4m")
	path, missing := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "missing.jsonl")
	appendAll(t, path, event{N: 1})
	for _, p := range []string{path, missing} {
		if err := Check(p); err != nil {
			t.Errorf("while it is writable: %v", err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatalf("remount read-only: %v", err)
	}
	for _, p := range []string{path, missing} {
		if err := Check(p); !errors.Is(err, unix.EROFS) {
			t.Errorf("check %s: %v, want EROFS", filepath.Base(p), err)
		}
		if err := Append(p, event{N: 2}); !errors.Is(err, unix.EROFS) {
			t.Errorf("append to %s: %v, want EROFS", filepath.Base(p), err)
		}
	}
	if events, bad := lines(t, path); len(events) != 1 || bad != 0 {
		t.Errorf("%d events and %d bad lines, want 1 and none", len(events), bad)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	if err := Check(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the check made a log: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"torn":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != `{"torn":` {
		t.Errorf("after the check the log holds %q, %v", got, err)
	}
	for name, want := range map[string]error{"none/log": fs.ErrNotExist, ".": unix.EISDIR} {
		if err := Check(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("check %s: %v, want %v", name, err, want)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Check(filepath.Join(dir, "fifo")); err == nil {
		t.Error("a FIFO passes for a log")
	}
}

func TestEnough(t *testing.T) {
	const block = 4096
	need := uint64(MinFree / block)
	fsWith := func(free, avail, inodes uint64) unix.Statfs_t {
		return unix.Statfs_t{Frsize: block, Blocks: 1 << 20, Bfree: free, Bavail: avail, Files: 1000, Ffree: inodes}
	}
	unlimited := unix.Statfs_t{Frsize: block}
	for _, tt := range []struct {
		name               string
		stat               unix.Statfs_t
		privileged, create bool
		ok                 bool
	}{
		{"plenty", fsWith(1<<19, 1<<19, 10), false, true, true},
		{"just enough", fsWith(need, need, 10), false, false, true},
		{"one block short", fsWith(need-1, need-1, 10), true, false, false},
		{"only root's reserve, as root", fsWith(need, 0, 10), true, false, true},
		{"only root's reserve, as a user", fsWith(need, 0, 10), false, false, false},
		{"no inode, none needed", fsWith(need, need, 0), false, false, true},
		{"no inode for a new log", fsWith(need, need, 0), false, true, false},
		{"without limits", unlimited, false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := enough(tt.stat, tt.privileged, tt.create)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, unix.ENOSPC) {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}
