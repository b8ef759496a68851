package programs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/caller"
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/reconcile"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/unitctl"
)

type requestCmd struct {
	output  `embed:""`
	drained `embed:""`
	Target  string `arg:"" name:"mode" enum:"${modes}" help:"The mode to bring the machine to: ${enum}."`
}

// Run requests a mode and follows how it goes.
func (c *requestCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.request(ctx, env, mode.Mode(c.Target), c.format())
}

type reconCmd struct {
	output  `embed:""`
	drained `embed:""`
	Target  string `name:"target" placeholder:"MODE" help:"Bring the machine to MODE instead of the desired one."`
}

// Run requests the desired mode.
func (c *reconCmd) Run(ctx context.Context, env *cli.Env) error {
	target, err := targetOr(c.Target, record.Store{Root: env.Root})
	if err != nil {
		return err
	}
	return c.request(ctx, env, target, c.format())
}

// followEvery is how often the marker is read while a transition runs.
const followEvery = 50 * time.Millisecond

// request starts the controller's unit and tells what its marker tells, until
// systemd says that the unit has ended. The work is the unit's: whatever
// happens to us, it goes on.
func request(ctx context.Context, env *cli.Env, target mode.Mode, format cli.Format, cutOff bool) (record.Event, error) {
	none := record.Event{}
	// The controller would find out by itself; we can say it sooner, and say who.
	store := record.Store{Root: env.Root}
	if lock, err := store.Lock(); err == nil && lock.Held {
		return none, exitcode.Errorf(exitcode.Locked, "%s; mode status shows how far it is", store.HeldBy())
	}
	before, _, err := store.Last()
	if err != nil && !errors.Is(err, record.ErrGarbled) {
		return none, exitcode.With(exitcode.Inspection, err)
	}
	stale, _, _ := store.Marker()

	unit := reconcile.Unit(target)
	mgr, err := unitctl.NewManager(ctx, env.Root)
	if err != nil {
		return none, exitcode.With(exitcode.Inspection, err)
	}
	defer mgr.Close()
	announced, err := caller.Announce(env.Root, string(target), cutOff)
	switch {
	case err == nil:
		defer announced.Close() //nolint:errcheck // it only says that we ask
	case cutOff:
		return none, exitcode.With(exitcode.Inspection, err)
	default:
		env.Logf("the history won't tell who asked: %v", err)
	}
	var result unitctl.JobResult
	ended := make(chan error, 1)
	go func() {
		var err error
		result, err = mgr.Start(ctx, unit, "fail")
		ended <- err
	}()
	story := newStory(env, format)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var failure error
	for lost := false; !lost || locked(store); {
		select {
		case <-tick.C:
			if m, found, err := store.Marker(); err == nil && found && m.Requested == target && m.ID != stale.ID && m.ID != before.ID {
				story.marker(m)
			}
		case failure = <-ended:
			if over(failure) {
				return conclude(env, story, store, asked{target, result.Unit.InvocationID, before.ID}, unit, failure)
			}
			// Whoever lost sight of the unit, as when D-Bus has died, follows the
			// lock: the controller goes on without us.
			lost = true
		case <-ctx.Done():
			return none, exitcode.Errorf(exitcode.Inspection, "no longer following %s; it goes on by itself, and mode status shows how far it is", unit)
		}
	}
	return conclude(env, story, store, asked{target: target, before: before.ID}, unit, failure)
}

// over tells whether an error, or that there is none, says how the unit ended.
func over(err error) bool {
	var job *unitctl.JobFailed
	return err == nil || errors.As(err, &job) || bus.IsAccessDenied(err)
}

func locked(store record.Store) bool {
	l, err := store.Lock()
	return err == nil && l.Held
}

// asked tells the record of a request from those of others that ended meanwhile:
// another request, or the one that was killed and is now told of.
type asked struct {
	target     mode.Mode
	invocation string // of the unit; empty where systemd did not tell
	before     string // the id of the last record when it was asked
}

func (a asked) mine(last record.Event) bool {
	if a.invocation != "" {
		return last.ID != a.before && last.InvocationID == a.invocation
	}
	return last.ID != a.before && last.Requested == a.target && last.Outcome != record.Interrupted
}

// conclude tells how the controller ended and gives its exit code.
func conclude(env *cli.Env, story *story, store record.Store, a asked, unit string, failure error) (record.Event, error) {
	none := record.Event{}
	if bus.IsAccessDenied(failure) {
		return none, exitcode.Errorf(exitcode.NotPermitted, "start %s: not permitted; run this as root, or join the group %s (usermod -aG %[2]s NAME, then log in again)", unit, config.OperatorsGroup)
	}
	last, found, err := store.Last()
	if err != nil {
		return none, exitcode.With(exitcode.Inspection, err)
	}
	if found && a.mine(last) {
		story.finishFrom(last)
		if err := story.end(last); err != nil {
			return none, err
		}
		return last, cli.Status(last.ExitCode)
	}
	if failure == nil {
		return none, exitcode.Errorf(exitcode.Internal, "%s ended well, but left no record", unit)
	}
	return none, exitcode.With(codeOf(failure), fmt.Errorf("%w; journalctl -u %s says more", failure, unit))
}

// codeOf is the exit code of a controller that left no record, or of which we
// know nothing.
func codeOf(err error) exitcode.Code {
	var job *unitctl.JobFailed
	if !errors.As(err, &job) {
		return exitcode.Inspection
	}
	if job.JobResult.Unit.ExecMainCode == exited {
		if c := exitcode.Code(job.JobResult.Unit.ExecMainStatus); c.Band() != exitcode.BandOutside && c != exitcode.OK {
			return c
		}
	}
	return exitcode.Failed
}

// exited is waitid(2)'s CLD_EXITED: the status is an exit status.
const exited = 1
