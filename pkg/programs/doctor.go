package programs

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/record"
)

type doctorCmd struct {
	output `embed:""`
	All    bool `name:"all" help:"Show what is in order, too."`
	Full   bool `name:"full" help:"Read all of the history, not the newest 32 MiB alone; of a long one that takes seconds."`
}

// grade says how bad a finding is.
type grade string

// A fault keeps something from working as promised. A warning is something
// that may be meant so, or that could not be looked at without root.
const (
	inOrder grade = "ok"
	warning grade = "warning"
	fault   grade = "fault"
)

// finding is what the doctor found at one place.
type finding struct {
	Area    string `json:"area"`
	Grade   grade  `json:"grade"`
	What    string `json:"what"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// diagnosis is the document of mode doctor.
type diagnosis struct {
	SchemaVersion int           `json:"schema_version"`
	Healthy       bool          `json:"healthy"` // there is no fault
	Findings      []finding     `json:"findings"`
	ExitCode      exitcode.Code `json:"exit_code"`
}

// doctor looks at one machine.
type doctor struct {
	env   *cli.Env
	cfg   config.Config
	store record.Store
	full  bool // --full
	list  []finding
}

// patience bounds each of the doctor's looks.
const patience = 10 * time.Second

// Run looks at everything and names what is wrong.
func (c *doctorCmd) Run(ctx context.Context, env *cli.Env) error {
	d := &doctor{env: env, store: record.Store{Root: env.Root}, full: c.Full}
	for _, look := range []func(context.Context){
		d.configuration, d.programs, d.units, d.operators, d.folders, d.state, d.history, d.lock, d.sources, d.gpus, d.metricsFolder, d.idle,
	} {
		bounded, cancel := context.WithTimeout(ctx, patience)
		look(bounded)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	doc := diagnosis{SchemaVersion: 1, Healthy: true, Findings: d.list}
	for _, f := range d.list {
		if f.Grade == fault {
			doc.Healthy, doc.ExitCode = false, exitcode.Inspection
		}
	}
	if err := env.Print(c.format(), doc, func(io.Writer) error { return c.write(env, doc) }); err != nil {
		return err
	}
	return cli.Status(doc.ExitCode)
}

func (d *doctor) ok(area, what, format string, args ...any) {
	d.list = append(d.list, finding{area, inOrder, what, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(area, what, remedy, format string, args ...any) {
	d.list = append(d.list, finding{area, warning, what, fmt.Sprintf(format, args...), remedy})
}

func (d *doctor) fault(area, what, remedy, format string, args ...any) {
	d.list = append(d.list, finding{area, fault, what, fmt.Sprintf(format, args...), remedy})
}

// configuration reads the file; the others go on with the defaults where it is
// wrong.
func (d *doctor) configuration(context.Context) {
	const area = "configuration"
	cfg, err := load(d.env)
	if err != nil {
		d.cfg = config.Default()
		d.fault(area, d.env.Config, "correct what the message names; docs/configuration.md has every key", "%v", err)
		return
	}
	d.cfg = cfg
	if _, err := d.env.Root.Stat(d.env.Config); err != nil {
		d.ok(area, d.env.Config, "there is no file: the defaults hold")
		return
	}
	d.ok(area, d.env.Config, "every key is right")
}

func (c *doctorCmd) write(env *cli.Env, doc diagnosis) error {
	t := env.NewTable("AREA", "RESULT", "WHAT", "MESSAGE")
	t.Fold(messageColumns)
	faults, warnings := 0, 0
	var remedies []finding
	for _, f := range doc.Findings {
		style := cli.Style("")
		switch f.Grade {
		case fault:
			faults, style = faults+1, cli.Red
		case warning:
			warnings, style = warnings+1, cli.Yellow
		default:
			if !c.All {
				continue
			}
		}
		if f.Remedy != "" {
			remedies = append(remedies, f)
		}
		t.Row(f.Area, string(f.Grade), f.What, f.Message)
		t.Style(style)
	}
	if err := t.Write(); err != nil {
		return err
	}
	if t.Len() > 0 {
		fmt.Fprintln(env.Stdout)
	}
	for _, f := range remedies {
		fmt.Fprintf(env.Stdout, "%s %s\n", env.Paint(cli.Bold, cli.Visible(f.What)+":"), cli.Visible(f.Remedy))
	}
	if len(remedies) > 0 {
		fmt.Fprintln(env.Stdout)
	}
	_, err := fmt.Fprintf(env.Stdout, "%d things looked at: %s, %s.\n", len(doc.Findings), counted(faults, "fault"), counted(warnings, "warning"))
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
