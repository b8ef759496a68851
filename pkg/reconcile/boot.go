package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/unitctl"
)

// placement is capability-placement.json.
type placement struct {
	SchemaVersion int              `json:"schema_version"`
	Studio        config.Placement `json:"studio"`
	AI            config.Placement `json:"ai"`
	Platform      config.Placement `json:"platform"`
}

// topology is hardware-topology.json. GPUs are numbered as NVML does.
type topology struct {
	SchemaVersion   int   `json:"schema_version"`
	PlannedGPUCount int   `json:"planned_gpu_count"`
	PresentGPUs     []int `json:"present_gpus"`
	DisplayGPU      *int  `json:"display_gpu"`
	DesktopAIGPUs   []int `json:"desktop_ai_gpus"`
	ComputeGPUs     []int `json:"compute_gpus"`
}

// Boot normalises to the default mode: it closes the record of what the last
// boot left open, writes the state files, and asks systemd for the default
// mode's target without waiting for it, because waiting would be waiting for
// the boot that we are part of. What can't be written, as on a full disk, is in
// the error, and keeps the machine from nothing: it would be left without a mode.
func (e *Engine) Boot(ctx context.Context) error {
	lock, err := e.acquire(e.Config.Boot.DefaultMode)
	if err != nil {
		return err
	}
	defer lock.Release()
	c, h := e.Config, e.Config.Hardware
	var sealed error
	if err := e.sealHistory(); err != nil {
		sealed = fmt.Errorf("close the record of the last boot: %w", err)
	}
	return errors.Join(
		sealed,
		e.Store.SetPlacement(placement{
			record.SchemaVersion, c.CapabilityPlacement.Studio, c.CapabilityPlacement.AI, c.CapabilityPlacement.Platform,
		}),
		e.Store.SetTopology(topology{
			record.SchemaVersion, h.PlannedGPUCount, orEmpty(h.PresentGPUs), h.DisplayGPU, orEmpty(h.DesktopAIGPUs), orEmpty(h.ComputeGPUs),
		}),
		e.Store.SetDesired(c.Boot.DefaultMode),
		e.Store.SetCurrent(e.look(ctx).State),
		e.beginDefault(ctx),
	)
}

// beginDefault asks for the default mode's units. A machine that boots into
// compute may have its display manager in the queue of the boot, or just
// started: nobody has worked there yet, so it goes without a guard.
func (e *Engine) beginDefault(ctx context.Context) error {
	mgr, err := unitctl.NewManager(ctx, e.Store.Root)
	if err != nil {
		return err
	}
	defer mgr.Close()
	if e.Config.Boot.DefaultMode != mode.Compute {
		return mgr.Enqueue(ctx, string(mode.DesktopTarget), unitctl.ModeReplace)
	}
	if err := mgr.Enqueue(ctx, string(mode.ComputeTarget), unitctl.ModeReplace); err != nil {
		return err
	}
	for _, u := range e.Config.Desktop.LoginUnits {
		if err := mgr.EnqueueStop(ctx, u, unitctl.ModeReplace); err != nil {
			return err
		}
	}
	if e.Config.VLLM.Enable {
		return mgr.Enqueue(ctx, e.Config.VLLM.Unit, unitctl.ModeReplace)
	}
	return nil
}

func orEmpty(list []int) []int {
	if list == nil {
		return []int{}
	}
	return list
}
