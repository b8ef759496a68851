package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// chunk is how much is read at once from the end, in bytes.
const chunk = 256 << 10

// Reader reads a log from where it ended when the reader was opened: back into
// the past, or on into the future. Its memory is bounded by MaxLine, however
// long the log is. It takes no lock.
type Reader struct {
	path string
	f    *os.File // nil while the log doesn't exist
	end  int64    // behind the last whole line at the time of opening
	tail bool     // something that is no whole line follows there
}

// Open opens the log at path for reading. A log that doesn't exist holds no
// events, and may come to exist.
func Open(path string) (*Reader, error) {
	r := &Reader{path: path}
	if err := r.open(); err != nil {
		return nil, err
	}
	if r.f == nil {
		return r, nil
	}
	if err := r.seekEnd(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the log %s: %w", path, err), r.Close())
	}
	return r, nil
}

// open opens what path names now, at its beginning.
func (r *Reader) open() error {
	f, err := os.OpenFile(r.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if err := regular(f); err != nil {
		return errors.Join(fmt.Errorf("read the log %s: %w", r.path, err), f.Close())
	}
	r.f, r.end = f, 0
	return nil
}

// Close gives the log back.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f = nil
	return f.Close()
}

// seekEnd finds the end of the last whole line.
func (r *Reader) seekEnd() error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	buf := make([]byte, 4<<10)
	for r.end = size; r.end > 0; {
		n := min(int64(len(buf)), r.end)
		if _, err := r.f.ReadAt(buf[:n], r.end-n); err != nil && err != io.EOF {
			return err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			r.end += int64(i) + 1 - n
			break
		}
		r.end -= n
	}
	if r.tail = r.end < size; !r.tail || size-r.end >= MaxLine {
		return nil
	}
	rest := make([]byte, size-r.end)
	if _, err := r.f.ReadAt(rest, r.end); err != nil && err != io.EOF {
		return err
	}
	if len(bytes.TrimSpace(rest)) == 0 {
		r.tail = false
	}
	if isEvent(rest) {
		// Whole but for its newline: it must not be told twice.
		r.end, r.tail = size, false
	}
	return nil
}

// Back calls fn with each event that the log held when it was opened, newest
// first; otherwise it is like Read. What follows the last whole line is left to
// Follow, and counts as bad.
func (r *Reader) Back(fn func(line []byte) error) (bad int, err error) {
	if r.f == nil {
		return 0, nil
	}
	bad, err = scanBack(r.f, r.end, fn)
	return bad + r.torn(), err
}

// All is Back, oldest first.
func (r *Reader) All(fn func(line []byte) error) (bad int, err error) {
	if r.f == nil {
		return 0, nil
	}
	bad, err = scan(io.NewSectionReader(r.f, 0, r.end), fn)
	return bad + r.torn(), err
}

func (r *Reader) torn() int {
	if r.tail {
		return 1
	}
	return 0
}

// scanBack is Back on the first size bytes of a file.
func scanBack(f io.ReaderAt, size int64, fn func(line []byte) error) (bad int, err error) {
	// What was read and not yet cut into lines is buf[from:to].
	buf := make([]byte, MaxLine+chunk)
	from, to := len(buf), len(buf)
	tooLong := false
	line := func(text []byte) error {
		switch {
		case tooLong || len(text) >= MaxLine:
			tooLong = false
			bad++
		case len(bytes.TrimSpace(text)) == 0:
		case !isEvent(text):
			bad++
		default:
			return fn(text)
		}
		return nil
	}
	for at := size; at > 0; {
		if to-from >= MaxLine {
			tooLong, from, to = true, len(buf), len(buf)
		}
		n := int(min(chunk, at))
		if from < n {
			from, to = len(buf)-copy(buf[len(buf)-(to-from):], buf[from:to]), len(buf)
		}
		at -= int64(n)
		if _, err := f.ReadAt(buf[from-n:from], at); err != nil {
			return bad, fmt.Errorf("read the log from its end: %w", err)
		}
		// There is no newline in what was left before.
		fresh := from
		from -= n
		for {
			i := bytes.LastIndexByte(buf[from:min(fresh, to)], '\n')
			if i < 0 {
				break
			}
			if err := line(buf[from+i+1 : to]); err != nil {
				return bad, err
			}
			to = from + i
		}
	}
	err = line(buf[from:to])
	return bad, err
}
