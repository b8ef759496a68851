package hosts

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	login1     = "org.freedesktop.login1"
	login1Path = "/org/freedesktop/login1"
)

// Login is the machine's logind. Sessions have the properties of the real
// one; what an archive does not give is filled in as a local session of its
// user would have it.
type Login struct {
	service
	manager    map[string]dbus.Variant
	sessions   []*session
	inhibitors []inhibitor
	vanishing  map[string]bool
	stubborn   map[string]bool
}

// loginFile is dbus/login1.json.
type loginFile struct {
	Manager    Props       `json:"manager"`
	Sessions   []Props     `json:"sessions"`
	Inhibitors []inhibitor `json:"inhibitors"`
}

// inhibitor is a row of ListInhibitors, in its order.
type inhibitor struct {
	What string `json:"what"`
	Who  string `json:"who"`
	Why  string `json:"why"`
	Mode string `json:"mode"`
	UID  uint32 `json:"uid"`
	PID  uint32 `json:"pid"`

	pipe *os.File // our end of the lock; nil for one of the archive
}

// dropReleased forgets the locks whose owners have closed their end.
func (l *Login) dropReleased() {
	l.inhibitors = slices.DeleteFunc(l.inhibitors, func(i inhibitor) bool {
		if i.pipe == nil {
			return false
		}
		poll := []unix.PollFd{{Fd: int32(i.pipe.Fd())}}
		_, err := unix.Poll(poll, 0)
		return err == nil && poll[0].Revents&unix.POLLHUP != 0
	})
}

// session is a session with what ListSessions tells of it.
type session struct {
	id, user, seat string
	uid            uint32
	props          Props
	typed          map[string]dbus.Variant
}

var sessionSchema = map[string]string{
	"Id": "s", "Name": "s", "VTNr": "u", "TTY": "s", "Display": "s", "Desktop": "s",
	"Remote": "b", "RemoteHost": "s", "RemoteUser": "s", "Service": "s", "Scope": "s",
	"Leader": "u", "Audit": "u", "Type": "s", "Class": "s", "Active": "b", "State": "s",
	"IdleHint": "b", "IdleSinceHint": "t", "IdleSinceHintMonotonic": "t", "LockedHint": "b",
	"Timestamp": "t", "TimestampMonotonic": "t",
}

var loginManagerSchema = map[string]string{
	"PreparingForShutdown": "b", "PreparingForSleep": "b", "BlockInhibited": "s",
	"DelayInhibited": "s", "IdleHint": "b", "KillUserProcesses": "b", "NCurrentSessions": "t",
}

func startLogin(t testing.TB, address string, data []byte) *Login {
	t.Helper()
	var file loginFile
	unmarshal(t, "dbus/login1.json", data, &file)
	l := &Login{vanishing: map[string]bool{}, stubborn: map[string]bool{}, inhibitors: file.Inhibitors}
	var err error
	l.manager, err = typed(over(Props{
		"PreparingForShutdown": false, "PreparingForSleep": false, "BlockInhibited": "",
		"DelayInhibited": "", "IdleHint": false, "KillUserProcesses": false,
		"NCurrentSessions": len(file.Sessions),
	}, file.Manager), loginManagerSchema)
	if err != nil {
		t.Fatalf("fixture dbus/login1.json: the manager: %v", err)
	}
	for _, p := range file.Sessions {
		s, err := newSession(p)
		if err != nil {
			t.Fatalf("fixture dbus/login1.json: session %v: %v", p["Id"], err)
		}
		l.sessions = append(l.sessions, s)
	}
	l.answer = l.dispatch
	t.Cleanup(func() {
		for _, i := range l.inhibitors {
			if i.pipe != nil {
				_ = i.pipe.Close()
			}
		}
	})
	l.serve(t, address, login1)
	return l
}

// newSession fills in what p leaves out. "UID" and "Seat" stand for the
// properties User and Seat, which are pairs.
func newSession(p Props) (*session, error) {
	s := &session{id: fmt.Sprint(p["Id"]), user: fmt.Sprint(p["Name"])}
	s.seat, _ = p["Seat"].(string)
	uid, err := variant("u", p["UID"])
	if err != nil {
		return nil, fmt.Errorf("UID: %w", err)
	}
	s.uid = uid.Value().(uint32)
	s.props = over(Props{
		"VTNr": 0, "TTY": "", "Display": "", "Desktop": "", "Remote": false, "RemoteHost": "",
		"RemoteUser": "", "Service": "", "Scope": "session-" + s.id + ".scope", "Leader": 0,
		"Audit": 0, "Type": "tty", "Class": "user", "Active": true, "State": "active",
		"IdleHint": false, "IdleSinceHint": 0, "IdleSinceHintMonotonic": 0, "LockedHint": false,
		"Timestamp": 1779926400000000, "TimestampMonotonic": 30000000,
	}, p)
	delete(s.props, "UID")
	delete(s.props, "Seat")
	return s, s.retype()
}

