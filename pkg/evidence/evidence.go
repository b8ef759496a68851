// Package evidence is what the observer knows of the machine: one reading a
// signal family, each a value, an absence or an error, with its source.
//
// The requested mode is no part of it, on purpose: an observation can't be
// influenced by what somebody wishes.
package evidence

import (
	"slices"
	"strings"
	"time"
)

// Status tells what a reading holds.
type Status string

// The statuses of a reading. NotCollected marks a family at which nobody looked,
// because the facts to look with are missing, which their own family tells; it
// counts neither as read nor as missing.
const (
	OK           Status = "ok"
	Failed       Status = "error"
	NotCollected Status = "not-collected"
)

// Reading is the answer of one source.
type Reading[T any] struct {
	Status Status  `json:"status"`
	Source string  `json:"source,omitempty"`
	Error  string  `json:"error,omitempty"`
	TookMS float64 `json:"took_ms"`
	Value  T       `json:"value,omitempty"`
}

// Read makes the reading of a source that was asked at start.
func Read[T any](source string, value T, err error, took time.Duration) Reading[T] {
	r := Reading[T]{Status: OK, Source: source, Value: value, TookMS: float64(took.Microseconds()) / 1000}
	if err != nil {
		r.Status, r.Error = Failed, err.Error()
	}
	return r
}

// Known tells whether the reading holds a value.
func (r Reading[T]) Known() bool { return r.Status == OK }

// Evidence is one look at the machine.
type Evidence struct {
	Sessions    Reading[[]Session]  `json:"sessions"`
	Compositors Reading[[]Process]  `json:"compositors"`
	LoginPath   Reading[[]Unit]     `json:"login_path"`
	Targets     Reading[Targets]    `json:"targets"`
	VLLM        Reading[VLLM]       `json:"vllm"`
	Overlay     Reading[Overlay]    `json:"overlay"`
	Controller  Reading[Controller] `json:"controller"`
	Boot        Reading[Boot]       `json:"boot"`
	GPU         Reading[GPU]        `json:"gpu"`
	Audio       Reading[Audio]      `json:"audio"`
}

// Session is a logind session (org.freedesktop.login1(5)); the strings are
// logind's own, unknown values included.
type Session struct {
	ID      string `json:"id"`
	UID     uint32 `json:"uid"`
	User    string `json:"user"`
	Type    string `json:"type"`
	Class   string `json:"class"`
	State   string `json:"state"`
	Seat    string `json:"seat,omitempty"`
	VT      uint32 `json:"vt,omitempty"`
	Service string `json:"service,omitempty"`
	Desktop string `json:"desktop,omitempty"`
	Leader  uint32 `json:"leader_pid,omitempty"`
	Remote  bool   `json:"remote,omitempty"`
	Scope   string `json:"scope,omitempty"`
	// Populated tells whether the scope of a closing session still holds
	// processes. It is nil where nobody looked or the answer is not known.
	Populated *bool `json:"populated,omitempty"`
	// WasGraphical says by what a closing session is known to have had a
	// display: who opened it, or who in it holds a graphics card. logind takes
	// the type of such a session back to what it was opened with, mostly "tty",
	// as soon as its compositor lets go.
	WasGraphical string `json:"was_graphical,omitempty"`
}

// Closing tells whether logind is taking the session down.
func (s Session) Closing() bool { return s.State == "closing" }

// Zombie tells whether nothing of the session is left but its entry. logind
// keeps such entries, now and then for ever (systemd issue 43745).
func (s Session) Zombie() bool { return s.Closing() && s.Populated != nil && !*s.Populated }

// Graphical tells whether the session is one of a person or a greeter on a
// display, or was one before it began to close.
func (s Session) Graphical() bool {
	if s.Class != "user" && s.Class != "greeter" {
		return false
	}
	return slices.Contains([]string{"wayland", "x11", "mir"}, s.Type) || s.Closing() && s.WasGraphical != ""
}

// Greeter tells whether the session is a login screen, text or graphical.
func (s Session) Greeter() bool { return s.Class == "greeter" }

