package guards

import (
	"context"
	"errors"
	"slices"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// TargetReachable asks whether the units of a mode are there to be started.
var TargetReachable = guard.Descriptor{
	Name:     "target_reachable",
	Question: "Can systemd start what the target mode consists of?",
	Manual: `Asks systemd whether it has loaded every unit that the target mode consists of (its target, the studio overlay, the login path of desktop.loginUnits, vLLM when it is enabled), that none is masked, that the machine has finished booting and is not going down.

After a block, install or unmask the unit that the message names, or correct desktop.loginUnits.`,
	Block:  exitcode.TargetUnreachable,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "reachable", Class: guard.Pass, Meaning: "every unit of the target mode can be started"},
		{Word: "unit-missing", Class: guard.Block, Meaning: "systemd has no definition of a unit"},
		{Word: "unit-masked", Class: guard.Block, Meaning: "a unit is masked"},
		{Word: "unit-broken", Class: guard.Block, Meaning: "systemd could not read a unit's definition"},
		{Word: "booting", Class: guard.Block, Meaning: "the machine has not finished booting"},
		{Word: "going-down", Class: guard.Block, Meaning: "the machine is shutting down"},
	},
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		names := unitsOf(env.Target, env.Config)
		a := collect.Ask(ctx, env.Root, names)
		if err := errors.Join(a.SystemdErr, a.Systemd.ManagerErr); err != nil {
			return guard.CannotSee(err, nil)
		}
		ev := targetEvidence{SystemState: a.Systemd.SystemState, BootFinished: a.Systemd.FinishMonoUsec > 0}
		for _, n := range names {
			ev.Units = append(ev.Units, collect.Unit(a, n))
		}
		return judgeTarget(ev, env.Target)
	},
}

type targetEvidence struct {
	SystemState  string          `json:"system_state"`
	BootFinished bool            `json:"boot_finished"`
	Units        []evidence.Unit `json:"units"`
}

// unitsOf lists what has to be startable for a mode.
func unitsOf(target mode.Mode, cfg config.Config) []string {
	desktop := slices.Concat([]string{string(mode.DesktopTarget)}, cfg.Desktop.LoginUnits)
	switch target {
	case mode.StudioLocal:
		return append(desktop, string(mode.StudioPolicy), string(mode.AudioPriority))
	case mode.Compute:
		names := []string{string(mode.ComputeTarget)}
		if cfg.VLLM.Enable {
			names = append(names, cfg.VLLM.Unit)
		}
		return names
	default:
		return desktop
	}
}

func judgeTarget(ev targetEvidence, target mode.Mode) guard.Verdict {
	switch {
	case ev.SystemState == "stopping":
		return guard.Say("going-down", ev, "the machine is shutting down")
	case !ev.BootFinished:
		return guard.Say("booting", ev, "systemd is %s: the machine has not finished booting (systemctl list-jobs shows what it waits for)", ev.SystemState)
	}
	for _, u := range ev.Units {
		switch {
		case u.Loaded():
		case u.Load == "masked":
			return guard.Say("unit-masked", ev, "%s is masked (systemctl unmask %s)", u.Name, u.Name)
		case u.Load == "not-found":
			return guard.Say("unit-missing", ev, "%s is not installed", u.Name)
		default:
			return guard.Say("unit-broken", ev, "%s is in load state %s (systemctl status %s says why)", u.Name, u.Load, u.Name)
		}
	}
	return guard.Say("reachable", ev, "the %d units of %s can be started", len(ev.Units), target)
}
