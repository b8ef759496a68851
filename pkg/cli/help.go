package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// helpWidth is the widest that help text gets: longer lines are hard to read.
const helpWidth = 100

// printHelp is kong's help, followed by what kong doesn't know of: examples
// and exit codes, for the program as a whole.
func (p Program) printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return stdoutError(err)
	}
	if ctx.Selected() != nil {
		return nil
	}
	wide := min(width(ctx.Stdout, os.Getenv), helpWidth) // as kong has it
	var b strings.Builder
	if len(p.Examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range p.Examples {
			fmt.Fprintf(&b, "  %s\n", e.Command)
			writeWrapped(&b, "      ", "      ", e.Help, wide)
		}
	}
	b.WriteString("\nExit codes:\n")
	for _, c := range p.ExitCodes() {
		writeWrapped(&b, fmt.Sprintf("  %-4d", int(c)), "      ", c.Meaning(), wide)
	}
	_, err := io.WriteString(ctx.Stdout, b.String())
	return stdoutError(err)
}
