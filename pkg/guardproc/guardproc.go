// Package guardproc runs guards as processes: a guard that hangs or crashes
// can't take its caller along, and one that breaks the contract of guards
// counts as a check that could not be carried out.
package guardproc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

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
	// Extra is what the guard gets beyond the deadline of all, because it was
	// told to wait for something.
	Extra time.Duration
	// Window is how long the guard watches before it can pass.
	Window time.Duration
	// Site marks a guard that the site brought: it is hard unless its own line
	// says "hard": false.
	Site bool
}

// The words of results that the caller writes in place of a guard.
const (
	NoProgram = "guard-missing"
	Overdue   = "guard-overdue"
	Broken    = "guard-broken"
)

// maxOutput bounds what a guard may print, in bytes.
const maxOutput = guard.MaxLine

// grace is what a guard gets beyond its own deadline before it is killed.
const grace = 50 * time.Millisecond

// All runs the commands at the same time and gives their results in order. A
// command gets deadline to answer, and is killed with all of its children
// shortly after. Starting a program is work that the others wait for, so those
// that watch the longest are started first.
func All(ctx context.Context, commands []Command, target mode.Mode, deadline time.Duration) []guard.Result {
	results := make([]guard.Result, len(commands))
	order := make([]int, len(commands))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(commands[b].Window, commands[a].Window) })
	var all sync.WaitGroup
	for _, i := range order {
		start := time.Now()
		p, err := launch(commands[i].Argv)
		all.Go(func() { results[i] = commands[i].follow(ctx, p, err, target, start, deadline) })
	}
	all.Wait()
	return results
}

// Run runs one command.
func Run(ctx context.Context, c Command, target mode.Mode, deadline time.Duration) guard.Result {
	start := time.Now()
	p, err := launch(c.Argv)
	return c.follow(ctx, p, err, target, start, deadline)
}

// follow waits for what launch has started at start, or could not start.
func (c Command) follow(ctx context.Context, p *process, err error, target mode.Mode, start time.Time, deadline time.Duration) guard.Result {
	deadline += c.Extra
	bounded, cancel := context.WithDeadline(ctx, start.Add(deadline+grace))
	defer cancel()
	fail := func(reason, format string, args ...any) guard.Result {
		return c.failed(target, start, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(NoProgram, "%s is not installed", c.Argv[0])
	case err != nil:
		return fail(Broken, "run %s: %v", c.Argv[0], err)
	}
	defer p.abandon()
	switch ended := p.wait(bounded); {
	case ended && !p.complete(bounded):
		return fail(Broken, "a process that it left behind holds its output")
	case ended:
		return c.read(target, start, p.cmd.ProcessState, &p.out, &p.diag)
	case ctx.Err() != nil:
		return fail(Overdue, "stopped before it answered: %v", ctx.Err())
	default:
		return fail(Overdue, "no answer within %v", deadline)
	}
}

// read holds the guard's answer against the contract: one line of JSON whose
// code is the exit status and whose class is its band.
func (c Command) read(target mode.Mode, start time.Time, ended *os.ProcessState, out, diag *capture) guard.Result {
	broken := func(format string, args ...any) guard.Result {
		msg := fmt.Sprintf(format, args...)
		if s := firstLine(diag.data); s != "" {
			msg += "; it said: " + s
		}
		return c.failed(target, start, Broken, msg)
	}
	status := ended.ExitCode()
	code := exitcode.Code(status)
	if status < 0 {
		return broken("ended by a signal: %v", ended)
	}
	if code.Band() == exitcode.BandOutside || code.Band() == exitcode.BandTransition {
		return broken("exit status %d is outside the contract of guards", status)
	}
	if out.full {
		return broken("printed more than %d bytes", maxOutput)
	}
	line := bytes.TrimSuffix(out.data, []byte("\n"))
	if bytes.ContainsRune(line, '\n') {
		return broken("printed more than one line")
	}
	var told struct {
		guard.Result
		Hard *bool `json:"hard"`
	}
	if err := json.Unmarshal(line, &told); err != nil {
		return broken("printed no JSON object: %v", err)
	}
	r := told.Result
	if r.Code != code || string(r.Class) != string(code.Band()) || r.OK != (code == exitcode.OK) {
		return broken("exit status %d, code %d, class %q and ok %v disagree", status, r.Code, r.Class, r.OK)
	}
	if r.Class == guard.Misuse {
		return broken("%s: %s", r.Reason, r.Message)
	}
	r.Guard, r.Hard, r.Target = c.Name, c.Hard, target
	if c.Site {
		r.Hard = told.Hard == nil || *told.Hard
	}
	if len(r.Evidence) == 0 || string(r.Evidence) == "null" {
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

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
