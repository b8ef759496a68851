// Package idle decides when a machine that nobody uses is asked to go to
// compute, and asks. What it sees is a wish, never an authority: the request
// goes the way of every other, and its guards have the last word.
package idle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// Hint is what a session tells of the person before it.
type Hint string

// The hints. A session that never told anything is neither active nor idle:
// many compositors don't tell by themselves.
const (
	Active Hint = "active"
	Idle   Hint = "idle"
	Untold Hint = "unknown"
)

// Session is a person's login session on this machine.
type Session struct {
	ID   string
	User string
	Type string
	Hint Hint
	// Since is when the hint last changed, on the clock of Facts.Now.
	Since time.Duration
}

// Facts is one look. Times are those since the boot, without those in which the
// machine slept.
type Facts struct {
	Now      time.Duration
	Sessions []Session
	// Inhibitors name who asked that the machine be not taken for idle, or not
	// be put to sleep, and why.
	Inhibitors []string
	// Unread says what could not be read; then the rest means nothing.
	Unread string
	// Changed is when the mode last changed, 0 for never since boot.
	Changed time.Duration
	// Override tells that an override of guards waits for a request, which must
	// not be ours.
	Override bool
	// State is what is observed, "" as long as nobody has looked.
	State mode.State
}

// Policy is the configuration.
type Policy struct {
	Quiet time.Duration // nobody was active for so long
	First time.Duration // the pause after a first block
	Most  time.Duration // the longest
}

// Memory is what is kept from look to look. The zero value begins.
type Memory struct {
	// Empty is since when there is no session, 0 while there is one.
	Empty time.Duration
	// Tries counts requests in a row that ended for the same reasons, Blocked
	// says by what, and NotBefore is when the next may follow.
	Tries     int
	Blocked   string
	NotBefore time.Duration
	// reasons are the words of Blocked, and seen the evidence at that time: with
	// other evidence, counting begins anew. After a failure nothing short of a
	// person at the machine does that.
	reasons, seen string
	failed        bool
}

// Do is what a decision leads to.
type Do string

// Rest until the next look, Observe and decide again with the state, or Ask.
const (
	Rest    Do = "rest"
	Observe Do = "observe"
	Ask     Do = "ask"
)

// Reason is the word for a decision: a closed list.
type Reason string

// The reasons.
const (
	Unreadable      Reason = "unreadable"
	SessionActive   Reason = "session-active"
	HintUntold      Reason = "idle-unknown"
	Inhibited       Reason = "inhibited"
	NotLongEnough   Reason = "not-long-enough"
	BackingOff      Reason = "backing-off"
	OverridePending Reason = "override-pending"
	Unobserved      Reason = "unobserved"
	InCompute       Reason = "already-in-compute"
	InStudio        Reason = "studio-local"
	NotInDesktop    Reason = "not-in-desktop"
	Due             Reason = "due"
)

// Decision is what to do, and why.
type Decision struct {
	Do      Do
	Reason  Reason
	Message string
	// At is when a request would follow if nothing changed, 0 where that can't
	// be said.
	At time.Duration
}

// Decide judges a look. It is pure: what it has to remember it gives back.
func Decide(f Facts, m Memory, p Policy) (Decision, Memory) {
	rest := func(r Reason, at time.Duration, format string, args ...any) (Decision, Memory) {
		return Decision{Rest, r, fmt.Sprintf(format, args...), at}, m
	}
	if f.Unread != "" {
		return rest(Unreadable, 0, "whether somebody is there can't be told: %s", f.Unread)
	}
	m = m.look(f)
	if s, found := first(f.Sessions, Active); found {
		m = Memory{Empty: m.Empty}
		return rest(SessionActive, 0, "%s is in use", s)
	}
	if s, found := first(f.Sessions, Untold); found {
		return rest(HintUntold, 0, "%s never tells whether it is idle; let its compositor, or an idle daemon such as hypridle or swayidle, set logind's idle hint", s)
	}
	if len(f.Inhibitors) > 0 {
		return rest(Inhibited, 0, "%s", strings.Join(f.Inhibitors, ", "))
	}
	since, who := quiet(f, m)
	due := since + p.Quiet
	at := max(due, m.NotBefore)
	switch {
	case f.Now < due:
		return rest(NotLongEnough, at, "%s for %v of %v", who, short(f.Now-since), p.Quiet)
	case f.Now < m.NotBefore:
		return rest(BackingOff, at, "%v left of the pause after %s", short(m.NotBefore-f.Now), m.Blocked)
	case f.Override:
		return rest(OverridePending, 0, "an override of guards waits for another request")
	}
	switch f.State {
	case "":
		return Decision{Observe, Unobserved, who, at}, m
	case mode.StateDesktop:
		return Decision{Ask, Due, fmt.Sprintf("%s for %v", who, short(f.Now-since)), at}, m
	case mode.StateCompute:
		return rest(InCompute, 0, "the machine is in compute")
	case mode.StateStudioLocal:
		return rest(InStudio, 0, "the machine is in studio-local, which only a person ends")
	default:
		return rest(NotInDesktop, 0, "the machine is observed as %s, and only desktop is left without a person's request", f.State)
	}
}

