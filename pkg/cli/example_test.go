package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// lamp is the grammar of an imagined program.
type lamp struct {
	cli.Flags
	On   on   `cmd:"" group:"Change" help:"Switch a lamp on."`
	List list `cmd:"" group:"Look" help:"List the lamps and what they do at the moment, one a line, in the order in which they were plugged in."`
}

type on struct {
	Colour string `name:"colour" enum:"warm,cold" default:"warm" help:"Shine in this colour: ${enum}."`
	Name   string `arg:"" help:"The lamp."`
}

type list struct {
	cli.FormatFlag
}

func (o *on) Run(ctx context.Context, env *cli.Env) error {
	if o.Name != "desk" {
		return exitcode.Errorf(exitcode.TargetUnreachable, "switch %s on: there is no such lamp; lamp list shows them", o.Name)
	}
	_, err := fmt.Fprintf(env.Stdout, "%s is on, %s\n", o.Name, o.Colour)
	return err
}

func (l *list) Run(env *cli.Env) error {
	doc := map[string]any{"schema_version": 1, "lamps": []string{"desk"}}
	return env.Print(l.Format, doc, func(io.Writer) error {
		t := env.NewTable("LAMP", "STATE")
		t.Row("desk", "off")
		return t.Write()
	})
}

// program is what main hands to cli.Main.
func program() cli.Program {
	return cli.Program{
		Name:    "lamp",
		Summary: "switch lamps on, and see which are on",
		Manual:  "Switches the lamps of one room. A lamp\nis named by where it stands.\n\nThe second paragraph is in the manual only.",
		Model:   &lamp{},
		Timeout: 5 * time.Second,
		Codes:   []exitcode.Code{exitcode.TargetUnreachable},
		Examples: []cli.Example{
			{Command: "lamp on desk --colour cold", Help: "Light to read by."},
		},
	}
}

func Example() {
	code := cli.Execute(program(), []string{"on", "desk"}, strings.NewReader(""), os.Stdout, os.Stderr, func(string) string { return "" })
	fmt.Println(code)
	// Output:
	// desk is on, warm
	// 0
}
