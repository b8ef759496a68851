package programs

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

type modeModel struct {
	cli.Flags `embed:""`

	Status         statusCmd  `cmd:"" help:"Show the desired and the observed mode, what is in the way, and the last result." group:"Look"`
	Current        currentCmd `cmd:"" help:"Print the observed mode." group:"Look"`
	Desired        desiredCmd `cmd:"" help:"Print the desired mode." group:"Look"`
	LastTransition lastCmd    `cmd:"" name:"last-transition" help:"Show how the last transition went, step by step." group:"Look"`
	History        historyCmd `cmd:"" help:"List the transitions of this and earlier boots, tell one in full, sum them up." group:"Look"`
	Watch          watchCmd   `cmd:"" help:"Show the status again and again until Ctrl-C." group:"Look"`
	Doctor         doctorCmd  `cmd:"" help:"Look for what is wrong with the installation, with a remedy for each finding." group:"Look"`
	Explain        explainCmd `cmd:"" help:"Explain what a mode is, and what leads there." group:"Look"`
	Guards         guardsCmd  `cmd:"" help:"Run the guards of a transition to a mode, once or again and again, and change nothing." group:"Look"`
	DryRun         dryRunCmd  `cmd:"" name:"dry-run" help:"Show what a request would do, with its guards evaluated, and change nothing." group:"Look"`
	Request        requestCmd `cmd:"" help:"Bring the machine to a mode, and follow how it goes." group:"Act"`
	Force          forceCmd   `cmd:"" help:"Bring the machine to a mode past soft guards that are named, for a reason that is recorded." group:"Act"`
	Reconcile      reconCmd   `cmd:"" help:"Bring the machine to the desired mode." group:"Act"`
}

// Mode is the operator's tool.
func Mode() cli.Program {
	return cli.Program{
		Name:    "mode",
		Summary: "show and change what this machine is: desktop, studio-local or compute",
		Manual: `Dubnium makes one workstation three machines: an interactive desktop, a low-latency audio studio that lies over the desktop, and a headless compute node. Each mode is a contract, and this tool shows which contract holds and changes it.

What is desired and what is observed are two things. The observed mode is derived from evidence at the moment of asking; the desired mode is the last one that a request reached, or the default after a boot. A request that a guard blocks, or that fails, changes neither.

A request is carried out by mode-controller@MODE.service. It goes on when the terminal that asked for it goes away; mode status and mode last-transition tell how it ended.

Looking needs no privileges. Requesting needs root, or an authorisation by polkit.

mode force is a request that passes the soft guards which it names, and needs root and a reason. It leaves the override in /run/mode-controller/override.json, which only root can write, for the controller to take: for that mode, once, within half a minute. Guards, reason and who asked are in the history. No hard guard can be passed, however it is asked for.

mode doctor looks at the installation, the units, owners and permissions, the sources of evidence, the configuration and the records, and names a remedy for what is wrong; it exits with 20 when something is.`,
		Model: &modeModel{},
		Vars:  map[string]string{"modes": modes()["modes"], "outcomes": outcomeNames()},
		Meant: meant(),
		Codes: append([]exitcode.Code{
			exitcode.Inspection, exitcode.RolledBack, exitcode.Failed, exitcode.Degraded, exitcode.TimedOut, exitcode.Locked, exitcode.NotPermitted,
		}, blockCodes()...),
		Examples: []cli.Example{
			{Command: "mode status", Help: "Everything on one screen."},
			{Command: "mode dry-run compute", Help: "What going to compute would do, and what is in the way."},
			{Command: "mode guards compute --watch", Help: "Follow what is in the way while you clear it."},
			{Command: "sudo mode request compute", Help: "Go to compute."},
			{Command: "mode current --json | jq .unmet", Help: "Which guarantees are not met."},
			{Command: "mode history --outcome blocked --since 7d", Help: "What was blocked in the last week."},
			{Command: "mode history --asked-by mode-idle", Help: "What was asked for while nobody was there."},
			{Command: "mode history show 20260528T", Help: "All of one transition, by a beginning of its id."},
			{Command: "mode history stats --json | jq .ways", Help: "How long transitions take."},
			{Command: "mode doctor", Help: "Whether all is in place."},
			{Command: "sudo mode force compute --override user_jobs_safe --reason 'the build can wait'", Help: "Go to compute although jobs run."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration."},
			{Path: record.RunDir, Help: "The state of this boot."},
			{Path: record.EventsFile, Help: "The history, one event a line."},
		},
		SeeAlso: []string{"observe-current(1)", "reconcile(8)", "systemctl(1)"},
	}
}

// meant has, for each mode, what is meant by its name alone.
func meant() map[string]string {
	all := map[string]string{}
	for _, m := range mode.All() {
		all[string(m)] = "mode request " + string(m)
	}
	return all
}

// blockCodes lists the codes that the guards of a transition can block it
// with.
func blockCodes() []exitcode.Code {
	var out []exitcode.Code
	for _, d := range guards.All() {
		if !slices.Contains(out, d.Block) {
			out = append(out, d.Block)
		}
	}
	return out
}

type currentCmd struct {
	output  `embed:""`
	Refresh bool `name:"refresh" help:"Also write the observation to /run/mode-controller/current; needs root."`
}

// Run prints the observed mode.
func (c *currentCmd) Run(ctx context.Context, env *cli.Env) error {
	return (&observeModel{output: c.output, Write: c.Refresh}).Run(ctx, env)
}

type desiredCmd struct {
	output `embed:""`
}

// Run prints the desired mode.
func (c *desiredCmd) Run(_ context.Context, env *cli.Env) error {
	desired, set, err := record.Store{Root: env.Root}.Desired()
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	if !set {
		return exitcode.Errorf(exitcode.Inspection, "no mode has been desired since boot: is mode-boot.service enabled?")
	}
	doc := struct {
		SchemaVersion int       `json:"schema_version"`
		Desired       mode.Mode `json:"desired"`
	}{1, desired}
	return env.Print(c.format(), doc, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, desired)
		return err
	})
}

