package cli

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// Status is an error that ends the program with code and prints nothing: the
// program has said all that there is to say. It is nil for exitcode.OK.
func Status(code exitcode.Code) error {
	if code == exitcode.OK {
		return nil
	}
	return status(code)
}

type status exitcode.Code

func (s status) Error() string           { return exitcode.Code(s).Meaning() }
func (s status) ExitCode() exitcode.Code { return exitcode.Code(s) }

// Passed is an error that ends the program, silently, with the exit status of
// another that it ran in the user's name, and whose status is the result, within
// the contract or not. It is nil for 0.
func Passed(code int) error {
	if code == 0 {
		return nil
	}
	return passed(code)
}

type passed int

func (p passed) Error() string {
	return fmt.Sprintf("exit status %d of the program that was run", int(p))
}

// errReaderGone is a write to a pipe that nobody reads any more; errStdout is
// any other failure to write the result.
var (
	errReaderGone = errors.New("the reader of stdout has gone")
	errStdout     = errors.New("write the result to stdout")
)

// result is stdout as a program sees it. It remembers the first failure, since
// few programs look at what a print returns, and repeats it.
type result struct {
	to  io.Writer
	err error
}

// Write implements io.Writer.
func (o *result) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(b)
	o.err = stdoutError(err)
	return n, o.err
}

// stdoutError says which of the two a failure to write stdout is.
func stdoutError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("%w: %w", errReaderGone, err)
	default:
		return fmt.Errorf("%w: %w", errStdout, err)
	}
}

// failed is the failure that spoils a success. That the reader has gone does
// not: it has read what it wanted.
func (o *result) failed() error {
	if errors.Is(o.err, errReaderGone) {
		return nil
	}
	return o.err
}
