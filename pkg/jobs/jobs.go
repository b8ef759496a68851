// Package jobs finds the work that people have under way on this machine: what
// a transition would cut off or compete with.
//
// [Look] gathers facts, twice where use of processors is measured; [Find]
// judges them and reads nothing.
package jobs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// Kind is why something counts as work.
type Kind string

// The kinds, the worst to interrupt first.
const (
	PackageManager Kind = "package-manager" // runs, or holds its lock
	Program        Kind = "program"         // one that the configuration names
	Busy           Kind = "busy"            // a session or a user's unit that uses processors
	Multiplexed    Kind = "multiplexed"     // runs below tmux, screen or the like
	Remote         Kind = "remote"          // a session from another machine
	Foreground     Kind = "foreground"      // runs in a terminal
)

var kinds = []Kind{PackageManager, Program, Busy, Multiplexed, Remote, Foreground}

// Job is one piece of work.
type Job struct {
	Kind Kind `json:"kind"`
	// PID is 0 where no living process can be named: a lock whose holder the
	// kernel does not tell, work that short-lived processes do.
	PID  int    `json:"pid,omitempty"`
	Comm string `json:"comm,omitempty"`
	UID  int    `json:"uid"`
	User string `json:"user,omitempty"`
	// Cgroup, and what systemd and logind call it.
	Cgroup   string `json:"cgroup,omitempty"`
	Session  string `json:"session,omitempty"`
	Unit     string `json:"unit,omitempty"`
	UserUnit string `json:"user_unit,omitempty"`

	CPUPct float64 `json:"cpu_pct,omitempty"` // of one processor
	Lock   string  `json:"lock,omitempty"`    // the file that it has locked
	Below  string  `json:"below,omitempty"`   // the multiplexer or terminal
}

// String names the job for people.
func (j Job) String() string {
	who := "a process that the kernel does not name"
	switch {
	case j.PID != 0:
		who = fmt.Sprintf("%s (pid %d)", j.Comm, j.PID)
	case j.Cgroup != "":
		who = "work"
	}
	switch {
	case j.User != "":
		who += " of " + j.User
	case j.PID != 0 || j.Cgroup != "":
		who += fmt.Sprintf(" of uid %d", j.UID)
	}
	if strings.Trim(j.Cgroup, "/") != "" {
		who += " in " + collect.Describe(j.Cgroup)
	}
	switch {
	case j.Lock != "":
		return who + " holds " + j.Lock
	case j.Kind == Busy:
		return fmt.Sprintf("%s: %.0f %% of a processor are in use there", who, j.CPUPct)
	case j.Below != "":
		return who + " runs below " + j.Below
	case j.Kind == Remote:
		return who + ", which is logged in from another machine"
	default:
		return who + " is running"
	}
}

// Sight is what two looks at the machine show.
type Sight struct {
	Processes []Process
	Groups    []Group // session scopes and users' units
	Locks     []Lock
	Sessions  []evidence.Session
	Users     map[int]string // names by uid, as far as /etc/passwd has them
}

// Process is a process of the last look.
type Process struct {
	// Process has its Cgroup where it can matter: for what is a user's, that of
	// the session or unit.
	procinfo.Process
	Ticks uint64 // processor time between the looks, in clock ticks
	// Asking marks the command line that asks this very question, as in
	// "check_user_jobs_safe | jq".
	Asking bool
}

// Group is a control group that systemd made for a session or for a unit of a
// user's manager.
type Group struct {
	Cgroup string
	Micros uint64        // processor time used between the looks
	Window time.Duration // the time between them
}

// CPUPct is the use of processors, in percent of one.
func (g Group) CPUPct() float64 {
	if g.Window <= 0 {
		return 0
	}
	return float64(g.Micros) * 100 / float64(g.Window.Microseconds())
}

// tick is the unit of processor time in /proc/PID/stat.
const tick = 10 * time.Millisecond

