package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/hosts"
)

// engineCore is vLLM's second process on the fixture machine in compute, sshd
// one that has nothing to do with it.
const (
	engineCore = 5188
	sshd       = 731
)

// holding is a look at GPU 0, with what processes hold by their pids; a
// negative number is one that the driver does not tell.
func holding(usedMiB uint64, uses map[int]int) gpu.Report {
	total := uint64(24000)
	g := gpu.GPU{Reason: gpu.OK, MemoryUsedMiB: &usedMiB, MemoryTotalMiB: &total}
	for pid, mib := range uses {
		p := gpu.Process{PID: pid, Comm: "work", Kind: gpu.Compute}
		if n := uint64(mib); mib >= 0 {
			p.UsedMiB = &n
		}
		g.Processes = append(g.Processes, p)
	}
	return gpu.Report{Reason: gpu.OK, GPUs: []gpu.GPU{g}}
}

func TestMemoryIsBack(t *testing.T) {
	alone := holding(20000, map[int]int{engineCore: 19800})
	beside := holding(22000, map[int]int{engineCore: 19000})
	garbage := holding(9000, map[int]int{sshd: -1})
	garbage.GPUs[0].GarbagePIDs = 1
	partial := holding(100, nil)
	partial.Reason, partial.GPUs[0].Reason, partial.GPUs[0].Missing = gpu.Partial, gpu.Partial, []string{"mps"}
	blind := holding(0, nil)
	blind.GPUs[0].Reason, blind.GPUs[0].Message, blind.GPUs[0].Missing = gpu.Partial, "nothing", []string{"memory"}
	for name, tt := range map[string]struct {
		before, now gpu.Report
		says, keeps string // in the detail, or in the error
	}{
		"all of it":                    {alone, holding(12, nil), "GPU memory is back: GPU 0 has 12 MiB in use (20000 before)", ""},
		"just what may stay":           {alone, holding(456, nil), "456 MiB in use", ""},
		"one more":                     {alone, holding(457, nil), "", "GPU 0 has 457 MiB in use (20000 before), at most 456 may be (guards.gpu.residual is 256 MiB, other processes hold 0)"},
		"none of it":                   {alone, holding(20000, nil), "", "not back: GPU 0 has 20000 MiB"},
		"its process is listed":        {alone, holding(12, map[int]int{engineCore: 10}), "", "still lists its process work (pid 5188) on GPU 0"},
		"what others hold stays":       {alone, holding(5200, map[int]int{sshd: 5000}), "5200 MiB in use", ""},
		"others hold less":             {alone, holding(9200, map[int]int{sshd: 5000}), "", "at most 5256 may be"},
		"a display that is not listed": {beside, holding(3100, nil), "3100 MiB in use (22000 before)", ""},
		"others that are not told":     {alone, holding(9000, map[int]int{sshd: -1}), "the driver does not tell how much of it work (pid 731) holds", ""},
		"and one that is no process":   {alone, garbage, "", "not back"},
		"nobody looked before":         {gpu.Report{}, holding(256, nil), "GPU 0 has 256 MiB in use", ""},
		"and more is in use":           {gpu.Report{}, holding(257, nil), "", "at most 256 may be"},
		"not told before":              {holding(20000, map[int]int{engineCore: -1}), holding(300, nil), "", "at most 256 may be"},
		"an old driver":                {alone, partial, "100 MiB in use", ""},
		"asleep":                       {alone, gpu.Report{Reason: gpu.OK, GPUs: []gpu.GPU{{Reason: gpu.Suspended}}}, "GPU 0 is asleep", ""},
		"the memory is not told":       {alone, blind, "", "can't be told: partial: nothing"},
		"the GPU is gone":              {alone, gpu.Report{Reason: gpu.NoDevice}, "", "GPU 0 is not found"},
		"the driver is gone":           {alone, gpu.Report{Reason: gpu.DriverMissing, Message: "not loaded"}, "", "can't be told: driver-missing: not loaded"},
	} {
		v := vram{gpus: []int{0}, residual: 256, pids: []int{5120, engineCore}, before: tt.before}
		says, err := v.judge(tt.now)
		switch {
		case tt.keeps == "" && (err != nil || !strings.Contains(says, tt.says)):
			t.Errorf("%s: %q, %v", name, says, err)
		case tt.keeps != "" && (err == nil || !strings.Contains(err.Error(), tt.keeps)):
			t.Errorf("%s: %q, %v; want …%s…", name, says, err, tt.keeps)
		}
	}
	two := vram{gpus: []int{0, 1}, residual: 256}
	now := holding(10, nil)
	now.GPUs = append(now.GPUs, gpu.GPU{Index: 1, Reason: gpu.Suspended})
	if says, err := two.judge(now); err != nil || says != "GPU memory is back: GPU 0 has 10 MiB in use, GPU 1 is asleep" {
		t.Errorf("two GPUs: %q, %v", says, err)
	}
}

// used is a line of the fake driver.
func used(mib int) string {
	return fmt.Sprintf("gpu 0 00000000:01:00.0 GPU-aaaa %d 25757220864 268435456 0 1", mib<<20)
}

