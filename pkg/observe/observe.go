// Package observe derives the mode of the machine from evidence. It is a pure
// function: no clock, no I/O, and no knowledge of what was requested.
package observe

import (
	"fmt"
	"sort"
	"strings"

	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
)

// SchemaVersion is the version of Observation's JSON form.
const SchemaVersion = 1

// Confidence says how far an observation can be relied upon.
type Confidence string

// High: every family was read and none conflicts. Medium: a family that does
// not decide could not be read. Low: anything less.
const (
	High   Confidence = "high"
	Medium Confidence = "medium"
	Low    Confidence = "low"
)

// Observation is what the observer says.
type Observation struct {
	SchemaVersion    int               `json:"schema_version"`
	State            mode.State        `json:"observed_state"`
	Confidence       Confidence        `json:"confidence"`
	Degraded         bool              `json:"degraded"`
	Signals          evidence.Evidence `json:"signals"`
	Conflicts        []Conflict        `json:"conflicts"`
	Unmet            []Unmet           `json:"unmet"`
	InspectionErrors []InspectionError `json:"inspection_errors"`
	Timestamp        string            `json:"timestamp"`
}

// Conflict is a pair of facts that can't both belong to one mode.
type Conflict struct {
	Code    ConflictCode `json:"code"`
	Message string       `json:"message"`
}

// ConflictCode names a kind of conflict.
type ConflictCode string

// The conflict codes: a closed list.
const (
	BothTargets        ConflictCode = "both-targets-active"
	SessionInCompute   ConflictCode = "graphical-session-in-compute"
	CompositorCompute  ConflictCode = "compositor-in-compute"
	LoginPathInCompute ConflictCode = "login-path-in-compute"
	OverlayInCompute   ConflictCode = "overlay-in-compute"
	DisplayInCompute   ConflictCode = "display-holder-in-compute"
	VLLMInDesktop      ConflictCode = "vllm-active-in-desktop"
	StaleHolder        ConflictCode = "stale-gpu-holder"
	SessionClosing     ConflictCode = "session-closing"
	CompositorOrphan   ConflictCode = "compositor-without-graphical-session"
	ShuttingDown       ConflictCode = "shutting-down"
)

// Unmet is a guarantee of the observed mode that does not hold.
type Unmet struct {
	Predicate Predicate `json:"predicate"`
	Message   string    `json:"message"`
}

// Predicate names a guarantee.
type Predicate string

// The predicates: a closed list.
const (
	GraphicalPath    Predicate = "graphical-path-available"
	GraphicalSession Predicate = "graphical-session-present"
	NoGraphical      Predicate = "graphical-session-absent"
	DesktopTarget    Predicate = "desktop-target-active"
	ComputeTarget    Predicate = "compute-target-active"
	StudioPolicy     Predicate = "studio-policy-active"
	AudioPriority    Predicate = "audio-priority-active"
	BaselineWeights  Predicate = "slice-weights-baseline"
	VLLMInactive     Predicate = "vllm-inactive"
	VLLMHealthy      Predicate = "vllm-healthy"
	GPUsReleased     Predicate = "gpus-released-by-display"
	GPUsPlanned      Predicate = "gpus-as-planned"
	LoginPathStopped Predicate = "login-path-stopped"
)

// InspectionError is a source that could not be read.
type InspectionError struct {
	Source  string `json:"source"`
	Message string `json:"message"`
}

// Policy is the part of the configuration that says what the machine has.
type Policy struct {
	VLLMEnabled bool
	// LoginPath is desktop.loginUnits; empty means that people log in on a
	// console.
	LoginPath []string
	// StudioWeights are the settings of each slice while the overlay is on.
	// A slice that carries them without the overlay is a left-over.
	StudioWeights map[string]evidence.Slice
	// Tolerated are units of the login path that compute can do without the end
	// of: it is degraded by them, and they conflict with nothing.
	Tolerated []string
	// ComputeGPUs is how many compute has, and PlannedGPUs how many it is to
	// have; 0 compares nothing.
	ComputeGPUs, PlannedGPUs int
	// Self is the process that observes: its own lock and marker say nothing.
	Self int
}

// Classify derives the observation. Only the timestamp is left to the caller.
func Classify(ev evidence.Evidence, p Policy) Observation {
	c := classifier{ev: ev, p: p}
	o := Observation{SchemaVersion: SchemaVersion, Signals: ev}
	o.State = c.state()
	_, stable := o.State.Stable()
	o.Degraded = strings.HasPrefix(string(o.State), "degraded-")
	o.Conflicts = append([]Conflict{}, c.conflicts...)
	o.Unmet = append([]Unmet{}, c.unmet...)
	o.InspectionErrors = append([]InspectionError{}, c.errors()...)
	switch {
	case c.essentialMissing() || len(o.Conflicts) > 0 || o.State == mode.Unknown:
		o.Confidence = Low
	case len(o.InspectionErrors) > 0:
		o.Confidence = Medium
	default:
		o.Confidence = High
	}
	if stable && o.Confidence == Low {
		// A stable claim on a poor footing would be a bug of the rules above.
		o.State = mode.Unknown
	}
	return o
}

