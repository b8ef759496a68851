package guards

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// CPULoadSafe asks whether the machine has processors to spare.
var CPULoadSafe = guard.Descriptor{
	Name:     "cpu_load_safe",
	Question: "Is the machine free of heavy work?",
	Manual: `Watches the pressure on the processors: the share of time in which some task could run and had to wait. First that of the slices in guards.load.slices, which says whose work it is, then that of the whole machine. The figure is made from the kernel's counter over a window of its own (guards.load.window): the averages that the kernel shows lag by ten seconds, so they let a build pass that has just begun, and block long after one has ended. Above the limit the machine is watched for a second window, and blocks only when it stays there: starting a program makes a burst, and a burst is no heavy work.

Work that leaves processors free makes no pressure; check_user_jobs_safe sees that. The load average is in the evidence for people only: it counts tasks that wait for disks, and lags by a minute.

On a kernel without pressure accounting (psi=0) the guard counts, every ten milliseconds of the same windows, how often more tasks are runnable than there are processors, which is the same question asked by samples, of the whole machine only. The reason then says so.

After a block, wait or end what uses the processors; systemd-cgtop shows it. An operator may override this guard.`,
	Block:  exitcode.CPULoadHigh,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "calm", Class: guard.Pass, Meaning: "the pressure on the processors is within the limits"},
		{Word: "only-a-burst", Class: guard.Pass, Meaning: "the pressure was above a limit, but not for two windows"},
		{Word: "pressure-high", Class: guard.Block, Meaning: "the pressure stayed above a limit for two windows"},
		{Word: "run-queue-short", Class: guard.Pass, Meaning: "the kernel accounts no pressure, and there are processors for the runnable tasks"},
		{Word: "run-queue-long", Class: guard.Block, Meaning: "the kernel accounts no pressure, and more tasks stay runnable than there are processors"},
	},
	Window: func(c config.Config) time.Duration { return c.Guards.Load.Window.Std() },
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		ev, err := lookAtLoad(ctx, env.Root, env.Config.Guards.Load)
		if err != nil {
			return guard.CannotSee(err, ev)
		}
		return judgeLoad(ev)
	},
}

type loadEvidence struct {
	WindowMS float64 `json:"window_ms"` // of one look
	// Pressure has the slices first and the host last.
	Pressure []pressure `json:"pressure"`
	// RunQueue stands for the pressure where the kernel does not account it.
	RunQueue    *runQueue `json:"run_queue,omitempty"`
	LoadAverage []float64 `json:"load_average"` // over 1, 5 and 15 minutes; for people only
}

// pressure is that on the processors within a slice, or on the whole host.
type pressure struct {
	Source   string    `json:"source"`
	SomePct  []float64 `json:"some_pct"` // one a look; the share of time in which some task waited
	LimitPct float64   `json:"limit_pct"`
	Avg10Pct float64   `json:"avg10_pct"` // the kernel's own, for comparison

	cgroup string
	last   uint64 // counter in microseconds
	at     time.Time
}

// runQueue is how often more tasks could run than processors are there.
type runQueue struct {
	Processors int       `json:"processors"`
	Samples    int       `json:"samples"` // of each look
	ExcessPct  []float64 `json:"excess_pct"`
	LimitPct   float64   `json:"limit_pct"`
	Longest    int       `json:"runnable_max"` // besides the guard itself
}

// wholeHost is the source that stands for the whole machine.
const wholeHost = "host"

// lookAtLoad watches for one window, and for another when the first one is
// above a limit.
func lookAtLoad(ctx context.Context, root hostfs.Root, cfg config.GuardLoad) (loadEvidence, error) {
	ev := loadEvidence{WindowMS: float64(cfg.Window.Std().Microseconds()) / 1000, LoadAverage: []float64{}}
	if l, err := procinfo.Load(root); err == nil {
		ev.LoadAverage = []float64{l.One, l.Five, l.Fifteen}
	}
	var err error
	if ev.Pressure, err = pressureSources(root, cfg); err != nil {
		return ev, err
	}
	if len(ev.Pressure) == 0 {
		return ev, watchRunQueue(ctx, root, cfg, &ev)
	}
	for look := 0; look == 0 || look == 1 && slices.ContainsFunc(ev.Pressure, pressure.above); look++ {
		if err := watchFor(ctx, cfg.Window.Std()); err != nil {
			return ev, err
		}
		for i := range ev.Pressure {
			if err := ev.Pressure[i].watch(root); err != nil {
				return ev, err
			}
		}
	}
	return ev, nil
}

// pressureSources finds the sources that the kernel accounts pressure for.
func pressureSources(root hostfs.Root, cfg config.GuardLoad) ([]pressure, error) {
	sources := []pressure{}
	for _, s := range cfg.Slices {
		sources = append(sources, pressure{Source: s, LimitPct: float64(cfg.SlicePressurePct), cgroup: sliceCgroup(s)})
	}
	sources = append(sources, pressure{Source: wholeHost, LimitPct: float64(cfg.HostPressurePct)})
	there := []pressure{}
	for _, p := range sources {
		psi, accounted, err := procinfo.Pressure(root, p.cgroup, procinfo.CPU)
		switch {
		case errors.Is(err, procinfo.ErrNoUnified):
			continue // the host's alone has to do
		case err != nil:
			return there, fmt.Errorf("read the pressure of %s: %w", p.Source, err)
		case !accounted:
			continue // no such slice now, or no accounting
		}
		p.SomePct, p.Avg10Pct, p.last, p.at = []float64{}, psi.Some.Avg10, psi.Some.TotalMicros, time.Now()
		there = append(there, p)
	}
	return there, nil
}

