package programs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// drained is what a request says about vLLM's requests that outlast the drain.
type drained struct {
	CutOff  bool `name:"cut-off" help:"Stop vLLM at once, whatever requests it is at. The configuration has to leave that to you (vllm.drainThen is ask); the history tells who did."`
	NoInput bool `name:"no-input" help:"Ask nothing, even on a terminal: what is left open is left as it is."`
}

// request requests a mode, and once more where the drain left a question open
// that a person answers so.
func (d drained) request(ctx context.Context, env *cli.Env, target mode.Mode, format cli.Format) error {
	cutOff, patience := d.CutOff, "as long"
	cfg, err := load(env)
	if err == nil {
		patience = cfg.VLLM.DrainTimeout.String()
	}
	switch {
	case !cutOff: // the controller says what is wrong with the configuration
	case err != nil:
		return err
	case cfg.VLLM.DrainThen != config.DrainAsk:
		return exitcode.Errorf(exitcode.Usage, "--cut-off: vllm.drainThen is %q in %s, and only %q leaves it to you to cut requests off", cfg.VLLM.DrainThen, env.Config, config.DrainAsk)
	}
	for {
		last, err := request(ctx, env, target, format, cutOff)
		if last.Question == nil || last.Question.About != record.AboutDrain || d.NoInput || format == cli.JSON || !env.CanAsk() {
			return err
		}
		switch answer, askErr := askDrain(ctx, env, *last.Question, last.Final, patience); {
		case askErr != nil:
			return errors.Join(err, askErr)
		case answer == stay:
			return err
		default:
			cutOff = answer == stop
		}
	}
}

// What a person can say to requests that outlast the drain.
type drainAnswer int

const (
	stay drainAnswer = iota
	wait
	stop
)

// askings bounds how often somebody is asked who says nothing that is known.
const askings = 3

// askDrain asks what to do about requests that outlast the drain. Whoever says
// nothing stays.
func askDrain(ctx context.Context, env *cli.Env, q record.Question, now mode.State, patience string) (drainAnswer, error) {
	for range askings {
		text, err := env.Ask(ctx, fmt.Sprintf("%s still at %s: (s)top it and cut %s off, (w)ait %s more, or stay in %s? [stay]",
			counted(q.Running+q.Waiting, "request"), q.Unit, them(q.Running+q.Waiting), patience, now))
		if err != nil {
			return stay, err
		}
		switch text {
		case "s", "stop":
			return stop, nil
		case "w", "wait":
			return wait, nil
		case "", "stay", "n", "no":
			return stay, nil
		}
	}
	return stay, nil
}

func them(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
