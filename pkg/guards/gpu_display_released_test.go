package guards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/hosts"
)

// Lines of the fake driver's answers.
const (
	driverLine = "driver 570.86.10"
	idleGPU    = "gpu 0 00000000:01:00.0 GPU-aaaa 104857600 25757220864 268435456 0 1"
)

// holding lets a process of a machine hold devices: "PID FD MAJOR:MINOR".
func holding(h *hosts.Host, held ...string) {
	h.Write("proc/devices", "Character devices:\n  1 mem\n195 nvidia\n226 drm\n505 nvidia-uvm\n\nBlock devices:\n  8 sd\n")
	var table strings.Builder
	for _, line := range held {
		if strings.HasPrefix(line, "/") {
			table.WriteString(line + "\n")
			continue
		}
		f := strings.Fields(line)
		h.Write("proc/"+f[0]+"/fd/"+f[1], "")
		fmt.Fprintf(&table, "/proc/%s/fd/%s %s\n", f[0], f[1], f[2])
	}
	h.Write(holders.TablePath[1:], table.String())
}

// exe says which program a process runs.
func exe(h *hosts.Host, pid, path string) {
	if err := os.Symlink(path, h.Root().Path("/proc", pid, "exe")); err != nil {
		panic(err)
	}
}

// asleep makes the machine's one NVIDIA card a runtime-suspended one.
func asleep(h *hosts.Host) {
	const dir = "sys/bus/pci/devices/0000:01:00.0/"
	h.Write(dir+"class", "0x030000\n")
	h.Write(dir+"vendor", "0x10de\n")
	h.Write(dir+"power/runtime_status", "suspended\n")
	if err := os.Symlink("../../../../bus/pci/drivers/nvidia", h.Root().Path(dir, "driver")); err != nil {
		panic(err)
	}
}

// releaseCase is a machine, what its processes hold, and what its driver says.
type releaseCase struct {
	host    string
	held    []string
	change  func(h *hosts.Host)
	answers []string // of the driver; nil: an idle GPU 0
	old     bool
	program string // in the place of observe-gpu
	config  func(c *config.Config)
	within  time.Duration
	noBus   bool

	reason, message string
}

