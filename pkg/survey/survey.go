// Package survey takes one look at the whole machine: the evidence of every
// signal family, the sources at the same time, for the observer to classify.
package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/vllm"
)

// The names of the sources, as evidence has them.
const (
	fromLogind  = "org.freedesktop.login1"
	fromSystemd = "org.freedesktop.systemd1"
	fromProc    = "/proc"
	fromState   = record.RunDir
	fromAudio   = "/proc/asound, the audio servers"
)

// slicesSeen are the slices whose weights the studio overlay changes.
func slicesSeen() []string {
	return []string{"ai.slice", "interactive.slice", "platform.slice"}
}

// Survey is one look at the machine and what it cost.
type Survey struct {
	Evidence   evidence.Evidence
	RoundTrips int
}

// Look gathers the evidence of all families, the sources at the same time. Who
// holds graphics cards is looked at last: it takes the bus's answer to know
// whom to look at.
func Look(ctx context.Context, root hostfs.Root, cfg config.Config) Survey {
	var s Survey
	comp := async(func() evidence.Reading[[]evidence.Process] {
		return timed(fromProc, func() ([]evidence.Process, error) {
			return collect.Compositors(ctx, root, cfg.Desktop.Compositors)
		})
	})
	ctl := async(func() evidence.Reading[evidence.Controller] {
		return timed(fromState, func() (evidence.Controller, error) {
			return collect.Within(ctx, fromState, func() (evidence.Controller, error) { return controller(root) })
		})
	})
	sound := async(func() evidence.Reading[evidence.Audio] {
		return timed(fromAudio, func() (evidence.Audio, error) { return sounds(ctx, root, cfg) })
	})
	a := s.askBus(ctx, root, cfg)
	s.lookAtCards(ctx, root, cfg, a)
	s.Evidence.Compositors, s.Evidence.Controller, s.Evidence.Audio = <-comp, <-ctl, <-sound
	return s
}

// askBus fills in the families that come over the bus, and gives the answers.
func (s *Survey) askBus(ctx context.Context, root hostfs.Root, cfg config.Config) collect.Answer {
	units := slices.Concat([]string{
		string(mode.DesktopTarget), string(mode.ComputeTarget), "graphical.target",
		string(mode.StudioPolicy), string(mode.AudioPriority), cfg.VLLM.Unit,
	}, cfg.Desktop.LoginUnits)
	start := time.Now()
	a := collect.Ask(ctx, root, units, slicesSeen()...)
	took := time.Since(start)
	s.RoundTrips = a.RoundTrips
	ev := &s.Evidence

	sessions, err := collect.Sessions(root, a)
	ev.Sessions = evidence.Read(fromLogind, collect.ByRecord(sessions), err, took)

	login := []evidence.Unit{}
	for _, name := range cfg.Desktop.LoginUnits {
		login = append(login, collect.Unit(a, name))
	}
	ev.LoginPath = evidence.Read(fromSystemd, login, a.SystemdErr, took)
	ev.Targets = evidence.Read(fromSystemd, evidence.Targets{
		Desktop: collect.Unit(a, string(mode.DesktopTarget)), Compute: collect.Unit(a, string(mode.ComputeTarget)),
		Graphical: collect.Unit(a, "graphical.target"),
	}, a.SystemdErr, took)
	overlay := evidence.Overlay{
		Policy: collect.Unit(a, string(mode.StudioPolicy)), Priority: collect.Unit(a, string(mode.AudioPriority)),
		Weights: map[string]evidence.Slice{},
	}
	for _, name := range slicesSeen() {
		if u := a.Systemd.Unit(name); u.Known {
			overlay.Weights[name] = evidence.Slice{
				CPUWeight: u.CPUWeight.Value, IOWeight: u.IOWeight.Value, MemoryHighMiB: u.MemoryHigh.Value >> 20,
			}
		}
	}
	ev.Overlay = evidence.Read(fromSystemd, overlay, a.SystemdErr, took)
	ev.Boot = evidence.Read(fromSystemd, evidence.Boot{
		SystemState: a.Systemd.SystemState, Finished: a.Systemd.FinishMonoUsec > 0,
	}, errors.Join(a.SystemdErr, a.Systemd.ManagerErr), took)

	v := evidence.VLLM{Enabled: cfg.VLLM.Enable, Unit: collect.Unit(a, cfg.VLLM.Unit), Health: evidence.HealthNotAsked}
	if v.Unit.IsActive() {
		v.Health = Health(ctx, cfg)
	}
	if v.Health == evidence.Healthy {
		v.Models, v.ModelsError = models(ctx, cfg)
	}
	ev.VLLM = evidence.Read(fromSystemd+", GET /health", v, a.SystemdErr, time.Since(start))
	return a
}

