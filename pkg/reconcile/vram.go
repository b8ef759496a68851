package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// vram is the memory of vLLM's GPUs as it was before vLLM is stopped. It is
// back when nothing of vLLM is listed by the driver and no more is in use than
// the configuration allows, beside what the driver says that others hold. A
// cgroup that is empty does not tell: the driver frees memory later.
type vram struct {
	gpus     []int
	residual uint64     // MiB that may stay in use
	pids     []int      // vLLM's
	before   gpu.Report // the zero value where the driver could not be asked
}

// vramOf looks at the GPUs before a unit is stopped. Nil is a unit whose memory
// is of no interest.
func (m *Machine) vramOf(ctx context.Context, unit, cgroup string) *vram {
	if unit != m.Config.VLLM.Unit {
		return nil
	}
	h := m.Config.Hardware
	v := &vram{gpus: h.ComputeGPUs, residual: m.Config.Guards.GPU.Residual.MiB()}
	if len(v.gpus) == 0 {
		v.gpus = h.PresentGPUs // it then sees them all
	}
	if len(v.gpus) == 0 {
		return v
	}
	if cgroup != "" {
		v.pids, _, _ = procinfo.CgroupProcs(m.Root, cgroup, true)
	}
	// Nobody's stop waits for a driver that hangs; without this look there is
	// less to compare with.
	look, cancel := context.WithTimeout(ctx, m.Config.Timeouts.Observe.Std())
	defer cancel()
	if r, err := m.askGPUs(look); err == nil {
		v.before = r
	}
	return v
}

func (m *Machine) askGPUs(ctx context.Context) (gpu.Report, error) {
	return gpu.Ask(ctx, m.Root, filepath.Join(m.BinDir, gpu.Binary), m.Config.GPU.NVMLLibrary)
}

// awaitVRAM waits until the memory is back, and says what it saw.
func (m *Machine) awaitVRAM(ctx context.Context, v *vram) (string, error) {
	switch {
	case v == nil:
		return "", nil
	case len(v.gpus) == 0:
		return "GPU memory is not looked at: hardware.presentGpus is empty", nil
	}
	var last error
	for {
		look, cancel := context.WithTimeout(ctx, m.Config.Timeouts.Guard.Std())
		r, err := m.askGPUs(look)
		cancel()
		var detail string
		if err != nil {
			err = fmt.Errorf("whether its GPU memory is back can't be told: %w", err)
		} else if detail, err = v.judge(r); err == nil {
			return detail, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // one that the bound cut short tells less than the one before
		}
		if hopeless(r.Reason) || errors.Is(err, fs.ErrNotExist) || pause(ctx, poll) != nil {
			return "", fmt.Errorf("vLLM is stopped and its cgroup is empty, but %w", last)
		}
	}
}

// hopeless tells whether asking again would bring the same.
func hopeless(r gpu.Reason) bool {
	return slices.Contains([]gpu.Reason{gpu.LibraryMissing, gpu.DriverMissing, gpu.DriverMismatch, gpu.NotPermitted}, r)
}

// judge says that the memory of every GPU is back, or in the error what keeps
// it from being so.
func (v *vram) judge(now gpu.Report) (string, error) {
	switch now.Reason {
	case gpu.OK, gpu.Partial, gpu.NoDevice:
	default:
		return "", fmt.Errorf("whether its GPU memory is back can't be told: %s: %s; see what observe-gpu says", now.Reason, now.Message)
	}
	var said []string
	for _, index := range v.gpus {
		g, found := now.Find(index)
		if !found {
			return "", fmt.Errorf("whether its GPU memory is back can't be told: GPU %d is not found; see what observe-gpu says", index)
		}
		s, err := v.judgeOne(g)
		if err != nil {
			return "", err
		}
		said = append(said, s)
	}
	return "GPU memory is back: " + strings.Join(said, ", "), nil
}

func (v *vram) judgeOne(g gpu.GPU) (string, error) {
	if g.Reason == gpu.Suspended {
		return fmt.Sprintf("GPU %d is asleep", g.Index), nil
	}
	if !g.Has("memory") || g.MemoryUsedMiB == nil {
		return "", fmt.Errorf("whether its memory of GPU %d is back can't be told: %s: %s; see what observe-gpu says", g.Index, g.Reason, g.Message)
	}
	used, others, untold := *g.MemoryUsedMiB, uint64(0), ""
	for _, u := range g.Uses() {
		switch {
		case slices.Contains(v.pids, u.PID):
			return "", fmt.Errorf("the driver still lists its process %s (pid %d) on GPU %d", u.Comm, u.PID, g.Index)
		case u.UsedMiB == nil:
			untold = fmt.Sprintf("%s (pid %d)", u.Comm, u.PID)
		default:
			others += *u.UsedMiB
		}
	}
	is := fmt.Sprintf("GPU %d has %d MiB in use", g.Index, used)
	usedBefore, heldBefore, known := v.seen(g.Index)
	if known {
		is += fmt.Sprintf(" (%d before)", usedBefore)
	}
	limit := others + v.residual
	if heldBefore > 0 {
		limit = max(limit, usedBefore-min(usedBefore, heldBefore)+v.residual)
	}
	switch {
	case used <= limit:
		return is, nil
	case untold != "" && g.GarbagePIDs == 0:
		return is + ", and the driver does not tell how much of it " + untold + " holds", nil
	}
	return "", fmt.Errorf("its GPU memory is not back: %s, at most %d may be (guards.gpu.residual is %d MiB, other processes hold %d)", is, limit, v.residual, others)
}

// seen gives what was in use on a GPU before the stop, and what of it the
// driver said that vLLM held, in MiB.
func (v *vram) seen(index int) (used, held uint64, known bool) {
	g, found := v.before.Find(index)
	if !found || !g.Has("memory") || g.MemoryUsedMiB == nil {
		return 0, 0, false
	}
	for _, u := range g.Uses() {
		if u.UsedMiB != nil && slices.Contains(v.pids, u.PID) {
			held += *u.UsedMiB
		}
	}
	return *g.MemoryUsedMiB, held, true
}
