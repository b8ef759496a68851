package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// GuardTimeout is the deadline of a guard that is run by hand.
const GuardTimeout = 5 * time.Second

// Guard runs a guard as the process that it is.
func Guard(d guard.Descriptor) { Main(GuardProgram(d)) }

type guardModel struct {
	Flags  `embed:""`
	Target string `name:"target" enum:"${modes}" default:"${target}" placeholder:"MODE" help:"Ask for a transition to MODE: ${enum} (default ${default})."`
}

// waitingModel is the grammar of a guard that has something to wait for.
type waitingModel struct {
	guardModel `embed:""`
	Wait       bool `name:"wait" help:"Wait for a pass, as long as the configuration allows; --timeout bounds what comes on top."`
}

// answeredModel is the grammar of a guard that takes an operator's answer, too.
type answeredModel struct {
	waitingModel `embed:""`
	CutOff       bool `name:"cut-off" help:"Pass what the configuration leaves to an operator, who lets it be cut off."`
}

// boundsLater tells the runner that the deadline depends on the configuration,
// which is read first.
func (m *waitingModel) boundsLater() bool { return m.Wait }

// waiting gives the context and the question of a guard that was told to wait.
func (m *waitingModel) waiting(ctx context.Context, d guard.Descriptor, g guard.Env) (context.Context, context.CancelFunc, guard.Env) {
	if !m.Wait {
		return ctx, func() {}, g
	}
	g.Wait = d.Wait(g.Config)
	if m.Timeout <= 0 {
		return ctx, func() {}, g
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeout+g.Wait)
	return ctx, cancel, g
}

// GuardProgram is the program of a guard. It prints one line of JSON whatever
// happens, and its exit code is the line's code.
func GuardProgram(d guard.Descriptor) Program {
	answered := &answeredModel{}
	waiting := &answered.waitingModel
	model := &waiting.guardModel
	var grammar any = model
	switch {
	case d.CutOff:
		grammar = answered
	case d.Wait != nil:
		grammar = waiting
	}
	env := func(e *Env) guard.Env {
		return guard.Env{Root: e.Root, Config: config.Default(), Target: mode.Mode(model.Target)}
	}
	return Program{
		Name:    d.Binary(),
		Summary: lowerFirst(d.Question),
		Manual:  guardManual(d),
		Model:   grammar,
		Timeout: GuardTimeout,
		Vars:    map[string]string{"target": string(d.Target), "modes": strings.Join(mode.Names(), ",")},
		Codes:   []exitcode.Code{d.Block, d.Block.InspectionOf()},
		Examples: []Example{
			{d.Binary(), "Ask by hand."},
			{d.Binary() + " | jq .message", "Only the sentence for people."},
		},
		Files:   []File{{DefaultConfig, "The configuration."}},
		SeeAlso: []string{"mode(1)", "observe-current(1)"},
		Run: func(ctx context.Context, e *Env) error {
			start := time.Now()
			g := env(e)
			var r guard.Result
			cfg, err := config.Load(e.Root, e.Config)
			if err != nil {
				r = guard.Finish(d, g.Target, guard.Verdict{Reason: guard.BadConfig.Word, Message: err.Error()}, start)
				e.Logf("%s", err)
			} else {
				g.Config, g.CutOff = cfg, answered.CutOff
				ctx, cancel, g := waiting.waiting(ctx, d, g)
				defer cancel()
				r = guard.Run(ctx, d, g)
				e.Logf("%s: %s", r.Reason, r.Message)
			}
			if err := WriteJSONLine(e.Stdout, r); err != nil {
				return err
			}
			return Status(r.Code)
		},
		Misuse: func(e *Env, code exitcode.Code, err error) {
			reason := guard.Fault
			if code == exitcode.Usage {
				reason = guard.BadUsage
			}
			target := mode.Mode(model.Target)
			if _, err := mode.Parse(model.Target); err != nil {
				target = d.Target
			}
			_ = WriteJSONLine(e.Stdout, guard.Finish(d, target, guard.Verdict{Reason: reason.Word, Message: err.Error()}, time.Now()))
		},
	}
}

// guardManual is the manual of a guard: its question, what it looks at, and
// its closed list of reasons.
func guardManual(d guard.Descriptor) string {
	kind := "soft: an operator may override it by name, which is recorded"
	if d.Hard {
		kind = "hard: nobody can override it"
	}
	s := fmt.Sprintf("%s\n\n%s\n\nThe guard is %s. It changes nothing, and prints one line of JSON on stdout whatever happens. The reasons that it gives are:\n\n", d.Question, d.Manual, kind)
	for _, list := range [][]guard.Reason{d.Reasons, guard.Common()} {
		for _, r := range list {
			s += fmt.Sprintf("- %s (%s): %s\n", r.Word, r.Class, r.Meaning)
		}
	}
	return s
}

// lowerFirst makes a question the one-line summary of a manual page.
func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return string(s[0]|0x20) + s[1:]
}
