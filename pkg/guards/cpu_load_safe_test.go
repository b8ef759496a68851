package guards

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/tests/hosts"
)

const (
	hostPressure = "proc/pressure/cpu"
	userPressure = "sys/fs/cgroup/user.slice/cpu.pressure"
)

func psi(totalMicros int64) string {
	return fmt.Sprintf("some avg10=99.00 avg60=99.00 avg300=99.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", totalMicros)
}

// accounted gives a machine files of pressure that stand still.
func accounted(h *hosts.Host) {
	h.Write(hostPressure, psi(1e9))
	h.Write(userPressure, psi(1e9))
	h.Write("sys/fs/cgroup/system.slice/cpu.pressure", psi(1e9))
}

func load(change func(*hosts.Host), reason, message string) looking {
	return looking{
		guard: CPULoadSafe, host: "idle-desktop", noBus: true, change: change,
		config: func(c *config.Config) { c.Guards.Load.Window = config.Duration(20 * time.Millisecond) },
		reason: reason, message: message,
	}
}

func TestCPULoadSafe(t *testing.T) {
	after := func(changes ...func(*hosts.Host)) func(*hosts.Host) {
		return func(h *hosts.Host) {
			accounted(h)
			for _, change := range changes {
				change(h)
			}
		}
	}
	runnable := func(n int) func(*hosts.Host) {
		return func(h *hosts.Host) {
			h.Write("proc/loadavg", fmt.Sprintf("99.0 99.0 99.0 %d/400 1\n", n))
			h.Write("sys/devices/system/cpu/online", "0-1\n")
		}
	}
	hanging := load(accounted, "deadline", "")
	hanging.within = 50 * time.Millisecond
	hanging.config = func(c *config.Config) { c.Guards.Load.Window = config.Duration(time.Hour) }

	holds(t, map[string]looking{
		// High averages with a counter that stands still: the work has ended.
		"work that has ended": load(accounted, "calm", "at most 0 %"),
		"nobody logged in":    load(after(without(userPressure)), "calm", ""),
		"no cgroup pressure":  load(with(hostPressure, psi(1)), "calm", ""),
		"no unified hierarchy": load(func(h *hosts.Host) {
			h.Write(hostPressure, psi(1))
			h.Remove("sys/fs/cgroup")
		}, "calm", ""),
		"no load average": load(after(without("proc/loadavg")), "calm", ""),

		"no accounting, few tasks":               load(runnable(3), "run-queue-short", "at most 2 tasks are runnable on 2 processors"),
		"no accounting, a task too many":         load(runnable(4), "run-queue-long", "more tasks than the 2 processors are runnable 100 %"),
		"no accounting, no list of processors":   load(func(*hosts.Host) {}, "source-unreadable", "count the processors"),
		"no accounting, garbled processors":      load(func(h *hosts.Host) { runnable(1)(h); h.Write("sys/devices/system/cpu/online", "x") }, "source-unreadable", `processor "x"`),
		"no accounting, no tasks":                load(func(h *hosts.Host) { runnable(1)(h); h.Remove("proc/loadavg") }, "source-unreadable", "loadavg"),
		"no accounting, garbled tasks":           load(func(h *hosts.Host) { runnable(1)(h); h.Write("proc/loadavg", "1 1 1 x") }, "source-unreadable", "loadavg"),
		"no accounting, tasks that block":        load(func(h *hosts.Host) { runnable(1)(h); fifo("proc/loadavg")(h) }, "source-unreadable", "not a regular file"),
		"host pressure garbled":                  load(after(with(hostPressure, "rubbish")), "source-unreadable", `pressure of host`),
		"host pressure empty":                    load(after(with(hostPressure, "")), "source-unreadable", `line "some" is missing`),
		"host pressure blocks":                   load(after(fifo(hostPressure)), "source-unreadable", "not a regular file"),
		"slice pressure garbled":                 load(after(with(userPressure, psi(-5))), "source-unreadable", "pressure of user.slice"),
		"slice pressure huge":                    load(after(with(userPressure, strings.Repeat("x", 5<<20))), "source-unreadable", "larger than its reader takes"),
		"the window is longer than the deadline": hanging,
	})
}

