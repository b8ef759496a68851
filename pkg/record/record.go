// Package record is what the controller leaves behind: the state files of the
// running machine and the append-only history. Small files, text and JSON,
// that cat and jq read.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ryjen/dubnium/pkg/atomicfile"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/flock"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
)

// SchemaVersion is the version of the documents of this package.
const SchemaVersion = 1

// Where the state is kept. All of it is readable by everybody and written only
// by root.
const (
	RunDir   = "/run/mode-controller"
	StateDir = "/var/lib/mode-controller"

	desiredFile   = RunDir + "/desired"
	currentFile   = RunDir + "/current"
	LockFile      = RunDir + "/lock"
	markerFile    = RunDir + "/transition.json"
	lastFile      = RunDir + "/last-transition.json"
	guardsFile    = RunDir + "/last-guards.json"
	placementFile = RunDir + "/capability-placement.json"
	topologyFile  = RunDir + "/hardware-topology.json"
	OverrideFile  = RunDir + "/override.json"
	EventsFile    = StateDir + "/events.jsonl"
	tallyFile     = StateDir + "/tally.json"
)

// Outcome says how a transition ended.
type Outcome string

// The outcomes.
const (
	Converged   Outcome = "converged"
	Noop        Outcome = "noop"
	Blocked     Outcome = "blocked"
	CheckError  Outcome = "check-error"
	RolledBack  Outcome = "rolled-back"
	TimedOut    Outcome = "timed-out"
	Degraded    Outcome = "degraded"
	Failed      Outcome = "failed"
	Interrupted Outcome = "interrupted"
)

// Success tells whether the request was fulfilled in full.
func (o Outcome) Success() bool { return o == Converged || o == Noop }

// Type tells the lines of the history apart.
type Type string

// An intent is written before the first mutation, a transition when it ended.
const (
	TypeIntent     Type = "intent"
	TypeTransition Type = "transition"
)

// Event is one line of the history, and the form of last-transition.json.
type Event struct {
	SchemaVersion int                       `json:"schema_version" doc:"the version of this form"`
	Type          Type                      `json:"type" doc:"the type of the event"`
	Timestamp     string                    `json:"timestamp" doc:"when the transition ended; of an intent, when it was written"`
	ID            string                    `json:"id" doc:"the id of the transition, which its intent and its end have in common"`
	BootID        string                    `json:"boot_id" doc:"the boot that it happened in, as /proc/sys/kernel/random/boot_id has it"`
	InvocationID  string                    `json:"invocation_id" doc:"systemd's id of the unit's run, for journalctl _SYSTEMD_INVOCATION_ID="`
	Requested     mode.Mode                 `json:"requested" doc:"the mode that was asked for"`
	Prior         mode.State                `json:"prior" doc:"the state that was observed before"`
	Final         mode.State                `json:"final,omitempty" doc:"the state that was observed last"`
	Outcome       Outcome                   `json:"outcome,omitempty" doc:"how it ended"`
	Success       bool                      `json:"success" doc:"whether the request was fulfilled in full"`
	ExitCode      exitcode.Code             `json:"exit_code" doc:"the exit code of whoever asked"`
	Reason        string                    `json:"reason" doc:"one sentence with what decided; of an intent, the row of the transition table"`
	Trigger       string                    `json:"trigger" doc:"what asked: operator, idle (mode-idle.service), or unit where that is not known"`
	DurationMS    float64                   `json:"duration_ms" doc:"how long it took"`
	Guards        []guard.Result            `json:"guards" doc:"the results of the guards, and after them those of the gates"`
	Actions       []Action                  `json:"actions" doc:"the steps, in order, those of the way back last"`
	Confidence    observe.Confidence        `json:"confidence,omitempty" doc:"how sure the last observation is"`
	Conflicts     []observe.Conflict        `json:"conflicts" doc:"the conflicts that the last observation found"`
	Unmet         []observe.Unmet           `json:"unmet" doc:"the guarantees that it found missing"`
	Errors        []observe.InspectionError `json:"inspection_errors" doc:"what it could not read, and why"`
	Override      *Override                 `json:"override,omitempty" doc:"an operator's decision that soft guards don't stop this transition"`
	AskedBy       *Asker                    `json:"asked_by,omitempty" doc:"who asked; absent where that is not known"`
	Question      *Question                 `json:"question,omitempty" doc:"what was left to a person, whose answer another request brings"`
	Before        *observe.Observation      `json:"before,omitempty" doc:"the evidence that an intent rests on, as observe-current --json prints it"`
	After         *observe.Observation      `json:"after,omitempty" doc:"the evidence that the outcome rests on, in the same form"`
}