// Process is a running compositor.
type Process struct {
	PID     int    `json:"pid"`
	Comm    string `json:"comm"`
	UID     uint32 `json:"uid"`
	Cgroup  string `json:"cgroup,omitempty"`
	Session string `json:"session,omitempty"`
	Unit    string `json:"unit,omitempty"`
	// UserUnit is the unit of the user's own manager, below user@UID.service.
	UserUnit string `json:"user_unit,omitempty"`
}

// OfUser tells whether the process belongs to somebody's session or user
// manager, and not to a service or a container.
func (p Process) OfUser() bool { return strings.HasPrefix(p.Cgroup, "/user.slice/") }

// Unit is the state of a systemd unit (org.freedesktop.systemd1(5)).
type Unit struct {
	Name   string `json:"name"`
	ID     string `json:"id,omitempty"` // the primary name, where Name is an alias
	Load   string `json:"load_state"`
	Active string `json:"active_state"`
	Sub    string `json:"sub_state,omitempty"`
	Result string `json:"result,omitempty"`
}

// IsActive tells whether the unit is fully up.
func (u Unit) IsActive() bool { return u.Active == "active" || u.Active == "reloading" }

// Down tells whether nothing of the unit runs; a unit that is starting or
// stopping is not down.
func (u Unit) Down() bool { return u.Active == "inactive" || u.Active == "failed" || u.Active == "" }

// Loaded tells whether systemd has a definition of the unit that it may start.
func (u Unit) Loaded() bool { return u.Load == "loaded" }

// String names the unit with its state, for messages.
func (u Unit) String() string {
	s := u.Name
	if u.ID != "" && u.ID != u.Name {
		s += " (" + u.ID + ")"
	}
	if u.Load != "loaded" {
		return s + " is " + u.Load
	}
	return s + " is " + u.Active
}

// Targets holds the mode targets.
type Targets struct {
	Desktop   Unit `json:"desktop"`
	Compute   Unit `json:"compute"`
	Graphical Unit `json:"graphical"`
}

// Health is vLLM's own answer.
type Health string

// What GET /health can say. HealthNotAsked is the answer of a unit that does
// not run.
const (
	Healthy        Health = "healthy"
	Loading        Health = "loading"
	Unreachable    Health = "unreachable"
	HealthNotAsked Health = "not-asked"
)

// VLLM is the compute workload.
type VLLM struct {
	Enabled bool   `json:"enabled"`
	Unit    Unit   `json:"unit"`
	Health  Health `json:"health"`
	// Models are the names that a healthy one serves.
	Models      []string `json:"models,omitempty"`
	ModelsError string   `json:"models_error,omitempty"`
}

// Overlay is the studio contract's representation.
type Overlay struct {
	Policy   Unit             `json:"policy"`
	Priority Unit             `json:"priority"`
	Weights  map[string]Slice `json:"weights,omitempty"`
}

// Slice holds the resource settings of a slice as systemd has them; zero
// stands for "not set". That the kernel enforces them is not said here: a
// machine without the controllers shows the same.
type Slice struct {
	CPUWeight     uint64 `json:"cpu_weight,omitempty"`
	IOWeight      uint64 `json:"io_weight,omitempty"`
	MemoryHighMiB uint64 `json:"memory_high_mib,omitempty"`
}

// Controller is what the controller left behind.
type Controller struct {
	LockHeld   bool   `json:"lock_held"`
	HolderPID  int    `json:"holder_pid,omitempty"`
	HolderMode string `json:"holder_target,omitempty"`
	// Marker is the id of the transition that transition.json tells of.
	Marker string `json:"transition_id,omitempty"`
	// Mutated tells whether that transition had begun to touch the machine.
	Mutated bool `json:"transition_mutated,omitempty"`
	// LastOutcome is the outcome of the last transition of this boot.
	LastOutcome string `json:"last_outcome,omitempty"`
}

// Boot tells how far systemd is.
type Boot struct {
	SystemState string `json:"system_state"`
	Finished    bool   `json:"finished"`
}