type lastCmd struct {
	output `embed:""`
}

// Run shows the last transition of this boot.
func (c *lastCmd) Run(_ context.Context, env *cli.Env) error {
	ev, found, err := record.Store{Root: env.Root}.Last()
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	if !found {
		if c.format() == cli.JSON {
			return cli.WriteJSON(env.Stdout, nil)
		}
		_, err := fmt.Fprintln(env.Stdout, "No transition since boot.")
		return err
	}
	return env.Print(c.format(), ev, func(io.Writer) error { return writeEvent(env, ev) })
}

// writeEvent tells a whole transition.
func writeEvent(env *cli.Env, ev record.Event) error {
	if err := writeHeader(env, ev); err != nil {
		return err
	}
	if err := writeGuards(env, ev.Guards); err != nil {
		return err
	}
	if err := writeActions(env, ev.Actions); err != nil {
		return err
	}
	return writeGaps(env, ev)
}

// writeHeader tells which transition it is and how it ended.
func writeHeader(env *cli.Env, ev record.Event) error {
	fmt.Fprintf(env.Stdout, "%s  %s  (%s)\n", env.Paint(cli.Bold, ev.ID), ev.Timestamp, ev.Trigger)
	return writeOutcome(env, ev)
}

// writeGuards tells what the guards of a transition said.
func writeGuards(env *cli.Env, results []guard.Result) error {
	if len(results) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	return guardTable(env, results)
}

// writeActions tells what a transition did.
func writeActions(env *cli.Env, actions []record.Action) error {
	if len(actions) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := env.NewTable("ACTION", "RESULT", "TIME", "DETAIL")
	for _, a := range actions {
		title, took := a.Title, short(a.DurationMS)
		if a.Rollback {
			title = "roll back: " + title
		}
		if a.Status == record.Skipped || a.Status == record.Pending {
			took = ""
		}
		t.Row(title, string(a.Status), took, a.Detail)
	}
	return t.Write()
}

// writeGaps lists what the last observation of a transition lacked.
func writeGaps(env *cli.Env, ev record.Event) error {
	if len(ev.Unmet)+len(ev.Conflicts)+len(ev.Errors) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := env.NewTable("OBSERVED", "WHAT", "MESSAGE")
	for _, u := range ev.Unmet {
		t.Row("unmet", string(u.Predicate), u.Message)
	}
	for _, c := range ev.Conflicts {
		t.Row("conflict", string(c.Code), c.Message)
	}
	for _, e := range ev.Errors {
		t.Row("unread", e.Source, e.Message)
	}
	return t.Write()
}

type dryRunCmd struct {
	output `embed:""`
	Target string `arg:"" name:"mode" enum:"${modes}" help:"The mode that would be requested: ${enum}."`
}

// Run shows what a request would do.
func (c *dryRunCmd) Run(ctx context.Context, env *cli.Env) error {
	eng, err := engine(env, false)
	if err != nil {
		return err
	}
	return dryRun(ctx, env, eng, mode.Mode(c.Target), c.format())
}