func TestGPUDisplayReleased(t *testing.T) {
	bin := nvml.BuildObserver(t)
	newLib, oldLib := nvml.Build(t, false), nvml.Build(t, true)
	missing := filepath.Join(t.TempDir(), "observe-gpu")
	script := func(text string) string {
		name := filepath.Join(t.TempDir(), "observe-gpu")
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	used := func(mib int) string {
		return fmt.Sprintf("gpu 0 00000000:01:00.0 GPU-aaaa %d 25757220864 0 0 1", mib<<20)
	}
	tests := map[string]releaseCase{
		"nobody":              {host: "empty", reason: "released"},
		"no driver is loaded": {host: "empty", change: with("proc/devices", "Character devices:\n  1 mem\n"), reason: "released"},
		"a benign unit": {
			host: "empty", held: []string{"731 3 195:255", "731 4 195:0"}, reason: "released-with-benign", message: "sshd (pid 731, uid 0) in sshd.service (benign) holds nvidia0, nvidiactl",
			config: func(c *config.Config) { c.GPU.BenignUnits = []string{"sshd.service"} },
		},
		"a benign program": {host: "empty", held: []string{"731 3 195:255"}, change: func(h *hosts.Host) { exe(h, "731", "/usr/bin/nvidia-persistenced") }, reason: "released-with-benign"},
		"a benign program that the list lacks": {
			host: "empty", held: []string{"731 3 195:255"}, change: func(h *hosts.Host) { exe(h, "731", "/usr/bin/nvidia-persistenced") },
			config: func(c *config.Config) { c.GPU.BenignPrograms = nil }, reason: "held-by-unknown", message: "sshd (pid 731",
		},
		"the workload at work": {
			host: "compute", held: []string{"5188 9 195:0", "5188 10 505:0"}, answers: []string{used(20100), "process 0 compute 5188 20971520000"},
			reason: "released-with-benign", message: "VLLM::EngineCor (pid 5188",
		},
		"the workload leaves more than its own": {
			host: "compute", held: []string{"5188 9 195:0"}, answers: []string{used(20500), "process 0 compute 5188 20971520000"},
			reason: "memory-above-baseline", message: "500 MiB of GPU 0",
		},
		"the workload's memory is not told":     {host: "compute", answers: []string{used(20500), "process 0 compute 5188 -1"}, reason: "released"},
		"the workload twice in the lists":       {host: "compute", answers: []string{used(12000), "process 0 compute 5188 8388608000", "process 0 mps 5188 8388608000"}, reason: "memory-above-baseline", message: "4000 MiB"},
		"a desktop":                             {host: "idle-desktop", held: []string{"1604 17 226:0", "1604 18 226:128", "711 9 226:0", "1 30 226:0", "1661 5 226:128"}, reason: "held-by-compositor", message: "Hyprland (pid 1604, uid 0) in session 2 holds card0, renderD128"},
		"a desktop on NVIDIA":                   {host: "idle-desktop", held: []string{"1604 17 195:0", "1604 18 195:254"}, reason: "held-by-compositor", message: "nvidia0, nvidia-modeset"},
		"a desktop whose session logind forgot": {host: "logind-restarted", held: []string{"1604 17 226:0"}, reason: "held-by-compositor"},
		"a program of a session":                {host: "idle-desktop", held: []string{"1661 5 226:128", "1702 5 226:128"}, reason: "held-by-session", message: "waybar (pid 1661, uid 0) in session 2 holds renderD128, and 1 more"},
		"a mapping without a descriptor": {
			host: "idle-desktop", held: []string{"/dev/dri/card0 226:0 00:06 391"},
			change: func(h *hosts.Host) {
				h.Write("proc/1661/fd/0", "")
				h.Write("proc/1661/maps", "7f00c000-7f00d000 rw-s 00000000 00:06 391  /dri/card0\n")
			}, reason: "held-by-session", message: "waybar",
		},
		"a unit of a user's manager": {host: "idle-desktop", held: []string{"1601 5 226:128"}, reason: "held-by-session", message: "pipewire.service of user@1000.service"},
		"left over from a session":   {host: "closing-held", held: []string{"1888 5 226:128"}, reason: "held-by-session", message: "render-helper (pid 1888, uid 0) in session 2"},
		"a login screen":             {host: "greeter", held: []string{"1350 17 226:0", "711 9 226:0"}, reason: "held-by-greeter", message: "cage (pid 1350"},
		"the display manager":        {host: "greeter", held: []string{"902 17 226:0"}, reason: "held-by-display-manager", message: "greetd (pid 902"},
		"somebody":                   {host: "empty", held: []string{"731 5 226:0"}, reason: "held-by-unknown", message: "sshd (pid 731, uid 0) in sshd.service holds card0"},
		"somebody outside of the candidates": {
			host: "empty", held: []string{"731 5 226:0"}, config: func(c *config.Config) { c.Guards.GPU.ScanAll = false }, reason: "released",
		},
		"only logind is left":    {host: "empty", held: []string{"711 9 226:0"}, reason: "being-torn-down", message: "systemd-logind (pid 711"},
		"only process 1 is left": {host: "empty", held: []string{"1 9 226:0"}, reason: "being-torn-down", message: "systemd (pid 1"},
		"the driver knows who draws": {
			host: "idle-desktop", answers: []string{idleGPU, "process 0 graphics 1661 1048576"}, reason: "nvml-graphics-process", message: "waybar (pid 1661, uid 0) in session 2 as drawing on GPU 0",
		},
		"the driver lists garbage": {host: "empty", answers: []string{idleGPU, "process 0 graphics 4000000 1048576"}, reason: "released"},
		"memory at the limit":      {host: "empty", answers: []string{used(256)}, reason: "released"},
		"memory above the limit":   {host: "empty", answers: []string{used(257), "process 0 compute 731 104857600"}, reason: "memory-above-baseline", message: "257 MiB of GPU 0 are in use by nobody who may stay, at most 256 MiB may be (guards.gpu.residual); the driver lists sshd (pid 731)"},
		"another limit":            {host: "empty", answers: []string{used(257)}, config: func(c *config.Config) { c.Guards.GPU.Residual = 300 * config.MiB }, reason: "released"},
		"a GPU that nobody configured is full": {
			host: "empty", answers: []string{idleGPU, strings.Replace(used(9000), "gpu 0", "gpu 1", 1)}, reason: "released",
		},
		"a second GPU is full": {
			host: "empty", answers: []string{idleGPU, strings.Replace(used(9000), "gpu 0", "gpu 1", 1)},
			config: func(c *config.Config) { c.Hardware.PresentGPUs = []int{0, 1} }, reason: "memory-above-baseline", message: "GPU 1",
		},
		"a card that is asleep": {host: "empty", change: asleep, answers: []string{"fail nvmlInit_v2 9"}, reason: "released"},
		"one that is missing":   {host: "empty", config: func(c *config.Config) { c.Hardware.PresentGPUs = []int{0, 1} }, reason: "gpu-missing", message: "GPU 1 of hardware.presentGpus was not found; the driver knows 1"},
		"all are missing":       {host: "empty", answers: []string{driverLine}, reason: "gpu-missing", message: "GPU 0"},
		"an old driver":         {host: "empty", old: true, reason: "released"},
		"a lost GPU":            {host: "empty", answers: []string{idleGPU, "fail nvmlDeviceGetHandleByIndex_v2 15"}, reason: "driver-unreadable", message: "fallen off the bus"},
		"no list of who draws":  {host: "empty", answers: []string{idleGPU, "fail nvmlDeviceGetGraphicsRunningProcesses_v3 3"}, reason: "driver-unreadable", message: "nvmlDeviceGetGraphicsRunningProcesses: not supported"},
		"no memory":             {host: "empty", answers: []string{idleGPU, "fail nvmlDeviceGetMemoryInfo_v2 999", "fail nvmlDeviceGetMemoryInfo 999"}, reason: "driver-unreadable", message: "nvmlDeviceGetMemoryInfo"},
		"no kernel module":      {host: "empty", answers: []string{"fail nvmlInit_v2 9"}, reason: "driver-unreadable", message: "driver-missing"},
		"a version mismatch":    {host: "empty", answers: []string{"fail nvmlInit_v2 18"}, reason: "driver-unreadable", message: "driver-mismatch"},
		"no library":            {host: "empty", config: func(c *config.Config) { c.GPU.NVMLLibrary = "/nowhere/libnvidia-ml.so.1" }, reason: "driver-unreadable", message: "library-missing"},
		"a hanging driver":      {host: "empty", answers: []string{idleGPU, "hang nvmlDeviceGetMemoryInfo_v2"}, within: 2 * time.Second, reason: "driver-unreadable", message: "nvmlDeviceGetMemoryInfo_v2 has not returned"},
		"a crashing driver":     {host: "empty", answers: []string{idleGPU, "crash nvmlInit_v2"}, reason: "driver-unreadable", message: "exit status 2"},
		"no observe-gpu":        {host: "empty", program: missing, reason: "driver-unreadable", message: "no such file"},
		"rubbish for a report":  {host: "empty", program: script("echo rubbish"), reason: "driver-unreadable", message: "invalid character"},
		"a stopped observe-gpu": {host: "empty", program: script("kill -STOP $$"), within: time.Second, reason: "driver-unreadable", message: "timeout"},
		"observe-gpu forks":     {host: "empty", program: script("sleep 100 & sleep 100"), within: time.Second, reason: "driver-unreadable", message: "timeout"},

		"no list of devices":    {host: "empty", change: without("proc/devices"), reason: "source-unreadable", message: "/proc/devices"},
		"processes hidden":      {host: "empty", change: without("proc/1"), reason: "source-unreadable", message: "hidepid"},
		"an unreadable process": {host: "empty", held: []string{"731 5 1:3"}, change: fifo("proc/731/fd"), reason: "source-unreadable", message: "pid 731"},
		"an unreadable process beside a holder": {
			host: "idle-desktop", held: []string{"1604 17 226:0", "731 5 1:3"}, change: fifo("proc/731/fd"), reason: "held-by-compositor", message: "Hyprland",
		},
		"whom the driver lists can't be told": {
			host: "empty", answers: []string{idleGPU, "process 0 graphics 731 1048576"}, change: with("proc/731/cgroup", "0::elsewhere\n"), reason: "source-unreadable", message: "process 731",
		},
		"an unreadable card": {host: "empty", change: func(h *hosts.Host) {
			asleep(h)
			fifo("sys/bus/pci/devices/0000:01:00.0/power/runtime_status")(h)
		}, reason: "source-unreadable", message: "runtime_status"},

		"no GPU is configured":                   {host: "idle-desktop", held: []string{"1604 17 226:0"}, config: noGPUs, reason: "no-gpu-configured", message: "Hyprland (pid 1604, uid 0) in session 2 holds card0"},
		"no GPU is configured, nobody holds one": {host: "empty", config: noGPUs, reason: "no-gpu-configured", message: "nobody holds"},
		"no GPU is configured, no bus":           {host: "empty", noBus: true, config: noGPUs, reason: "no-gpu-configured", message: "could not be read"},
		"no bus, but a holder":                   {host: "idle-desktop", noBus: true, held: []string{"1604 17 226:0"}, reason: "held-by-compositor", message: "Hyprland"},
		"no GPU is configured, hidden processes": {host: "empty", change: without("proc/1"), config: noGPUs, reason: "no-gpu-configured"},
		"no GPU is configured, a silent bus":     {host: "empty", change: (*hosts.Host).Hang, within: time.Second, config: noGPUs, reason: "no-gpu-configured"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLib
			if test.old {
				lib = oldLib
			}
			if test.answers == nil {
				test.answers = []string{driverLine, idleGPU}
			}
			lib = lib.Copy(t, test.answers...)
			if test.program == "" {
				test.program = bin
			}
			l := looking{
				guard: withObserver(test.program), host: test.host, reason: test.reason, within: test.within, noBus: test.noBus,
				change: func(h *hosts.Host) {
					holding(h, test.held...)
					if test.change != nil {
						test.change(h)
					}
				},
				config: func(c *config.Config) {
					c.Hardware.PresentGPUs, c.GPU.NVMLLibrary = []int{0}, lib.Path
					c.Guards.GPU.Settle = config.Duration(20 * time.Millisecond)
					if test.config != nil {
						test.config(c)
					}
				},
			}
			r := l.run(t)
			witness(t, l.guard, r.Reason)
			if r.Reason != test.reason || !strings.Contains(r.Message, test.message) {
				t.Errorf("%s: %s\nwant %s: …%s…\n%s", r.Reason, r.Message, test.reason, test.message, r.Evidence)
			}
			contract(t, l.guard, r)
			twoLooks(t, r)
		})
	}
}

