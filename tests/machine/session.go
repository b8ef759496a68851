package machine

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Session is a login session of the machine, as logind describes it.
type Session struct {
	ID, User, Type, Class, State, Seat, Desktop string
	Leader                                      uint32 // as the machine counts
	Path                                        dbus.ObjectPath
}

const (
	loginName = "org.freedesktop.login1"
	loginPath = dbus.ObjectPath("/org/freedesktop/login1")
)

// sessionTimeout bounds WaitSession when its context has no deadline.
const sessionTimeout = 15 * time.Second

// WaitSession waits until the desktop is up: an active session of Type wayland and Class user, and
// a display manager without a start job, which would make a stop in job mode "fail" fail.
func (m *Machine) WaitSession(ctx context.Context) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	conn, err := dbus.Connect(m.BusAddress(), dbus.WithContext(ctx))
	if err != nil {
		return Session{}, fmt.Errorf("connect to the bus of %s: %w", m.name, err)
	}
	defer conn.Close()
	for {
		sessions, err := listSessions(ctx, conn)
		if err != nil {
			return Session{}, fmt.Errorf("list the sessions of %s: %w", m.name, err)
		}
		for _, s := range sessions {
			if s.Type == "wayland" && s.Class == "user" && s.State == "active" && displayManagerActive(ctx, conn) {
				return s, nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond): // logind doesn't signal a change of State
		case <-ctx.Done():
			return Session{}, fmt.Errorf("wait for a wayland session in %s: %w; there are %+v", m.name, ctx.Err(), sessions)
		}
	}
}

func displayManagerActive(ctx context.Context, conn *dbus.Conn) bool {
	const unit = dbus.ObjectPath("/org/freedesktop/systemd1/unit/display_2dmanager_2eservice")
	var state string
	err := conn.Object("org.freedesktop.systemd1", unit).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0,
		"org.freedesktop.systemd1.Unit", "ActiveState").Store(&state)
	return err == nil && state == "active"
}

// Sessions lists the machine's sessions.
func (m *Machine) Sessions(ctx context.Context) ([]Session, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	conn, err := dbus.Connect(m.BusAddress(), dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("connect to the bus of %s: %w", m.name, err)
	}
	defer conn.Close()
	sessions, err := listSessions(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", m.name, err)
	}
	return sessions, nil
}

func listSessions(ctx context.Context, conn *dbus.Conn) ([]Session, error) {
	var list []struct {
		ID   string
		UID  uint32
		User string
		Seat string
		Path dbus.ObjectPath
	}
	call := conn.Object(loginName, loginPath).CallWithContext(ctx, loginName+".Manager.ListSessions", 0)
	if err := call.Store(&list); err != nil {
		return nil, err
	}
	var sessions []Session
	for _, l := range list {
		var p map[string]dbus.Variant
		call := conn.Object(loginName, l.Path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, loginName+".Session")
		if call.Store(&p) != nil {
			continue // it has just ended
		}
		s := Session{ID: l.ID, User: l.User, Seat: l.Seat, Path: l.Path}
		s.Type, _ = p["Type"].Value().(string)
		s.Class, _ = p["Class"].Value().(string)
		s.State, _ = p["State"].Value().(string)
		s.Desktop, _ = p["Desktop"].Value().(string)
		s.Leader, _ = p["Leader"].Value().(uint32)
		sessions = append(sessions, s)
	}
	return sessions, nil
}
