package guards

import (
	"context"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// MemoryHeadroom asks for free memory before a mode's work starts.
var MemoryHeadroom = guard.Descriptor{
	Name:     "memory_headroom",
	Question: "Is there enough memory for the work of the target mode?",
	Manual: `Compares the kernel's estimate of available memory (MemAvailable in /proc/meminfo) with what the configuration says that the target mode needs: guards.memory.desktop, guards.memory.studioLocal or guards.memory.compute.

Where a GPU is configured, the memory of the GPUs is compared as well: on the way to compute that of each of hardware.computeGpus (else of hardware.presentGpus) with guards.memory.computeGpu, on the way to desktop or studio-local that of hardware.displayGpu with guards.memory.displayGpu. The NVIDIA driver is asked, through observe-gpu, unless the need is "0". A GPU that is runtime-suspended is not woken: nobody uses its memory.

Available on a GPU is what is free, and what is held by processes that the transition will end and the driver names: on the way to compute those of graphical sessions and login screens, of the login path's units, and of a user's manager that ends with that user's last session; on the way out of it those of vllm.unit. What a running vllm.unit holds counts on the way to compute too, since the need is its own. Memory that the driver gives to nobody, or to a process without saying how much, does not count. The evidence lists each process with its memory and why it counts.

A block says how much is missing, and who holds it. End what holds the memory, or lower the threshold of that mode.`,
	Block:  exitcode.MemoryLow,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "enough", Class: guard.Pass, Meaning: "available memory is at or above the threshold, of the machine and of the GPUs that are asked"},
		{Word: "memory-low", Class: guard.Block, Meaning: "available memory is below the threshold"},
		{Word: "gpu-memory-low", Class: guard.Block, Meaning: "available memory of a GPU is below the threshold"},
		{Word: "gpu-missing", Class: guard.Error, Meaning: "a GPU that the configuration names was not found"},
		{Word: "driver-unreadable", Class: guard.Error, Meaning: "the NVIDIA driver could not be asked, or not for the memory; the message says why"},
	},
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		return checkMemory(ctx, env, gpu.Program)
	},
}

type memoryEvidence struct {
	AvailableMiB uint64 `json:"available_mib"`
	TotalMiB     uint64 `json:"total_mib"`
	RequiredMiB  uint64 `json:"required_mib"`
	// GPURequiredMiB is what each of GPUs has to have; 0 when none was asked.
	GPURequiredMiB uint64      `json:"gpu_required_mib"`
	GPUs           []gpuMemory `json:"gpus"`
	DriverVersion  string      `json:"driver_version,omitempty"`
}

// checkMemory looks; program finds observe-gpu.
func checkMemory(ctx context.Context, env guard.Env, program func() (string, error)) guard.Verdict {
	m, err := procinfo.Meminfo(env.Root)
	if err != nil {
		return guard.CannotSee(err, nil)
	}
	v, ev := judgeMemory(m, env.Config.Guards.Memory.For(env.Target), env.Target)
	need := gpuNeedOf(env.Config, env.Target)
	if v.Reason != "enough" || len(need.gpus) == 0 || need.size == 0 {
		return v
	}
	ev.GPURequiredMiB = need.size.MiB()
	return checkGPUMemory(ctx, env, need, program, ev)
}

func judgeMemory(m procinfo.Memory, need config.Size, target mode.Mode) (guard.Verdict, memoryEvidence) {
	ev := memoryEvidence{AvailableMiB: m.MemAvailableKiB >> 10, TotalMiB: m.MemTotalKiB >> 10, RequiredMiB: need.MiB(), GPUs: []gpuMemory{}}
	reason := "enough"
	// In KiB: the kernel's number in bytes might not fit.
	if m.MemAvailableKiB < (need.Bytes()+1023)>>10 {
		reason = "memory-low"
	}
	return guard.Say(reason, ev, "%d MiB are available, %s needs %d MiB", ev.AvailableMiB, target, ev.RequiredMiB), ev
}
