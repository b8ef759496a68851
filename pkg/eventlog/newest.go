package eventlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Newest makes All begin with the first line that lies within the newest n bytes
// of the log and of what was rotated away, and tells how many bytes it leaves
// out. n is above 0.
func (r *Reader) Newest(n int64) (left int64, err error) {
	r.most = n
	_, left, err = r.spans()
	return left, err
}

// span is a part of the log that is read, from the beginning of a line to the
// end of one.
type span struct {
	f        *os.File
	from, to int64
}

// spans gives what is to be read, the newest first, and how many bytes are not.
func (r *Reader) spans() (list []span, left int64, err error) {
	var parts []span
	if r.f != nil {
		parts = append(parts, span{r.f, 0, r.end})
	}
	for _, f := range r.older {
		info, err := f.Stat()
		if err != nil {
			return nil, 0, err
		}
		parts = append(parts, span{f, 0, info.Size()})
	}
	room := r.most
	for _, s := range parts {
		if r.most > 0 && s.to > room {
			if s.from, err = lineFrom(s.f, s.to-room, s.to); err != nil {
				return nil, 0, fmt.Errorf("read the log: %w", err)
			}
			room, left = s.to-s.from, left+s.from // which leaves nothing for what is older
		}
		list, room = append(list, s), room-(s.to-s.from)
	}
	return list, left, nil
}

// lineFrom is where the first line begins at or behind a place in a file, or
// end. Of a line that is too long, any place will do: it counts as bad.
func lineFrom(f *os.File, at, end int64) (int64, error) {
	buf := make([]byte, chunk)
	for to := min(end, at+MaxLine); at < to; {
		// The newline before a line tells that it begins there.
		n, err := f.ReadAt(buf[:min(chunk, to-at+1)], at-1)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i), nil
		}
		if err != nil && err != io.EOF || n < 2 {
			return end, err
		}
		at += int64(n) - 1
	}
	return at, nil
}
