// Package login reads sessions and inhibitors from logind and asks it to end
// sessions.
//
// Decoding is by hand and tolerant: a property, a type or a value that this
// package has never heard of is kept as it came and breaks nothing. Tools that
// decoded logind's enumerations strictly have died of a new session class.
// What could not be read is reported beside what could.
package login

import (
	"fmt"
	"strings"
)

// Classes of the managers that run a user's services. They outlive what people
// call a session.
const (
	classManager      = "manager"
	classManagerEarly = "manager-early"
)

// Session is one session as logind describes it. Strings are logind's own; an
// empty one was not given, or could not be read and is then in State.Problems.
type Session struct {
	ID      string
	UID     uint32
	User    string // login name
	Seat    string // "seat0", or empty for a remote session
	VT      uint32 // 0 without a virtual terminal
	Type    string // how it is displayed; falls back to "tty" when logind restarts
	Class   string // what it is for
	State   string // "opening", "online" (in the background), "active" or "closing", which may last for ever
	Active  bool   // in the foreground of its seat; may read true while closing
	Remote  bool
	Leader  uint32 // process that logind was told about; 0 once it is gone
	Scope   string // unit that holds the session's processes
	Service string // PAM service that opened it
	Desktop string // often empty
	TTY     string
	Display string // X11 display name
	Locked  bool   // many lockers never tell: false proves nothing
	Idle    bool   // many compositors never tell: false proves nothing
	// IdleSinceUsec and IdleSinceMonotonicUsec say when Idle last changed, in
	// microseconds since the epoch and since boot; 0 when it never did.
	IdleSinceUsec          uint64
	IdleSinceMonotonicUsec uint64
	Path                   string // D-Bus object path
}

// ScopePath is the cgroup that holds the session's own processes, relative to
// the root of the cgroup tree. It is empty for a session that has none: a
// manager's processes live below user@UID.service.
func (s Session) ScopePath() string {
	scope := s.Scope
	if scope == "" {
		if s.ID == "" || s.Class == classManager || s.Class == classManagerEarly {
			return ""
		}
		scope = "session-" + s.ID + ".scope"
	}
	if strings.ContainsRune(scope, '/') {
		return "" // no unit name; it must not lead out of the user's slice
	}
	return fmt.Sprintf("user.slice/user-%d.slice/%s", s.UID, scope)
}

// Inhibitor is a lock that some program took against shutdown, sleep or the
// like.
type Inhibitor struct {
	What []string // "shutdown", "sleep", "idle", "handle-lid-switch", ...
	Who  string   // program, for people
	Why  string   // reason, for people
	Mode string   // "block", "delay" or "block-weak"; others are possible
	UID  uint32
	PID  uint32
}

// State is what logind knew at one moment.
type State struct {
	Sessions   []Session // those that could be described; one that ended in between is left out
	Inhibitors []Inhibitor

	PreparingForShutdown bool
	PreparingForSleep    bool

	// InhibitorsErr and ManagerErr say why the inhibitors, or the Preparing
	// flags, could not be read; what they belong to is then empty, which
	// means nothing.
	InhibitorsErr error
	ManagerErr    error

	// Problems lists single properties that had a type nobody expected. The
	// field concerned is empty.
	Problems []error
}
