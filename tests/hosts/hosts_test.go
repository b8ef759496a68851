package hosts_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/systemd"
	"github.com/ryjen/dubnium/tests/hosts"
	"golang.org/x/sys/unix"
)

// asked are the units that the observer asks for.
var asked = []string{
	"desktop.target", "compute.target", "graphical.target", "multi-user.target", "display-manager.service",
	"vllm.service", "studio-local-policy.service", "audio-priority.service",
	"interactive.slice", "ai.slice", "platform.slice", "user.slice",
	"mode-controller@desktop.service", "mode-controller@studio-local.service", "mode-controller@compute.service",
}

// look asks a machine's services everything, as the observer does.
func look(t *testing.T, h *hosts.Host) (login.State, systemd.State) {
	t.Helper()
	conn, err := bus.Dial(t.Context(), h.Root())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l := login.NewQuery()
	s := systemd.NewQuery(asked, "vllm.service", "display-manager.service", "interactive.slice", "ai.slice", "platform.slice")
	if err := conn.Batch(t.Context(), slices.Concat(l.Calls(), s.Calls())...); err != nil {
		t.Fatal(err)
	}
	if err := conn.Batch(t.Context(), slices.Concat(l.Follow(), s.Follow())...); err != nil {
		t.Fatal(err)
	}
	ls, err := l.Result()
	if err := errors.Join(err, ls.InhibitorsErr, ls.ManagerErr, errors.Join(ls.Problems...)); err != nil {
		t.Fatal(err)
	}
	ss, err := s.Result()
	if err := errors.Join(err, ss.ManagerErr, errors.Join(ss.Problems...)); err != nil {
		t.Fatal(err)
	}
	if got := conn.RoundTrips(); got != 3 {
		t.Errorf("the look took %d round trips, want 3", got)
	}
	return ls, ss
}