// sliceCgroup is the control group of a slice: each dash of its name is a
// slice above it.
func sliceCgroup(slice string) string {
	if slice == "-.slice" {
		return "/"
	}
	stem := strings.TrimSuffix(slice, ".slice")
	path := ""
	for i, r := range stem {
		if r == '-' {
			path += "/" + stem[:i] + ".slice"
		}
	}
	return path + "/" + slice
}

// watch adds a look: the share of the time since the last one that was lost.
func (p *pressure) watch(root hostfs.Root) error {
	psi, accounted, err := procinfo.Pressure(root, p.cgroup, procinfo.CPU)
	if err != nil {
		return fmt.Errorf("read the pressure of %s: %w", p.Source, err)
	}
	now, pct := time.Now(), 0.0
	// A slice that has ended, or was made anew, lost no time that counts.
	if total := psi.Some.TotalMicros; accounted && total > p.last {
		pct = min(100, tenths(float64(total-p.last)*100/float64(max(1, now.Sub(p.at).Microseconds()))))
	}
	p.SomePct = append(p.SomePct, pct)
	p.last, p.at = psi.Some.TotalMicros, now
	return nil
}

// tenths rounds a percentage, so that people can read it.
func tenths(pct float64) float64 { return math.Round(pct*10) / 10 }

// above tells whether the pressure was above the limit in every look.
func (p pressure) above() bool { return allAbove(p.SomePct, p.LimitPct) }

func allAbove(pct []float64, limit float64) bool {
	return len(pct) > 0 && !slices.ContainsFunc(pct, func(v float64) bool { return v <= limit })
}

// sampleEvery is how often the run queue is looked at.
const sampleEvery = 10 * time.Millisecond

// watchRunQueue asks for the pressure by samples: a task waits for a processor
// exactly when more are runnable than processors are there, as far as one look
// tells, which knows nothing of tasks bound to one processor.
func watchRunQueue(ctx context.Context, root hostfs.Root, cfg config.GuardLoad, ev *loadEvidence) error {
	n, err := procinfo.Processors(root)
	if err != nil {
		return fmt.Errorf("the kernel accounts no pressure: %w", err)
	}
	q := &runQueue{Processors: n, LimitPct: float64(cfg.HostPressurePct), Samples: int(max(1, cfg.Window.Std()/sampleEvery)), ExcessPct: []float64{}}
	ev.RunQueue = q
	for look := 0; look == 0 || look == 1 && allAbove(q.ExcessPct, q.LimitPct); look++ {
		excess := 0
		for range q.Samples {
			if err := watchFor(ctx, sampleEvery); err != nil {
				return err
			}
			l, err := procinfo.Load(root)
			if err != nil {
				return fmt.Errorf("the kernel accounts no pressure: %w", err)
			}
			others := max(0, l.Running-1) // whoever reads this is running
			if q.Longest = max(q.Longest, others); others > n {
				excess++
			}
		}
		q.ExcessPct = append(q.ExcessPct, tenths(float64(excess)*100/float64(q.Samples)))
	}
	return nil
}

func watchFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("watch the load: %w", ctx.Err())
	}
}

// fullLooks is how many looks it takes to block.
const fullLooks = 2

func judgeLoad(ev loadEvidence) guard.Verdict {
	if q := ev.RunQueue; q != nil {
		if len(q.ExcessPct) >= fullLooks && allAbove(q.ExcessPct, q.LimitPct) {
			return guard.Say("run-queue-long", ev, "more tasks than the %d processors are runnable %.0f %% of the time (limit %.0f %%), up to %d; the kernel accounts no pressure",
				q.Processors, slices.Min(q.ExcessPct), q.LimitPct, q.Longest)
		}
		return guard.Say("run-queue-short", ev, "at most %d tasks are runnable on %d processors; the kernel accounts no pressure", q.Longest, q.Processors)
	}
	var worst *pressure
	for i := range ev.Pressure {
		p := &ev.Pressure[i]
		slice := p.Source != wholeHost
		if len(p.SomePct) < fullLooks || !p.above() || worst != nil && !slice {
			continue
		}
		if worst == nil || slices.Min(p.SomePct) > slices.Min(worst.SomePct) {
			worst = p
		}
	}
	if worst != nil {
		return guard.Say("pressure-high", ev, "tasks in %s wait for a processor %.0f %% of the time (limit %.0f %%)", sourceName(worst.Source), slices.Min(worst.SomePct), worst.LimitPct)
	}
	highest, reason := 0.0, "calm"
	for _, p := range ev.Pressure {
		if len(p.SomePct) > 0 {
			highest = max(highest, slices.Max(p.SomePct))
		}
		if slices.ContainsFunc(p.SomePct, func(v float64) bool { return v > p.LimitPct }) {
			reason = "only-a-burst"
		}
	}
	return guard.Say(reason, ev, "tasks wait for a processor at most %.0f %% of the time", highest)
}

func sourceName(source string) string {
	if source == wholeHost {
		return "the whole machine"
	}
	return source
}
