package guards

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/mode"
)

// GraphicalSessionAbsent asks whether nothing of a desktop is left.
var GraphicalSessionAbsent = guard.Descriptor{
	Name:     "graphical_session_absent",
	Question: "Is every graphical session gone, with all of its processes?",
	Manual: `Asks logind for sessions of type wayland, x11 or mir and class user or greeter, and looks in /proc for compositors that belong to a user's slice: a compositor may outlive its session, or run in the user's service manager, where no session shows it.

A session that logind calls closing is a left-over entry when its cgroup is empty, and passes. With processes in it, it blocks. logind takes the type of such a session back to tty when its compositor lets go: it counts as graphical still when a display manager opened it, or when it was at a seat and a process in it holds a graphics card. To see that takes root where the session is another user's.

After a block, end the session that the message names: loginctl terminate-session ID.`,
	Block:  exitcode.GraphicalPresent,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "no-session", Class: guard.Pass, Meaning: "no graphical session and no compositor"},
		{Word: "only-zombie", Class: guard.Pass, Meaning: "only entries of closing sessions without processes are left"},
		{Word: "session-present", Class: guard.Block, Meaning: "a graphical session of a person is there"},
		{Word: "greeter-present", Class: guard.Block, Meaning: "a login screen is there"},
		{Word: "session-closing", Class: guard.Block, Meaning: "a closing session still has processes"},
		{Word: "compositor-running", Class: guard.Block, Meaning: "a compositor runs without a graphical session"},
	},
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		ev, err := lookAtSessions(ctx, env)
		if err != nil {
			return guard.CannotSee(err, ev)
		}
		return judgeAbsent(ev)
	},
}

// GraphicalSessionPresent asks whether a person has a desktop.
var GraphicalSessionPresent = guard.Descriptor{
	Name:     "graphical_session_present",
	Question: "Does a person have a graphical session?",
	Manual: `Asks logind for a session of type wayland, x11 or mir and class user that is not closing. A login screen is no session of a person.

After a block, log in at the display.`,
	Block:  exitcode.GraphicalAbsent,
	Hard:   true,
	Target: mode.StudioLocal,
	Reasons: []guard.Reason{
		{Word: "session-present", Class: guard.Pass, Meaning: "a person has a graphical session"},
		{Word: "only-greeter", Class: guard.Block, Meaning: "only a login screen is there"},
		{Word: "no-session", Class: guard.Block, Meaning: "no graphical session is there"},
	},
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		a := collect.Ask(ctx, env.Root, nil)
		sessions, err := collect.Sessions(env.Root, a)
		if err != nil {
			return guard.CannotSee(err, nil)
		}
		return judgePresent(sessionEvidence{Sessions: graphical(sessions)})
	},
}

// GraphicalSessionTerminable asks whether the desktop may be taken away.
var GraphicalSessionTerminable = guard.Descriptor{
	Name:     "graphical_session_terminable",
	Question: "May the graphical sessions be ended now?",
	Manual: `Reads logind's inhibitors. An inhibitor in block mode for one of the kinds in guards.session.inhibitors (shutdown, unless configured otherwise) means that a program asked not to be ended: an editor with unsaved work, a disc being written, an upgrade. The message says who and why.

A compositor whose session logind does not call graphical, as after a restart of logind, counts like a session.

Also blocks while the machine is shutting down or going to sleep, and when a session is closing but still has processes, because asking logind to end it again does nothing.

After a block, finish what the message names; systemd-inhibit --list shows all inhibitors.`,
	Block:  exitcode.GraphicalPresent,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "no-session", Class: guard.Pass, Meaning: "there is no graphical session to end"},
		{Word: "terminable", Class: guard.Pass, Meaning: "no inhibitor protects the graphical sessions and compositors"},
		{Word: "inhibited", Class: guard.Block, Meaning: "a program holds an inhibitor in block mode"},
		{Word: "session-closing", Class: guard.Block, Meaning: "a closing session still has processes; ending it again does nothing"},
		{Word: "going-down", Class: guard.Block, Meaning: "the machine is shutting down or going to sleep"},
	},
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		a := collect.Ask(ctx, env.Root, nil)
		sessions, err := sessionsIn(ctx, env, a)
		ev := sessionEvidence{Sessions: graphical(sessions)}
		if err == nil && len(ev.Sessions) == 0 {
			ev.Compositors, err = compositors(ctx, env)
		}
		for _, e := range []error{err, a.Login.InhibitorsErr, a.Login.ManagerErr} {
			if e != nil {
				return guard.CannotSee(e, nil)
			}
		}
		return judgeTerminable(ev, a.Login, env.Config.Guards.Session.Inhibitors)
	},
}

type sessionEvidence struct {
	Sessions    []evidence.Session `json:"sessions"`
	Compositors []evidence.Process `json:"compositors,omitempty"`
	Inhibitors  []inhibitor        `json:"inhibitors,omitempty"`
}

type inhibitor struct {
	What []string `json:"what"`
	Who  string   `json:"who"`
	Why  string   `json:"why"`
	Mode string   `json:"mode"`
	UID  uint32   `json:"uid"`
	PID  uint32   `json:"pid"`
}

