// Package systemd reads units from the system manager. Reading shares batches
// with other questions on a [bus.Conn] ([Query]). What changes units is in
// pkg/unitctl.
package systemd

// Values of Unit.ActiveState that are known. Others are possible.
const (
	ActiveStateActive       = "active"
	ActiveStateReloading    = "reloading"
	ActiveStateRefreshing   = "refreshing"
	ActiveStateInactive     = "inactive"
	ActiveStateFailed       = "failed"
	ActiveStateActivating   = "activating"
	ActiveStateDeactivating = "deactivating"
)

// Job is a job that is queued or running for a unit; ID 0 is none.
type Job struct {
	ID   uint32
	Type string // "start", "stop", ...; empty when only the ID is known
}

// Setting is a value that a unit may leave to the kernel's default.
type Setting struct {
	Value uint64
	Set   bool
}

// unset is how systemd spells a value that was not set, and infinity.
const unset = ^uint64(0)

// Unit is one unit at one moment.
type Unit struct {
	Asked       string // name that it was asked for by
	Name        string // primary name: another one than Asked for an alias
	Description string
	LoadState   string // "loaded", "not-found", "masked", "error", "bad-setting", ...
	ActiveState string
	SubState    string // finer, and different for each type of unit
	Job         Job

	Detail // what was read for the units of which more was asked
}

// Detail is what only the units have of which it was asked for. Of a slice only
// its control group and settings are read.
type Detail struct {
	Known bool // whether it was read at all

	MainPID             uint32 // 0 when there is none
	ControlGroup        string // path in the cgroup tree, with a leading slash; empty when there is none
	Result              string // "success", "exit-code", "timeout", "start-limit-hit", ...
	ExecMainStatus      int32  // exit status or signal of the main process that ended last
	ExecMainCode        int32  // how it ended, as in waitid(2): 1 exited, 2 killed, 3 dumped
	NRestarts           uint32 // automatic restarts
	InvocationID        string // changes with every start; 32 hex digits, empty if never started
	FragmentPath        string
	ConditionResult     bool   // false: the last start was skipped, or none was tried
	StateChangeMonoUsec uint64 // last change of ActiveState, in microseconds since boot
	CPUWeight, IOWeight Setting
	MemoryHigh          Setting // in bytes
}

// Loaded tells whether systemd found and read the unit.
func (u Unit) Loaded() bool { return u.LoadState == "loaded" }

// Active tells whether the unit does its work: active, or active and reading
// its configuration again. Starting is not active.
func (u Unit) Active() bool {
	switch u.ActiveState {
	case ActiveStateActive, ActiveStateReloading, ActiveStateRefreshing:
		return true
	}
	return false
}

// Up tells whether anything of the unit may be there: all but inactive and
// failed. Starting and stopping units are up, and so is one in a state that
// nobody has heard of. A unit that was never read is not.
func (u Unit) Up() bool {
	switch u.ActiveState {
	case ActiveStateInactive, ActiveStateFailed, "":
		return false
	}
	return true
}

// Failed tells whether the unit's last run ended badly.
func (u Unit) Failed() bool { return u.ActiveState == ActiveStateFailed }

// State is what the manager knew at one moment.
type State struct {
	Units []Unit // in the order asked

	SystemState    string // "initializing", "starting", "running", "degraded", "maintenance", "stopping", ...
	Version        string
	FinishMonoUsec uint64 // when booting ended, in microseconds since boot; 0 while it has not
	Jobs           uint32 // queued
	FailedUnits    uint32
	ManagerErr     error   // why the lines above could not be read; they are then empty
	Problems       []error // properties that had a type nobody expected; the field is empty
}

// Unit finds a unit by the name it was asked for by. One that was not asked
// for, or could not be read, has an empty LoadState.
func (s State) Unit(asked string) Unit {
	for _, u := range s.Units {
		if u.Asked == asked {
			return u
		}
	}
	return Unit{Asked: asked}
}
