// Package config is Dubnium's configuration: one strict TOML file whose keys
// are the NixOS options dubnium.* of the same spelling.
//
// Every key has a default, so no file at all is a whole configuration. An
// unknown key, a value of the wrong shape and a combination that cannot be are
// errors, and all of them are told at once, each with file, line, key and what
// would be right. The keys are defined once, in keys.go; parsing, the reference
// page, the example file and the NixOS options follow from there.
package config

import "github.com/ryjen/dubnium/pkg/mode"

// DefaultPath is where the file is looked for on the machine.
const DefaultPath = "/etc/dubnium/dubnium.toml"

// ModelsDirectory holds the materialised model bundles; vllm.model is a folder
// below it.
const ModelsDirectory = "/var/lib/dubnium/models"

// OperatorsGroup is the group whose members may ask for a mode, and use the
// memory service. systemd-sysusers makes it.
const OperatorsGroup = "dubnium"

// Config is the whole configuration. The meaning of a field is told in full by
// the definition of its key (see Reference).
type Config struct {
	Boot                Boot
	Hardware            Hardware
	CapabilityPlacement CapabilityPlacement
	Desktop             Desktop
	Timeouts            Timeouts
	VLLM                VLLM
	Plano               Plano
	K3s                 K3s
	GPU                 GPU
	Slices              Slices
	Guards              Guards
	Memory              Memory
	Rooms               Rooms
	Metrics             Metrics
	Idle                Idle
	Degraded            Degraded
}

// Boot says what the machine is after a start.
type Boot struct {
	DefaultMode mode.Mode // Desktop or Compute; an overlay is no boot mode
}

// Hardware is what the owner says about the GPUs, as NVML counts them. Facts
// that disagree with it are errors or degradations, never a silent adaption.
type Hardware struct {
	PlannedGPUCount int   // 0: not stated
	PresentGPUs     []int // empty: a machine without an NVIDIA GPU
	DisplayGPU      *int  // nil: no NVIDIA GPU drives the display
	DesktopAIGPUs   []int
	ComputeGPUs     []int
}

// CapabilityPlacement says which capabilities this machine has and which are
// elsewhere.
type CapabilityPlacement struct {
	Studio   Placement
	AI       Placement
	Platform Placement
}

// Desktop describes how people get a graphical session on this machine.
type Desktop struct {
	LoginUnits    []string // empty: a person logs in on a console and starts the compositor
	Compositors   []string // process names as /proc/PID/comm has them, at most 15 bytes
	AnnounceGrace Duration // may be 0
}

// Timeouts bound everything that waits.
type Timeouts struct {
	Observe     Duration
	Guard       Duration
	StopUnit    Duration
	StartUnit   Duration
	EndSessions Duration
	Gate        Duration
	Graphical   Duration
	Settle      Duration
}

// Runtime says where the program of a workload comes from.
type Runtime string

// The runtimes.
const (
	RuntimeExternal Runtime = "external" // a virtual environment that the operator keeps, at RuntimePath
	RuntimePackage  Runtime = "package"  // the distribution's package; RuntimePath is not looked at
)

// VLLM is the compute workload.
type VLLM struct {
	Enable           bool
	Unit             string
	Runtime          Runtime
	RuntimePath      string
	Model            string // absolute, below ModelsDirectory; empty only while Enable is false
	ServedModelName  string // empty: see ServedName
	Host             string
	Port             int
	ExtraArgs        []string
	EnvironmentFiles []string // absolute; a leading "-" allows the file to be absent
	StartTimeout     Duration
	DrainTimeout     Duration
	DrainThen        string // DrainFail, DrainAsk or DrainStop
}

// What is done when vllm.drainTimeout is over and requests are left.
const (
	DrainFail = "fail" // the transition is blocked
	DrainAsk  = "ask"  // so it is, and a person may have them cut off
	DrainStop = "stop" // they are cut off
)

// GPU says how the graphics cards are looked at.
type GPU struct {
	NVMLLibrary    string   // NVML; empty: where the loader finds it
	BenignUnits    []string // whose processes may hold a card
	BenignPrograms []string // names of executables, or absolute paths of them
}

// Slices are the resource budgets of the three groups of work.
type Slices struct {
	Interactive Slice
	AI          Slice
	Platform    Slice
}

// Slice is one group's budget: the baseline, and what holds during
// studio-local.
type Slice struct {
	CPUWeight        int  // 1 to 10000
	IOWeight         int  // 1 to 10000
	MemoryHigh       Size // 0: no limit
	StudioCPUWeight  int
	StudioIOWeight   int
	StudioMemoryHigh Size
}

// Guards are the thresholds and places of the guards.
type Guards struct {
	SiteDirectory string
	Memory        GuardMemory
	Persistence   GuardPersistence
	Session       GuardSession
	Load          GuardLoad
	Jobs          GuardJobs
	Audio         GuardAudio
	GPU           GuardGPU
}

// GuardMemory is the memory that must be there before the work of a target
// starts: MemAvailable for each target, and of GPUs.
type GuardMemory struct {
	Desktop     Size
	StudioLocal Size
	Compute     Size
	ComputeGPU  Size // of each GPU that compute uses
	DisplayGPU  Size // of the display's, for the other targets
}

// For gives the headroom that m needs; 0 for a mode that there is not.
func (g GuardMemory) For(m mode.Mode) Size {
	switch m {
	case mode.Desktop:
		return g.Desktop
	case mode.StudioLocal:
		return g.StudioLocal
	case mode.Compute:
		return g.Compute
	default:
		return 0
	}
}

// GuardPersistence says which folders compute needs, and how free.
type GuardPersistence struct {
	Paths   []string
	MinFree Size
}

// GuardSession says what makes a graphical session not terminable.
type GuardSession struct {
	Inhibitors []string // kinds of logind inhibitor, in block mode
}

// GuardGPU says when the display has let go of the GPUs.
type GuardGPU struct {
	Residual Size     // of memory that may stay in use on a GPU
	Settle   Duration // between the two looks
	ScanAll  bool     // look at every process, not only at those that are likely
}