func lookAtSessions(ctx context.Context, env guard.Env) (sessionEvidence, error) {
	sessions, err := sessionsIn(ctx, env, collect.Ask(ctx, env.Root, nil))
	ev := sessionEvidence{Sessions: graphical(sessions)}
	if err != nil {
		return ev, err
	}
	ev.Compositors, err = compositors(ctx, env)
	return ev, err
}

// compositors lists those that people's programs may run under, whatever logind
// says of their sessions: when it restarts, it forgets that they are graphical.
func compositors(ctx context.Context, env guard.Env) ([]evidence.Process, error) {
	found, err := collect.Compositors(ctx, env.Root, env.Config.Desktop.Compositors)
	return slices.DeleteFunc(found, func(p evidence.Process) bool { return !p.OfUser() }), err
}

// sessionsIn lists the sessions of an answer, the closing ones that may have had
// a display looked into.
func sessionsIn(ctx context.Context, env guard.Env, a collect.Answer) ([]evidence.Session, error) {
	sessions, err := collect.Sessions(env.Root, a)
	if err != nil {
		return sessions, err
	}
	return collect.WithCards(ctx, env.Root, env.Config, a, sessions)
}

func graphical(sessions []evidence.Session) []evidence.Session {
	out := []evidence.Session{}
	for _, s := range sessions {
		if s.Graphical() || s.Greeter() {
			out = append(out, s)
		}
	}
	return out
}

func judgeAbsent(ev sessionEvidence) guard.Verdict {
	zombie := false
	for _, s := range ev.Sessions {
		switch {
		case s.Zombie():
			zombie = true
		case s.Closing():
			return guard.Say("session-closing", ev, "%s is closing, but still has processes (systemd-cgls %s lists them)", name(s), s.Scope)
		case s.Greeter():
			return guard.Say("greeter-present", ev, "%s is there", name(s))
		default:
			return guard.Say("session-present", ev, "%s is there", name(s))
		}
	}
	for _, p := range ev.Compositors {
		return guard.Say("compositor-running", ev, "%s runs in %s", compositor(p), collect.Describe(p.Cgroup))
	}
	if zombie {
		return guard.Say("only-zombie", ev, "only entries of closing sessions without processes are left")
	}
	return guard.Say("no-session", ev, "no graphical session and no compositor")
}

func judgePresent(ev sessionEvidence) guard.Verdict {
	greeter := ""
	for _, s := range ev.Sessions {
		switch {
		case s.Closing():
		case s.Greeter():
			greeter = name(s)
		default:
			return guard.Say("session-present", ev, "%s is there", name(s))
		}
	}
	if greeter != "" {
		return guard.Say("only-greeter", ev, "%s is there, but nobody has logged in", greeter)
	}
	return guard.Say("no-session", ev, "no graphical session is there")
}

func judgeTerminable(ev sessionEvidence, state login.State, kinds []string) guard.Verdict {
	if state.PreparingForShutdown || state.PreparingForSleep {
		return guard.Say("going-down", ev, "the machine is shutting down or going to sleep")
	}
	if len(ev.Sessions)+len(ev.Compositors) == 0 {
		return guard.Say("no-session", ev, "there is no graphical session to end")
	}
	for _, i := range state.Inhibitors {
		// block-weak yields to root on purpose; a person's wish is no weaker for that.
		blocking := i.Mode == "block" || i.Mode == "block-weak"
		if blocking && slices.ContainsFunc(i.What, func(w string) bool { return slices.Contains(kinds, w) }) {
			ev.Inhibitors = append(ev.Inhibitors, inhibitor{i.What, i.Who, i.Why, i.Mode, i.UID, i.PID})
		}
	}
	if len(ev.Inhibitors) > 0 {
		i := ev.Inhibitors[0]
		more := ""
		if n := len(ev.Inhibitors) - 1; n > 0 {
			more = fmt.Sprintf(", and %d more", n)
		}
		return guard.Say("inhibited", ev, "%s (pid %d, uid %d) blocks %s: %q%s", i.Who, i.PID, i.UID, strings.Join(i.What, ":"), i.Why, more)
	}
	for _, s := range ev.Sessions {
		if s.Closing() && !s.Zombie() {
			return guard.Say("session-closing", ev, "%s is closing, but still has processes (systemd-cgls %s lists them)", name(s), s.Scope)
		}
	}
	names := make([]string, 0, len(ev.Sessions)+len(ev.Compositors))
	for _, s := range ev.Sessions {
		names = append(names, name(s))
	}
	for _, p := range ev.Compositors {
		names = append(names, compositor(p))
	}
	return guard.Say("terminable", ev, "no inhibitor protects %s", strings.Join(names, ", "))
}

// compositor names a compositor for messages.
func compositor(p evidence.Process) string {
	return fmt.Sprintf("%s (pid %d) of uid %d", p.Comm, p.PID, p.UID)
}

// name names a session for messages.
func name(s evidence.Session) string {
	kind := "session"
	if s.Greeter() {
		kind = "greeter"
	}
	where := ""
	if s.Seat != "" {
		where = " on " + s.Seat
	}
	if s.WasGraphical != "" {
		where += " (" + s.WasGraphical + ")"
	}
	return fmt.Sprintf("%s %s %s of %s%s", s.Type, kind, s.ID, s.User, where)
}
