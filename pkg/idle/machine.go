package idle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/caller"
	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/reconcile"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/unitctl"
)

// Machine is the host that a watcher watches.
type Machine struct{ *reconcile.Machine }

var _ Host = Machine{}

// unit is the one way to ask for compute.
var unit = reconcile.Unit(mode.Compute)

// Look asks logind for the sessions and inhibitors, and the records for the
// last change.
func (m Machine) Look(ctx context.Context) Facts {
	a := collect.Ask(ctx, m.Root, nil)
	f := FactsOf(a.Login, a.LoginErr)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		f.Unread = fmt.Sprintf("the clock: %v", err)
	}
	f.Now = time.Duration(now.Nano())
	store := record.Store{Root: m.Root}
	f.Override = store.OverrideWaits(time.Now())
	last, found, err := store.Last()
	if err != nil {
		f.Unread = err.Error()
	}
	if found && len(last.Actions) > 0 {
		f.Changed = f.Now
		if ended, err := time.Parse(time.RFC3339, last.Timestamp); err == nil {
			// A clock that was set back makes it now, which only waits longer.
			f.Changed = max(1, f.Now-max(0, time.Since(ended)))
		}
	}
	return f
}

// FactsOf is what logind's answer says of people.
func FactsOf(s login.State, err error) Facts {
	var f Facts
	if err := errors.Join(err, s.InhibitorsErr, s.ManagerErr); err != nil {
		f.Unread = err.Error()
	}
	for _, x := range s.Sessions {
		if !person(x) {
			continue
		}
		e := Session{ID: x.ID, User: x.User, Type: x.Type, Hint: Active, Since: time.Duration(x.IdleSinceMonotonicUsec) * time.Microsecond}
		switch {
		case x.IdleSinceMonotonicUsec == 0 && x.IdleSinceUsec == 0:
			e.Hint = Untold
		case x.Idle:
			e.Hint = Idle
		}
		f.Sessions = append(f.Sessions, e)
	}
	for _, i := range s.Inhibitors {
		if strings.HasPrefix(i.Mode, "block") && (slices.Contains(i.What, "idle") || slices.Contains(i.What, "sleep")) {
			f.Inhibitors = append(f.Inhibitors, fmt.Sprintf("%s (pid %d) inhibits %s: %s", i.Who, i.PID, strings.Join(i.What, ":"), i.Why))
		}
	}
	if s.PreparingForShutdown || s.PreparingForSleep {
		f.Inhibitors = append(f.Inhibitors, "the machine is about to go down or to sleep")
	}
	return f
}

// person tells whether a session is somebody's at this machine: on a display,
// or on a seat's text console. Those from elsewhere are check_user_jobs_safe's
// to judge, and one that is closing is over.
func person(s login.Session) bool {
	graphical := slices.Contains([]string{"wayland", "x11", "mir"}, s.Type)
	return strings.HasPrefix(s.Class, "user") && s.State != "closing" && (graphical || s.Seat != "")
}

// Observe observes the state.
func (m Machine) Observe(ctx context.Context) mode.State { return m.Machine.Observe(ctx).State }

// Guards runs the guards that a transition would begin with.
func (m Machine) Guards(ctx context.Context) []guard.Result {
	return m.Machine.Guards(ctx, mode.Find(mode.StateDesktop, mode.Compute).Guards, mode.Compute, false)
}

// Request starts the controller's unit, as mode request does.
func (m Machine) Request(ctx context.Context) (record.Event, error) {
	store := record.Store{Root: m.Root}
	before, _, err := store.Last()
	if err != nil {
		return record.Event{}, err
	}
	mgr, err := unitctl.NewManager(ctx, m.Root)
	if err != nil {
		return record.Event{}, err
	}
	defer mgr.Close()
	if announced, err := caller.Announce(m.Root, string(mode.Compute), false); err == nil {
		defer announced.Close() //nolint:errcheck // it only says that we ask
	}
	_, failure := mgr.Start(ctx, unit, unitctl.ModeFail)
	last, found, err := store.Last()
	switch {
	case err != nil:
		return record.Event{}, err
	case found && last.ID != before.ID && last.Requested == mode.Compute:
		return last, nil
	case failure == nil:
		failure = errors.New("it left no record")
	}
	return record.Event{}, fmt.Errorf("start %s: %w; journalctl -u %[1]s says more", unit, failure)
}
