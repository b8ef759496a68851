package guards

import (
	"context"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// StudioCapabilityLocal asks whether audio work belongs to this machine.
var StudioCapabilityLocal = guard.Descriptor{
	Name:     "studio_capability_local",
	Question: "Is the studio capability placed on this machine?",
	Manual: `Reads capabilityPlacement.studio. When audio work has moved to another machine, studio-local is not offered here, and the rest of the modes are as they were.

A block names the machine that has the capability. Set capabilityPlacement.studio = "local" to take it back.`,
	Block:   exitcode.CapabilityNotPlaced,
	Hard:    true,
	Target:  mode.StudioLocal,
	Reasons: placementReasons,
	Check: func(_ context.Context, env guard.Env) guard.Verdict {
		return judgePlacement("studio", env.Config.CapabilityPlacement.Studio)
	},
}

// ComputeCapabilityLocal asks whether inference belongs to this machine.
var ComputeCapabilityLocal = guard.Descriptor{
	Name:     "compute_capability_local",
	Question: "Is the AI capability placed on this machine?",
	Manual: `Reads capabilityPlacement.ai. When inference has moved to another machine, compute is not offered here.

A block names the machine that has the capability. Set capabilityPlacement.ai = "local" to take it back.`,
	Block:   exitcode.CapabilityNotPlaced,
	Hard:    true,
	Target:  mode.Compute,
	Reasons: placementReasons,
	Check: func(_ context.Context, env guard.Env) guard.Verdict {
		return judgePlacement("ai", env.Config.CapabilityPlacement.AI)
	},
}

var placementReasons = []guard.Reason{
	{Word: "local", Class: guard.Pass, Meaning: "the capability is placed on this machine"},
	{Word: "external", Class: guard.Block, Meaning: "the capability is placed on another machine"},
}

type placementEvidence struct {
	Capability string           `json:"capability"`
	Placement  config.Placement `json:"placement"`
}

func judgePlacement(capability string, p config.Placement) guard.Verdict {
	ev := placementEvidence{capability, p}
	if !p.Local() {
		return guard.Say("external", ev, "capabilityPlacement.%s is %s, so %s has it", capability, p, p.Where())
	}
	return guard.Say("local", ev, "capabilityPlacement.%s is local", capability)
}