// Status says how far an action is.
type Status string

// The statuses. Tolerated is a failure that ended nothing; its effect shows in
// the final observation.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Done      Status = "done"
	Skipped   Status = "skipped"
	Errored   Status = "failed"
	Tolerated Status = "tolerated"
)

// Action is one step of a transition as it went.
type Action struct {
	Title      string      `json:"title" doc:"what is done, in words"`
	Action     mode.Action `json:"action" doc:"what is done, as the transition table has it"`
	Unit       string      `json:"unit,omitempty" doc:"the unit that it is done to"`
	Status     Status      `json:"status" doc:"how far it is"`
	BoundMS    int64       `json:"bound_ms" doc:"how long it may take"`
	DurationMS float64     `json:"duration_ms" doc:"how long it took"`
	Detail     string      `json:"detail,omitempty" doc:"what was found, why it was skipped, or what went wrong"`
	Rollback   bool        `json:"rollback,omitempty" doc:"whether it belongs to the way back"`
}

// Phase is the part of the sequence that a transition is in.
type Phase string

// The phases, in order. From Acting on, the machine may have been touched.
const (
	Guarding    Phase = "guards"
	Acting      Phase = "actions"
	Observing   Phase = "observe"
	RollingBack Phase = "rollback"
)

// Marker is transition.json: the transition under way, so that a controller
// that was killed leaves evidence and a watcher sees what happens.
type Marker struct {
	SchemaVersion int            `json:"schema_version"`
	ID            string         `json:"id"`
	BootID        string         `json:"boot_id"`
	InvocationID  string         `json:"invocation_id"`
	PID           int            `json:"pid"`
	Requested     mode.Mode      `json:"requested"`
	Prior         mode.State     `json:"prior"`
	Trigger       string         `json:"trigger"`
	Started       string         `json:"started"`
	Phase         Phase          `json:"phase"`
	Guards        []guard.Result `json:"guards"`
	Steps         []Action       `json:"steps"`
	Override      *Override      `json:"override,omitempty"`
	AskedBy       *Asker         `json:"asked_by,omitempty"`
	// Drain is what the guards wait for, while they do.
	Drain *Drain `json:"drain,omitempty"`
}

// Drain is what vLLM still has to do before it may be stopped.
type Drain struct {
	Unit    string `json:"unit"`
	Running int    `json:"running"` // requests being answered
	Waiting int    `json:"waiting"` // requests queued
	LeftMS  int64  `json:"left_ms"` // of vllm.drainTimeout
}

// Mutated tells whether the transition may have touched the machine.
func (m Marker) Mutated() bool { return m.Phase != Guarding && m.Phase != "" }

// Guards is last-guards.json.
type Guards struct {
	SchemaVersion int            `json:"schema_version"`
	Timestamp     string         `json:"timestamp"`
	ID            string         `json:"transition_id"`
	Target        mode.Mode      `json:"target"`
	Results       []guard.Result `json:"results"`
}

// TimeFormat is the form of every time in the documents of this package.
const TimeFormat = guard.TimeFormat

// Holder is what the holder of the lock writes into it.
type Holder struct {
	PID    int       `json:"pid"`
	Target mode.Mode `json:"target"`
	ID     string    `json:"transition_id"`
	Since  string    `json:"since"`
}

// Lock is who holds the lock, if anybody does.
type Lock struct {
	Held bool
	Holder
}

// Store reads and writes the state below a root.
type Store struct{ Root hostfs.Root }

// Desired gives the requested mode; false where none has been set since boot.
func (s Store) Desired() (mode.Mode, bool, error) { return s.word(desiredFile) }

// Current gives the cached observation; false where there is none.
func (s Store) Current() (mode.State, bool, error) {
	m, ok, err := s.rawWord(currentFile)
	return mode.State(m), ok, err
}

