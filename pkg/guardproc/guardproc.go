// Package guardproc runs guards as processes: a guard that hangs or crashes
// can't take its caller along, and one that breaks the contract of guards
// counts as a check that could not be carried out.
package guardproc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Command is a guard to run.
type Command struct {
	// Name is the program's name, as results have it.
	Name string
	// Argv is the program's absolute path and its arguments.
	Argv []string
	// Code is the block code that an inspection error is derived from.
	Code exitcode.Code
	Hard bool
}

// The words of results that the caller writes in place of a guard.
const (
	NoProgram = "guard-missing"
	Overdue   = "guard-overdue"
	Broken    = "guard-broken"
)

// maxOutput bounds what a guard may print, in bytes. The contract's line is at
// most 64 KiB.
const maxOutput = 64 << 10

// grace is what a guard gets beyond its own deadline before it is killed.
const grace = 50 * time.Millisecond

// All runs the commands at the same time and gives their results in order. A
// command gets deadline to answer, and is killed with all of its children
// shortly after.
func All(ctx context.Context, commands []Command, target mode.Mode, deadline time.Duration) []guard.Result {
	results := make([]guard.Result, len(commands))
	var all sync.WaitGroup
	for i, c := range commands {
		all.Go(func() { results[i] = Run(ctx, c, target, deadline) })
	}
	all.Wait()
	return results
}

// Run runs one command.
func Run(ctx context.Context, c Command, target mode.Mode, deadline time.Duration) guard.Result {
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, deadline+grace)
	defer cancel()
	var out, diag limited
	cmd := exec.CommandContext(bounded, c.Argv[0], c.Argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &diag, environment()
	// A group of its own, so that nothing that the guard started is left.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = grace
	err := cmd.Run()
	if cmd.Process != nil {
		_ = killGroup(cmd.Process.Pid)
	}
	fail := func(reason, format string, args ...any) guard.Result {
		return c.failed(target, start, reason, fmt.Sprintf(format, args...))
	}
	var exit *exec.ExitError
	switch {
	case bounded.Err() != nil && ctx.Err() != nil:
		return fail(Overdue, "stopped before it answered: %v", ctx.Err())
	case bounded.Err() != nil:
		return fail(Overdue, "no answer within %v", deadline)
	case errors.Is(err, os.ErrNotExist):
		return fail(NoProgram, "%s is not installed", c.Argv[0])
	case err != nil && !errors.As(err, &exit):
		return fail(Broken, "run %s: %v", c.Argv[0], err)
	}
	return c.read(target, start, cmd.ProcessState.ExitCode(), &out, &diag)
}

// read holds the guard's answer against the contract: one line of JSON whose
// code is the exit status and whose class is its band.
func (c Command) read(target mode.Mode, start time.Time, status int, out, diag *limited) guard.Result {
	broken := func(format string, args ...any) guard.Result {
		msg := fmt.Sprintf(format, args...)
		if s := firstLine(diag.Bytes()); s != "" {
			msg += "; it said: " + s
		}
		return c.failed(target, start, Broken, msg)
	}
	code := exitcode.Code(status)
	if code.Band() == exitcode.BandOutside || code.Band() == exitcode.BandTransition {
		return broken("exit status %d is outside the contract of guards", status)
	}
	if out.full {
		return broken("printed more than %d bytes", maxOutput)
	}
	line := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if bytes.ContainsRune(line, '\n') {
		return broken("printed more than one line")
	}
	var r guard.Result
	if err := json.Unmarshal(line, &r); err != nil {
		return broken("printed no JSON object: %v", err)
	}
	if r.Code != code || string(r.Class) != string(code.Band()) || r.OK != (code == exitcode.OK) {
		return broken("exit status %d, code %d, class %q and ok %v disagree", status, r.Code, r.Class, r.OK)
	}
	if r.Class == guard.Misuse {
		return broken("%s: %s", r.Reason, r.Message)
	}
	r.Guard, r.Hard, r.Target = c.Name, c.Hard, target
	if len(r.Evidence) == 0 {
		r.Evidence = json.RawMessage("{}")
	}
	return r
}

func (c Command) failed(target mode.Mode, start time.Time, reason, message string) guard.Result {
	return guard.Result{
		Guard: c.Name, Class: guard.Error, Code: c.Code.InspectionOf(), Hard: c.Hard,
		Reason: reason, Message: message, Target: target, Evidence: json.RawMessage("{}"),
		Timestamp:  start.UTC().Format(guard.TimeFormat),
		DurationMS: float64(time.Since(start).Microseconds()) / 1000,
	}
}

// environment is what a guard gets to see: where the bus is, and nothing that
// could change what it looks at.
func environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	if bus, ok := os.LookupEnv("DBUS_SYSTEM_BUS_ADDRESS"); ok {
		env = append(env, "DBUS_SYSTEM_BUS_ADDRESS="+bus)
	}
	return env
}

func killGroup(pid int) error {
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// limited keeps the first maxOutput bytes and swallows the rest.
type limited struct {
	bytes.Buffer
	full bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := maxOutput - l.Len()
	if len(p) > room {
		l.full = true
		l.Buffer.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return l.Buffer.Write(p)
}