// TestLoadIsMeasured lets counters advance while the guard watches.
func TestLoadIsMeasured(t *testing.T) {
	tests := map[string]struct {
		file   string
		change func(c *config.GuardLoad)
		reason string
		says   string
	}{
		"a slice":                 {file: userPressure, reason: "pressure-high", says: "tasks in user.slice wait"},
		"only the whole machine":  {file: hostPressure, reason: "pressure-high", says: "tasks in the whole machine wait"},
		"as much as is allowed":   {file: userPressure, change: func(c *config.GuardLoad) { c.SlicePressurePct = 100 }, reason: "calm"},
		"a slice nobody looks at": {file: userPressure, change: func(c *config.GuardLoad) { c.Slices = nil }, reason: "calm"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Unpack(t, hosts.Load(t, "idle-desktop"))
			accounted(h)
			cfg := config.Default()
			cfg.Guards.Load.Window = config.Duration(100 * time.Millisecond)
			if tt.change != nil {
				tt.change(&cfg.Guards.Load)
			}
			stop := advance(t, h, tt.file, psi)
			r := guard.Run(t.Context(), CPULoadSafe, guard.Env{Root: h.Root(), Config: cfg, Target: CPULoadSafe.Target})
			stop()
			witness(t, CPULoadSafe, r.Reason)
			contract(t, CPULoadSafe, r)
			if r.Reason != tt.reason || !strings.Contains(r.Message, tt.says) {
				t.Errorf("%s: %s; want %s: …%s…\n%s", r.Reason, r.Message, tt.reason, tt.says, r.Evidence)
			}
		})
	}
}

func TestSliceCgroup(t *testing.T) {
	for slice, want := range map[string]string{
		"user.slice": "/user.slice", "-.slice": "/", "user-1000.slice": "/user.slice/user-1000.slice",
		"a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice",
	} {
		if got := sliceCgroup(slice); got != want {
			t.Errorf("%s lies at %s, want %s", slice, got, want)
		}
	}
}

// TestJudgeLoadAtItsLimits holds the comparisons: a limit may be reached, not
// passed, and it takes both looks to pass it.
func TestJudgeLoadAtItsLimits(t *testing.T) {
	slice := func(pct ...float64) pressure { return pressure{Source: "user.slice", SomePct: pct, LimitPct: 50} }
	whole := func(pct ...float64) pressure { return pressure{Source: wholeHost, SomePct: pct, LimitPct: 80} }
	tests := []struct {
		name string
		ev   loadEvidence
		want string
		says string
	}{
		{"at the limit", loadEvidence{Pressure: []pressure{slice(50, 50)}}, "calm", ""},
		{"above it", loadEvidence{Pressure: []pressure{slice(50.1, 50.1)}}, "pressure-high", "50 %"},
		{"one look alone", loadEvidence{Pressure: []pressure{slice(100)}}, "only-a-burst", ""},
		{"first look above", loadEvidence{Pressure: []pressure{slice(100, 50)}}, "only-a-burst", ""},
		{"second look above", loadEvidence{Pressure: []pressure{slice(50, 100)}}, "only-a-burst", ""},
		{"a slice comes before the host", loadEvidence{Pressure: []pressure{slice(60, 60), whole(99, 99)}}, "pressure-high", "user.slice"},
		{"the worse of two slices", loadEvidence{Pressure: []pressure{slice(60, 60), {Source: "system.slice", SomePct: []float64{70, 90}, LimitPct: 50}}}, "pressure-high", "system.slice"},
		{"the host alone", loadEvidence{Pressure: []pressure{slice(10, 10), whole(81, 99)}}, "pressure-high", "the whole machine wait for a processor 81 %"},
		{"the host at its limit", loadEvidence{Pressure: []pressure{slice(10, 10), whole(80, 80)}}, "calm", ""},
		{"samples at the limit", loadEvidence{RunQueue: &runQueue{Processors: 2, ExcessPct: []float64{80, 80}, LimitPct: 80}}, "run-queue-short", ""},
		{"samples above it", loadEvidence{RunQueue: &runQueue{Processors: 2, ExcessPct: []float64{90, 84}, LimitPct: 80, Longest: 9}}, "run-queue-long", "84 % of the time (limit 80 %), up to 9"},
		{"samples above it once", loadEvidence{RunQueue: &runQueue{Processors: 2, ExcessPct: []float64{90}, LimitPct: 80}}, "run-queue-short", ""},
	}
	for _, tt := range tests {
		v := judgeLoad(tt.ev)
		witness(t, CPULoadSafe, v.Reason)
		if v.Reason != tt.want || !strings.Contains(v.Message, tt.says) {
			t.Errorf("%s: %s: %s; want %s: …%s…", tt.name, v.Reason, v.Message, tt.want, tt.says)
		}
	}
}