func noGPUs(c *config.Config) { c.Hardware.PresentGPUs = nil }

// withObserver is the guard with another program in the place of observe-gpu.
func withObserver(program string) guard.Descriptor {
	d := GPUDisplayReleased
	d.Check = func(ctx context.Context, env guard.Env) guard.Verdict { return checkRelease(ctx, env, program) }
	return d
}

// twoLooks holds that a release rests on two looks, and that the evidence has
// the length of the settling window.
func twoLooks(t *testing.T, r guard.Result) {
	t.Helper()
	var ev releaseEvidence
	if err := json.Unmarshal(r.Evidence, &ev); err != nil {
		t.Fatal(err)
	}
	want := 1
	if r.Reason == "released" || r.Reason == "released-with-benign" {
		want = 2
	}
	if len(ev.Looks) != want || ev.SettleMS != 20 {
		t.Errorf("%d looks, settled for %g ms; want %d looks and 20 ms", len(ev.Looks), ev.SettleMS, want)
	}
	if want == 2 && r.DurationMS < ev.SettleMS {
		t.Errorf("it took %g ms, which is less than the settling window", r.DurationMS)
	}
	for _, l := range ev.Looks {
		if l.HolderCount > 0 && slices.ContainsFunc(l.Holders, func(h holders.Holder) bool { return h.Class != holders.Benign && h.Class != holders.Workload }) && l.NVML != nil {
			t.Error("NVML was asked while somebody holds a card")
		}
	}
}

