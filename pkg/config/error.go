package config

import (
	"fmt"
	"strings"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Line    int    // 1 is the first; 0 when the file as a whole is meant
	Key     string // the key's path as in Reference; empty when no key is meant
	Message string // what is wrong, and what would be right
}

// Error tells everything that is wrong with one configuration file. It ends a
// process with exit code 31.
type Error struct {
	Name     string // the file, as the caller named it
	Problems []Problem
	Err      error // why the file could not be read; nil when it could
}

// Error gives a line a problem: file:line: key: what is wrong; what is right.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Name)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Key != "" {
			b.WriteString(": " + p.Key)
		}
		b.WriteString(": " + p.Message)
	}
	return b.String()
}

// Unwrap gives why the file could not be read.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode implements exitcode.Coder.
func (e *Error) ExitCode() exitcode.Code { return exitcode.Config }
