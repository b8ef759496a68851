// Package observegpu is the program observe-gpu, without the one part that
// needs cgo: its main gives it the inspector that links NVML.
package observegpu

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// Timeout is the deadline of a run by hand. Without persistence mode, a driver
// may take seconds to bring a GPU up.
const Timeout = 5 * time.Second

type model struct {
	cli.Flags `embed:""`
	Format    cli.Format `name:"format" enum:"plain,json" default:"json" help:"Print the facts for programs (json) or for people (plain)."`
	Library   string     `name:"library" type:"path" placeholder:"FILE" help:"Load NVML from FILE; by default from the one that gpu.nvmlLibrary names, else the loader finds libnvidia-ml.so.1, or it is that of /run/opengl-driver (NixOS)."`

	inspect gpu.Inspector
}

// Program is observe-gpu. The documentation is made with a nil inspector.
func Program(inspect gpu.Inspector) cli.Program {
	return cli.Program{
		Name:    gpu.Binary,
		Summary: "print what the driver and sysfs tell of the GPUs",
		Manual: `Prints one document with the NVIDIA GPUs as NVML tells of them (index, UUID, PCI address, memory, graphics, compute and MPS processes, whether a display is active, persistence mode, the driver's version) and the display devices of all vendors as sysfs has them, with their DRM nodes.

A GPU that is runtime-suspended is not woken: it is reported as suspended and not asked. When all are, NVML is not loaded. NVML is closed as soon as the facts are read, and a process that it lists but that does not exist is dropped and counted in garbage_pids.

It is the only program of Dubnium that links NVML. The others run it with a deadline, because a driver can hang. The reason says what the report is worth, for the whole and for each GPU:

` + reasons(),
		Model:   &model{inspect: inspect},
		Timeout: Timeout,
		Codes:   []exitcode.Code{exitcode.Inspection},
		Examples: []cli.Example{
			{Command: gpu.Binary + " --format=plain", Help: "Which index is which GPU."},
			{Command: gpu.Binary + " | jq '.gpus[].processes'", Help: "Who uses them."},
		},
		SeeAlso: []string{"check_gpu_display_released(1)", "observe-current(1)"},
	}
}

func reasons() string {
	var b strings.Builder
	for _, r := range gpu.Reasons() {
		fmt.Fprintf(&b, "- %s: %s\n", r.Word, r.Meaning)
	}
	return b.String()
}

// Run looks once. It ends with 20 when the driver could not be asked, and
// still prints what is known; a machine whose driver knows no GPU was asked.
func (m *model) Run(ctx context.Context, env *cli.Env) error {
	start := time.Now()
	if m.Library == "" {
		cfg, err := config.Load(env.Root, env.Config)
		if err != nil {
			return err
		}
		m.Library = cfg.GPU.NVMLLibrary
	}
	r := m.look(ctx, env.Root)
	r.Timestamp = start.UTC().Format(guard.TimeFormat)
	r.DurationMS = float64(time.Since(start).Microseconds()) / 1000
	if err := env.Print(m.Format, r, func(w io.Writer) error { return plain(w, r) }); err != nil {
		return err
	}
	if r.Reason == gpu.OK || r.Reason == gpu.NoDevice {
		return nil
	}
	env.Logf("%s: %s", r.Reason, r.Message)
	return cli.Status(exitcode.Inspection)
}

// look gathers within ctx. What hangs is left behind: the process is about to
// end, and its parent does not wait for it either.
func (m *model) look(ctx context.Context, root hostfs.Root) gpu.Report {
	var progress gpu.Progress
	cards := make(chan []gpu.Card, 1)
	done := make(chan struct{})
	progress.At("the read of sysfs")
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				progress.End(gpu.DriverError, fmt.Sprintf("the answer of NVML makes no sense: %v", p))
			}
		}()
		list, err := gpu.Cards(root)
		cards <- list
		if err != nil {
			// Without knowing who is asleep, nobody is asked.
			progress.End(gpu.DriverError, err.Error())
			return
		}
		m.ask(root, list, &progress)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	r := progress.Report()
	select {
	case list := <-cards:
		r.Cards = append(r.Cards, list...)
	default:
	}
	slices.SortFunc(r.GPUs, func(a, b gpu.GPU) int { return a.Index - b.Index })
	return r
}

// ask puts the suspended GPUs into the report and asks for the others.
func (m *model) ask(root hostfs.Root, cards []gpu.Card, progress *gpu.Progress) {
	var awake []string
	asleep := 0
	index := 0
	for _, c := range cards {
		if c.Vendor != gpu.NVIDIA || c.Driver != "nvidia" {
			continue
		}
		if c.Asleep() {
			progress.Put(gpu.GPU{Index: index, PCI: c.PCI, Reason: gpu.Suspended, Message: "asleep (" + c.RuntimeStatus + "), and not woken"})
			asleep++
		} else {
			awake = append(awake, c.PCI)
		}
		index++
	}
	req := gpu.Request{Library: m.Library, Alive: func(pid int) (string, bool) {
		p, alive, err := procinfo.Stat(root, pid)
		return p.Comm, alive && err == nil
	}}
	if asleep > 0 {
		if len(awake) == 0 {
			progress.End(gpu.OK, "")
			return
		}
		req.Only = awake
	}
	m.inspect(req, progress)
}

// plain is the report for people.
func plain(w io.Writer, r gpu.Report) error {
	var b strings.Builder
	for _, g := range r.GPUs {
		fmt.Fprintf(&b, "GPU %d  %s", g.Index, g.PCI)
		if g.Name != "" {
			fmt.Fprintf(&b, "  %s", g.Name)
		}
		if g.MemoryUsedMiB != nil && g.MemoryTotalMiB != nil {
			fmt.Fprintf(&b, "  %d of %d MiB used", *g.MemoryUsedMiB, *g.MemoryTotalMiB)
		}
		if g.DisplayActive != nil && *g.DisplayActive {
			b.WriteString("  display active")
		}
		if g.Reason != gpu.OK {
			fmt.Fprintf(&b, "  %s: %s", g.Reason, g.Message)
		}
		b.WriteByte('\n')
		for _, p := range g.Processes {
			fmt.Fprintf(&b, "    %s (pid %d) %s", p.Comm, p.PID, p.Kind)
			if p.UsedMiB != nil {
				fmt.Fprintf(&b, ", %d MiB", *p.UsedMiB)
			}
			b.WriteByte('\n')
		}
	}
	for _, c := range r.Cards {
		fmt.Fprintf(&b, "card   %s", c)
		if c.Driver != "" {
			fmt.Fprintf(&b, "  %s", c.Driver)
		}
		if c.RuntimeStatus != "" {
			fmt.Fprintf(&b, "  %s", c.RuntimeStatus)
		}
		b.WriteByte('\n')
	}
	if r.Reason != gpu.OK {
		fmt.Fprintf(&b, "%s: %s\n", r.Reason, r.Message)
	}
	_, err := io.WriteString(w, cli.Visible(b.String()))
	return err
}
