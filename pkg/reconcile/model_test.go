package reconcile

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// The model is the controller as the contract tells it, with all that can happen
// to it, as values small enough to be looked at exhaustively. It shares no code
// and no table with the engine; TestModelAgainstEngine compares the two.

// facts are the units of the machine, and whether a session is there.
type facts uint8

const (
	desktopTarget facts = 1 << iota
	displayMgr
	session
	computeTarget
	vllmUnit
	policyUnit
	priorityUnit

	noFacts facts = 0
)

// contracts are the facts of the modes, in full.
var contracts = map[mode.Mode]facts{
	mode.Desktop:     desktopTarget | displayMgr | session,
	mode.StudioLocal: desktopTarget | displayMgr | session | policyUnit | priorityUnit,
	mode.Compute:     computeTarget | vllmUnit,
}

func (f facts) has(all facts) bool { return f&all == all }

// observed is what has to be observed.
func (f facts) observed() mode.State {
	base := mode.Mode("")
	switch {
	case f.has(desktopTarget | computeTarget):
	case f.has(computeTarget):
		base = mode.Compute
	case f&(policyUnit|priorityUnit) != 0:
		base = mode.StudioLocal
	case f&(desktopTarget|session|displayMgr) != 0:
		base = mode.Desktop
	case f.has(vllmUnit):
		base = mode.Compute
	}
	switch {
	case base == "":
		return mode.Unknown
	case f == contracts[base], base != mode.Compute && f|displayMgr == contracts[base]: // a session without its display manager will do
		return base.State()
	}
	return base.Degraded()
}

// move is a step of a plan: what it adds to the facts, or takes from them.
type move struct {
	title     string
	on, off   facts
	needs     facts // or it fails
	tolerated bool
}

// The steps, in the contract's words.
var (
	announce     = move{title: "announce to the sessions"}
	stopLogin    = move{title: "stop display-manager.service", off: displayMgr}
	endSessions  = move{title: "end the graphical sessions", off: session}
	stopPriority = move{title: "stop audio-priority.service", off: priorityUnit}
	stopPolicy   = move{title: "stop studio-local-policy.service", off: policyUnit}
	stopDesktop  = move{title: "stop desktop.target", off: desktopTarget}
	stopCompute  = move{title: "stop compute.target", off: computeTarget}
	stopVLLM     = move{title: "stop vllm.service", off: vllmUnit}
	gates        = move{title: "gate"}
	startCompute = move{title: "start compute.target", on: computeTarget}
	startVLLM    = move{title: "start vllm.service", on: vllmUnit}
	awaitVLLM    = move{title: "wait until vLLM is healthy"}
	startDesktop = move{title: "start desktop.target", on: desktopTarget}
	startLogin   = move{title: "start display-manager.service", on: displayMgr, tolerated: true}
	awaitLogin   = move{title: "wait for a session or a greeter", tolerated: true}
	verify       = move{title: "verify the desktop", needs: session}
	startPolicy  = move{title: "start studio-local-policy.service", on: policyUnit}
	startPrio    = move{title: "start audio-priority.service", on: priorityUnit}
)

var (
	overlayOff  = []move{stopPriority, stopPolicy}
	overlayOn   = []move{stopVLLM, verify, startPolicy, startPrio}
	intoCompute = slices.Concat([]move{announce, stopLogin, endSessions}, overlayOff, []move{stopDesktop, gates, startCompute, startVLLM, awaitVLLM})
	intoDesktop = slices.Concat(overlayOff, []move{stopVLLM, stopCompute, startDesktop, startLogin, awaitLogin})
)

// moves is the plan from what is observed to a mode: of each unit that is to be
// stopped, the step is left out when the unit is down and no step before it has
// started it. Nothing is left where the mode is there.
func moves(from mode.State, now facts, to mode.Mode) []move {
	if from == to.State() {
		return nil
	}
	base, known := from.Base()
	var all []move
	switch {
	case to == mode.Compute && known && base == mode.Desktop:
		all = intoCompute
	case to == mode.Compute:
		all = slices.Concat(overlayOff, intoCompute)
	case to == mode.StudioLocal && known && base != mode.Compute:
		all = overlayOn
	case to == mode.StudioLocal:
		all = slices.Concat(intoDesktop, overlayOn)
	case known && base == mode.StudioLocal:
		all = append(slices.Clone(overlayOff), verify)
	default:
		all = intoDesktop
	}
	started := noFacts
	return slices.DeleteFunc(slices.Clone(all), func(m move) bool {
		started |= m.on
		unit := m.off &^ session
		return unit != 0 && now&unit == 0 && started&unit == 0
	})
}

// back is the plan that undoes a failed transition: whatever the machine looks
// like, it takes the way that undoes the most.
func back(now facts, to mode.Mode) []move {
	if now.observed() == to.State() {
		return nil
	}
	return slices.DeleteFunc(moves(mode.Unknown, now, to), func(m move) bool { return m.title == announce.title })
}

// do gives the facts after a step, and whether it can be done.
func (m move) do(f facts) (facts, bool) {
	switch {
	case !f.has(m.needs):
		return f, false
	case m.title == awaitLogin.title && f.has(displayMgr):
		return f | session, true
	case m.title == awaitLogin.title:
		return f &^ session, true
	}
	return f&^m.off | m.on, true
}

// place is where a controller is: what it does next.
type place uint8

// The places, in order. Between any two of them it can be killed.
const (
	nowhere place = iota
	atSeal
	atUnmark // of the transition that was sealed
	atFormer // where the boot could not close what the one before it left open
	atCatchUp
	atLook
	atGuards
	atIntent
	atMark
	atStep
	atSettle
	atRollLook
	atRollStep
	atRollSettle
	atAppend
	atDesired
	atLast
	atClear
	atUnlock
)

// maxRuns bounds the transitions of a trace.
const maxRuns = 3

// controller is a process that carries out a transition.
type controller struct {
	at      place
	target  mode.Mode
	id      int8
	before  mode.State
	planned facts // as they were when the plan was made
	step    int8
	saw     mode.State // the last look
	lookAt  facts      // what was there then: of no use to the controller, but to the properties
	outcome record.Outcome
}

// entry is what the history says of a transition.
type entry struct {
	intent  bool
	ends    int8
	outcome record.Outcome
	boot    int8
}

// mark is transition.json, or last-transition.json.
type mark struct {
	there   bool
	id      int8
	outcome record.Outcome // of the latter
}

// budget is what may still happen in a trace.
type budget struct{ requests, kills, faults, full, reboots int8 }

// universe is the whole state of the model. It is comparable.
type universe struct {
	machine      facts
	desired      mode.Mode // empty between the start of the machine and the boot unit's
	up           bool
	boot         int8
	lock         int8 // the controller that holds it, from 1 on; 0 for none
	marker, last mark
	controllers  [2]controller
	history      [maxRuns]entry
	runs         int8
	unsealed     bool // the boot could not write what it had to
	left         budget
	broken       string // the property that the way here has broken
}
