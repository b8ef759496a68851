// Package unitctl starts and stops units, always believing what a unit turned
// out to be and not what a job said. It is apart from pkg/systemd so that
// whoever only looks does not link what acts.
package unitctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	sysd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/systemd"
)

// The object that does the work (org.freedesktop.systemd1(5)).
const (
	dest        = "org.freedesktop.systemd1"
	managerPath = "/org/freedesktop/systemd1"
)

// Job modes: what to do about a job that is queued already.
const (
	ModeFail    = "fail"    // leave it alone: ours is refused
	ModeReplace = "replace" // cancel it
)

// Manager starts and stops units and waits for what becomes of them.
//
// A job's end is told by a signal, and the signal is not relied upon: the
// unit's own Job property is looked at as well, every second. Nor is what the
// signal says: the unit is read again, as a start that a condition skipped
// says "done" too. Every method ends with its context at the latest; without a
// deadline there, a job is waited for as long as it takes.
type Manager struct {
	systemd *sysd.Conn
	calls   *dbus.Conn // systemd's own connection for calls, and our signals
	poll    time.Duration
	backoff time.Duration
}

// Intervals between two looks at a job, and before a refused job is tried
// again; the latter doubles up to the former.
const (
	pollInterval = time.Second
	firstBackoff = 50 * time.Millisecond
)

// NewManager connects to the machine's system manager over its system bus. ctx
// bounds the connecting only.
func NewManager(ctx context.Context, root hostfs.Root) (*Manager, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bus.DefaultTimeout)
		defer cancel()
	}
	var conns []*dbus.Conn
	closeAll := func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	dial := func() (*dbus.Conn, error) {
		c, err := bus.DialGodbus(ctx, root)
		if err == nil {
			conns = append(conns, c)
		}
		return c, err
	}
	calls, err := dial()
	if err != nil {
		return nil, err
	}
	signals, err := dial()
	if err != nil {
		closeAll()
		return nil, err
	}
	// NewConnection asks the bus something without a deadline; a connection
	// that closes ends that.
	stop := context.AfterFunc(ctx, closeAll)
	ready := []*dbus.Conn{calls, signals}
	conn, err := sysd.NewConnection(func() (*dbus.Conn, error) {
		c := ready[0]
		ready = ready[1:]
		return c, nil
	})
	if err == nil {
		err = calls.Object(dest, managerPath).CallWithContext(ctx, dest+".Manager.Subscribe", 0).Err
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		closeAll()
		return nil, fmt.Errorf("connect to the system manager: %w", err)
	}
	return &Manager{systemd: conn, calls: calls, poll: pollInterval, backoff: firstBackoff}, nil
}

// Close ends the connection. Jobs go on.
func (m *Manager) Close() { m.systemd.Close() }

// Unit reads a unit with its Detail.
func (m *Manager) Unit(ctx context.Context, unit string) (systemd.Unit, error) {
	values, err := m.properties(ctx, unit)
	if err != nil {
		return systemd.Unit{}, fmt.Errorf("read unit %s: %w", unit, err)
	}
	u, problems := systemd.Decode(unit, values)
	if u.ActiveState == "" {
		return systemd.Unit{}, fmt.Errorf("read unit %s: %w", unit, errors.Join(problems...))
	}
	return u, nil
}

func (m *Manager) properties(ctx context.Context, unit string) (map[string]dbus.Variant, error) {
	ctx, cancel := context.WithTimeout(ctx, bus.DefaultTimeout)
	defer cancel()
	var values map[string]dbus.Variant
	err := m.calls.Object(dest, systemd.UnitPath(unit)).
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, "").Store(&values)
	return values, err
}

// JobResult is how a job ended, and what the unit was then.
type JobResult struct {
	// Result is systemd's word for it ("done", "failed", "canceled", ...),
	// ResultUntold when the end was not announced, or ResultAbsent.
	Result string
	Unit   systemd.Unit
}

// Results that are not systemd's.
const (
	ResultUntold = "untold" // the job is gone and nobody said how it ended
	ResultAbsent = "absent" // a stop of a unit that is not loaded: there was no job
)