// Health asks vLLM how it is. A server that can't be reached is not healthy,
// whatever the reason; one that never answers costs half of what an
// observation may take.
func Health(ctx context.Context, cfg config.Config) evidence.Health {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Observe.Std()/2)
	defer cancel()
	h, err := vllm.Ask(ctx, vllm.Addr(cfg.VLLM.Host, cfg.VLLM.Port))
	switch {
	case err != nil:
		return evidence.Unreachable
	case h == vllm.Healthy:
		return evidence.Healthy
	case h == vllm.Loading:
		return evidence.Loading
	default:
		return evidence.Unreachable
	}
}

// models asks what a healthy vLLM serves. That it does not tell is no failure
// to look at the machine: vLLM can be told to ask for a key.
func models(ctx context.Context, cfg config.Config) (names []string, failed string) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Observe.Std()/4)
	defer cancel()
	names, err := vllm.Models(ctx, vllm.Addr(cfg.VLLM.Host, cfg.VLLM.Port))
	if err != nil {
		failed = err.Error()
	}
	return names, failed
}

// controller reads what the controller left behind. Garbled files are told as
// an error: what they should say is then unknown.
func controller(root hostfs.Root) (evidence.Controller, error) {
	store := record.Store{Root: root}
	var c evidence.Controller
	lock, err := store.Lock()
	if err != nil {
		return c, fmt.Errorf("look who holds the lock: %w", err)
	}
	c.LockHeld, c.HolderPID, c.HolderMode = lock.Held, lock.PID, string(lock.Target)
	m, found, err := store.Marker()
	switch {
	case errors.Is(err, record.ErrGarbled):
		// Only a controller that was killed can leave half a marker.
		c.Marker, c.Mutated = "garbled", true
	case err != nil:
		return c, err
	case found:
		c.Marker, c.Mutated = m.ID, m.Mutated()
	}
	last, found, err := store.Last()
	if err != nil {
		return c, err
	}
	if found {
		c.LastOutcome = string(last.Outcome)
	}
	return c, nil
}

// Policy is what the classifier has to know of the configuration.
func Policy(cfg config.Config, self int) observe.Policy {
	weights := map[string]evidence.Slice{}
	for name, s := range map[string]config.Slice{
		"ai.slice": cfg.Slices.AI, "interactive.slice": cfg.Slices.Interactive, "platform.slice": cfg.Slices.Platform,
	} {
		studio := evidence.Slice{
			CPUWeight: uint64(s.StudioCPUWeight), IOWeight: uint64(s.StudioIOWeight), MemoryHighMiB: s.StudioMemoryHigh.Bytes() >> 20,
		}
		base := evidence.Slice{
			CPUWeight: uint64(s.CPUWeight), IOWeight: uint64(s.IOWeight), MemoryHighMiB: s.MemoryHigh.Bytes() >> 20,
		}
		// Where both are the same nothing tells them apart, and nothing needs to.
		if studio != base {
			weights[name] = studio
		}
	}
	planned := 0
	if cfg.Degraded.MinComputeGPUs > 0 {
		planned = cfg.Hardware.PlannedGPUCount
	}
	return observe.Policy{
		Tolerated: cfg.Degraded.DesktopUnits, ComputeGPUs: cfg.Hardware.ComputeCount(), PlannedGPUs: planned,
		VLLMEnabled: cfg.VLLM.Enable, LoginPath: cfg.Desktop.LoginUnits, StudioWeights: weights, Self: self,
	}
}

// Observe looks and classifies. Self is the process whose lock and marker are
// its own; 0 for everybody but the controller.
func Observe(ctx context.Context, root hostfs.Root, cfg config.Config, self int) observe.Observation {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Observe.Std())
	defer cancel()
	o := observe.Classify(Look(ctx, root, cfg).Evidence, Policy(cfg, self))
	o.Timestamp = time.Now().UTC().Format(record.TimeFormat)
	return o
}

func timed[T any](source string, f func() (T, error)) evidence.Reading[T] {
	start := time.Now()
	v, err := f()
	return evidence.Read(source, v, err, time.Since(start))
}

func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}
