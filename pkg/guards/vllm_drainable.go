package guards

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/systemd"
	"github.com/ryjen/dubnium/pkg/vllm"
)

// VLLMDrainable asks whether vLLM can be stopped without breaking off an answer.
var VLLMDrainable = guard.Descriptor{
	Name:     "vllm_drainable",
	Question: "Can vLLM be stopped without cutting off a request?",
	Manual: `Asks systemd for the unit in vllm.unit, and where it runs vLLM itself for its metrics: vllm:num_requests_running and vllm:num_requests_waiting have to be 0, over all models and engines. A unit that does not run has nothing to drain.

With --wait it asks again until both are 0, for vllm.drainTimeout at most. It stops nobody from sending requests meanwhile. When that time is over it blocks, or passes where vllm.drainThen is "stop": the site has then said that requests which take longer are cut off. Where it is "ask", an operator can say so for one transition, by mode request MODE --cut-off: the guard is then run with --cut-off, and passes at once. Under any other value --cut-off changes nothing.

A unit that runs while nobody listens at vllm.host and vllm.port, as one that is still loading, has no requests that could be cut off. One that listens and does not tell its metrics is an inspection error: it could be stuck with requests in it. After a look at systemctl status, stop it by hand. After a block, wait for the clients, or end them.`,
	Block:  exitcode.VLLMNotDrainable,
	Hard:   true,
	Target: mode.Desktop,
	Reasons: []guard.Reason{
		{Word: "not-running", Class: guard.Pass, Meaning: "the unit does not run"},
		{Word: "not-serving", Class: guard.Pass, Meaning: "the unit runs, but nobody listens at its address"},
		{Word: "idle", Class: guard.Pass, Meaning: "no request is running or waiting"},
		{Word: "drained", Class: guard.Pass, Meaning: "with --wait: the last request has ended"},
		{Word: "given-up", Class: guard.Pass, Meaning: "with --wait: requests were still there when the drain time was over, and vllm.drainThen lets them be cut off"},
		{Word: "cut-off", Class: guard.Pass, Meaning: "with --cut-off: requests are there, and an operator lets them be cut off, as vllm.drainThen allows"},
		{Word: "requests-in-flight", Class: guard.Block, Meaning: "requests are running or waiting"},
		{Word: "drain-overdue", Class: guard.Block, Meaning: "with --wait: requests were still there when the drain time was over"},
	},
	CutOff: true,
	Wait:   func(c config.Config) time.Duration { return c.VLLM.DrainTimeout.Std() },
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		start := time.Now()
		for {
			waited := time.Since(start)
			d := lookAtDrain(ctx, env)
			d.ev.WaitedMS = waited.Milliseconds()
			v := judgeDrain(d, env.Wait, env.CutOff)
			// The last look begins when the time is over, so that it is what decides.
			if v.Reason != "requests-in-flight" || waited >= env.Wait {
				return v
			}
			// The end of ctx shows in the next look, which names what it was at.
			_ = watchFor(ctx, min(drainEvery, max(env.Wait-time.Since(start), 0)))
		}
	},
}

// drainEvery is how long a guard that waits lets vLLM work between two looks.
const drainEvery = 200 * time.Millisecond

type drainEvidence struct {
	Unit     string `json:"unit"`
	Active   string `json:"active_state"`
	Address  string `json:"address"`
	Running  int    `json:"running"` // requests being answered
	Waiting  int    `json:"waiting"` // requests queued
	WaitedMS int64  `json:"waited_ms"`
	Then     string `json:"then"` // vllm.drainThen
}

// drain is one look at vLLM.
type drain struct {
	ev      drainEvidence
	unitErr error
	load    vllm.Load
	loadErr error // only of a unit that is not down
}

func lookAtDrain(ctx context.Context, env guard.Env) drain {
	cfg := env.Config.VLLM
	answer := collect.Ask(ctx, env.Root, []string{cfg.Unit})
	unit := answer.Systemd.Unit(cfg.Unit)
	d := drain{
		ev:      drainEvidence{Unit: cfg.Unit, Active: unit.ActiveState, Address: vllm.Addr(cfg.Host, cfg.Port), Then: cfg.DrainThen},
		unitErr: answer.SystemdErr,
	}
	if d.unitErr == nil && d.ev.Active == "" {
		d.unitErr = fmt.Errorf("systemd says nothing about %s", cfg.Unit)
	}
	if d.unitErr == nil && !down(d.ev.Active) {
		d.load, d.loadErr = vllm.Metrics(ctx, d.ev.Address)
		d.ev.Running, d.ev.Waiting = d.load.Running, d.load.Waiting
	}
	return d
}

// down tells whether nothing of a unit in that state runs. One that systemd has
// no file of is inactive.
func down(state string) bool {
	return state == systemd.ActiveStateInactive || state == systemd.ActiveStateFailed
}

func judgeDrain(d drain, wait time.Duration, cutOff bool) guard.Verdict {
	ev := d.ev
	switch {
	case d.unitErr != nil:
		return guard.CannotSee(d.unitErr, ev)
	case down(ev.Active):
		return guard.Say("not-running", ev, "%s does not run", ev.Unit)
	case errors.Is(d.loadErr, unix.ECONNREFUSED):
		return guard.Say("not-serving", ev, "%s is %s and nobody listens at %s", ev.Unit, ev.Active, ev.Address)
	case d.loadErr != nil:
		return guard.CannotSee(fmt.Errorf("%s is %s, but its requests can't be counted: %w", ev.Unit, ev.Active, d.loadErr), ev)
	case !d.load.Idle() && cutOff && ev.Then == config.DrainAsk:
		return guard.Say("cut-off", ev, "%s has %s, which an operator lets be cut off", ev.Unit, requests(d.load))
	case !d.load.Idle() && wait > 0 && ev.WaitedMS >= wait.Milliseconds() && d.ev.Then == config.DrainStop:
		return guard.Say("given-up", ev, "%s still has %s after %d ms, which vllm.drainThen lets be cut off", ev.Unit, requests(d.load), ev.WaitedMS)
	case !d.load.Idle() && wait > 0 && ev.WaitedMS >= wait.Milliseconds():
		return guard.Say("drain-overdue", ev, "%s still has %s after %d ms", ev.Unit, requests(d.load), ev.WaitedMS)
	case !d.load.Idle():
		return guard.Say("requests-in-flight", ev, "%s has %s", ev.Unit, requests(d.load))
	case ev.WaitedMS > 0:
		return guard.Say("drained", ev, "%s has ended its last request after %d ms", ev.Unit, ev.WaitedMS)
	default:
		return guard.Say("idle", ev, "%s has no requests", ev.Unit)
	}
}

func requests(l vllm.Load) string {
	return fmt.Sprintf("%d requests running and %d waiting", l.Running, l.Waiting)
}
