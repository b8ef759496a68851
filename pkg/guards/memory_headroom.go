package guards

import (
	"context"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// MemoryHeadroom asks for free memory before a mode's work starts.
var MemoryHeadroom = guard.Descriptor{
	Name:     "memory_headroom",
	Question: "Is there enough memory for the work of the target mode?",
	Manual: `Compares the kernel's estimate of available memory (MemAvailable in /proc/meminfo) with what the configuration says that the target mode needs: guards.memory.desktop, guards.memory.studioLocal or guards.memory.compute.

A block says how much is missing. End what holds the memory, or lower the threshold of that mode.`,
	Block:  exitcode.MemoryLow,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "enough", Class: guard.Pass, Meaning: "available memory is at or above the threshold"},
		{Word: "memory-low", Class: guard.Block, Meaning: "available memory is below the threshold"},
	},
	Check: func(_ context.Context, env guard.Env) guard.Verdict {
		m, err := procinfo.Meminfo(env.Root)
		if err != nil {
			return guard.CannotSee(err, nil)
		}
		return judgeMemory(m, env.Config.Guards.Memory.For(env.Target), env.Target)
	},
}

type memoryEvidence struct {
	AvailableMiB uint64 `json:"available_mib"`
	TotalMiB     uint64 `json:"total_mib"`
	RequiredMiB  uint64 `json:"required_mib"`
}

func judgeMemory(m procinfo.Memory, need config.Size, target mode.Mode) guard.Verdict {
	ev := memoryEvidence{AvailableMiB: m.MemAvailableKiB >> 10, TotalMiB: m.MemTotalKiB >> 10, RequiredMiB: need.MiB()}
	// In KiB: the kernel's number in bytes might not fit.
	if m.MemAvailableKiB < (need.Bytes()+1023)>>10 {
		return guard.Say("memory-low", ev, "%d MiB are available, %s needs %d MiB", ev.AvailableMiB, target, ev.RequiredMiB)
	}
	return guard.Say("enough", ev, "%d MiB are available, %s needs %d MiB", ev.AvailableMiB, target, ev.RequiredMiB)
}
