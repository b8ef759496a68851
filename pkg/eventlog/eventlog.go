// Package eventlog keeps an append-only history, one JSON object a line, that
// survives crashes, full disks, rotation and a second writer.
//
// An event is a JSON object because no beginning of an object is itself valid
// JSON: a line that a crash cut short can't be taken for an event.
package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// MaxLine bounds an event, in bytes with its newline. Append refuses a longer
// one and Read skips it.
const MaxLine = 1 << 20

// MinFree is the space that Check asks for, in bytes: room for the events of a
// transition many times over.
const MinFree = 1 << 20

// ErrTooLong says that an event is longer than MaxLine.
var ErrTooLong = errors.New("longer than a line may be")

// ErrNotObject says that an event is no JSON object.
var ErrNotObject = errors.New("an event must be a JSON object")

// fileMode lets everybody read the history.
const fileMode = 0o644

// lockWait bounds how long Append waits for another writer; lockPoll is how
// often it tries. Writers hold the lock for one write and one fsync.
var (
	lockWait = 2 * time.Second
	lockPoll = 2 * time.Millisecond
)

// attempts bounds how often a log that is rotated away is opened again.
const attempts = 10

// Append adds v to the log at path, which is created when missing, in a folder
// that must exist. When it returns nil, the line is on the disk.
//
// The line is written by one write(2) under a flock on the log. If the log ends
// in a line without its newline, because a writer was killed or the disk was
// full, a newline goes first, so that the damage stays with the torn line. The
// log is opened anew each time, so it may be rotated at any moment.
//
// Whoever may read the log can also lock it. If the lock can't be had in two
// seconds, Append writes without it, with a newline in front in any case: the
// history is worth more than an empty line, which readers skip.
func Append(path string, v any) error {
	line, err := encode(v)
	if err != nil {
		return fmt.Errorf("append to %s: %w", path, err)
	}
	f, locked, err := openForAppend(path)
	if err != nil {
		return fmt.Errorf("append to %s: %w", path, err)
	}
	err = appendLine(f, line, locked)
	// Closing gives the lock back.
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("append to %s: %w", path, err)
	}
	return nil
}

// encode renders v as one line.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	// The log is read by people and jq, never by a browser.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	line := buf.Bytes()
	if line[0] != '{' {
		return nil, ErrNotObject
	}
	if len(line) > MaxLine {
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrTooLong, len(line), MaxLine)
	}
	return line, nil
}

// openForAppend opens the log that path names at the moment in which the lock
// is held.
func openForAppend(path string) (f *os.File, locked bool, err error) {
	for range attempts {
		f, err := openLog(path)
		if err != nil {
			return nil, false, err
		}
		locked, err := lock(f)
		var current bool
		if err == nil {
			current, err = names(path, f)
		}
		if err == nil && current {
			return f, locked, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("the log was replaced %d times while it was being opened", attempts)
}

// openLog opens or creates the log. O_NONBLOCK keeps a FIFO in the log's place
// from holding us up.
func openLog(path string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_APPEND | unix.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0)
	created := false
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, fileMode)
		if errors.Is(err, fs.ErrExist) {
			// Another writer was faster.
			f, err = os.OpenFile(path, flags, 0)
		} else {
			created = err == nil
		}
	}
	if err != nil {
		return nil, err
	}
	if created {
		err = f.Chmod(fileMode)
	} else {
		err = regular(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// regular tells whether f is a file that keeps what is written to it.
func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	return err
}

// lock waits a bounded time for the lock on f and tells whether it got it.
func lock(f *os.File) (bool, error) {
	deadline := time.Now().Add(lockWait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case err == unix.EINTR:
			continue
		case err != unix.EWOULDBLOCK:
			return false, fmt.Errorf("lock: %w", err)
		case time.Now().After(deadline):
			return false, nil
		}
		time.Sleep(lockPoll)
	}
}

// names tells whether path still names the open file f.
func names(path string, f *os.File) (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

// appendLine writes the line and waits until it is on the disk.
func appendLine(f *os.File, line []byte, locked bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	isolate := !locked
	if size := info.Size(); locked && size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return fmt.Errorf("read the last byte: %w", err)
		}
		isolate = last[0] != '\n'
	}
	if isolate {
		line = append([]byte{'\n'}, line...)
	}
	if err := writeOnce(f, line); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info.Size() > 0 {
		return nil
	}
	// The log is new, or its maker was killed before this step.
	return syncFolder(filepath.Dir(f.Name()))
}

// writeOnce writes data by a single write(2). os.File.Write would go on after a
// short write, with another process's line in between if that one writes
// without the lock.
func writeOnce(f *os.File, data []byte) error {
	for {
		n, err := unix.Write(int(f.Fd()), data)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return &fs.PathError{Op: "write", Path: f.Name(), Err: err}
		case n < len(data):
			// Regular files are cut short by a full disk or a quota.
			return fmt.Errorf("%d of %d bytes written: %w", n, len(data), io.ErrShortWrite)
		}
		return nil
	}
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