// Start starts a unit and waits until it is active. A unit that is not active
// when its job is over is a *[JobFailed], whatever the job said.
func (m *Manager) Start(ctx context.Context, unit, mode string) (JobResult, error) {
	r, err := m.run(ctx, "start", unit, mode, m.systemd.StartUnitContext)
	if err == nil && !r.Unit.Active() {
		err = jobFailed("start", unit, r)
	}
	return r, err
}

// Stop stops a unit and waits until it is down: inactive, or failed on the way.
// Processes that its cgroup still holds are the caller's to look for.
func (m *Manager) Stop(ctx context.Context, unit, mode string) (JobResult, error) {
	r, err := m.run(ctx, "stop", unit, mode, m.systemd.StopUnitContext)
	if bus.IsUnknownObject(err) {
		return JobResult{Result: ResultAbsent, Unit: systemd.Unit{
			Asked: unit, Name: unit, LoadState: "not-found", ActiveState: systemd.ActiveStateInactive, SubState: "dead",
		}}, nil
	}
	if err == nil && r.Unit.Up() {
		err = jobFailed("stop", unit, r)
	}
	return r, err
}

// ResetFailed clears a unit's failed state and its start limit. A unit that is
// not loaded has neither.
func (m *Manager) ResetFailed(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, bus.DefaultTimeout)
	defer cancel()
	err := m.systemd.ResetFailedUnitContext(ctx, unit)
	if err != nil && !bus.IsUnknownObject(err) {
		return fmt.Errorf("reset the failed state of %s: %w", unit, err)
	}
	return nil
}

// enqueue is a go-systemd method that queues a job.
type enqueue func(ctx context.Context, unit, mode string, done chan<- string) (int, error)

// run queues a job, waits for its end and reads the unit again.
func (m *Manager) run(ctx context.Context, verb, unit, mode string, queue enqueue) (JobResult, error) {
	done := make(chan string, 1) // go-systemd's dispatcher must never wait for us
	id, err := m.queue(ctx, verb, unit, mode, done, queue)
	if err != nil {
		return JobResult{}, err
	}
	result, last, err := m.await(ctx, unit, id, done)
	if err != nil {
		return JobResult{Unit: last}, m.orDeadline(ctx, verb, unit, last, err)
	}
	r := JobResult{Result: result}
	if r.Unit, err = m.Unit(ctx, unit); err != nil {
		return r, m.orDeadline(ctx, verb, unit, last, err)
	}
	if result != "done" && result != ResultUntold {
		return r, jobFailed(verb, unit, r)
	}
	return r, nil
}

// queue queues a job, again and again as long as another job is in its way.
func (m *Manager) queue(ctx context.Context, verb, unit, mode string, done chan<- string, queue enqueue) (int, error) {
	for wait := m.backoff; ; wait = min(2*wait, m.poll) {
		id, err := queue(ctx, unit, mode, done)
		if err == nil {
			return id, nil
		}
		if !IsBusy(err) {
			return 0, m.orDeadline(ctx, verb, unit, systemd.Unit{}, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, &Deadline{Verb: verb, Unit: unit, Err: errors.Join(ctx.Err(), err)}
		}
	}
}

// IsBusy tells whether systemd refused a job because another one that is
// queued contradicts it; that ends by itself.
func IsBusy(err error) bool {
	return slices.Contains([]string{
		"org.freedesktop.systemd1.TransactionIsDestructive",
		"System.Error.EDEADLK",
	}, bus.ErrorName(err))
}

// await waits for the end of a job: for the signal, and for the unit not to
// have that job any more. It gives the unit as it was last seen.
func (m *Manager) await(ctx context.Context, unit string, id int, done <-chan string) (result string, last systemd.Unit, err error) {
	tick := time.NewTicker(m.poll)
	defer tick.Stop()
	for gone := false; ; {
		select {
		case result = <-done:
			return result, last, nil
		case <-ctx.Done():
			return "", last, ctx.Err()
		case <-tick.C:
		}
		if gone { // for a whole tick: the signal is not merely behind
			return ResultUntold, last, nil
		}
		u, err := m.Unit(ctx, unit)
		switch {
		case err == nil:
			last = u
			gone = u.Job.ID == 0 || (id != 0 && u.Job.ID != uint32(id))
		case !m.systemd.Connected():
			return "", last, err
		}
	}
}
