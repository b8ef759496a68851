package collect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/tests/hosts"
)

func TestSessions(t *testing.T) {
	const scope = "sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"
	yes, no := true, false
	for name, tt := range map[string]struct {
		host   string
		change func(h *hosts.Host)
		want   *bool // whether session 2 is populated
	}{
		"active: nobody asks":      {"idle-desktop", nil, nil},
		"closing, empty":           {"closing-zombie", nil, &no},
		"closing, held":            {"closing-held", nil, &yes},
		"closing, its scope gone":  {"closing-held", func(h *hosts.Host) { h.Remove(scope) }, &no},
		"closing, nobody can tell": {"closing-held", func(h *hosts.Host) { h.Write(scope+"/cgroup.events", "rubbish") }, nil},
		"closing, no cgroups":      {"closing-held", func(h *hosts.Host) { h.Remove("sys/fs/cgroup/cgroup.controllers") }, nil},
		"a scope that leads elsewhere": {"closing-zombie", func(h *hosts.Host) {
			h.Login.SetSession("2", hosts.Props{"Scope": "../../../system.slice"})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, tt.host)
			if tt.change != nil {
				tt.change(h)
			}
			got, err := Sessions(h.Root(), Ask(t.Context(), h.Root(), nil))
			if err != nil || len(got) != 2 || got[0].ID != "2" {
				t.Fatalf("%+v, %v", got, err)
			}
			if diff := cmp.Diff(tt.want, got[0].Populated); diff != "" {
				t.Errorf("populated (-want +got):\n%s", diff)
			}
			if got[0].Zombie() != (tt.want == &no) {
				t.Errorf("a zombie: %v", got[0].Zombie())
			}
		})
	}
}

func TestSessionThatEnds(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Login.Vanish("2")
	got, err := Sessions(h.Root(), Ask(t.Context(), h.Root(), nil))
	if err != nil || len(got) != 1 || got[0].ID != "3" {
		t.Errorf("a session that ends between two questions: %+v, %v", got, err)
	}
}

func TestSession(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	got, err := Sessions(h.Root(), Ask(t.Context(), h.Root(), nil))
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Session{
		ID: "2", UID: 1000, User: "ada", Type: "wayland", Class: "user", State: "active", Seat: "seat0", VT: 1,
		Service: "greetd", Leader: 1520, Scope: "session-2.scope",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnits(t *testing.T) {
	h := hosts.Start(t, "last-failed")
	a := Ask(t.Context(), h.Root(), []string{"display-manager.service", "vllm.service", "none.service"}, "greetd.service")
	for name, want := range map[string]evidence.Unit{
		"display-manager.service": {Name: "display-manager.service", ID: "greetd.service", Load: "loaded", Active: "failed", Sub: "failed"},
		"vllm.service":            {Name: "vllm.service", Load: "loaded", Active: "inactive", Sub: "dead"},
		"none.service":            {Name: "none.service", Load: "not-found", Active: "inactive", Sub: "dead"},
		"greetd.service":          {Name: "greetd.service", Load: "loaded", Active: "failed", Sub: "failed", Result: "start-limit-hit"},
	} {
		if diff := cmp.Diff(want, Unit(a, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if a.RoundTrips > 3 {
		t.Errorf("%d round trips", a.RoundTrips)
	}
	if a.LoginErr != nil || a.SystemdErr != nil || a.Systemd.SystemState != "degraded" {
		t.Errorf("%v, %v, %q", a.LoginErr, a.SystemdErr, a.Systemd.SystemState)
	}
}

// TestOneServiceFails holds that a service that is silent or refuses takes
// nothing from what the other one said.
func TestOneServiceFails(t *testing.T) {
	for name, tt := range map[string]struct {
		change         func(h *hosts.Host)
		login, systemd bool // answered
	}{
		"both":            {func(*hosts.Host) {}, true, true},
		"logind silent":   {(*hosts.Host).HangLogin, false, true},
		"systemd silent":  {(*hosts.Host).HangSystemd, true, false},
		"logind refuses":  {func(h *hosts.Host) { h.Login.Refuse("ListSessions", "org.freedesktop.DBus.Error.Failed") }, false, true},
		"systemd refuses": {func(h *hosts.Host) { h.Systemd.Refuse("ListUnitsByNames", "org.freedesktop.DBus.Error.Failed") }, true, false},
		"bus crashed":     {(*hosts.Host).KillBus, false, false},
		"bus stopped":     {(*hosts.Host).StopBus, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, "idle-desktop")
			tt.change(h)
			const limit = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begin := time.Now()
			a := Ask(ctx, h.Root(), []string{"desktop.target"}, "ai.slice")
			if took := time.Since(begin); took > 2*limit {
				t.Errorf("took %v", took)
			}
			if (a.LoginErr == nil) != tt.login || (a.SystemdErr == nil) != tt.systemd {
				t.Errorf("logind: %v\nsystemd: %v", a.LoginErr, a.SystemdErr)
			}
			if tt.login && len(a.Login.Sessions) != 2 || tt.systemd && !a.Systemd.Unit("desktop.target").Up() {
				t.Errorf("%d sessions, desktop.target is %+v", len(a.Login.Sessions), a.Systemd.Unit("desktop.target"))
			}
		})
	}
}

func TestCompositors(t *testing.T) {
	names := config.Default().Desktop.Compositors
	h := hosts.Start(t, "idle-desktop")
	look := func() ([]evidence.Process, error) { return Compositors(t.Context(), h.Root(), names) }
	got, err := look()
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	p := got[0]
	if p.PID != 1604 || p.Comm != "Hyprland" || p.Session != "2" || p.Unit != "session-2.scope" || p.UserUnit != "" || !p.OfUser() {
		t.Errorf("%+v", p)
	}
	h.Write("proc/1604/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/session.slice/hyprland.service\n")
	if got, err = look(); err != nil || got[0].UserUnit != "hyprland.service" || got[0].Session != "" {
		t.Errorf("%+v, %v", got, err)
	}
	stat, err := h.Root().ReadFile("proc/1604/stat")
	if err != nil {
		t.Fatal(err)
	}
	h.Write("proc/1604/stat", strings.Replace(string(stat), ") S ", ") Z ", 1))
	if got, err = look(); err != nil || len(got) != 0 {
		t.Errorf("a dead one counts: %+v, %v", got, err)
	}
	h.Remove("proc/1")
	if _, err := look(); err == nil || !strings.Contains(err.Error(), "hidepid") {
		t.Errorf("what is hidden is not told: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	for cgroup, want := range map[string]string{
		"/user.slice/user-1000.slice/session-2.scope":                                  "session 2",
		"/user.slice/user-1000.slice/user@1000.service/session.slice/pipewire.service": "pipewire.service of user@1000.service",
		"/system.slice/greetd.service":                                                 "greetd.service",
		"/":                                                                            "cgroup /",
	} {
		if got := Describe(cgroup); got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Within(ctx, "/slow", func() (int, error) { <-forever; return 1, nil }); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "read /slow") {
		t.Errorf("a reader that hangs: %v", err)
	}
	if n, err := Within(t.Context(), "/fast", func() (int, error) { return 1, nil }); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	want := errors.New("no")
	if _, err := Within(t.Context(), "/bad", func() (int, error) { return 0, want }); !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}
