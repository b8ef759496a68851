package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// chunk is how much is read at once from the end, in bytes.
const chunk = 256 << 10

// Reader reads a log from where it ended when the reader was opened: back into
// the past, or on into the future. Its memory is bounded by MaxLine, however
// long the log is. It takes no lock.
//
// The past goes on in the logs that were rotated away and are still there as
// logrotate(8) names them, uncompressed: path.1, path.2 and so on, as long as
// none is missing.
type Reader struct {
	path  string
	f     *os.File // nil while the log doesn't exist
	end   int64    // behind the last whole line at the time of opening
	tail  bool     // something that is no whole line follows there
	older []*os.File
	most  int64 // what All reads of it at most, in bytes; 0 for everything
}

// Open opens the log at path for reading. A log that doesn't exist holds no
// events, and may come to exist.
func Open(path string) (*Reader, error) {
	r := &Reader{path: path}
	err := r.open()
	if err == nil && r.f != nil {
		if err = r.seekEnd(); err != nil {
			err = fmt.Errorf("read the log %s: %w", path, err)
		}
	}
	if err == nil {
		err = r.openOlder()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// open opens what path names now, at its beginning.
func (r *Reader) open() error {
	f, err := openPart(r.path)
	r.f, r.end = f, 0
	return err
}

// openPart opens a log for reading; nil is one that doesn't exist.
func openPart(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	if err := regular(f); err != nil {
		return nil, errors.Join(fmt.Errorf("read the log %s: %w", path, err), f.Close())
	}
	return f, nil
}

// maxOlder bounds how many logs that were rotated away are read.
const maxOlder = 100

// openOlder opens the logs that were rotated away, the newest first. One that
// is renamed meanwhile is met a second time under its next name, and counts
// once.
func (r *Reader) openOlder() error {
	seen := []*os.File{r.f}
	for n := 1; n <= maxOlder; n++ {
		f, err := openPart(fmt.Sprintf("%s.%d", r.path, n))
		if err != nil || f == nil {
			return err
		}
		last := seen[len(seen)-1]
		if last != nil {
			same, err := sameFile(last, f)
			if err != nil || same {
				if err = errors.Join(err, f.Close()); err != nil {
					return fmt.Errorf("read the log %s.%d: %w", r.path, n, err)
				}
				continue
			}
		}
		r.older, seen = append(r.older, f), append(seen, f)
	}
	return nil
}

func sameFile(a, b *os.File) (bool, error) {
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y), err
}

// Close gives the log back.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range append(r.older, r.f) {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	r.f, r.older = nil, nil
	return errors.Join(errs...)
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

// back gives every line from the end of the log to the beginning of its oldest
// part. What follows the last whole line is left to Follow; it comes first, as
// one that can't be read.
func (r *Reader) back(fn each) error {
	if r.tail {
		if err := fn(nil); err != nil {
			return err
		}
	}
	if r.f != nil {
		if err := splitBack(r.f, r.end, fn); err != nil {
			return err
		}
	}
	for _, f := range r.older {
		info, err := f.Stat()
		if err == nil {
			err = splitBack(f, info.Size(), fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// all is back, from the oldest line to the newest.
func (r *Reader) all(fn each) error {
	spans, _, err := r.spans()
	if err != nil {
		return err
	}
	for _, s := range slices.Backward(spans) {
		if err := split(io.NewSectionReader(s.f, s.from, s.to-s.from), fn); err != nil {
			return err
		}
	}
	if r.tail {
		return fn(nil)
	}
	return nil
}

// splitBack is split on the first size bytes of a file, from the last line to
// the first.
func splitBack(f io.ReaderAt, size int64, fn each) error {
	// What was read and not yet cut into lines is buf[from:to].
	buf := make([]byte, MaxLine+chunk)
	from, to := len(buf), len(buf)
	tooLong := false
	line := func(text []byte) error {
		switch {
		case tooLong || len(text) >= MaxLine:
			tooLong = false
			return fn(nil)
		case len(bytes.TrimSpace(text)) == 0:
			return nil
		default:
			return fn(text)
		}
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
			return fmt.Errorf("read the log from its end: %w", err)
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
				return err
			}
			to = from + i
		}
	}
	return line(buf[from:to])
}
