package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// CanAsk tells whether somebody is there to be asked: stdin and stdout are a
// terminal.
func (e *Env) CanAsk() bool {
	f, ok := e.Stdin.(*os.File)
	if !ok || !e.Terminal {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// maxAnswer bounds a line that somebody types, in bytes.
const maxAnswer = 4 << 10

// Ask asks a question and gives the answer, a line in lower case. It is "" where
// nobody answers any more; that ctx ended is an error.
func (e *Env) Ask(ctx context.Context, question string) (string, error) {
	if _, err := fmt.Fprint(e.Stdout, question+" "); err != nil {
		return "", err
	}
	if e.answers == nil {
		e.answers = bufio.NewReader(e.Stdin)
	}
	answer := make(chan string, 1)
	// Nothing ends a read from a terminal; the process is about to end, then.
	go func() {
		var line []byte
		for len(line) < maxAnswer {
			b, err := e.answers.ReadByte()
			if err != nil || b == '\n' {
				break
			}
			line = append(line, b)
		}
		answer <- strings.ToLower(strings.TrimSpace(string(line)))
	}()
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		_, _ = io.WriteString(e.Stdout, "\n")
		return "", ctx.Err()
	}
}