func (s *session) retype() error {
	type pair struct {
		Name string
		Path dbus.ObjectPath
	}
	type user struct {
		UID  uint32
		Path dbus.ObjectPath
	}
	values, err := typed(s.props, sessionSchema)
	if err != nil {
		return err
	}
	seatPath := dbus.ObjectPath("/")
	if s.seat != "" {
		seatPath = login1Path + "/seat/" + dbus.ObjectPath(s.seat)
	}
	for name, v := range map[string]dbus.Variant{
		"Seat": dbus.MakeVariant(pair{s.seat, seatPath}),
		"User": dbus.MakeVariant(user{s.uid, dbus.ObjectPath(fmt.Sprintf("%s/user/_%d", login1Path, s.uid))}),
	} {
		if _, raw := values[name]; !raw {
			values[name] = v
		}
	}
	s.typed = values
	return nil
}

// path is the session's object: logind escapes a leading digit.
func (s *session) path() dbus.ObjectPath {
	id := s.id
	if id[0] >= '0' && id[0] <= '9' {
		id = fmt.Sprintf("_%02x%s", id[0], id[1:])
	}
	return dbus.ObjectPath(login1Path + "/session/" + id)
}

// Vanish lets a session end between the list that names it and the question
// that describes it.
func (l *Login) Vanish(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vanishing[id] = true
}

// Stubborn lets a session survive TerminateSession: it goes to closing and
// stays, as one does whose process ignores the signals.
func (l *Login) Stubborn(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stubborn[id] = true
}

// SetSession changes properties of a session, by their D-Bus names.
func (l *Login) SetSession(id string, p Props) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sessions {
		if s.id == id {
			s.props = over(s.props, p)
			if err := s.retype(); err != nil {
				l.t.Fatalf("session %s: %v", id, err)
			}
			return
		}
	}
	l.t.Fatalf("the machine has no session %s", id)
}

// AddSession opens a session; see dbus/login1.json for the properties.
func (l *Login) AddSession(p Props) {
	l.t.Helper()
	s, err := newSession(p)
	if err != nil {
		l.t.Fatalf("session %v: %v", p["Id"], err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = append(l.sessions, s)
}

// EndSession removes a session.
func (l *Login) EndSession(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(id)
}

func (l *Login) end(id string) {
	l.sessions = slices.DeleteFunc(l.sessions, func(s *session) bool { return s.id == id })
}

func (l *Login) dispatch(r request) ([]any, func(), *dbus.Error) {
	if r.member == "GetAll" {
		return l.getAll(r)
	}
	if r.path != login1Path || r.iface != login1+".Manager" {
		return nil, nil, unknownMethod(r)
	}
	switch r.member {
	case "ListSessions":
		type row struct {
			ID   string
			UID  uint32
			User string
			Seat string
			Path dbus.ObjectPath
		}
		rows := []row{}
		for _, s := range l.sessions {
			rows = append(rows, row{s.id, s.uid, s.user, s.seat, s.path()})
		}
		return []any{rows}, nil, nil
	case "ListInhibitors":
		l.dropReleased()
		return []any{append([]inhibitor{}, l.inhibitors...)}, nil, nil
	case "TerminateSession":
		return l.terminate(r.str(0))
	case "Inhibit":
		read, write, err := os.Pipe()
		if err != nil {
			return nil, nil, errorOf("org.freedesktop.DBus.Error.Failed", "%v", err)
		}
		l.inhibitors = append(l.inhibitors, inhibitor{
			What: r.str(0), Who: r.str(1), Why: r.str(2), Mode: r.str(3), PID: uint32(os.Getpid()), pipe: read,
		})
		return []any{dbus.UnixFD(write.Fd())}, func() { _ = write.Close() }, nil
	}
	return nil, nil, unknownMethod(r)
}

func noSession(id string) *dbus.Error {
	return errorOf("org.freedesktop.login1.NoSuchSession", "No session '%s' known", id)
}

func (l *Login) find(id string) *session {
	for _, s := range l.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (l *Login) terminate(id string) ([]any, func(), *dbus.Error) {
	s := l.find(id)
	if s == nil {
		return nil, nil, noSession(id)
	}
	if l.stubborn[id] {
		s.props["State"] = "closing"
		if err := s.retype(); err != nil {
			panic(err) // the properties were right before
		}
		return nil, nil, nil
	}
	l.end(id)
	return nil, nil, nil
}

func (l *Login) getAll(r request) ([]any, func(), *dbus.Error) {
	if r.path == login1Path {
		return []any{l.manager}, nil, nil
	}
	for _, s := range l.sessions {
		if s.path() != r.path {
			continue
		}
		if l.vanishing[s.id] {
			l.end(s.id)
			break
		}
		return []any{s.typed}, nil, nil
	}
	return nil, nil, unknownObject(r.path)
}