// TestGPUReleaseUnseenBus holds that without knowing who is who nothing is
// released.
func TestGPUReleaseUnseenBus(t *testing.T) {
	d := withObserver("/nowhere/observe-gpu")
	tests := merge(deadBus(d), deadLogin(d), map[string]looking{
		"systemd silent": {guard: d, host: "idle-desktop", change: (*hosts.Host).HangSystemd, within: silent, reason: "deadline", message: "systemd1"},
	})
	for name, l := range tests {
		change := l.change
		l.config = func(c *config.Config) { c.Hardware.PresentGPUs = []int{0} }
		l.change = func(h *hosts.Host) {
			holding(h)
			if change != nil {
				change(h)
			}
		}
		// The first look gets its share of the deadline, and is over by then.
		if l.within == silent {
			l.within = 800 * time.Millisecond
		}
		tests[name] = l
	}
	holds(t, tests)
}

// TestGreeterComesBack holds that the second look decides: between the two a
// display manager has started its next greeter.
func TestGreeterComesBack(t *testing.T) {
	h := hosts.Start(t, "greeter")
	holding(h, "1350 5 1:3")
	table := h.Root().Path(holders.TablePath)
	program := filepath.Join(t.TempDir(), "observe-gpu")
	script := fmt.Sprintf("#!/bin/sh\necho '/proc/1350/fd/5 226:0' >%s\n", table) +
		`echo '{"schema_version":1,"reason":"ok","gpus":[{"index":0,"reason":"ok","memory_used_mib":1,"memory_total_mib":9,"processes":[]}]}'` + "\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Hardware.PresentGPUs = []int{0}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := guard.Run(ctx, withObserver(program), guard.Env{Root: h.Root(), Config: cfg, Target: "compute"})
	var ev releaseEvidence
	if err := json.Unmarshal(r.Evidence, &ev); err != nil {
		t.Fatal(err)
	}
	if r.Reason != "held-by-greeter" || len(ev.Looks) != 2 || r.DurationMS < 250 {
		t.Errorf("%s: %s, %d looks in %g ms; want held-by-greeter at the second, 250 ms later", r.Reason, r.Message, len(ev.Looks), r.DurationMS)
	}
	contract(t, GPUDisplayReleased, r)
}

