package login_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/tests/hosts"
)

func dial(t testing.TB, h *hosts.Host) *bus.Conn {
	t.Helper()
	conn, err := bus.Dial(t.Context(), h.Root())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask runs a whole query.
func ask(t testing.TB, h *hosts.Host) (login.State, error) {
	t.Helper()
	conn := dial(t, h)
	q := login.NewQuery()
	if err := conn.Batch(t.Context(), q.Calls()...); err != nil {
		t.Fatal(err)
	}
	if err := conn.Batch(t.Context(), q.Follow()...); err != nil {
		t.Fatal(err)
	}
	return q.Result()
}

func TestQuery(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Login.SetSession("2", hosts.Props{
		"Desktop": "Hyprland", "LockedHint": true, "IdleHint": true, "IdleSinceHint": 1779926400000001,
		"IdleSinceHintMonotonic": 77, "Display": ":0",
	})
	got, err := ask(t, h)
	if err != nil {
		t.Fatal(err)
	}
	want := login.State{
		Sessions: []login.Session{
			{
				ID: "2", UID: 1000, User: "ada", Seat: "seat0", VT: 1, Type: "wayland", Class: "user",
				State: "active", Active: true, Leader: 1520, Scope: "session-2.scope", Service: "greetd",
				Desktop: "Hyprland", TTY: "tty1", Display: ":0", Locked: true, Idle: true,
				IdleSinceUsec: 1779926400000001, IdleSinceMonotonicUsec: 77,
				Path: "/org/freedesktop/login1/session/_32",
			},
			{
				ID: "3", UID: 1000, User: "ada", Type: "unspecified", Class: "manager", State: "active",
				Active: true, Leader: 1530, Service: "systemd-user", Path: "/org/freedesktop/login1/session/_33",
			},
		},
		Inhibitors: []login.Inhibitor{
			{What: []string{"sleep"}, Who: "Hyprland", Why: "lock before sleep", Mode: "delay", UID: 1000, PID: 1604},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTolerance: values and types that nobody expected break nothing and are
// not passed over in silence.
func TestTolerance(t *testing.T) {
	h := hosts.Start(t, "greeter")
	h.Login.SetSession("c1", hosts.Props{
		"Type": "hologram", "State": "dreaming",
		"raw": map[string]any{"Class": "uint32 7", "VTNr": "'one'", "Frobnicated": "[1, 2, 3]", "Seat": "'seat0'"},
	})
	got, err := ask(t, h)
	if err != nil {
		t.Fatal(err)
	}
	s := got.Sessions[0]
	if s.Type != "hologram" || s.State != "dreaming" || s.Class != "" || s.VT != 0 || s.Seat != "seat0" {
		t.Errorf("got %+v", s)
	}
	var problems []string
	for _, p := range got.Problems {
		problems = append(problems, p.Error())
	}
	want := []string{
		"property VTNr of session c1 is string, which is not the type it should have",
		"property Class of session c1 is uint32, which is not the type it should have",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	if len(got.Sessions) != 2 {
		t.Errorf("%d sessions, want the other one too", len(got.Sessions))
	}
}

func TestVanishedSession(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Login.Vanish("2")
	got, err := ask(t, h)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Sessions) != 1 || got.Sessions[0].ID != "3" {
		t.Errorf("got %+v, want session 3 alone", got.Sessions)
	}
}

func TestCouldNotLook(t *testing.T) {
	const denied = "org.freedesktop.DBus.Error.AccessDenied"
	t.Run("sessions", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Login.Refuse("ListSessions", denied)
		got, err := ask(t, h)
		if !bus.IsAccessDenied(err) || len(got.Sessions) != 0 || len(got.Inhibitors) != 1 || got.InhibitorsErr != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("inhibitors", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Login.Refuse("ListInhibitors", denied)
		got, err := ask(t, h)
		if err != nil || !bus.IsAccessDenied(got.InhibitorsErr) || len(got.Sessions) != 2 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("properties", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Login.Refuse("GetAll", denied)
		got, err := ask(t, h)
		if !bus.IsAccessDenied(err) || !bus.IsAccessDenied(got.ManagerErr) || len(got.Sessions) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("no logind", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.HangLogin()
		q := login.NewQuery()
		for _, c := range q.Calls() {
			c.Err = errors.New("hung")
		}
		got, err := q.Result()
		if err == nil || got.InhibitorsErr == nil || got.ManagerErr == nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("never followed", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		q := login.NewQuery()
		if err := dial(t, h).Batch(t.Context(), q.Calls()...); err != nil {
			t.Fatal(err)
		}
		if got, err := q.Result(); err == nil {
			t.Errorf("sessions that were listed and not read are no error: %+v", got)
		}
	})
}

func TestPreparing(t *testing.T) {
	archive := hosts.Load(t, "empty")
	for i, f := range archive.Files {
		if f.Name == "dbus/login1.json" {
			archive.Files[i].Data = []byte(`{"manager": {"PreparingForSleep": true, "raw": {"PreparingForShutdown": "'yes'"}}}`)
		}
	}
	got, err := ask(t, hosts.StartArchive(t, archive))
	if err != nil || !got.PreparingForSleep || got.PreparingForShutdown || got.ManagerErr == nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestScopePath(t *testing.T) {
	tests := map[string]struct {
		session login.Session
		scope   string
	}{
		"named":         {login.Session{ID: "2", UID: 1000, Class: "user", Scope: "session-2.scope"}, "user.slice/user-1000.slice/session-2.scope"},
		"unnamed":       {login.Session{ID: "c9", UID: 5, Class: "greeter"}, "user.slice/user-5.slice/session-c9.scope"},
		"unknown class": {login.Session{ID: "5", UID: 1000, Class: "hologram"}, "user.slice/user-1000.slice/session-5.scope"},
		"manager":       {login.Session{ID: "3", UID: 1000, Class: "manager"}, ""},
		"manager-early": {login.Session{ID: "3", UID: 1000, Class: "manager-early"}, ""},
		"odd scope":     {login.Session{ID: "6", UID: 1000, Class: "user", Scope: "../../x.scope"}, ""},
		"odd id":        {login.Session{ID: "../6", UID: 1000, Class: "user"}, ""},
	}
	for name, tt := range tests {
		if got := tt.session.ScopePath(); got != tt.scope {
			t.Errorf("%s: got %q, want %q", name, got, tt.scope)
		}
	}
}

func TestByDisplayManager(t *testing.T) {
	for service, want := range map[string]bool{
		"greetd": true, "greetd-greeter": true, "gdm-password": true, "gdm-launch-environment": true, "sddm": true,
		"sddm-autologin": true, "lightdm-greeter": true, "ly": true, "": false, "login": false, "sshd": false, "lynx": false,
		"greetdish": false, "systemd-user": false, "cosmic": false, "cosmic-greeter": true,
	} {
		if got := login.ByDisplayManager(service); got != want {
			t.Errorf("%q: %v, want %v", service, got, want)
		}
	}
}

func TestActions(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h)
	if err := login.TerminateSession(t.Context(), conn, "99"); !bus.IsUnknownObject(err) {
		t.Errorf("terminate a session that is not there: %v", err)
	}
	h.Login.Stubborn("2")
	if err := login.TerminateSession(t.Context(), conn, "2"); err != nil {
		t.Error(err)
	}
	state, err := ask(t, h)
	if err != nil || state.Sessions[0].State != "closing" {
		t.Errorf("a session that resists: %+v, %v", state.Sessions, err)
	}
	if err := login.TerminateSession(t.Context(), conn, "3"); err != nil {
		t.Error(err)
	}
	state, err = ask(t, h)
	if err != nil || len(state.Sessions) != 1 {
		t.Errorf("after the end of session 3: %+v, %v", state.Sessions, err)
	}
	want := []string{"TerminateSession 99", "TerminateSession 2", "TerminateSession 3"}
	if diff := cmp.Diff(want, h.Calls()); diff != "" {
		t.Errorf("what logind was asked, -want +got:\n%s", diff)
	}
	h.Login.Refuse("TerminateSession", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
	if err := login.TerminateSession(t.Context(), conn, "2"); !bus.IsAccessDenied(err) {
		t.Errorf("polkit says no: %v", err)
	}
}

func TestInhibit(t *testing.T) {
	h := hosts.Start(t, "empty")
	conn := dial(t, h)
	lock, err := login.Inhibit(t.Context(), conn, "shutdown:sleep", "dubnium", "a mode transition", "block")
	if err != nil {
		t.Fatal(err)
	}
	held := func() []login.Inhibitor {
		state, err := ask(t, h)
		if err := errors.Join(err, state.InhibitorsErr); err != nil {
			t.Fatal(err)
		}
		return state.Inhibitors
	}
	if got := held(); len(got) != 1 || !slices.Equal(got[0].What, []string{"shutdown", "sleep"}) || got[0].Mode != "block" {
		t.Errorf("while it is held: %+v", got)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if got := held(); len(got) != 0 {
		t.Errorf("after it was released: %+v", got)
	}
}