// SetDesired records what was requested.
func (s Store) SetDesired(m mode.Mode) error { return s.write(desiredFile, []byte(m+"\n")) }

// SetCurrent caches an observation.
func (s Store) SetCurrent(st mode.State) error { return s.write(currentFile, []byte(st+"\n")) }

// Last gives the last result; false where no transition ended since boot.
func (s Store) Last() (Event, bool, error) { return read[Event](s, lastFile) }

// LastGuards gives the last guard results.
func (s Store) LastGuards() (Guards, bool, error) { return read[Guards](s, guardsFile) }

// Marker gives the transition under way, or the one that was cut off.
func (s Store) Marker() (Marker, bool, error) { return read[Marker](s, markerFile) }

// SetMarker records how far a transition is.
func (s Store) SetMarker(m Marker) error { return s.writeJSON(markerFile, m) }

// ClearMarker ends the transition; it is no error when there is none.
func (s Store) ClearMarker() error {
	if err := os.Remove(s.Root.Path(markerFile)); err != nil && !hostfs.Absent(err) {
		return err
	}
	return nil
}

// SetLast records a result for mode status and for people.
func (s Store) SetLast(e Event) error { return s.writeJSON(lastFile, e) }

// SetGuards records guard results.
func (s Store) SetGuards(g Guards) error { return s.writeJSON(guardsFile, g) }

// SetPlacement records where the configuration places capabilities.
func (s Store) SetPlacement(doc any) error { return s.writeJSON(placementFile, doc) }

// SetTopology records the configured hardware.
func (s Store) SetTopology(doc any) error { return s.writeJSON(topologyFile, doc) }

// Placement gives capability-placement.json as it is.
func (s Store) Placement() (map[string]any, bool, error) {
	return read[map[string]any](s, placementFile)
}

// Lock looks who holds the lock, without touching it.
func (s Store) Lock() (Lock, error) {
	h, err := flock.ReadHolder(s.Root, LockFile)
	if err != nil || !h.Held {
		return Lock{}, err
	}
	l := Lock{Held: true}
	// The record is root's to read, and is written after the lock is taken. The
	// marker says the same, a moment later.
	if json.Unmarshal(h.Record, &l.Holder) != nil {
		if m, found, err := s.Marker(); err == nil && found {
			l.Holder = Holder{PID: m.PID, Target: m.Requested, ID: m.ID, Since: m.Started}
		}
	}
	if h.PID > 0 {
		l.PID = h.PID
	}
	return l, nil
}

// HeldBy says in a sentence who holds the lock.
func (s Store) HeldBy() string {
	l, err := s.Lock()
	switch {
	case err != nil || !l.Held || l.Target == "":
		return "another transition holds the lock"
	default:
		return fmt.Sprintf("a transition to %s holds the lock (pid %d, since %s)", l.Target, l.PID, l.Since)
	}
}

func (s Store) word(name string) (mode.Mode, bool, error) {
	w, ok, err := s.rawWord(name)
	if err != nil || !ok {
		return "", ok, err
	}
	m, err := mode.Parse(w)
	if err != nil {
		return "", false, fmt.Errorf("read %s: %w", s.Root.Path(name), err)
	}
	return m, true, nil
}

func (s Store) rawWord(name string) (string, bool, error) {
	data, err := s.Root.ReadLimited(name, 256)
	if hostfs.Absent(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	w := strings.TrimSpace(string(data))
	return w, w != "", nil
}

func (s Store) write(name string, data []byte) error {
	return atomicfile.Write(s.Root.Path(name), data, 0o644)
}

func (s Store) writeJSON(name string, doc any) error {
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return s.write(name, append(data, '\n'))
}

func read[T any](s Store, name string) (T, bool, error) {
	var doc T
	data, err := s.Root.ReadFile(name)
	if hostfs.Absent(err) {
		return doc, false, nil
	}
	if err != nil {
		return doc, false, err
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, false, fmt.Errorf("read %s: %w", s.Root.Path(name), errors.Join(ErrGarbled, err))
	}
	return doc, true, nil
}

// ErrGarbled says that a state file is no document of ours.
var ErrGarbled = errors.New("not a document that Dubnium wrote")