// Find tells what is work, the worst to interrupt first.
func Find(s Sight, policy config.GuardJobs, compositors []string) []Job {
	f := newFinder(s, policy, compositors)
	f.locked()
	f.known()
	f.busy()
	f.below(f.multiplexers, Multiplexed)
	f.remote(policy.RemoteSessions)
	if policy.Terminals {
		f.below(newNames(policy.TerminalEmulators), Foreground)
	}
	slices.SortStableFunc(f.jobs, func(a, b Job) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(b.CPUPct, a.CPUPct), cmp.Compare(a.PID, b.PID))
	})
	return f.jobs
}

// names is a set of process names as the kernel has them.
type names map[string]bool

// commLen is how much of a name the kernel keeps.
const commLen = 15

// newNames also knows the wrapped programs of NixOS, ".NAME-wrapped".
func newNames(lists ...[]string) names {
	n := names{}
	for _, list := range lists {
		for _, name := range list {
			wrapped := "." + name + "-wrapped"
			n[name[:min(len(name), commLen)]], n[wrapped[:min(len(wrapped), commLen)]] = true, true
		}
	}
	return n
}

// own tells whether a process is one of Dubnium's tools.
func own(comm string) bool {
	return strings.HasPrefix(comm, "check_") || slices.Contains([]string{"mode", "reconcile", "observe-current", "observe-gpu"}, comm)
}

type finder struct {
	Sight
	cpuPct       int
	programs     names
	managers     names
	multiplexers names
	shells       names
	exempt       names

	byPID    map[int]*Process
	members  map[string][]*Process // by control group
	children map[int][]*Process
	jobs     []Job
	found    map[int]int // index of the job of a pid
}

func newFinder(s Sight, p config.GuardJobs, compositors []string) *finder {
	f := &finder{
		Sight: s, cpuPct: p.CPUPct, programs: newNames(p.Programs), managers: newNames(p.PackageManagers),
		multiplexers: newNames(p.Multiplexers), shells: newNames(p.Shells), exempt: newNames(p.Exempt, compositors),
		byPID: map[int]*Process{}, members: map[string][]*Process{}, children: map[int][]*Process{}, found: map[int]int{}, jobs: []Job{},
	}
	for i := range f.Processes {
		p := &f.Processes[i]
		f.byPID[p.PID] = p
		f.members[p.Cgroup] = append(f.members[p.Cgroup], p)
		f.children[p.PPID] = append(f.children[p.PPID], p)
	}
	return f
}

// add records a job, or what is new about one that was found before.
func (f *finder) add(j Job) {
	if i, known := f.found[j.PID]; known && j.PID != 0 {
		old := &f.jobs[i]
		old.CPUPct = max(old.CPUPct, j.CPUPct)
		old.Lock, old.Below = cmp.Or(old.Lock, j.Lock), cmp.Or(old.Below, j.Below)
		return
	}
	if j.PID != 0 || j.Cgroup != "" {
		j.User = f.Users[j.UID]
	}
	j.Session = procinfo.Session(j.Cgroup)
	j.Unit, j.UserUnit = procinfo.Unit(j.Cgroup)
	f.found[j.PID] = len(f.jobs)
	f.jobs = append(f.jobs, j)
}

func (p *Process) job(k Kind) Job {
	return Job{Kind: k, PID: p.PID, Comm: p.Comm, UID: p.UID, Cgroup: p.Cgroup}
}

// alive tells whether the process does anything at all.
func (p *Process) alive() bool { return p.State != 'Z' && p.State != 'X' && !p.Kernel }

// locked finds the holders of package managers' locks.
func (f *finder) locked() {
	for _, l := range f.Locks {
		j := Job{Kind: PackageManager, PID: l.PID}
		if p := f.byPID[l.PID]; p != nil {
			j = p.job(PackageManager)
		}
		j.Lock = l.File
		f.add(j)
	}
}

// known finds the programs that the configuration names.
func (f *finder) known() {
	for i := range f.Processes {
		p := &f.Processes[i]
		if !p.alive() || !p.mayWork() {
			continue
		}
		switch {
		case f.managers[p.Comm]:
			f.add(p.job(PackageManager))
		case f.programs[p.Comm]:
			f.add(p.job(Program))
		}
	}
}

