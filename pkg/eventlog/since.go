package eventlog

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// Position is a place in a log, behind a whole line. The zero value is the
// beginning of the oldest log there is.
type Position struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// Since calls fn with each event behind a position, oldest first, and gives the
// position behind the last of them; otherwise it is like All. A log that was
// rotated away meanwhile is read to its end first, as long as a Reader finds
// it. Where the log of the position is gone, or has become shorter, the log at
// path is read from its beginning. A last line without its newline is left for
// the next time.
func Since[T any](path string, from Position, parse Parse[T], fn func(T) error) (to Position, bad int, err error) {
	r, err := Open(path)
	if err != nil {
		return from, 0, err
	}
	defer r.Close()
	parts, err := r.since(from)
	if err == nil && len(parts) > 0 {
		to = parts[len(parts)-1].end
		bad, err = ordered(func(fn each) error { return splitParts(parts, fn) }, parse, fn)
	}
	if err != nil {
		return from, bad, fmt.Errorf("read the log %s: %w", path, err)
	}
	return to, bad, nil
}

// part is what is to be read of one log.
type part struct {
	f     *os.File
	begin int64
	end   Position
}

func splitParts(parts []part, fn each) error {
	for _, p := range parts {
		if err := split(io.NewSectionReader(p.f, p.begin, p.end.Offset-p.begin), fn); err != nil {
			return err
		}
	}
	return nil
}

// since lists what lies behind a position, oldest first.
func (r *Reader) since(from Position) ([]part, error) {
	var parts []part
	add := func(f *os.File, size int64) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if size < 0 {
			size = info.Size()
		}
		parts = append(parts, part{f: f, end: Position{info.Sys().(*syscall.Stat_t).Ino, size}})
		return nil
	}
	for _, f := range slices.Backward(r.older) {
		if err := add(f, -1); err != nil {
			return nil, err
		}
	}
	if r.f != nil {
		if err := add(r.f, r.end); err != nil {
			return nil, err
		}
	}
	if from == (Position{}) || len(parts) == 0 {
		return parts, nil
	}
	at := slices.IndexFunc(parts, func(p part) bool { return p.end.Inode == from.Inode })
	if at < 0 {
		return parts[len(parts)-1:], nil
	}
	if p := &parts[at]; from.Offset > 0 && from.Offset <= p.end.Offset && lineEnds(p.f, from.Offset) {
		p.begin = from.Offset
	}
	return parts[at:], nil
}

// lineEnds tells whether a line ends before an offset: an inode that is used
// again hides that the log is another one.
func lineEnds(f *os.File, at int64) bool {
	last := make([]byte, 1)
	_, err := f.ReadAt(last, at-1)
	return err == nil && (last[0] == '\n' || last[0] == '}')
}