// look takes what a look tells into the memory.
func (m Memory) look(f Facts) Memory {
	switch {
	case len(f.Sessions) > 0:
		m.Empty = 0
	case m.Empty == 0:
		m.Empty = f.Now
	}
	if m.Tries > 0 && !m.failed && f.evidence() != m.seen {
		m = Memory{Empty: m.Empty}
	}
	return m
}

// evidence is what sets one situation off from another.
func (f Facts) evidence() string {
	var b strings.Builder
	for _, s := range f.Sessions {
		fmt.Fprintf(&b, "%q %s %d\n", s.ID, s.Hint, s.Since)
	}
	for _, i := range f.Inhibitors {
		fmt.Fprintf(&b, "%q\n", i)
	}
	return b.String()
}

// quiet says since when nobody is active, and how that is known.
func quiet(f Facts, m Memory) (since time.Duration, who string) {
	since, who = m.Empty, "nobody has been logged in"
	if len(f.Sessions) > 0 {
		last := slices.MaxFunc(f.Sessions, func(a, b Session) int { return cmp.Compare(a.Since, b.Since) })
		since, who = last.Since, last.String()+" has been idle"
	}
	if f.Changed > since {
		since, who = f.Changed, "nobody has been active since the mode changed,"
	}
	return min(since, f.Now), who
}

// Blocked remembers a request that guards refused, or would refuse.
func Blocked(m Memory, f Facts, results []guard.Result, p Policy) Memory {
	var reasons []string
	for _, r := range results {
		if !r.OK {
			reasons = append(reasons, r.Guard+" "+r.Reason)
		}
	}
	slices.Sort(reasons)
	words := strings.Join(reasons, "\n")
	if words != m.reasons {
		m.Tries = 0
	}
	m.reasons, m.seen, m.failed = words, f.evidence(), false
	m.Blocked = "a block"
	if worst := guard.Worst(results); worst != nil {
		m.Blocked = fmt.Sprintf("%s: %s: %s", worst.Guard, worst.Reason, worst.Message)
	}
	m.Tries++
	m.NotBefore = f.Now + pause(m.Tries, p)
	return m
}

// Ended remembers how a request ended that was made. One that failed after it
// had touched the machine is not repeated soon: each try ends people's sessions.
func Ended(m Memory, f Facts, ev record.Event, p Policy) Memory {
	switch ev.Outcome {
	case record.Converged, record.Noop:
		return Memory{Empty: m.Empty}
	case record.Blocked, record.CheckError:
		return Blocked(m, f, ev.Guards, p)
	}
	return Failed(m, f, fmt.Sprintf("a transition that ended as %s: %s", ev.Outcome, ev.Reason), p)
}

// Failed remembers a request that failed.
func Failed(m Memory, f Facts, why string, p Policy) Memory {
	m.Tries++
	m.Blocked, m.reasons, m.seen, m.failed = why, "", f.evidence(), true
	m.NotBefore = f.Now + p.Most
	return m
}

// pause is how long to wait after so many tries: twice as long after each.
func pause(tries int, p Policy) time.Duration {
	d := p.First
	for ; tries > 1 && d < p.Most; tries-- {
		d *= 2
	}
	return min(d, p.Most)
}

func first(list []Session, h Hint) (Session, bool) {
	for _, s := range list {
		if s.Hint == h {
			return s, true
		}
	}
	return Session{}, false
}

// String names a session for people.
func (s Session) String() string { return fmt.Sprintf("%s's %s session %s", s.User, s.Type, s.ID) }

// short is a duration as people say it.
func short(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
