package mode

import "slices"

// Action is one kind of thing that the controller does. The vocabulary is
// closed: nothing else mutates the machine.
type Action string

// The actions.
const (
	Announce      Action = "announce"        // tell the sessions what is about to happen, and wait the configured grace
	StopUnit      Action = "stop-unit"       // stop a unit and wait until it is inactive and its cgroup is empty
	StartUnit     Action = "start-unit"      // start a unit and wait until it is active
	EndSessions   Action = "end-sessions"    // end the graphical sessions and wait until their processes are gone
	VerifyDesktop Action = "verify-desktop"  // see that a graphical session is there
	Gate          Action = "gate"            // run guards that can only pass once the session has ended
	AwaitVLLM     Action = "await-vllm"      // wait until vLLM answers that it is healthy
	AwaitLogin    Action = "await-graphical" // wait until a session or a greeter is there
)

// Unit is a systemd unit as the table names it. The names in angle brackets
// stand for units that the configuration names.
type Unit string

// The units that the controller may start or stop: a closed list.
const (
	DesktopTarget Unit = "desktop.target"
	ComputeTarget Unit = "compute.target"
	StudioPolicy  Unit = "studio-local-policy.service"
	AudioPriority Unit = "audio-priority.service"
	VLLM          Unit = "<vllm>"  // vllm.unit
	LoginPath     Unit = "<login>" // desktop.loginUnits: a display manager, as a rule
)

// Condition says when a step applies; a step that does not is skipped and
// recorded as such.
type Condition string

// The conditions.
const (
	Always    Condition = ""
	IfActive  Condition = "if-active"  // the unit is not inactive
	IfEnabled Condition = "if-enabled" // the workload is enabled in the configuration
)

// Step is one row of a transition's sequence.
type Step struct {
	Action Action
	Unit   Unit
	When   Condition
	Guards []string // of a Gate
	// Tolerated marks a step whose failure ends nothing: the last observation
	// names what is missing, and that is worth more than going back.
	Tolerated bool
	Why       string // one clause, for people
}

// Transition is a way from one mode to another.
type Transition struct {
	From, To Mode
	Guards   []string // run before anything is touched
	Steps    []Step
	Success  string // what the last observation must show
}

// Gates lists the guards that run after the session has ended.
func (t Transition) Gates() []string {
	var names []string
	for _, s := range t.Steps {
		names = append(names, s.Guards...)
	}
	return names
}

// Pieces of sequences that more than one transition uses.
var (
	overlayOn = []Step{
		{Action: StopUnit, Unit: VLLM, When: IfActive, Why: "AI work must not disturb audio"},
		{Action: VerifyDesktop, Why: "the overlay needs a desktop to lie on"},
		{Action: StartUnit, Unit: StudioPolicy, Why: "the marker of the studio contract"},
		{Action: StartUnit, Unit: AudioPriority, Why: "slice weights favour audio"},
	}
	overlayOff = []Step{
		{Action: StopUnit, Unit: AudioPriority, When: IfActive, Why: "slice weights return to baseline"},
		{Action: StopUnit, Unit: StudioPolicy, When: IfActive, Why: "the studio contract ends"},
	}
	intoCompute = slices.Concat(
		[]Step{
			{Action: Announce, Why: "people get the configured grace"},
			{Action: StopUnit, Unit: LoginPath, When: IfActive, Why: "first, or it would bring a greeter back"},
			{Action: EndSessions, Why: "the display has to let go of the GPU"},
		},
		overlayOff,
		[]Step{
			{Action: StopUnit, Unit: DesktopTarget, When: IfActive, Why: "the desktop contract ends"},
			{Action: Gate, Guards: []string{"graphical_session_absent", "gpu_display_released"}, Why: "nothing of the desktop may be left"},
			{Action: StartUnit, Unit: ComputeTarget, Why: "the compute contract begins"},
			{Action: StartUnit, Unit: VLLM, When: IfEnabled, Why: "the compute workload"},
			{Action: AwaitVLLM, When: IfEnabled, Why: "active is not yet healthy"},
		},
	)
	// From compute there is no overlay to take off; from a state that is no
	// mode there may be half of one.
	intoDesktop = append(slices.Clone(overlayOff), []Step{
		{Action: StopUnit, Unit: VLLM, When: IfActive, Why: "the GPU goes back to the display"},
		{Action: StopUnit, Unit: ComputeTarget, When: IfActive, Why: "the compute contract ends"},
		{Action: StartUnit, Unit: DesktopTarget, Why: "the desktop contract begins"},
		{Action: StartUnit, Unit: LoginPath, Tolerated: true, Why: "last, when all is ready for a person"},
		{Action: AwaitLogin, Tolerated: true, Why: "a started display manager is not yet a desktop"},
	}...)
	intoComputeGuards = []string{
		"target_reachable", "compute_capability_local", "persistence_paths_ready", "audio_idle",
		"graphical_session_terminable", "cpu_load_safe", "user_jobs_safe", "memory_headroom",
	}
	intoDesktopGuards = []string{"target_reachable", "vllm_drainable", "memory_headroom"}
	intoStudioGuards  = []string{"target_reachable", "studio_capability_local", "user_jobs_safe"}
)

const (
	desktopShows = "the graphical path is available (a session, a greeter, or the configured login path), desktop.target is active, vLLM is inactive, the overlay is gone and the slice weights are at baseline"
	studioShows  = "a graphical session, both overlay units active, vLLM inactive"
	computeShows = "no graphical session, compute.target active, vLLM healthy when enabled"
)

// Transitions is the table: every way from one mode to another.
func Transitions() []Transition {
	return []Transition{
		{Desktop, StudioLocal, intoStudioGuards, overlayOn, studioShows},
		{StudioLocal, Desktop, []string{"target_reachable"}, slices.Concat(overlayOff, []Step{
			{Action: VerifyDesktop, Why: "the session must have survived"},
		}), desktopShows},
		{Desktop, Compute, intoComputeGuards, intoCompute, computeShows},
		{Compute, Desktop, intoDesktopGuards, intoDesktop, desktopShows},
		{StudioLocal, Compute, intoComputeGuards, slices.Concat(overlayOff, intoCompute), computeShows},
		{Compute, StudioLocal, union(intoDesktopGuards, intoStudioGuards), slices.Concat(intoDesktop, overlayOn), studioShows},
	}
}

// Find gives the row that leads from an observed state to a mode.
//
// Every step is idempotent, so a state that is no mode takes the row that
// undoes the most: what is not there is skipped. The same holds for a degraded
// form of the mode that is asked for.
func Find(from State, to Mode) Transition {
	base, ok := from.Base()
	if !ok || base == to {
		switch to {
		case Compute:
			base = StudioLocal
		default:
			base = Compute
		}
		if s, degraded := from.Base(); degraded && s == StudioLocal && to == StudioLocal {
			base = Desktop
		}
	}
	for _, t := range Transitions() {
		if t.From == base && t.To == to {
			return t
		}
	}
	panic("mode: no row from " + string(from) + " to " + string(to))
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
