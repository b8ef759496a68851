package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/flock"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
)

// acquire takes the lock that serialises transitions. It dies with the
// process, so a killed controller never blocks the next one.
func (e *Engine) acquire(target mode.Mode) (*flock.Lock, error) {
	rec, err := json.Marshal(record.Holder{PID: e.PID, Target: target, ID: e.ID, Since: e.Now().UTC().Format(record.TimeFormat)})
	if err != nil {
		return nil, err
	}
	path := e.Store.Root.Path(record.LockFile)
	lock, err := flock.TryAcquire(path, append(rec, '\n'))
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, flock.ErrHeld):
		return nil, exitcode.Errorf(exitcode.Locked, "%s; try again when it has ended (mode status shows it)", e.Store.HeldBy())
	case errors.Is(err, os.ErrPermission):
		return nil, exitcode.Errorf(exitcode.NotPermitted, "take the lock %s: only root reconciles; use mode request", path)
	case errors.Is(err, os.ErrNotExist):
		return nil, exitcode.Errorf(exitcode.Internal, "take the lock: %s does not exist; systemd-tmpfiles --create makes it", e.Store.Root.Path(record.RunDir))
	default:
		return nil, fmt.Errorf("take the lock: %w", err)
	}
}

// seal closes the record of a transition whose controller was killed: the
// history gets exactly one line that says so.
func (e *Engine) seal() error {
	m, found, err := e.Store.Marker()
	if err != nil && !errors.Is(err, record.ErrGarbled) {
		return err
	}
	if !found && err == nil {
		return nil
	}
	if found {
		if err := e.sealOne(interrupted(m)); err != nil {
			return err
		}
	}
	return e.Store.ClearMarker()
}

// catchUp appends the last record of this boot where the history could not be
// written at the end of its transition: a disk that was full tells the truth
// as soon as it has room.
func (e *Engine) catchUp() {
	last, found, err := e.Store.Last()
	if err != nil || !found {
		return
	}
	if told, err := e.Store.Ended(last.ID); err == nil && !told {
		_ = e.Store.Append(last)
	}
}

// sealOne appends ev unless the history already tells how its transition
// ended: the controller may have been killed between the two writes.
func (e *Engine) sealOne(ev record.Event) error {
	ended, err := e.Store.Ended(ev.ID)
	if err != nil {
		return fmt.Errorf("look for %s in the history: %w", ev.ID, err)
	}
	if ended {
		return nil
	}
	ev.Timestamp = e.Now().UTC().Format(record.TimeFormat)
	if err := e.Store.Append(ev); err != nil {
		return exitcode.Errorf(exitcode.Internal, "record the interrupted transition %s: %w", ev.ID, err)
	}
	e.ended(ev)
	return e.Store.SetLast(ev)
}

// sealHistory closes the intents of former boots that never ended.
func (e *Engine) sealHistory() error {
	open, err := e.Store.Unfinished(e.BootID)
	if err != nil {
		return err
	}
	for _, ev := range open {
		ev.Type, ev.Outcome, ev.ExitCode = record.TypeTransition, record.Interrupted, exitcode.Failed
		ev.Reason = "the machine went down before its end was recorded"
		ev.Timestamp = e.Now().UTC().Format(record.TimeFormat)
		ev.Before = nil
		if err := e.Store.Append(ev); err != nil {
			return err
		}
		e.ended(ev)
	}
	return nil
}

// interrupted is the record of a transition that its marker tells of.
func interrupted(m record.Marker) record.Event {
	reason := "the controller was killed before anything was touched"
	if m.Mutated() {
		reason = "the controller was killed in the middle of it"
		for _, a := range m.Steps {
			if a.Status == record.Running {
				reason = "the controller was killed at: " + a.Title
			}
		}
	}
	return record.Event{
		SchemaVersion: record.SchemaVersion, Type: record.TypeTransition, ID: m.ID, BootID: m.BootID,
		InvocationID: m.InvocationID, Requested: m.Requested, Prior: m.Prior, Trigger: m.Trigger,
		Outcome: record.Interrupted, ExitCode: exitcode.Failed, Reason: reason,
		Override: m.Override, AskedBy: m.AskedBy,
		Guards: m.Guards, Actions: m.Steps, Conflicts: []observe.Conflict{}, Unmet: []observe.Unmet{}, Errors: []observe.InspectionError{},
	}
}
