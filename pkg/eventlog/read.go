package eventlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Read calls fn with each event of the log at path, oldest first, without its
// newline; the slice is valid only during the call. It stops at the first error
// of fn and returns it as it is. Lines that are no JSON object or longer than
// MaxLine are skipped and counted as bad; empty lines don't count. A log that
// doesn't exist holds no events.
//
// Read takes no lock. If it meets a writer in the middle of a write, that line
// counts as bad this time.
func Read(path string, fn func(line []byte) error) (bad int, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the log: %w", err)
	}
	defer f.Close()
	if err := regular(f); err != nil {
		return 0, fmt.Errorf("read the log %s: %w", path, err)
	}
	return scan(f, fn)
}

// scan is Read on a stream.
func scan(r io.Reader, fn func(line []byte) error) (bad int, err error) {
	// A buffer of the longest line: a line that doesn't fit is too long.
	br := bufio.NewReaderSize(r, MaxLine)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return bad, fmt.Errorf("read the log: %w", err)
		}
		last := err == io.EOF
		switch {
		case err == bufio.ErrBufferFull:
			bad++
			if last, err = skipLine(br); err != nil {
				return bad, fmt.Errorf("read the log: %w", err)
			}
		case len(bytes.TrimSpace(line)) == 0:
		case !isEvent(line):
			bad++
		default:
			if err := fn(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
				return bad, err
			}
		}
		if last {
			return bad, nil
		}
	}
}

// skipLine reads up to the end of a line and tells whether the stream ended.
func skipLine(br *bufio.Reader) (last bool, err error) {
	for {
		switch _, err := br.ReadSlice('\n'); err {
		case nil:
			return false, nil
		case io.EOF:
			return true, nil
		case bufio.ErrBufferFull:
		default:
			return false, err
		}
	}
}

// isEvent tells whether a line is a JSON object.
func isEvent(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t\r"), []byte("{")) && json.Valid(line)
}
