package programs

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/caller"
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/siteguard"
)

type forceCmd struct {
	output   `embed:""`
	Target   string   `arg:"" name:"mode" enum:"${modes}" help:"The mode to bring the machine to: ${enum}."`
	Override []string `name:"override" placeholder:"GUARD" help:"Let the transition pass these soft guards, whatever they say: cpu_load_safe, user_jobs_safe, memory_headroom, or a guard of the site that says of itself that it is not hard. A hard guard is never passed."`
	Reason   string   `name:"reason" placeholder:"TEXT" help:"Why; it goes into the history with who asked."`
}

// overrideLife is how long a request waits for the controller that it is for.
const overrideLife = 30 * time.Second

// maxReason bounds what goes into the history, in bytes.
const maxReason = 1000

// Run requests a mode with soft guards overridden.
func (c *forceCmd) Run(ctx context.Context, env *cli.Env) error {
	reason := strings.Join(strings.Fields(c.Reason), " ")
	switch {
	case len(c.Override) == 0:
		return exitcode.Errorf(exitcode.Usage, "--override: name the soft guards to pass; mode request asks without any")
	case reason == "" || len(reason) > maxReason:
		return exitcode.Errorf(exitcode.Usage, "--reason: say in 1 to %d bytes why; it goes into the history", maxReason)
	}
	cfg, err := load(env)
	if err != nil {
		return err
	}
	target := mode.Mode(c.Target)
	commands, _ := siteguard.Commands(env.Root, cfg, target)
	var site []string
	for _, s := range commands {
		site = append(site, s.Name)
	}
	names, err := overridable(c.Override, site)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return exitcode.Errorf(exitcode.NotPermitted, "only root overrides a guard; run this with sudo")
	}
	store := record.Store{Root: env.Root}
	if lock, err := store.Lock(); err == nil && lock.Held {
		return exitcode.Errorf(exitcode.Locked, "%s; mode status shows how far it is", store.HeldBy())
	}
	boot, err := procinfo.BootID(env.Root)
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	now, self := time.Now().UTC(), caller.Self(env.Root)
	r := record.OverrideRequest{
		SchemaVersion: record.SchemaVersion, Target: target, BootID: boot, Expires: now.Add(overrideLife).Format(record.TimeFormat),
		Override: record.Override{
			ID: newID(), Guards: names, Reason: reason, UID: self.UID, LoginUID: self.LoginUID, User: self.User,
			Requested: now.Format(record.TimeFormat), Used: []string{},
		},
	}
	if err := store.SetOverride(r); err != nil {
		return permission(err)
	}
	// What the controller has not taken by the end of it is not left to another.
	defer func() { _ = store.DropOverride(r.ID) }()
	_, err = request(ctx, env, target, c.format(), false)
	return err
}

// overridable gives the guards' names as their results have them, or says why
// one can't be overridden. Whether a guard of the site is soft, only its answer
// tells.
func overridable(names, site []string) ([]string, error) {
	var out, soft []string
	for _, d := range guards.All() {
		if !d.Hard {
			soft = append(soft, d.Name)
		}
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		d, known := guards.Find(strings.TrimPrefix(name, "check_"))
		switch {
		case known && d.Hard:
			return nil, exitcode.Errorf(exitcode.Usage, "--override: %s is a hard guard, which nobody can override: clear what it names instead; the soft ones are %s", d.Name, strings.Join(soft, ", "))
		case known:
			name = d.Binary()
		case !slices.Contains(site, name):
			return nil, exitcode.Errorf(exitcode.Usage, "--override: there is no guard %q; the soft ones are %s", name, strings.Join(append(soft, site...), ", "))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}
