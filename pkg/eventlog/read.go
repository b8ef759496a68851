package eventlog

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// each takes one line of a log without its newline, valid only during the
// call; nil stands for one that is too long. Its error ends reading.
type each func(line []byte) error

// split cuts a stream into lines. Empty ones are left out.
func split(r io.Reader, fn each) error {
	// A buffer of the longest line: a line that doesn't fit is too long.
	br := bufio.NewReaderSize(r, MaxLine)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return fmt.Errorf("read the log: %w", err)
		}
		last := err == io.EOF
		switch {
		case err == bufio.ErrBufferFull:
			if last, err = skipLine(br); err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			err = fn(nil)
		case len(bytes.TrimSpace(line)) > 0:
			err = fn(bytes.TrimSuffix(line, []byte{'\n'}))
		default:
			err = nil
		}
		if err != nil || last {
			return err
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
func isEvent(line []byte) bool { return Object(line, nil, nil) }
