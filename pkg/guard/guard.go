// Package guard is the contract of the guards: small programs that answer one
// question about the machine, change nothing, and end with a documented exit
// code and one line of JSON.
package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Class is the band of a result: what a caller may conclude from it.
type Class string

// The classes, one for each band of exit codes.
const (
	Pass   Class = "pass"   // 0: the answer is yes
	Block  Class = "block"  // 10-19: the answer is no
	Error  Class = "error"  // 20-29: nobody could look; never a pass
	Misuse Class = "misuse" // 30-32: the guard was called wrongly, or is broken
)

// Reason is a stable word that says why a guard decided as it did. A guard's
// reasons are a closed list and part of its interface.
type Reason struct {
	Word    string
	Class   Class
	Meaning string
}

// Reasons that any guard can end with.
var (
	Deadline   = Reason{"deadline", Error, "a source did not answer within the guard's deadline"}
	Unreadable = Reason{"source-unreadable", Error, "a source could not be read"}
	BadUsage   = Reason{"bad-usage", Misuse, "an unknown flag, argument or mode"}
	BadConfig  = Reason{"bad-configuration", Misuse, "the configuration is wrong: file, line and key are in the message"}
	Fault      = Reason{"internal-fault", Misuse, "a bug of the guard"}
)

// Common lists the reasons that any guard can end with.
func Common() []Reason { return []Reason{Deadline, Unreadable, BadUsage, BadConfig, Fault} }

// Descriptor is all that there is to know of a guard. Binary, man page, units
// and tables are made from it.
type Descriptor struct {
	// Name is the guard's name without the check_ that its binary has.
	Name string
	// Question is what the guard answers, as one sentence that yes answers.
	Question string
	// Manual tells an operator what is looked at and what to do about a block.
	Manual string
	// Block is the exit code of a block; an inspection error is that plus 10.
	Block exitcode.Code
	// Hard guards can't be overridden by anybody.
	Hard bool
	// Target is the mode that the guard asks for when it is run by hand.
	Target mode.Mode
	// Reasons is the closed list of words, without the common ones.
	Reasons []Reason
	// Wait, where there is something to wait for, makes the guard take --wait,
	// and says how long it then waits at most for a pass.
	Wait func(config.Config) time.Duration
	// CutOff makes the guard take --cut-off: an operator lets it pass what the
	// configuration leaves to one.
	CutOff bool
	// Window, where the guard watches something for a while, says for how long
	// it does before it can pass. Callers start the longest first.
	Window func(config.Config) time.Duration
	// Check looks and decides. It observes ctx, which carries the deadline.
	Check func(ctx context.Context, env Env) Verdict
}

// Binary is the name of the guard's program.
func (d Descriptor) Binary() string { return "check_" + d.Name }

// Reason finds one of the guard's reasons by its word.
func (d Descriptor) Reason(word string) (Reason, bool) {
	for _, list := range [][]Reason{d.Reasons, Common()} {
		for _, r := range list {
			if r.Word == word {
				return r, true
			}
		}
	}
	return Reason{}, false
}

// Env is what a guard may look at.
type Env struct {
	Root   hostfs.Root
	Config config.Config
	Target mode.Mode
	// Wait is how long a guard that has a Wait may wait for a pass; 0 asks for
	// an answer now.
	Wait time.Duration
	// CutOff is an operator's answer to a guard that takes one.
	CutOff bool
}

// Verdict is a guard's decision. The reason decides the class, and the class
// the exit code.
type Verdict struct {
	Reason string
	// Message is one sentence that names the culprit.
	Message string
	// Evidence holds the facts that the verdict rests on, with units in the
	// names of its JSON fields.
	Evidence any
}

// Say makes a verdict.
func Say(reason string, evidence any, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Evidence: evidence, Message: fmt.Sprintf(format, args...)}
}

// CannotSee is the verdict of a guard whose source could not be read. A source
// that did not answer may notice the deadline a little before the context does.
func CannotSee(err error, evidence any) Verdict {
	reason := Unreadable.Word
	if errors.Is(err, context.DeadlineExceeded) {
		reason = Deadline.Word
	}
	return Verdict{Reason: reason, Evidence: evidence, Message: err.Error()}
}

