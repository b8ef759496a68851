package eventlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Position is a place in a log, behind a whole line. The zero value is the
// beginning of whatever log there is.
type Position struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// ReadSince calls fn with each event behind a position, oldest first, and gives
// the position behind the last of them; otherwise it is like Read. Where the
// log is another one than that of the position, or has become shorter, it is
// read from its beginning. A last line without its newline is left for the next
// time.
func ReadSince(path string, from Position, fn func(line []byte) error) (to Position, bad int, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Position{}, 0, nil
	}
	if err != nil {
		return from, 0, fmt.Errorf("read the log: %w", err)
	}
	defer f.Close()
	to, bad, err = readSince(f, from, fn)
	if err != nil {
		return from, bad, fmt.Errorf("read the log %s: %w", path, err)
	}
	return to, bad, nil
}

func readSince(f *os.File, from Position, fn func(line []byte) error) (Position, int, error) {
	if err := regular(f); err != nil {
		return from, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return from, 0, err
	}
	r := Reader{f: f}
	if err := r.seekEnd(); err != nil {
		return from, 0, err
	}
	to := Position{Inode: info.Sys().(*syscall.Stat_t).Ino, Offset: r.end}
	begin := from.Offset
	if from.Inode != to.Inode || begin < 0 || begin > to.Offset || !lineEnds(f, begin) {
		begin = 0
	}
	bad, err := scan(io.NewSectionReader(f, begin, to.Offset-begin), fn)
	return to, bad, err
}

// lineEnds tells whether a line begins at an offset: an inode that is used
// again hides that the log is another one.
func lineEnds(f *os.File, at int64) bool {
	if at == 0 {
		return true
	}
	last := make([]byte, 1)
	_, err := f.ReadAt(last, at-1)
	return err == nil && (last[0] == '\n' || last[0] == '}')
}
