package machine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestDesktop holds the stand-in display manager to the behaviour of a real one.
func TestDesktop(t *testing.T) {
	t.Parallel()
	m := Start(t, Options{})
	first, err := m.WaitSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Session{User: "tester", Type: "wayland", Class: "user", State: "active", Seat: "seat0", Desktop: "sway"}
	if diff := cmp.Diff(want, first, cmpopts.IgnoreFields(Session{}, "ID", "Leader", "Path")); diff != "" {
		t.Error(diff)
	}
	if comm := m.MustRun(t, "ps", "-o", "comm=", "-p", fmt.Sprint(first.Leader)); comm != "sway\n" {
		t.Errorf("the session's leader is %q", comm)
	}

	// An ended session is followed by another.
	m.MustRun(t, "loginctl", "terminate-session", first.ID)
	m.Eventually(t, 10*time.Second, func() error {
		s, err := m.WaitSession(t.Context())
		if err == nil && s.ID == first.ID {
			return fmt.Errorf("session %s is still there", s.ID)
		}
		return err
	})

	// Stopped through the alias, from the host, the display manager takes the session along.
	conn, err := dbus.NewConnection(func() (*godbus.Conn, error) {
		return godbus.Connect(m.BusAddress())
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan string, 1)
	if _, err := conn.StopUnitContext(t.Context(), "display-manager.service", "fail", done); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "done" {
		t.Errorf("stopping the display manager: %s", got)
	}
	m.Eventually(t, 10*time.Second, func() error {
		sessions, err := m.Sessions(t.Context())
		for _, s := range sessions {
			if s.Class == "user" {
				return fmt.Errorf("left: %+v", s)
			}
		}
		return err
	})
	if r := m.Run(t.Context(), "pgrep", "sway"); r.Code != 1 {
		t.Errorf("the compositor is left: %s", r)
	}
	m.MustRun(t, "systemctl", "start", "display-manager.service")
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoDesktop(t *testing.T) {
	t.Parallel()
	m := Start(t, Options{NoDesktop: true})
	sessions, err := m.Sessions(t.Context())
	if err != nil || len(sessions) > 0 {
		t.Errorf("sessions %+v, %v", sessions, err)
	}
	if r := m.Run(t.Context(), "systemctl", "cat", "display-manager.service"); r.Code == 0 {
		t.Errorf("%s", r)
	}
	if got := m.MustRun(t, "systemctl", "is-system-running"); strings.TrimSpace(got) != "running" {
		t.Errorf("is-system-running: %s", got)
	}
}