// TestMachines says in a line or two what each machine is.
func TestMachines(t *testing.T) {
	const overlay = "studio-local-policy.service audio-priority.service "
	tests := map[string]struct{ sessions, active, boot string }{
		"idle-desktop":            {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service", "running"},
		"greeter":                 {"c1:wayland/greeter/active c2:unspecified/manager-early/active", "desktop.target graphical.target multi-user.target display-manager.service", "running"},
		"studio":                  {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service " + strings.TrimSpace(overlay), "running"},
		"compute":                 {"", "compute.target multi-user.target vllm.service", "running"},
		"desktop-vllm-conflict":   {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service vllm.service", "running"},
		"both-targets":            {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target compute.target graphical.target multi-user.target display-manager.service", "running"},
		"closing-zombie":          {"2:wayland/user/closing 3:unspecified/manager/active", "multi-user.target", "running"},
		"closing-held":            {"2:tty/user/closing 3:unspecified/manager/active", "multi-user.target", "running"},
		"logind-restarted":        {"2:tty/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service", "running"},
		"transition-running":      {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target", "running"},
		"transition-interrupted":  {"3:unspecified/manager/active", "desktop.target multi-user.target", "degraded"},
		"last-failed":             {"", "multi-user.target", "degraded"},
		"desktop-playing":         {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service", "running"},
		"desktop-stale-holder":    {"2:wayland/user/active 3:unspecified/manager/active", "desktop.target graphical.target multi-user.target display-manager.service", "running"},
		"compute-stale-holder":    {"2:tty/user/closing", "compute.target multi-user.target vllm.service", "running"},
		"compute-session-closing": {"2:tty/user/closing", "compute.target multi-user.target vllm.service", "running"},
		"compute-display-holder":  {"5:tty/user/active", "compute.target multi-user.target vllm.service", "running"},
		"booting":                 {"", "", "starting"},
		"empty":                   {"", "multi-user.target", "running"},
	}
	var names []string
	for name := range tests {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, hosts.Names()); diff != "" {
		t.Errorf("every machine has a line here (-here +there):\n%s", diff)
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			h := hosts.Start(t, name)
			ls, ss := look(t, h)
			got := want
			var sessions, active []string
			for _, s := range ls.Sessions {
				sessions = append(sessions, fmt.Sprintf("%s:%s/%s/%s", s.ID, s.Type, s.Class, s.State))
			}
			for _, u := range ss.Units {
				if u.Active() && !strings.HasSuffix(u.Asked, ".slice") {
					active = append(active, u.Asked)
				}
			}
			got.sessions, got.active, got.boot = strings.Join(sessions, " "), strings.Join(active, " "), ss.SystemState
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			consistent(t, h, ls, ss)
		})
	}
}

// consistent holds a machine's files against each other and its services: a
// process is where its cgroup says, and whom the services name is there.
func consistent(t *testing.T, h *hosts.Host, ls login.State, ss systemd.State) {
	t.Helper()
	root := h.Root()
	for _, file := range []string{"proc/meminfo", "proc/loadavg", "proc/locks", "proc/sys/kernel/random/boot_id"} {
		if data, err := root.ReadFile(file); err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", file, len(data), err)
		}
	}
	cgroupOf := map[int]string{}
	names, err := root.ReadDirNames("proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		for _, file := range []string{"stat", "comm", "status"} {
			if data, err := root.ReadFile(filepath.Join("proc", name, file)); err != nil || len(data) == 0 {
				t.Errorf("process %d: %s: %d bytes, %v", pid, file, len(data), err)
			}
		}
		data, err := root.ReadFile(filepath.Join("proc", name, "cgroup"))
		if err != nil {
			t.Fatal(err)
		}
		cgroupOf[pid] = strings.TrimPrefix(strings.TrimSpace(string(data)), "0::")
	}
	if diff := cmp.Diff(cgroupOf, membership(t, h)); diff != "" {
		t.Errorf("proc and the cgroup tree differ (-proc +cgroups):\n%s", diff)
	}
	for _, s := range ls.Sessions {
		if s.Leader != 0 && cgroupOf[int(s.Leader)] == "" {
			t.Errorf("session %s is led by process %d, which is not there", s.ID, s.Leader)
		}
		if path := s.ScopePath(); path != "" {
			if _, err := root.Stat("sys/fs/cgroup/" + path); err != nil {
				t.Errorf("session %s: %v", s.ID, err)
			}
		}
	}
	for _, u := range ss.Units {
		if u.MainPID != 0 && cgroupOf[int(u.MainPID)] != u.ControlGroup {
			t.Errorf("unit %s: main process %d is in %q, the unit's is %q", u.Name, u.MainPID, cgroupOf[int(u.MainPID)], u.ControlGroup)
		}
	}
}

// membership reads the cgroup tree: which process is in which group. It checks
// that a group is populated when it, or one below, has a process.
func membership(t *testing.T, h *hosts.Host) map[int]string {
	t.Helper()
	top := h.Root().Path("sys/fs/cgroup")
	member := map[int]string{}
	populated := map[string]bool{}
	err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		group := strings.TrimPrefix(filepath.Dir(path), top)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			pid, err := strconv.Atoi(lines.Text())
			if err != nil {
				return err
			}
			member[pid] = "/" + strings.TrimPrefix(group, "/")
			for g := group; g != "" && g != "/"; g = filepath.Dir(g) {
				populated[g] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.events" {
			return err
		}
		group := strings.TrimPrefix(filepath.Dir(path), top)
		data, err := os.ReadFile(path)
		if want := fmt.Sprintf("populated %d\n", btoi(populated[group])); err == nil && !strings.HasPrefix(string(data), want) {
			t.Errorf("%s says %q, want %q", group, data, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return member
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ask is one question to a service of the machine, within a short time.
func ask(t *testing.T, h *hosts.Host, call *bus.Call) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	conn, err := bus.Dial(ctx, h.Root())
	if err != nil {
		return err
	}
	defer conn.Close()
	return errors.Join(conn.Batch(ctx, call), call.Err)
}

func sessionsCall() *bus.Call {
	return &bus.Call{Dest: "org.freedesktop.login1", Path: "/org/freedesktop/login1", Method: "org.freedesktop.login1.Manager.ListSessions"}
}

func unitsCall() *bus.Call {
	return &bus.Call{
		Dest: "org.freedesktop.systemd1", Path: "/org/freedesktop/systemd1",
		Method: "org.freedesktop.systemd1.Manager.ListUnitsByNames", Args: []any{asked},
	}
}

func TestFaults(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.HangLogin()
	if err := ask(t, h, sessionsCall()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("logind that hangs: got %v", err)
	}
	if err := ask(t, h, unitsCall()); err != nil {
		t.Errorf("systemd beside a logind that hangs: %v", err)
	}
	h.Resume()
	if err := ask(t, h, sessionsCall()); err != nil {
		t.Errorf("logind after Resume: %v", err)
	}
	h.Hang()
	if err := ask(t, h, unitsCall()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("systemd that hangs: got %v", err)
	}
	h.Resume()
	h.StopBus()
	if err := ask(t, h, sessionsCall()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a bus that was stopped: got %v", err)
	}
	h.ContinueBus()
	if err := ask(t, h, sessionsCall()); err != nil {
		t.Errorf("the bus after it went on: %v", err)
	}
	h.KillBus()
	if err := ask(t, h, sessionsCall()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a bus that was killed: got %v", err)
	}
}

func TestLockIsHeld(t *testing.T) {
	h := hosts.Start(t, "transition-running")
	path := h.Root().Path("run/mode-controller/lock")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("the lock of a transition under way: got %v", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	locks, err := h.Root().ReadFile("proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("FLOCK  ADVISORY  WRITE 4711 %02x:%02x:%d 0 EOF", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	if !strings.Contains(string(locks), want) {
		t.Errorf("proc/locks has no %q:\n%s", want, locks)
	}
}