// mayWork tells whether a known program at this place is work: in a user's
// slice always; in a system service unless it is the service itself, which
// waits for somebody to need it (the nix daemon, an rsync server). What runs
// in containers and in the other slices is no person's, and goes on in any
// mode.
func (p *Process) mayWork() bool {
	switch {
	case strings.HasPrefix(p.Cgroup, "/user.slice/"):
		return true
	case strings.HasPrefix(p.Cgroup, "/system.slice/"):
		unit, _ := procinfo.Unit(p.Cgroup)
		return p.PPID != 1 && strings.HasSuffix(unit, ".service")
	default:
		return (p.Cgroup == "" || p.Cgroup == "/") && p.PPID != 1
	}
}

// busy finds the sessions and units that use processors. What exempt programs
// use is taken off; what processes used that have ended meanwhile is not, so
// that a build shows whose compilers each live for a moment.
func (f *finder) busy() {
	for _, g := range f.Groups {
		pct := g.CPUPct()
		var culprit *Process
		for _, p := range f.members[g.Cgroup] {
			if f.exempt[p.Comm] || own(p.Comm) {
				pct -= float64(p.Ticks) * 100 * float64(tick) / float64(max(g.Window, 1))
			} else if p.alive() && (culprit == nil || busier(p, culprit)) {
				culprit = p
			}
		}
		if pct < float64(f.cpuPct) {
			continue
		}
		uid, _ := procinfo.UID(g.Cgroup)
		j := Job{Kind: Busy, UID: int(uid), Cgroup: g.Cgroup}
		if culprit != nil {
			j = culprit.job(Busy)
			j.Cgroup = g.Cgroup
		}
		j.CPUPct = math.Round(pct*10) / 10
		f.add(j)
	}
}

// busier orders the processes of a group by how likely they are the ones that
// do the work.
func busier(a, b *Process) bool {
	if a.Ticks != b.Ticks {
		return a.Ticks > b.Ticks
	}
	if (a.State == 'R') != (b.State == 'R') {
		return a.State == 'R'
	}
	return a.StartTicks > b.StartTicks
}

// idle tells whether a process waits for others by its nature.
func (f *finder) idle(p *Process) bool {
	return !p.alive() || p.Asking || f.shells[p.Comm] || f.multiplexers[p.Comm] || f.exempt[p.Comm] || own(p.Comm)
}

// below finds what runs below the processes of some names.
func (f *finder) below(tops names, k Kind) {
	for i := range f.Processes {
		top := &f.Processes[i]
		if !top.alive() || !tops[top.Comm] {
			continue
		}
		seen := map[int]bool{top.PID: true}
		todo := slices.Clone(f.children[top.PID])
		for len(todo) > 0 {
			p := todo[0]
			todo = todo[1:]
			if seen[p.PID] {
				continue // a scan of moving processes may hold a circle
			}
			seen[p.PID] = true
			if f.idle(p) {
				todo = append(todo, f.children[p.PID]...)
				continue
			}
			j := p.job(k)
			j.Below = fmt.Sprintf("%s (pid %d)", top.Comm, top.PID)
			f.add(j)
		}
	}
}

// remote finds the sessions of people on other machines.
func (f *finder) remote(policy config.RemoteSessions) {
	if policy == config.RemoteIgnored {
		return
	}
	for _, s := range f.Sessions {
		if !person(s) {
			continue
		}
		scope := scopeOf(s)
		working := false
		for _, p := range f.members[scope] {
			if scope != "" && !f.idle(p) {
				f.add(p.job(Remote))
				working = true
			}
		}
		if !working && policy == config.RemoteAny {
			j := Job{Kind: Remote, PID: int(s.Leader), Comm: "session " + s.ID, UID: int(s.UID), Cgroup: scope}
			if p := f.byPID[j.PID]; p != nil {
				j.Comm = p.Comm
			}
			f.add(j)
		}
	}
}

// person tells whether a session is one of a person on another machine.
func person(s evidence.Session) bool {
	return s.Remote && !s.Closing() && (s.Class == "user" || strings.HasPrefix(s.Class, "user-"))
}

// scopeOf is the control group of a session.
func scopeOf(s evidence.Session) string {
	if s.Scope == "" || strings.Contains(s.Scope, "/") {
		return ""
	}
	return fmt.Sprintf("/user.slice/user-%d.slice/%s", s.UID, s.Scope)
}
