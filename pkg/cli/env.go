package cli

import (
	"bufio"
	"fmt"
	"io"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Env is what a program is given of the world around it.
type Env struct {
	Name   string // of the program
	Stdin  io.Reader
	Stdout io.Writer // the result; see the package comment for what a failed write means
	Stderr io.Writer // messages for people

	Root        hostfs.Root // of --root; the zero value is this machine
	Config      string      // the configuration file, a name below Root
	ConfigGiven bool        // --config was given, so the file has to exist
	Verbose     bool

	Terminal    bool // stdout is a terminal
	Interactive bool // stderr is a terminal, so progress may be drawn there
	Colour      bool // stdout is a terminal that shows colours and nobody forbade them
	Width       int  // of the terminal in columns; 80 when there is none

	Getenv func(string) string

	answers  *bufio.Reader // of Stdin, once somebody was asked
	terminal io.Writer     // stdout itself: it may be asked for its size again
}

// Logf says what is done and why, on stderr, with --verbose only.
func (e *Env) Logf(format string, args ...any) {
	if e.Verbose {
		e.Warnf(format, args...)
	}
}

// Warnf tells people something on stderr that does not change the result.
func (e *Env) Warnf(format string, args ...any) {
	fmt.Fprintf(e.Stderr, "%s: %s\n", e.Name, Visible(fmt.Sprintf(format, args...)))
}

// Print writes a document to stdout: doc as JSON when the format is JSON, else
// what plain writes.
func (e *Env) Print(format Format, doc any, plain func(w io.Writer) error) error {
	if format == JSON {
		return WriteJSON(e.Stdout, doc)
	}
	return plain(e.Stdout)
}
