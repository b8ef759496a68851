package programs

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/survey"
)

type observeModel struct {
	cli.Flags `embed:""`
	output    `embed:""`
	Write     bool `name:"write" help:"Also cache the observation in /run/mode-controller/current; needs root."`
	AwaitBoot bool `name:"await-boot" help:"Wait until the machine has booted, for at most five minutes; tell systemd, which runs this as a notify service, when there is nothing more that a boot must wait for."`
}

// ObserveCurrent is the program that says which mode the machine is in.
func ObserveCurrent() cli.Program {
	return cli.Program{
		Name:    "observe-current",
		Summary: "derive the machine's mode from evidence",
		Manual: `Looks at logind's sessions, compositor processes, the login path, the mode targets, vLLM, the studio overlay, the controller's lock and marker and systemd's boot state, and prints the mode that these facts show. What was requested is not looked at.

It prints one word: desktop, studio-local or compute when the contract of that mode holds in full; degraded-desktop, degraded-studio-local or degraded-compute when the mode is usable but a guarantee is missing; bootstrapping, transitioning or failed-transition; or unknown, when facts conflict or could not be read. With --json it prints the evidence, the conflicts, the guarantees that are not met and what could not be read as well.

The confidence is high when every family of signals was read and none conflicts, medium when a family that does not decide could not be read, else low.`,
		Model: &observeModel{},
		Examples: []cli.Example{
			{Command: "observe-current", Help: "One word, for scripts."},
			{Command: "observe-current --json | jq .unmet", Help: "Which guarantees are not met, and why."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration."},
			{Path: record.RunDir + "/current", Help: "The cached observation, written with --write."},
		},
		Codes:   []exitcode.Code{exitcode.Inspection, exitcode.NotPermitted},
		SeeAlso: []string{"mode(1)", "reconcile(8)"},
	}
}

// Run observes once.
func (m *observeModel) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := load(env)
	if err != nil {
		return err
	}
	o := survey.Observe(ctx, env.Root, cfg, 0)
	if m.AwaitBoot && o.State == mode.Bootstrapping {
		// systemd counts us among what it has to start before the boot is over.
		if err := ready(); err != nil {
			return err
		}
		if o, err = awaitBoot(ctx, env, cfg, o); err != nil {
			return err
		}
	}
	for _, e := range o.InspectionErrors {
		env.Logf("%s: %s", e.Source, e.Message)
	}
	if m.Write {
		if err := (record.Store{Root: env.Root}).SetCurrent(o.State); err != nil {
			return permission(err)
		}
		writeMetrics(env, cfg, o.State, false)
	}
	if m.AwaitBoot {
		if err := ready(); err != nil {
			return err
		}
	}
	if err := env.Print(m.format(), o, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, o.State)
		return err
	}); err != nil {
		return err
	}
	return blind(o)
}

// bootPatience bounds how long a boot is waited for.
const bootPatience = 5 * time.Minute

// awaitBoot observes until the machine has booted.
func awaitBoot(ctx context.Context, env *cli.Env, cfg config.Config, o observe.Observation) (observe.Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for o.State == mode.Bootstrapping {
		select {
		case <-tick.C:
			o = survey.Observe(ctx, env.Root, cfg, 0)
		case <-ctx.Done():
			return o, exitcode.Errorf(exitcode.Inspection, "the machine has not finished booting: systemctl list-jobs shows what it waits for")
		}
	}
	return o, nil
}

// ready tells systemd that the service is started (sd_notify(3)); it does
// nothing where systemd did not start us.
func ready() error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	return nil
}

// blind is the error of an observation for which nothing at all could be read.
func blind(o observe.Observation) error {
	s := o.Signals
	if s.Sessions.Known() || s.Targets.Known() || s.Controller.Known() || s.Compositors.Known() {
		return nil
	}
	return exitcode.Errorf(exitcode.Inspection, "nothing could be read: %s", o.InspectionErrors[0].Message)
}
