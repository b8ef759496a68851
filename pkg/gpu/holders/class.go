package holders

import (
	"path"
	"slices"
	"strings"
)

// Class is what a holder is to the machine.
type Class string

// The classes of holders.
const (
	// Broker is process 1 and logind, which hold a session's DRM nodes as long
	// as the session lasts: nobody's work, but a sign that it is being torn down.
	Broker Class = "broker"
	// Kernel is a thread of the kernel.
	Kernel Class = "kernel"
	// Benign is a known service or program that only looks or keeps the driver
	// loaded: persistence, power, monitoring.
	Benign Class = "benign"
	// Workload is the compute workload and what else lives in ai.slice.
	Workload Class = "compute-workload"
	// Greeter is a login screen.
	Greeter Class = "greeter"
	// DisplayManager is a process of the login path itself.
	DisplayManager Class = "display-manager"
	// Compositor draws a desktop, inside of a session or outside.
	Compositor Class = "compositor"
	// UserSession is any other process of a person.
	UserSession Class = "user-session"
	// Unknown is everything else.
	Unknown Class = "unknown"
)

// Who is what classification rests on.
type Who struct {
	Sessions []Session
	// LoginUnits are the login path's units, by their primary names.
	LoginUnits []string
	// Workload is the compute workload's unit.
	Workload    string
	Compositors []string // names as comm has them
	// BenignUnits are units of the system, BenignPrograms names of programs (of
	// the file that runs, not the name that a process gives itself) or their
	// absolute paths.
	BenignUnits    []string
	BenignPrograms []string
}

// Session is a logind session.
type Session struct {
	ID    string
	UID   uint32
	Class string
}

// brokers are the units that hand out DRM nodes.
var brokers = []string{"systemd-logind.service", "elogind.service", "seatd.service"}

// Classify judges a process by where it lives, not by what it calls itself,
// save for compositors, which some machines start outside of any session.
func Classify(p Process, who Who) Class {
	switch {
	case p.PID == 1, slices.Contains(brokers, p.Unit):
		return Broker
	case p.Kernel:
		return Kernel
	case slices.Contains(who.BenignUnits, p.Unit), benign(p.Exe, who.BenignPrograms):
		return Benign
	case p.Unit != "" && p.Unit == who.Workload, below(p.Cgroup, "/ai.slice"):
		return Workload
	case who.greets(p):
		return Greeter
	case slices.Contains(who.LoginUnits, p.Unit):
		return DisplayManager
	case slices.Contains(who.Compositors, p.Comm):
		return Compositor
	case below(p.Cgroup, "/user.slice"):
		return UserSession
	default:
		return Unknown
	}
}

// benign tells whether the file that runs is one of the programs. NixOS wraps
// NAME and runs ".NAME-wrapped".
func benign(exe string, programs []string) bool {
	name := path.Base(exe)
	if inner, ok := strings.CutPrefix(name, "."); ok {
		if unwrapped, ok := strings.CutSuffix(inner, "-wrapped"); ok {
			name = unwrapped
		}
	}
	return exe != "" && slices.ContainsFunc(programs, func(p string) bool { return p == exe || p == name })
}

// greets tells whether a process belongs to a login screen: to a session of
// the class greeter, or to the user manager of somebody who has no other.
func (w Who) greets(p Process) bool {
	if p.Session != "" {
		return slices.ContainsFunc(w.Sessions, func(s Session) bool { return s.ID == p.Session && s.Class == "greeter" })
	}
	if !below(p.Cgroup, "/user.slice") {
		return false
	}
	greeter := false
	for _, s := range w.Sessions {
		if int(s.UID) != p.UID {
			continue
		}
		switch s.Class {
		case "greeter":
			greeter = true
		case "manager", "manager-early":
		default:
			return false
		}
	}
	return greeter
}

func below(cgroup, group string) bool {
	return cgroup == group || strings.HasPrefix(cgroup, group+"/")
}
