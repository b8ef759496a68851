package programs

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

type reconcileModel struct {
	cli.Flags `embed:""`
	output    `embed:""`
	Target    string `arg:"" optional:"" name:"mode" help:"The mode to bring the machine to; without it, the one in /run/mode-controller/desired."`
	DryRun    bool   `name:"dry-run" help:"Print the plan with its guards evaluated, and change nothing."`
	Boot      bool   `name:"boot" help:"Normalise to the default mode at boot: write the state files and start the default mode's target."`
}

// Reconcile is the controller.
func Reconcile() cli.Program {
	return cli.Program{
		Name:    "reconcile",
		Section: 8,
		Summary: "bring the machine to a mode, guarded, observed and recorded",
		Manual: `Carries out one transition: takes the lock, observes the machine, plans, runs the guards at the same time, acts through systemd and logind, runs the gates, observes again, and only then says what happened. After a failed action it restores the prior mode and says what it then observes. A request for the mode that is already there is a recorded no-op.

It is run by mode-controller@MODE.service, as root. Operators use mode(1), or systemctl start mode-controller@MODE.

Progress is written to stdout line by line, so that the journal of the unit tells the story; /run/mode-controller/transition.json holds it step by step for programs.

An override of soft guards (mode force) is handed over in /run/mode-controller/override.json, which root alone can write: the mode it is for, the guards, the reason, who asked, the boot and the time at which it expires, half a minute after it was asked for. The controller takes the file away under its lock before it runs the guards, so that an override counts for one transition. It never lets a hard guard pass.

` + journalManual(),
		Model: &reconcileModel{},
		Codes: append([]exitcode.Code{
			exitcode.Inspection, exitcode.RolledBack, exitcode.Failed, exitcode.Degraded, exitcode.TimedOut, exitcode.Locked, exitcode.NotPermitted,
		}, blockCodes()...),
		Examples: []cli.Example{
			{Command: "reconcile compute --dry-run", Help: "What a transition to compute would do, with its guards evaluated."},
			{Command: "systemctl start mode-controller@compute", Help: "Go to compute."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration."},
			{Path: record.RunDir, Help: "The state of this boot: desired, current, lock, transition.json, last-transition.json, last-guards.json."},
			{Path: record.EventsFile, Help: "The history, one event a line."},
		},
		SeeAlso: []string{"mode(1)", "observe-current(1)"},
	}
}

// Run reconciles once.
func (m *reconcileModel) Run(ctx context.Context, env *cli.Env) error {
	var target mode.Mode
	if !m.Boot {
		var err error
		if target, err = targetOr(m.Target, record.Store{Root: env.Root}); err != nil {
			return err
		}
	}
	eng, err := engine(env, !m.DryRun)
	if err != nil {
		return err
	}
	if m.DryRun {
		return dryRun(ctx, env, eng, target, m.format())
	}
	story := newStory(env, m.format())
	story.journal = newReporter(env)
	eng.Ended = func(ev record.Event) {
		if ev.ID != eng.ID {
			story.sealed(ev)
		}
	}
	if m.Boot {
		return permission(eng.Boot(ctx))
	}
	if os.Geteuid() != 0 {
		return exitcode.Errorf(exitcode.NotPermitted, "only root reconciles; use mode request %s, or --dry-run", target)
	}
	eng.Progress = story.marker
	ev, err := eng.Run(ctx, target)
	if err != nil {
		return permission(coded(err))
	}
	writeMetrics(env, eng.Config, ev.Final, true)
	if err := story.end(ev); err != nil {
		return err
	}
	return cli.Status(ev.ExitCode)
}

// targetOr is the mode that was named, else the one that is desired.
func targetOr(name string, store record.Store) (mode.Mode, error) {
	if name != "" {
		target, err := mode.Parse(name)
		return target, exitcode.With(exitcode.Usage, err)
	}
	desired, set, err := store.Desired()
	switch {
	case err != nil:
		return "", exitcode.With(exitcode.Inspection, err)
	case !set:
		return "", exitcode.Errorf(exitcode.Usage, "name a mode: none has been desired since boot")
	}
	return desired, nil
}

// permission gives refusals of the file system the code for them.
func permission(err error) error {
	var coder exitcode.Coder
	if err != nil && !errors.As(err, &coder) && errors.Is(err, fs.ErrPermission) {
		return exitcode.Errorf(exitcode.NotPermitted, "%w; only root may do this", err)
	}
	return err
}

// coded makes an error of the engine without a code an inspection error: it
// could not even begin.
func coded(err error) error {
	var coder exitcode.Coder
	if err == nil || errors.As(err, &coder) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return exitcode.With(exitcode.Inspection, err)
}