// TestVLLMIsStopped stops vLLM on a fixture machine, with the real observe-gpu
// and a driver that gives the memory back late, or not at all.
func TestVLLMIsStopped(t *testing.T) {
	bin := filepath.Dir(nvml.BuildObserver(t))
	built := nvml.Build(t, false)
	held := []string{used(20000), fmt.Sprintf("process 0 compute %d %d", engineCore, 19900<<20)}
	for name, tt := range map[string]struct {
		answers, after []string // of the driver; after: once it was asked again after the stop
		unit           string
		config         func(*config.Config)
		bin            string
		bound          time.Duration
		says, fails    string
		late           bool // the bound runs out
		asked          bool
	}{
		"at once":         {answers: []string{used(12)}, bound: 20 * time.Second, says: "GPU memory is back: GPU 0 has 12 MiB in use (12 before)", asked: true},
		"late":            {answers: held, after: []string{used(12)}, bound: 20 * time.Second, says: "GPU memory is back: GPU 0 has 12 MiB in use (20000 before)", asked: true},
		"never":           {answers: held, bound: 3 * time.Second, fails: "its GPU memory is not back: GPU 0 has 20000 MiB in use", late: true, asked: true},
		"without a GPU":   {answers: held, bound: 20 * time.Second, config: func(c *config.Config) { c.Hardware.PresentGPUs = nil }, says: "GPU memory is not looked at: hardware.presentGpus is empty"},
		"another unit":    {answers: held, bound: 20 * time.Second, unit: "compute.target", says: ""},
		"another GPU":     {answers: []string{used(20000), strings.ReplaceAll(used(3), "gpu 0 00000000:01", "gpu 1 00000000:02")}, bound: 20 * time.Second, config: func(c *config.Config) { c.Hardware.PresentGPUs, c.Hardware.ComputeGPUs = []int{0, 1}, []int{1} }, says: "GPU 1 has 3 MiB in use", asked: true},
		"no driver":       {answers: []string{"fail nvmlInit_v2 9"}, bound: 20 * time.Second, fails: "vLLM is stopped and its cgroup is empty, but whether its GPU memory is back can't be told: driver-missing", asked: true},
		"another version": {answers: []string{"fail nvmlInit_v2 18"}, bound: 20 * time.Second, fails: "driver-mismatch", asked: true},
		"a driver that hangs": {
			answers: []string{"hang nvmlInit_v2"}, bound: 3 * time.Second, fails: "can't be told", late: true, asked: true,
			config: func(c *config.Config) {
				c.Timeouts.Observe, c.Timeouts.Guard = config.Duration(300*time.Millisecond), config.Duration(time.Second)
			},
		},
		"no observe-gpu": {answers: held, bin: "/nowhere", bound: 20 * time.Second, fails: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, "compute")
			log := filepath.Join(t.TempDir(), "calls")
			lib := built.Copy(t, append([]string{"log " + log}, tt.answers...)...)
			cfg := config.Default()
			cfg.Hardware.PresentGPUs, cfg.GPU.NVMLLibrary = []int{0}, lib.Path
			if tt.config != nil {
				tt.config(&cfg)
			}
			m := &Machine{Root: h.Root(), Config: cfg, BinDir: bin}
			if tt.bin != "" {
				m.BinDir = tt.bin
			}
			unit := tt.unit
			if unit == "" {
				unit = cfg.VLLM.Unit
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.bound)
			defer cancel()
			h.Systemd.After("stop", unit, func() {
				if unit != cfg.VLLM.Unit {
					return
				}
				h.Remove("proc/5188")
				h.Remove("sys/fs/cgroup/system.slice/vllm.service")
				must(t, os.RemoveAll(log))
				if tt.after != nil {
					go func() { // the driver takes its time
						for ctx.Err() == nil {
							if data, err := os.ReadFile(log); err == nil && strings.Contains(string(data), "nvmlShutdown") {
								lib.Answer(t, append(tt.after, "log "+log)...)
								return
							}
							_ = pause(ctx, 5*time.Millisecond)
						}
					}()
				}
			})
			says, err := m.Do(ctx, plan.Step{Action: mode.StopUnit, Unit: unit}, mode.Desktop)
			if h.Systemd.State(unit) != "inactive" {
				t.Errorf("%s is %s", unit, h.Systemd.State(unit))
			}
			switch {
			case tt.fails == "" && (err != nil || !strings.Contains(says, tt.says) || tt.says == "" && says != ""):
				t.Errorf("%q, %v; want …%s…", says, err, tt.says)
			case tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)):
				t.Errorf("%q, %v; want the error …%s…", says, err, tt.fails)
			}
			if late := errors.Is(ctx.Err(), context.DeadlineExceeded); late != tt.late {
				t.Errorf("the bound ran out: %v", late)
			}
			if _, err := os.Stat(log); (err == nil) != tt.asked {
				t.Errorf("the driver was asked after the stop: %v", err == nil)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
