package cli

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	defaultWidth = 80
	minWidth     = 20 // below this nothing that we print can be read
)

// isTerminal tells whether w writes to a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// width is the number of columns of w: what COLUMNS says, else what the
// terminal says, else 80.
func width(w io.Writer, getenv func(string) string) int {
	cols, err := strconv.Atoi(getenv("COLUMNS"))
	if err != nil {
		cols = 0
		if f, ok := w.(*os.File); ok {
			if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
				cols = int(size.Col)
			}
		}
	}
	switch {
	case cols <= 0:
		return defaultWidth
	case cols < minWidth:
		return minWidth
	}
	return cols
}

// colourAllowed is the usual rule: a terminal, one that can, and no NO_COLOR
// (set to anything, as no-color.org has it).
func colourAllowed(terminal bool, getenv func(string) string) bool {
	return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && getenv("TERM") != ""
}
