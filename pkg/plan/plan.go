// Package plan turns a row of the transition table into the concrete steps for
// this machine, as it is configured and observed. It decides nothing that the
// table does not say, and touches nothing.
package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
)

// Plan is what a transition would do.
type Plan struct {
	From   mode.State `json:"from"`
	To     mode.Mode  `json:"to"`
	Row    string     `json:"row"` // the row of the table, such as "desktop -> compute"
	Noop   bool       `json:"noop"`
	Guards []string   `json:"guards"`
	Steps  []Step     `json:"steps"`
	// Success says what the last observation must show.
	Success string `json:"success"`
}

// Step is one bounded action on one unit.
type Step struct {
	Action    mode.Action   `json:"action"`
	Unit      string        `json:"unit,omitempty"`
	Guards    []string      `json:"guards,omitempty"`
	Bound     time.Duration `json:"-"`
	BoundMS   int64         `json:"bound_ms"`
	Tolerated bool          `json:"tolerated,omitempty"`
	// Replace lets the step's job cancel one that is queued: on the way back,
	// what a failed transition left in the queue is ours to cancel.
	Replace bool   `json:"replace,omitempty"`
	Skip    string `json:"skip,omitempty"` // why nothing is to be done
	Why     string `json:"why"`
}

// Title names the step in a few words, for people.
func (s Step) Title() string {
	verb, acts := map[mode.Action]string{mode.StopUnit: "stop", mode.StartUnit: "start"}[s.Action]
	switch {
	case acts && s.Unit == "": // there is none to name
		return verb + " the login path"
	case acts:
		return verb + " " + s.Unit
	case s.Action == mode.Gate:
		return "gate"
	}
	return map[mode.Action]string{
		mode.Announce: "announce to the sessions", mode.EndSessions: "end the graphical sessions",
		mode.VerifyDesktop: "verify the desktop", mode.AwaitVLLM: "wait until vLLM is healthy",
		mode.AwaitLogin: "wait for a session or a greeter",
	}[s.Action]
}

// Make plans the way from the observation to a mode. A request for the mode
// that is already there is a no-op.
func Make(o observe.Observation, to mode.Mode, cfg config.Config) Plan {
	return concrete(ForState(o.State, to, cfg), o, cfg)
}

// Restore plans the way back to the mode that a failed transition came from.
// Whatever the half-way machine looks like, it takes the row that undoes the
// most: what was not touched is skipped or already as it should be.
func Restore(o observe.Observation, prior mode.Mode, cfg config.Config) Plan {
	p := ForState(mode.Unknown, prior, cfg)
	p.From = o.State
	p = concrete(p, o, cfg)
	for i := range p.Steps {
		p.Steps[i].Replace = true
	}
	return p
}

// concrete settles what was left open because nobody had looked at the units.
func concrete(p Plan, o observe.Observation, cfg config.Config) Plan {
	if m, stable := o.State.Stable(); stable && m == p.To {
		p.Noop, p.Steps, p.Guards = true, []Step{}, []string{}
		return p
	}
	// A unit that the plan itself starts is not judged by what it is now.
	started := map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Action == mode.StartUnit {
			started[s.Unit] = true
		}
		if s.Skip == skipIfDown {
			s.Skip = ""
			if u, known := unit(o.Signals, s.Unit); known && u.Down() && !started[s.Unit] {
				s.Skip = s.Unit + " is " + u.Active
			}
		}
	}
	return p
}

// skipIfDown marks a step that applies only to a unit that runs, where nobody
// has looked yet.
const skipIfDown = "when it is not running"

// ForState plans the way from a state without knowing the units, for
// explanations.
func ForState(from mode.State, to mode.Mode, cfg config.Config) Plan {
	row := mode.Find(from, to)
	p := Plan{
		From: from, To: to, Row: fmt.Sprintf("%s -> %s", row.From, row.To),
		Guards: row.Guards, Steps: []Step{}, Success: row.Success,
	}
	for _, s := range row.Steps {
		for _, name := range units(s.Unit, cfg) {
			p.Steps = append(p.Steps, step(s, name, cfg))
		}
	}
	return p
}

func step(s mode.Step, unit string, cfg config.Config) Step {
	out := Step{
		Action: s.Action, Unit: unit, Guards: s.Guards,
		Bound: Bound(s, cfg), Tolerated: s.Tolerated, Why: s.Why,
	}
	if s.Action == mode.StopUnit && s.Unit == mode.LoginPath && slices.Contains(cfg.Degraded.DesktopUnits, unit) {
		out.Tolerated = true
	}
	out.BoundMS = out.Bound.Milliseconds()
	switch {
	case s.Unit == mode.LoginPath && unit == "":
		out.Skip = "desktop.loginUnits is empty: people log in on a console"
	case s.When == mode.IfActive:
		out.Skip = skipIfDown
	case s.When == mode.IfEnabled && !cfg.VLLM.Enable:
		out.Skip = "vllm.enable is false"
	case s.Action == mode.AwaitLogin && len(cfg.Desktop.LoginUnits) == 0:
		out.Skip = "desktop.loginUnits is empty: people log in on a console"
	case s.Action == mode.Announce && cfg.Desktop.AnnounceGrace.Std() == 0:
		out.Skip = "desktop.announceGrace is 0"
	}
	return out
}

// units gives the real names behind a name of the table. A step without a unit
// is one step.
func units(u mode.Unit, cfg config.Config) []string {
	switch u {
	case mode.VLLM:
		return []string{cfg.VLLM.Unit}
	case mode.LoginPath:
		if len(cfg.Desktop.LoginUnits) == 0 {
			return []string{""}
		}
		return cfg.Desktop.LoginUnits
	default:
		return []string{string(u)}
	}
}

// Bound is the time that a step may take.
func Bound(s mode.Step, cfg config.Config) time.Duration {
	t := cfg.Timeouts
	switch s.Action {
	case mode.Announce:
		return cfg.Desktop.AnnounceGrace.Std() + t.Observe.Std()
	case mode.StopUnit:
		return t.StopUnit.Std()
	case mode.StartUnit:
		return t.StartUnit.Std()
	case mode.EndSessions:
		return t.EndSessions.Std()
	case mode.Gate:
		return t.Gate.Std()
	case mode.AwaitVLLM:
		return cfg.VLLM.StartTimeout.Std()
	case mode.AwaitLogin:
		return t.Graphical.Std()
	default:
		return t.Observe.Std()
	}
}

// Total is the longest that the plan's steps may take together. Those that are
// skipped are left out, but not those that may be, because nobody has looked.
func (p Plan) Total() time.Duration {
	var sum time.Duration
	for _, s := range p.Steps {
		if p.Counts(s) {
			sum += s.Bound
		}
	}
	return sum
}

// Counts tells whether a step may take time: it is not skipped, or nobody has
// looked whether it is to be.
func (p Plan) Counts(s Step) bool { return s.Skip == "" || s.Skip == skipIfDown }

// unit finds what was seen of a unit of the plan; false where systemd did not
// tell its state.
func unit(ev evidence.Evidence, name string) (evidence.Unit, bool) {
	seen := append([]evidence.Unit{
		ev.Targets.Value.Desktop, ev.Targets.Value.Compute, ev.Overlay.Value.Policy,
		ev.Overlay.Value.Priority, ev.VLLM.Value.Unit,
	}, ev.LoginPath.Value...)
	for _, u := range seen {
		if u.Name == name && u.Active != "" {
			return u, true
		}
	}
	return evidence.Unit{}, false
}
