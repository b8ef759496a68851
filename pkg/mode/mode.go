// Package mode names the modes and observed states of the machine and holds
// the transition table: which guards, actions and gates lead from one mode to
// another. The table is data in one place; planning, the operator's tool, the
// units and the documentation all read it.
package mode

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is a contract that an operator can request.
type Mode string

// The modes. StudioLocal is an overlay on Desktop, not a target of its own.
const (
	Desktop     Mode = "desktop"
	StudioLocal Mode = "studio-local"
	Compute     Mode = "compute"
)

// All lists the modes in the order in which people meet them.
func All() []Mode { return []Mode{Desktop, StudioLocal, Compute} }

// Names lists the modes as strings, for enumerations and help texts.
func Names() []string {
	var names []string
	for _, m := range All() {
		names = append(names, string(m))
	}
	return names
}

// Parse turns what a person typed into a mode.
func Parse(s string) (Mode, error) {
	if m := Mode(s); slices.Contains(All(), m) {
		return m, nil
	}
	return "", fmt.Errorf("unknown mode %q: the modes are %s", s, strings.Join(Names(), ", "))
}

// State is what the observer says of the machine: one of the modes, a degraded
// form of it, or that no mode can be claimed.
type State string

// The observed states.
const (
	Bootstrapping       State = "bootstrapping"
	StateDesktop        State = "desktop"
	StateStudioLocal    State = "studio-local"
	StateCompute        State = "compute"
	Transitioning       State = "transitioning"
	DegradedDesktop     State = "degraded-desktop"
	DegradedStudioLocal State = "degraded-studio-local"
	DegradedCompute     State = "degraded-compute"
	FailedTransition    State = "failed-transition"
	Unknown             State = "unknown"
)

// States lists every state that the observer can print.
func States() []State {
	return []State{
		Bootstrapping, StateDesktop, StateStudioLocal, StateCompute, Transitioning,
		DegradedDesktop, DegradedStudioLocal, DegradedCompute, FailedTransition, Unknown,
	}
}

// Meaning says what a state tells of the machine, in half a sentence.
func (s State) Meaning() string {
	if m, stable := s.Stable(); stable {
		return "the contract of " + string(m) + " holds in full"
	}
	if m, form := s.Base(); form {
		return string(m) + " is usable, and lacks a guarantee that `unmet` names"
	}
	switch s {
	case Bootstrapping:
		return "the machine is still starting"
	case Transitioning:
		return "the controller is at work"
	case FailedTransition:
		return "a transition was cut off or failed, and what it left is no mode"
	default:
		return "facts conflict or could not be read, as `conflicts` and `inspection_errors` say, or they belong to no mode"
	}
}

// State is the observed state in which the contract of m holds in full.
func (m Mode) State() State { return State(m) }

// Degraded is the observed state in which m is usable but lacks a guarantee.
func (m Mode) Degraded() State { return State("degraded-" + string(m)) }

// Stable tells whether s is a mode whose contract holds in full, and which.
func (s State) Stable() (Mode, bool) {
	m := Mode(s)
	return m, slices.Contains(All(), m)
}

// Base is the mode that s is a form of, degraded or not. It is false for the
// states in which no mode can be claimed.
func (s State) Base() (Mode, bool) {
	return State(strings.TrimPrefix(string(s), "degraded-")).Stable()
}