// TestGPUReleaseAsProcess runs the real programs on machines that chance puts
// together: whatever they are, the guard prints one line, its code is that of
// its class, and it is done in time.
func TestGPUReleaseAsProcess(t *testing.T) {
	dir := t.TempDir()
	observer, err := os.ReadFile(nvml.BuildObserver(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "observe-gpu"), observer, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, GPUDisplayReleased.Binary())
	cmd := exec.Command("go", "build", "-o", bin, "github.com/ryjen/dubnium/cmd/"+GPUDisplayReleased.Binary())
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lib := nvml.Build(t, false)
	seen := map[guard.Class]int{}
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
			h := hosts.Start(t, pick("empty", "idle-desktop", "greeter", "compute", "closing-held"))
			var held []string
			for _, pid := range []string{"1", "711", "731", "1604", "1350", "5188", "1888"} {
				if _, err := h.Root().Stat("/proc/" + pid); err == nil && rnd.IntN(5) == 0 {
					held = append(held, pid+" 7 "+pick("226:0", "195:0", "505:1", "1:3"))
				}
			}
			holding(h, held...)
			switch pick("", "", "", "devices", "proc", "table", "asleep", "bus") {
			case "devices":
				h.Write("proc/devices", pick("", "rubbish\n", "Character devices:\n"))
			case "proc":
				fifo("proc/711/stat")(h)
			case "table":
				h.Write("devices.table", pick("", "x y\n"))
			case "asleep":
				asleep(h)
			case "bus":
				h.KillBus()
			}
			fake := lib.Copy(t, pick(idleGPU, "", strings.Replace(idleGPU, "104857600", "10485760000", 1)), pick("", "", "fail nvmlInit_v2 18", "crash nvmlShutdown", "hang nvmlInit_v2", "process 0 graphics 711 1", "process 0 compute 4000000 1"))
			h.Write("etc/dubnium/dubnium.toml", pick("", "[hardware]\npresentGpus = [0]\n", "[hardware]\npresentGpus = [0]\n", "[hardware]\npresentGpus = [0, 1]\n")+
				fmt.Sprintf("\n[gpu]\nnvmlLibrary = %q\n\n[guards.gpu]\nsettle = \"10ms\"\n", fake.Path))

			var stdout, stderr bytes.Buffer
			cmd := exec.Command(bin, "--root="+string(h.Root()), "--timeout=2s")
			cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, []string{}
			start := time.Now()
			err := cmd.Run()
			took := time.Since(start)
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			line, rest, _ := strings.Cut(stdout.String(), "\n")
			var r guard.Result
			if err := json.Unmarshal([]byte(line), &r); err != nil || rest != "" || stderr.Len() > 0 || len(line) > 64<<10 {
				t.Fatalf("%v, stdout %q, stderr %q", err, stdout.String(), stderr.String())
			}
			code := exitcode.Code(cmd.ProcessState.ExitCode())
			if r.Code != code || string(code.Band()) != string(r.Class) || r.Class == guard.Misuse {
				t.Errorf("exit %d, code %d, class %s: %s", code, r.Code, r.Class, r.Message)
			}
			contract(t, GPUDisplayReleased, r)
			if took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			seen[r.Class]++
		})
	}
	for _, class := range []guard.Class{guard.Pass, guard.Block, guard.Error} {
		if seen[class] < 3 {
			t.Errorf("chance gave %v: too few of %s to mean anything", seen, class)
		}
	}
}