type classifier struct {
	ev        evidence.Evidence
	p         Policy
	conflicts []Conflict
	unmet     []Unmet
}

func (c *classifier) conflict(code ConflictCode, format string, args ...any) {
	c.conflicts = append(c.conflicts, Conflict{code, fmt.Sprintf(format, args...)})
}

func (c *classifier) require(ok bool, p Predicate, format string, args ...any) {
	if !ok {
		c.unmet = append(c.unmet, Unmet{p, fmt.Sprintf(format, args...)})
	}
}

func (c *classifier) state() mode.State {
	ctl := c.ev.Controller.Value
	if c.ev.Controller.Known() && ctl.LockHeld && (c.p.Self == 0 || ctl.HolderPID != c.p.Self) {
		return mode.Transitioning
	}
	if c.essentialMissing() {
		return mode.Unknown
	}
	if c.ev.Boot.Value.SystemState == "stopping" {
		c.conflict(ShuttingDown, "the machine is shutting down")
		return mode.Unknown
	}
	if !c.ev.Boot.Value.Finished {
		return mode.Bootstrapping
	}
	state := c.byFacts()
	if _, stable := state.Stable(); !stable && c.leftBehind() {
		return mode.FailedTransition
	}
	return state
}

// leftBehind tells whether a transition ended badly: it was interrupted after
// it had begun to touch the machine, or its record says that it failed.
func (c *classifier) leftBehind() bool {
	ctl := c.ev.Controller.Value
	interrupted := ctl.Marker != "" && ctl.Mutated && !ctl.LockHeld
	return interrupted || ctl.LastOutcome == "failed" || ctl.LastOutcome == "interrupted"
}

// byFacts finds the mode that the facts point at, and whether all of its
// guarantees hold.
func (c *classifier) byFacts() mode.State {
	t := c.ev.Targets.Value
	overlay := !c.ev.Overlay.Value.Policy.Down() || !c.ev.Overlay.Value.Priority.Down()
	desktop, compute := !t.Desktop.Down(), !t.Compute.Down()
	switch {
	case desktop && compute:
		c.conflict(BothTargets, "desktop.target is %s and compute.target is %s", t.Desktop.Active, t.Compute.Active)
		return mode.Unknown
	case compute:
		return c.judge(mode.Compute, c.compute)
	case overlay:
		return c.judge(mode.StudioLocal, c.studio)
	case desktop, len(c.sessions(live)) > 0, c.displayManagerUp():
		return c.judge(mode.Desktop, c.desktop)
	case !c.ev.VLLM.Value.Unit.Down():
		return c.judge(mode.Compute, c.compute)
	}
	for _, s := range c.sessions(evidence.Session.Graphical) {
		c.closing(s)
	}
	c.stale()
	c.require(false, DesktopTarget, "%s", t.Desktop)
	c.require(false, ComputeTarget, "%s", t.Compute)
	return mode.Unknown
}

func (c *classifier) judge(m mode.Mode, contract func()) mode.State {
	contract()
	if len(c.unmet) > 0 || len(c.conflicts) > 0 {
		return m.Degraded()
	}
	return m.State()
}

// essentialMissing tells whether a family is unknown without which no mode can
// be told from another.
func (c *classifier) essentialMissing() bool {
	ev := c.ev
	return !ev.Sessions.Known() || !ev.Targets.Known() || !ev.Overlay.Known() ||
		!ev.VLLM.Known() || !ev.LoginPath.Known() || !ev.Controller.Known() || !ev.Boot.Known()
}

func (c *classifier) errors() []InspectionError {
	var out []InspectionError
	add := func(name string, status evidence.Status, source, message string) {
		if status == evidence.Failed {
			out = append(out, InspectionError{Source: name + " (" + source + ")", Message: message})
		}
	}
	ev := c.ev
	add("sessions", ev.Sessions.Status, ev.Sessions.Source, ev.Sessions.Error)
	add("compositors", ev.Compositors.Status, ev.Compositors.Source, ev.Compositors.Error)
	add("login_path", ev.LoginPath.Status, ev.LoginPath.Source, ev.LoginPath.Error)
	add("targets", ev.Targets.Status, ev.Targets.Source, ev.Targets.Error)
	add("vllm", ev.VLLM.Status, ev.VLLM.Source, ev.VLLM.Error)
	add("overlay", ev.Overlay.Status, ev.Overlay.Source, ev.Overlay.Error)
	add("controller", ev.Controller.Status, ev.Controller.Source, ev.Controller.Error)
	add("boot", ev.Boot.Status, ev.Boot.Source, ev.Boot.Error)
	add("gpu", ev.GPU.Status, ev.GPU.Source, ev.GPU.Error)
	add("audio", ev.Audio.Status, ev.Audio.Source, ev.Audio.Error)
	return out
}

func describe(s evidence.Session) string {
	kind := "session"
	if s.Greeter() {
		kind = "greeter session"
	}
	was := ""
	if s.WasGraphical != "" {
		was = " (" + s.WasGraphical + ")"
	}
	return fmt.Sprintf("%s %s %s of %s%s", s.Type, kind, s.ID, s.User, was)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
