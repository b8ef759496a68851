// Package collect looks at logind, systemd and /proc, each within the caller's
// deadline, and says what it saw in the words of evidence. It judges nothing.
package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/pkg/systemd"
)

// Answer is what one conversation with the system bus brought.
type Answer struct {
	Login      login.State
	LoginErr   error
	Systemd    systemd.State
	SystemdErr error
	// RoundTrips counts how often the conversation waited for the bus.
	RoundTrips int
}

// Ask asks logind and systemd in one conversation. Units is what to ask
// systemd for, detailed what to ask more of.
func Ask(ctx context.Context, root hostfs.Root, units []string, detailed ...string) Answer {
	conn, err := bus.Dial(ctx, root)
	if err != nil {
		return Answer{LoginErr: err, SystemdErr: err}
	}
	defer conn.Close()
	ql, qs := login.NewQuery(), systemd.NewQuery(units, detailed...)
	// A peer that did not answer in time keeps nobody from the answers of the
	// other: what failed is told by its own result.
	half, cancel := firstHalf(ctx)
	err = conn.Batch(half, slices.Concat(ql.Calls(), qs.Calls())...)
	cancel()
	err = errors.Join(err, conn.Batch(ctx, slices.Concat(ql.Follow(), qs.Follow())...))
	a := Answer{RoundTrips: conn.RoundTrips()}
	a.Login, a.LoginErr = ql.Result()
	a.Systemd, a.SystemdErr = qs.Result()
	if err != nil && a.LoginErr == nil && a.SystemdErr == nil {
		a.LoginErr, a.SystemdErr = err, err
	}
	return a
}

// firstHalf is ctx with half of the time that is left, so that a question that
// nobody answers leaves time for those that follow from the others.
func firstHalf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// Sessions is the evidence of the sessions in an answer. Of a closing session
// it is looked up whether processes are left. [ByRecord] and [WithCards] know
// which of those had a display.
func Sessions(root hostfs.Root, a Answer) ([]evidence.Session, error) {
	out := []evidence.Session{}
	for _, s := range a.Login.Sessions {
		e := evidence.Session{
			ID: s.ID, UID: s.UID, User: s.User, Type: s.Type, Class: s.Class, State: s.State,
			Seat: s.Seat, VT: s.VT, Service: s.Service, Desktop: s.Desktop, Leader: s.Leader,
			Remote: s.Remote, Scope: s.Scope,
		}
		if e.Closing() && s.ScopePath() != "" {
			// A scope whose cgroup is gone holds nothing.
			if populated, _, err := procinfo.Populated(root, "/"+s.ScopePath()); err == nil {
				e.Populated = &populated
			}
		}
		out = append(out, e)
	}
	return out, a.LoginErr
}

// Unit is the evidence of one unit of an answer.
func Unit(a Answer, name string) evidence.Unit {
	u := a.Systemd.Unit(name)
	e := evidence.Unit{Name: name, Load: u.LoadState, Active: u.ActiveState, Sub: u.SubState, Result: u.Result}
	if u.Name != name {
		e.ID = u.Name
	}
	return e
}

// Compositors finds the processes that draw a desktop.
func Compositors(ctx context.Context, root hostfs.Root, names []string) ([]evidence.Process, error) {
	scan, err := Within(ctx, "/proc", func() (procinfo.Scan, error) { return procinfo.Find(root, names) })
	if err != nil {
		return nil, err
	}
	out := []evidence.Process{}
	for _, p := range scan.Processes {
		if p.State == 'Z' || p.Kernel {
			continue // dead already, or no program
		}
		e := evidence.Process{PID: p.PID, Comm: p.Comm, UID: uint32(p.UID), Cgroup: p.Cgroup, Session: procinfo.Session(p.Cgroup)}
		e.Unit, e.UserUnit = procinfo.Unit(p.Cgroup)
		out = append(out, e)
	}
	if !scan.Complete() {
		return out, fmt.Errorf("look for compositors: %d processes could not be read, and /proc may hide more (hidepid)", scan.Unreadable)
	}
	return out, nil
}

// Describe names what a cgroup belongs to, for messages.
func Describe(cgroup string) string {
	if s := procinfo.Session(cgroup); s != "" {
		return "session " + s
	}
	system, user := procinfo.Unit(cgroup)
	switch {
	case user != "":
		return user + " of " + system
	case system != "":
		return system
	default:
		return "cgroup " + cgroup
	}
}

// Within runs f, which can't be cancelled, until ctx ends. A read of the
// kernel's files may block for good; such a goroutine is left behind.
func Within[T any](ctx context.Context, source string, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, fmt.Errorf("read %s: %w", source, ctx.Err())
	}
}
