package unitctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/ryjen/dubnium/pkg/systemd"
)

// JobFailed says that a unit is not what its job was to make of it.
type JobFailed struct {
	Verb string // "start" or "stop"
	Unit string
	JobResult
}

func jobFailed(verb, unit string, r JobResult) error {
	return &JobFailed{Verb: verb, Unit: unit, JobResult: r}
}

// StartLimitHit tells whether systemd refuses to start the unit since it failed
// too often in a short time; ResetFailed ends that.
func (e *JobFailed) StartLimitHit() bool { return e.JobResult.Unit.Result == "start-limit-hit" }

// Skipped tells whether the start was skipped as a condition of the unit did
// not hold.
func (e *JobFailed) Skipped() bool {
	u := e.JobResult.Unit
	return e.Verb == "start" && e.Result == "done" && u.ActiveState == systemd.ActiveStateInactive && !u.ConditionResult
}

// Error implements error.
func (e *JobFailed) Error() string {
	u := e.JobResult.Unit
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: the job ended as %q and the unit is %s (%s)", e.Verb, e.Unit, e.Result, u.ActiveState, u.SubState)
	switch {
	case e.Skipped():
		b.WriteString(", because a condition of the unit does not hold")
	case e.StartLimitHit():
		b.WriteString(", because it was started too often in a short time")
	case u.Result != "" && u.Result != "success":
		fmt.Fprintf(&b, ", with the result %s", u.Result)
		if u.ExecMainStatus != 0 {
			fmt.Fprintf(&b, " (%s %d)", exitKind(u.ExecMainCode), u.ExecMainStatus)
		}
	}
	fmt.Fprintf(&b, "; see journalctl --boot --unit=%s", e.Unit)
	return b.String()
}

// exitKind names the codes of waitid(2).
func exitKind(code int32) string {
	if code == 2 || code == 3 {
		return "signal"
	}
	return "exit status"
}

// Deadline says that time ran out while a unit was waited for. To errors.Is it
// is the context's error.
type Deadline struct {
	Verb string
	Unit string
	Last systemd.Unit // as it was last seen; empty when it never was
	Err  error
}

// Error implements error.
func (e *Deadline) Error() string {
	if e.Last.ActiveState == "" {
		return fmt.Sprintf("%s %s: %v", e.Verb, e.Unit, e.Err)
	}
	return fmt.Sprintf("%s %s: %v; the unit was last seen %s (%s)", e.Verb, e.Unit, e.Err, e.Last.ActiveState, e.Last.SubState)
}

// Unwrap gives the context's error.
func (e *Deadline) Unwrap() error { return e.Err }

// orDeadline says what was tried, as a Deadline when ctx has ended.
func (m *Manager) orDeadline(ctx context.Context, verb, unit string, last systemd.Unit, err error) error {
	if ctx.Err() != nil {
		return &Deadline{Verb: verb, Unit: unit, Last: last, Err: ctx.Err()}
	}
	return fmt.Errorf("%s %s: %w", verb, unit, err)
}
