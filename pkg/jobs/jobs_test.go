package jobs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

const (
	scope  = "/user.slice/user-1000.slice/session-3.scope"
	unit   = "/user.slice/user-1000.slice/user@1000.service/app.slice/build.service"
	daemon = "/system.slice/nix-daemon.service"
)

// p is a process: its pid, its parent, its name and its control group.
func p(pid, ppid int, comm, cgroup string) Process {
	return Process{Process: procinfo.Process{PID: pid, PPID: ppid, Comm: comm, UID: 1000, State: 'S', StartTicks: uint64(pid), Cgroup: cgroup}}
}

func with(q Process, change func(*Process)) Process {
	change(&q)
	return q
}

// used is a process that used n ticks between the looks.
func used(n uint64, q Process) Process { return with(q, func(q *Process) { q.Ticks = n }) }

func group(cgroup string, pct float64) Group {
	const window = 300 * time.Millisecond
	return Group{Cgroup: cgroup, Micros: uint64(pct / 100 * float64(window.Microseconds())), Window: window}
}

func remote(class, state string) evidence.Session {
	return evidence.Session{ID: "3", UID: 1000, User: "ada", Type: "tty", Class: class, State: state, Remote: true, Scope: "session-3.scope", Leader: 10}
}

func TestFind(t *testing.T) {
	compositors := []string{"Hyprland"}
	shell := []Process{p(10, 1, "sshd-session", scope), p(11, 10, "bash", scope)}
	tmux := []Process{p(20, 1, "tmux: server", scope), p(21, 20, "zsh", scope)}
	tests := map[string]struct {
		sight  Sight
		policy func(*config.GuardJobs)
		want   []string // kind, and what the job is called
	}{
		"nothing": {},
		"an idle machine": {sight: Sight{
			Processes: []Process{p(1, 0, "systemd", ""), p(5, 1, "Hyprland", scope), p(6, 5, "foot", scope), p(7, 6, "bash", scope), p(8, 7, "vim", scope)},
			Groups:    []Group{group(scope, 3)},
		}},

		// Known programs.
		"a build": {
			sight: Sight{Processes: []Process{p(30, 7, "make", unit)}, Users: map[int]string{1000: "ada"}},
			want:  []string{"program: make (pid 30) of ada in build.service of user@1000.service is running"},
		},
		"the name of a user that only a directory knows": {
			sight: Sight{Processes: []Process{p(30, 7, "rsync", scope)}},
			want:  []string{"program: rsync (pid 30) of uid 1000 in session 3 is running"},
		},
		"wrapped as on NixOS": {
			sight: Sight{Processes: []Process{p(30, 7, ".cargo-wrapped", scope)}},
			want:  []string{"program: .cargo-wrapped (pid 30) of uid 1000 in session 3 is running"},
		},
		"dead, and a thread of the kernel": {sight: Sight{Processes: []Process{
			with(p(30, 7, "make", scope), func(q *Process) { q.State = 'Z' }),
			with(p(31, 2, "dd", ""), func(q *Process) { q.Kernel = true }),
		}}},
		"a nix daemon that waits": {sight: Sight{Processes: []Process{p(30, 1, "nix-daemon", daemon)}}},
		"a nix daemon that works": {
			sight: Sight{Processes: []Process{p(30, 1, "nix-daemon", daemon), p(31, 30, "nix-daemon", daemon)}},
			want:  []string{"package-manager: nix-daemon (pid 31) of uid 1000 in nix-daemon.service is running"},
		},
		"in a container": {sight: Sight{Processes: []Process{
			p(30, 9, "make", "/kubepods.slice/pod1"), p(31, 9, "apt-get", "/machine.slice/machine-x.scope"), p(32, 9, "make", "/system.slice/docker-1.scope"),
		}}},
		"without a slice": {
			sight: Sight{Processes: []Process{p(30, 1, "rsync", "/"), p(31, 12, "apt", "")}},
			want:  []string{"package-manager: apt (pid 31) of uid 1000 is running"},
		},

		// Locks.
		"a lock": {
			sight: Sight{Processes: []Process{p(40, 7, "synaptic", scope)}, Locks: []Lock{{"/var/lib/dpkg/lock", 40}}},
			want:  []string{"package-manager: synaptic (pid 40) of uid 1000 in session 3 holds /var/lib/dpkg/lock"},
		},
		"a lock of a known program is one job": {
			sight: Sight{Processes: []Process{p(40, 7, "dpkg", scope)}, Locks: []Lock{{"/var/lib/dpkg/lock", 40}, {"/var/lib/dpkg/lock-frontend", 40}}},
			want:  []string{"package-manager: dpkg (pid 40) of uid 1000 in session 3 holds /var/lib/dpkg/lock"},
		},
		"a lock whose holder the kernel does not name": {
			sight: Sight{Locks: []Lock{{"/var/lib/dpkg/lock", 0}}, Users: map[int]string{0: "root"}},
			want:  []string{"package-manager: a process that the kernel does not name holds /var/lib/dpkg/lock"},
		},

		"two of them": {
			sight: Sight{Locks: []Lock{{"/var/lib/dpkg/lock", 0}, {"/var/lib/rpm/.rpm.lock", 0}}},
			want: []string{
				"package-manager: a process that the kernel does not name holds /var/lib/dpkg/lock",
				"package-manager: a process that the kernel does not name holds /var/lib/rpm/.rpm.lock",
			},
		},

		// Use of processors.
		"a busy loop": {
			sight: Sight{Processes: []Process{used(29, p(50, 7, "bash", scope)), p(51, 7, "vim", scope)}, Groups: []Group{group(scope, 98)}},
			want:  []string{"busy: bash (pid 50) of uid 1000 in session 3: 98 % of a processor are in use there"},
		},
		"at the limit":        {sight: Sight{Groups: []Group{group(scope, 50)}}, want: []string{"busy: work of uid 1000 in session 3: 50 % of a processor are in use there"}},
		"right below it":      {sight: Sight{Groups: []Group{group(scope, 49.9)}}},
		"the limit is higher": {sight: Sight{Groups: []Group{group(scope, 98)}}, policy: func(j *config.GuardJobs) { j.CPUPct = 200 }},
		"short-lived compilers": {
			sight: Sight{Processes: []Process{p(60, 7, "bash", unit), with(p(61, 60, "python3", unit), func(q *Process) { q.State = 'R' })}, Groups: []Group{group(unit, 180)}},
			want:  []string{"busy: python3 (pid 61) of uid 1000 in build.service of user@1000.service: 180 % of a processor are in use there"},
		},
		"a compositor, a sound server and a tool of ours": {sight: Sight{
			Processes: []Process{used(20, p(5, 1, "Hyprland", scope)), used(5, p(6, 1, "pipewire", scope)), used(4, p(7, 1, "mode", scope)), used(1, p(8, 1, "foot", scope))},
			Groups:    []Group{group(scope, 100)},
		}},
		"a tool of ours that works": {sight: Sight{Processes: []Process{used(29, p(7, 1, "check_audio_idle", scope))}, Groups: []Group{group(scope, 98)}}},
		"a compositor and a busy program": {
			sight: Sight{
				Processes: []Process{used(20, p(5, 1, "Hyprland", scope)), used(28, p(8, 1, "blender-x", scope))},
				Groups:    []Group{group(scope, 160)},
			},
			want: []string{"busy: blender-x (pid 8) of uid 1000 in session 3: 93 % of a processor are in use there"},
		},
		"busy in another session": {sight: Sight{Processes: []Process{used(29, p(5, 1, "bash", scope+"x"))}, Groups: []Group{group(scope, 20)}}},

		// Multiplexers.
		"tmux with an idle shell": {sight: Sight{Processes: tmux}},
		"tmux with a program": {
			sight: Sight{Processes: append(slices.Clone(tmux), p(22, 21, "sleep", scope))},
			want:  []string{"multiplexed: sleep (pid 22) of uid 1000 in session 3 runs below tmux: server (pid 20)"},
		},
		"tmux with a shell in sudo in a shell": {sight: Sight{Processes: append(slices.Clone(tmux), p(22, 21, "sudo", scope), p(23, 22, "bash", scope))}},
		"a helper of the prompt":               {sight: Sight{Processes: append(slices.Clone(tmux), p(22, 21, "gitstatusd-linu", scope))}},
		"what is below a program is part of it": {
			sight: Sight{Processes: append(slices.Clone(tmux), p(22, 21, "vim", scope), p(23, 22, "gopls", scope))},
			want:  []string{"multiplexed: vim (pid 22) of uid 1000 in session 3 runs below tmux: server (pid 20)"},
		},
		"a build in tmux is a build": {
			sight: Sight{Processes: append(slices.Clone(tmux), p(22, 21, "make", scope))},
			want:  []string{"program: make (pid 22) of uid 1000 in session 3 runs below tmux: server (pid 20)"},
		},
		"a circle": {sight: Sight{Processes: []Process{p(20, 21, "screen", scope), p(21, 20, "bash", scope)}}},

		// Remote sessions.
		"somebody at an idle shell": {sight: Sight{Processes: shell, Sessions: []evidence.Session{remote("user", "active")}}},
		"somebody who works": {
			sight: Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{remote("user", "active")}},
			want:  []string{"remote: vim (pid 12) of uid 1000 in session 3, which is logged in from another machine"},
		},
		"a session of another class": {
			sight: Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{remote("user-light", "online")}},
			want:  []string{"remote: vim (pid 12) of uid 1000 in session 3, which is logged in from another machine"},
		},
		"somebody far away in an idle tmux": {sight: Sight{
			Processes: append(slices.Clone(shell), p(12, 11, "tmux: server", scope), p(13, 12, "bash", scope)),
			Sessions:  []evidence.Session{remote("user", "active")},
		}},
		"the command line that asks": {sight: Sight{
			Processes: append(slices.Clone(shell), p(12, 11, "mode", scope), with(p(13, 11, "jq", scope), func(q *Process) { q.Asking = true })),
			Sessions:  []evidence.Session{remote("user", "active")},
		}},
		"a local session":        {sight: Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{{ID: "3", UID: 1000, Class: "user", Scope: "session-3.scope"}}}},
		"a manager":              {sight: Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{remote("manager", "active")}}},
		"a session that is over": {sight: Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{remote("user", "closing")}}},
		"a scope that leads elsewhere": {
			sight: Sight{Processes: []Process{p(12, 11, "vim", unit)}, Sessions: []evidence.Session{{ID: "3", UID: 1000, Class: "user", Remote: true, Scope: "user@1000.service/app.slice/build.service"}}},
		},
		"any remote session": {
			sight:  Sight{Processes: shell, Sessions: []evidence.Session{remote("user", "active")}},
			policy: func(j *config.GuardJobs) { j.RemoteSessions = config.RemoteAny },
			want:   []string{"remote: sshd-session (pid 10) of uid 1000 in session 3, which is logged in from another machine"},
		},
		"remote sessions are ignored": {
			sight:  Sight{Processes: append(slices.Clone(shell), p(12, 11, "vim", scope)), Sessions: []evidence.Session{remote("user", "active")}},
			policy: func(j *config.GuardJobs) { j.RemoteSessions = config.RemoteIgnored },
		},

		// Terminals.
		"terminals": {
			sight:  Sight{Processes: []Process{p(6, 5, "foot", scope), p(7, 6, "bash", scope), p(8, 7, "vim", scope), p(9, 6, "fish", scope)}},
			policy: func(j *config.GuardJobs) { j.Terminals = true },
			want:   []string{"foreground: vim (pid 8) of uid 1000 in session 3 runs below foot (pid 6)"},
		},

		"the worst comes first": {
			sight: Sight{
				Processes: append(slices.Clone(tmux), p(22, 21, "vim", scope), p(24, 21, "ninja", scope), p(40, 7, "pacman", scope), used(20, p(50, 7, "x", unit))),
				Groups:    []Group{group(unit, 66)},
			},
			want: []string{
				"package-manager: pacman (pid 40) of uid 1000 in session 3 is running",
				"program: ninja (pid 24) of uid 1000 in session 3 runs below tmux: server (pid 20)",
				"busy: x (pid 50) of uid 1000 in build.service of user@1000.service: 66 % of a processor are in use there",
				"multiplexed: vim (pid 22) of uid 1000 in session 3 runs below tmux: server (pid 20)",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			policy := config.Default().Guards.Jobs
			if tt.policy != nil {
				tt.policy(&policy)
			}
			var got []string
			for _, j := range Find(tt.sight, policy, compositors) {
				got = append(got, string(j.Kind)+": "+j.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJobNamesItsPlace(t *testing.T) {
	found := Find(Sight{Processes: []Process{p(30, 7, "make", scope), p(31, 7, "make", unit)}}, config.Default().Guards.Jobs, nil)
	want := []Job{
		{Kind: Program, PID: 30, Comm: "make", UID: 1000, Cgroup: scope, Session: "3", Unit: "session-3.scope"},
		{Kind: Program, PID: 31, Comm: "make", UID: 1000, Cgroup: unit, Unit: "user@1000.service", UserUnit: "build.service"},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDefaultNamesAreDistinct holds that no program is in two lists that say
// opposite things of it.
func TestDefaultNamesAreDistinct(t *testing.T) {
	j := config.Default().Guards.Jobs
	work, waits := slices.Concat(j.Programs, j.PackageManagers), slices.Concat(j.Multiplexers, j.Shells, j.Exempt, config.Default().Desktop.Compositors)
	for _, name := range work {
		if slices.Contains(waits, name) {
			t.Errorf("%s is both work and none", name)
		}
	}
	for name, seen := range count(slices.Concat(work, waits)) {
		if seen > 1 || len(name) > commLen || strings.TrimSpace(name) != name {
			t.Errorf("%q is there %d times", name, seen)
		}
	}
}

func count(names []string) map[string]int {
	n := map[string]int{}
	for _, name := range names {
		n[name]++
	}
	return n
}
