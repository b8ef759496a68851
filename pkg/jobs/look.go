package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// userSlice holds the sessions and the managers of all users.
const userSlice = "/user.slice"

// Bounds of the walk through the users' control groups.
const (
	maxDepth  = 10
	maxGroups = 4096
)

// Look looks at the machine twice, policy.Window apart. What it could not see
// is in the error; the Sight holds the rest.
func Look(ctx context.Context, root hostfs.Root, policy config.GuardJobs) (Sight, error) {
	var s Sight
	var errs []error
	sessions := make(chan collect.Answer, 1)
	if policy.RemoteSessions != config.RemoteIgnored {
		go func() { sessions <- collect.Ask(ctx, root, nil) }()
	}
	first, err := collect.Within(ctx, "the users' control groups and /proc", func() (look, error) { return lookOnce(root) })
	if err != nil {
		return s, err
	}
	end := time.Now().Add(policy.Window.Std()) // what else there is to read is read meanwhile
	s.Locks, err = collect.Within(ctx, locksFile, func() ([]Lock, error) { return Locks(root, policy.LockFiles) })
	errs = append(errs, err)
	if s.Users, err = users(root); err != nil {
		errs = append(errs, err)
	}
	if len(first.usages) > 0 {
		if err := sleep(ctx, time.Until(end)); err != nil {
			return s, fmt.Errorf("wait for the second look at processor time: %w", err)
		}
	}
	s, err = second(ctx, root, s, first, policy)
	errs = append(errs, err)
	if policy.RemoteSessions != config.RemoteIgnored {
		s.Sessions, err = collect.Sessions(root, <-sessions)
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// second takes the second look at processor time, and at the processes too
// where some group has used enough for it to matter which.
func second(ctx context.Context, root hostfs.Root, s Sight, first look, policy config.GuardJobs) (Sight, error) {
	busy := false
	for _, u := range first.usages {
		now, exists, err := procinfo.CPUUsage(root, u.cgroup)
		if err != nil {
			return s, err
		}
		if !exists || now < u.micros {
			continue // it ended; one of the same name may have begun
		}
		g := Group{Cgroup: u.cgroup, Micros: now - u.micros, Window: time.Since(u.at)}
		busy = busy || g.CPUPct() >= float64(policy.CPUPct)
		s.Groups = append(s.Groups, g)
	}
	last := first
	var err error
	if busy {
		last, err = collect.Within(ctx, "the users' control groups and /proc", func() (look, error) { return lookOnce(root) })
		if err != nil {
			return s, err
		}
	}
	s.Processes = merge(root, first, last, policy)
	return s, last.scanErr()
}

// look is one look at the users' control groups and all processes.
type look struct {
	usages  []usage
	cgroups map[int]string // of the processes in users' groups
	scan    procinfo.Scan
}

type usage struct {
	cgroup string
	micros uint64
	at     time.Time
}

func (l look) scanErr() error {
	if l.scan.Complete() {
		return nil
	}
	return fmt.Errorf("look for work: %d processes could not be read, and /proc may hide more (hidepid)", l.scan.Unreadable)
}

func lookOnce(root hostfs.Root) (look, error) {
	l := look{cgroups: map[int]string{}}
	if err := l.walk(root, userSlice, 0); err != nil {
		return l, err
	}
	var err error
	l.scan, err = procinfo.Processes(root)
	return l, err
}

// walk goes through the slices and managers of users down to the sessions and
// units.
func (l *look) walk(root hostfs.Root, cgroup string, depth int) error {
	children, exists, err := procinfo.Subgroups(root, cgroup)
	if err != nil || !exists {
		return err
	}
	for _, name := range children {
		path := cgroup + "/" + name
		switch {
		case depth >= maxDepth:
			return fmt.Errorf("look through the users' control groups: %s is nested too deeply", path)
		case strings.HasSuffix(name, ".slice"), strings.HasPrefix(name, "user@") && strings.HasSuffix(name, ".service"):
			err = l.walk(root, path, depth+1)
		default:
			err = l.group(root, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *look) group(root hostfs.Root, cgroup string) error {
	if len(l.usages) >= maxGroups {
		return fmt.Errorf("look through the users' control groups: there are more than %d", maxGroups)
	}
	micros, exists, err := procinfo.CPUUsage(root, cgroup)
	if err != nil || !exists {
		return err
	}
	l.usages = append(l.usages, usage{cgroup, micros, time.Now()})
	pids, _, err := procinfo.CgroupProcs(root, cgroup, true)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		l.cgroups[pid] = cgroup
	}
	return nil
}

// merge gives the processes of the last look with what they used since the
// first, and the control groups of those that may be work. A process that
// began in between has used all of its time since.
func merge(root hostfs.Root, first, last look, policy config.GuardJobs) []Process {
	before := map[int]procinfo.Process{}
	for _, p := range first.scan.Processes {
		before[p.PID] = p
	}
	named := newNames(policy.Programs, policy.PackageManagers, policy.Multiplexers, policy.TerminalEmulators)
	asking := askers(root, last.scan.Processes)
	var out []Process
	for _, p := range last.scan.Processes {
		q := Process{Process: p, Ticks: p.CPUTicks, Asking: asking[p.PID]}
		if old, ok := before[p.PID]; ok && old.StartTicks == p.StartTicks {
			q.Ticks = p.CPUTicks - min(old.CPUTicks, p.CPUTicks)
		}
		q.Cgroup = last.cgroups[p.PID]
		if q.Cgroup == "" && named[p.Comm] {
			cgroup, alive, err := procinfo.Cgroup(root, p.PID)
			if err == nil && !alive {
				continue
			}
			q.Cgroup = cgroup // unknown stands for "outside of all slices", which may be work
		}
		out = append(out, q)
	}
	return out
}

// askers finds the processes of the command lines that Dubnium's tools are
// part of: with a shell at a terminal, those of the same process group.
func askers(root hostfs.Root, processes []procinfo.Process) map[int]bool {
	out := map[int]bool{}
	if !root.Real() {
		return out
	}
	groups := []int{}
	for _, p := range processes {
		if own(p.Comm) {
			if group, err := unix.Getpgid(p.PID); err == nil {
				groups = append(groups, group)
			}
		}
	}
	for _, p := range processes {
		if group, err := unix.Getpgid(p.PID); err == nil && slices.Contains(groups, group) {
			out[p.PID] = true
		}
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