// Result is the one line that a guard prints.
type Result struct {
	Guard      string          `json:"guard"`
	OK         bool            `json:"ok"`
	Code       exitcode.Code   `json:"code"`
	Class      Class           `json:"class"`
	Hard       bool            `json:"hard"`
	Reason     string          `json:"reason"`
	Message    string          `json:"message"`
	Evidence   json.RawMessage `json:"evidence"`
	Target     mode.Mode       `json:"target"`
	Timestamp  string          `json:"timestamp"`
	DurationMS float64         `json:"duration_ms"`
}

// TimeFormat is RFC 3339 in UTC with milliseconds, as all documents have it.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Run carries the guard out within ctx's deadline. It always comes back: a
// check that does not return in time is left behind (its process is about to
// end), and one that panics is a fault.
func Run(ctx context.Context, d Descriptor, env Env) Result {
	start := time.Now()
	done := make(chan Verdict, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- Verdict{Reason: Fault.Word, Message: fmt.Sprintf("the guard panicked: %v", p)}
			}
		}()
		done <- d.Check(ctx, env)
	}()
	var v Verdict
	select {
	case v = <-done:
	case <-ctx.Done():
		v = lastWord(done)
	}
	// A check that gave up because its time was over may blame the source it
	// was at; the word for that is deadline all the same.
	if ctx.Err() != nil && v.Reason == Unreadable.Word {
		v.Reason = Deadline.Word
	}
	return Finish(d, env.Target, v, start)
}

// lastWord gives a check that saw the deadline a moment to say at which source
// it was waiting.
func lastWord(done <-chan Verdict) Verdict {
	select {
	case v := <-done:
		return v
	case <-time.After(20 * time.Millisecond):
		return Verdict{Reason: Deadline.Word, Message: "a source did not answer in time"}
	}
}

// Finish turns a verdict into the guard's line. A reason that the guard has
// not declared is a fault.
func Finish(d Descriptor, target mode.Mode, v Verdict, start time.Time) Result {
	reason, ok := d.Reason(v.Reason)
	if !ok {
		reason = Fault
		v.Message = fmt.Sprintf("undeclared reason %q: %s", v.Reason, v.Message)
	}
	r := Result{
		Guard: d.Binary(), OK: reason.Class == Pass, Class: reason.Class, Hard: d.Hard,
		Code: code(d, reason), Reason: reason.Word, Message: bounded(v.Message), Target: target,
		Timestamp:  start.UTC().Format(TimeFormat),
		DurationMS: float64(time.Since(start).Microseconds()) / 1000,
	}
	r.Evidence, ok = marshal(v.Evidence)
	if !ok {
		r.Class, r.Code, r.OK, r.Reason = Misuse, exitcode.Internal, false, Fault.Word
		r.Message = "the evidence can't be written as JSON: " + r.Message
	}
	return r
}

func code(d Descriptor, r Reason) exitcode.Code {
	switch {
	case r.Class == Pass:
		return exitcode.OK
	case r.Class == Block:
		return d.Block
	case r.Class == Error:
		return d.Block.InspectionOf()
	case r.Word == BadUsage.Word:
		return exitcode.Usage
	case r.Word == BadConfig.Word:
		return exitcode.Config
	default:
		return exitcode.Internal
	}
}

func marshal(evidence any) (json.RawMessage, bool) {
	if evidence == nil {
		return json.RawMessage("{}"), true
	}
	data, err := json.Marshal(evidence)
	if err != nil {
		return json.RawMessage("{}"), false
	}
	if len(data) > maxEvidence {
		return fmt.Appendf(nil, `{"omitted_bytes":%d}`, len(data)), true
	}
	return data, true
}

// MaxLine bounds a guard's line with its newline, in bytes. Callers read no
// more, and what is in it is named by others: sessions, programs, files.
const MaxLine = 64 << 10

// What the parts of a line may have, in bytes. A byte of the message may take
// six in JSON.
const (
	maxEvidence = 48 << 10
	maxMessage  = 2 << 10
)

// bounded cuts a message that is too long.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// Worst picks the result that decides about a transition: the hard guard with
// the lowest code, else the soft one with the lowest code. Nil means that all
// passed.
func Worst(results []Result) *Result {
	var worst *Result
	for i := range results {
		r := &results[i]
		if r.OK {
			continue
		}
		if worst == nil || (r.Hard && !worst.Hard) || (r.Hard == worst.Hard && r.Code < worst.Code) {
			worst = r
		}
	}
	return worst
}
