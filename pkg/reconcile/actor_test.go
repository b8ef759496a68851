package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// actor is the world, played by a trace.
type actor struct {
	*world
	p *player
}

func (a *actor) Observe(ctx context.Context) observe.Observation {
	p := a.p
	switch {
	case p.looks == 0:
		p.at(atLook, 0)
	case !p.rolling && p.phase == record.Observing && !p.settled:
		p.settled = true
		p.at(atStep, p.step) // after the last one
		p.at(atSettle, 0)
	case !p.rolling:
		p.rolling, p.step = true, 0
		p.at(atRollLook, 0)
	default:
		p.at(atRollStep, p.step)
		p.at(atRollSettle, 0)
	}
	o := a.world.Observe(ctx)
	if p.planted == "the last look says what was asked for" && p.settled {
		o.State = p.target.State()
	}
	if p.looks++; p.looks == 1 {
		p.want = nil
		for _, m := range moves(o.State, a.facts(), p.target) {
			p.want = append(p.want, m.title)
		}
	} else if p.rolling && p.step == 0 {
		p.want = nil
		for _, m := range back(a.facts(), p.backTo()) {
			p.want = append(p.want, m.title)
		}
	}
	return o
}

// backTo is the mode that the engine's marker says it came from.
func (p *player) backTo() mode.Mode {
	m, _, err := p.e.Store.Marker()
	if err != nil {
		p.t.Fatal(err)
	}
	return prior(controller{before: m.Prior})
}

func (a *actor) Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result {
	if a.p.at(atGuards, 0) == blocks && a.p.planted != "a block of a guard is not heard" {
		a.block[names[0]] = guard.Result{Class: guard.Block, Code: exitcode.TargetUnreachable, Hard: true, Reason: "r", Message: "m"}
	}
	return a.world.Guards(ctx, names, target, cutOff)
}

func (a *actor) Hold(context.Context, mode.Mode) func() {
	a.p.at(atMark, 0)
	if a.p.planted == "the intent is lost" {
		a.p.files(a.p.before, []string{eventsName})
	}
	return func() {}
}

func (a *actor) Gate(ctx context.Context, names []string, target mode.Mode) []guard.Result {
	switch a.next("gate") {
	case fails:
		<-ctx.Done()
		return []guard.Result{{Guard: "check_x", Class: guard.Block, Code: exitcode.DisplayGPUOwned, Hard: true, Message: "held"}}
	}
	return a.world.Guards(ctx, names, target, false)
}

func (a *actor) Do(ctx context.Context, s plan.Step, target mode.Mode) (string, error) {
	switch a.next(s.Title()) {
	case fails:
		if a.p.planted == "a step that failed says that it worked" {
			return "", nil
		}
		return "", errors.New("it broke")
	case lies:
		return "", nil
	}
	return a.world.Do(ctx, s, target)
}

// next is called at each step; it holds that it is the model's.
func (a *actor) next(title string) string {
	p := a.p
	if int(p.step) >= len(p.want) || p.want[p.step] != title {
		p.diffs = append(p.diffs, fmt.Sprintf("step %d is %q, of %q", p.step, title, p.want))
	}
	where := atStep
	if p.rolling {
		where = atRollStep
	}
	what := p.at(where, p.step)
	p.step++
	return what
}

// names of the world's units, by the model's facts.
var unitNames = map[facts]string{
	desktopTarget: "desktop.target", displayMgr: "display-manager.service", computeTarget: "compute.target",
	vllmUnit: "vllm.service", policyUnit: "studio-local-policy.service", priorityUnit: "audio-priority.service",
}

func (w *world) facts() facts {
	f := noFacts
	for fact, unit := range unitNames {
		if w.units[unit] == "active" {
			f |= fact
		}
	}
	if w.session {
		f |= session
	}
	return f
}

func (w *world) set(f facts) {
	for fact, unit := range unitNames {
		w.units[unit] = "inactive"
		if f.has(fact) {
			w.units[unit] = "active"
		}
	}
	w.session = f.has(session)
}
