package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// followPoll is how often a log that is followed is looked at. Two stat(2) and
// one read(2) a look work on every file system, bind mount and rotation, where
// inotify would follow the file or its name, never both.
var followPoll = 200 * time.Millisecond

// Follow calls fn with each event that is appended after the reader was opened,
// oldest first, until ctx ends, which is no error. Bad lines are told to skip
// one by one. It survives a log that is rotated away, that is truncated, or
// that doesn't exist yet: what was written to the old one is read to its end
// first.
//
// A line counts when its newline is there, or when its log is rotated away.
func (r *Reader) Follow(ctx context.Context, fn func(line []byte) error, skip func()) error {
	t := tailer{Reader: r, fn: fn, skip: skip}
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		if err := t.look(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tailer is a log that is followed.
type tailer struct {
	*Reader
	fn      func([]byte) error
	skip    func()
	rest    []byte // the beginning of a line
	tooLong bool   // the line has lost its beginning
	away    bool   // the path named another file at the last look
}

// look reads what has come since the last one.
func (t *tailer) look() error {
	if t.f == nil {
		if err := t.open(); err != nil || t.f == nil {
			return err
		}
	}
	if err := t.read(); err != nil {
		return err
	}
	same, err := names(t.path, t.f)
	switch {
	case err != nil:
		return fmt.Errorf("follow the log %s: %w", t.path, err)
	case same:
		t.away = false
		return nil
	case !t.away:
		// A writer that had opened it before gets until the next look.
		t.away = true
		return nil
	}
	t.away = false
	if err := t.line(t.rest); err != nil {
		return err
	}
	t.rest = nil
	return errors.Join(t.Close(), t.open())
}

// read reads up to the end of the file.
func (t *tailer) read() error {
	info, err := t.f.Stat()
	if err != nil {
		return fmt.Errorf("follow the log %s: %w", t.path, err)
	}
	if info.Size() < t.end {
		t.end, t.rest, t.tooLong = 0, nil, false
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := t.f.ReadAt(buf, t.end)
		t.end += int64(n)
		for data := buf[:n]; len(data) > 0; {
			head, more, found := bytes.Cut(data, []byte{'\n'})
			t.keep(head)
			if !found {
				break
			}
			if err := t.line(t.rest); err != nil {
				return err
			}
			t.rest, data = t.rest[:0], more
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("follow the log %s: %w", t.path, err)
		}
	}
}

// keep adds to the line that is being read, up to the longest.
func (t *tailer) keep(part []byte) {
	if t.tooLong || len(t.rest)+len(part) >= MaxLine {
		t.rest, t.tooLong = t.rest[:0], true
		return
	}
	t.rest = append(t.rest, part...)
}

// line hands a whole line on.
func (t *tailer) line(text []byte) error {
	bad := t.tooLong
	t.tooLong = false
	switch {
	case bad, !isEvent(text) && len(bytes.TrimSpace(text)) > 0:
		t.skip()
	case len(bytes.TrimSpace(text)) > 0:
		return t.fn(text)
	}
	return nil
}
