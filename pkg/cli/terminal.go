package cli

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	defaultWidth  = 80
	minWidth      = 20 // below this nothing that we print can be read
	defaultHeight = 24
	minHeight     = 4
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

// height is the number of rows of w: what the terminal says, else 24.
func height(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 0 {
			return max(minHeight, int(size.Row))
		}
	}
	return defaultHeight
}

// colourAllowed is the usual rule: a terminal, one that can, and no NO_COLOR
// (set to anything, as no-color.org has it).
func colourAllowed(terminal bool, getenv func(string) string) bool {
	return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && getenv("TERM") != ""
}
