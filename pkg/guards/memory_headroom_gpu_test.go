package guards

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/hosts"
)

// asking is the guard with another observe-gpu than the one beside it.
func asking(program string) guard.Descriptor {
	d := MemoryHeadroom
	d.Check = func(ctx context.Context, env guard.Env) guard.Verdict {
		return checkMemory(ctx, env, func() (string, error) { return program, nil })
	}
	return d
}

// card is a line of the fake driver: a GPU of 24308 usable MiB.
func card(index int, usedMiB uint64) string {
	return fmt.Sprintf("gpu %d 00000000:0%d:00.0 GPU-%d %d 25757220864 268435456 0 1", index, index+1, index, usedMiB<<20)
}

// uses is a line of the fake driver: a process that holds memory.
func uses(index, pid, mib int) string {
	return fmt.Sprintf("process %d compute %d %d", index, pid, mib<<20)
}

func TestGPUMemoryHeadroom(t *testing.T) {
	bin := nvml.BuildObserver(t)
	lib, old := nvml.Build(t, false), nvml.Build(t, true)
	script := func(text string) string {
		name := filepath.Join(t.TempDir(), "observe-gpu")
		must(os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
		return name
	}
	const sshd = 731
	compute := func(size config.Size) func(*config.Config) {
		return func(c *config.Config) { c.Guards.Memory.ComputeGPU = size }
	}
	display := func(c *config.Config) {
		c.Hardware.DisplayGPU, c.Guards.Memory.DisplayGPU = new(int), 8*config.GiB
	}
	linger := func(h *hosts.Host) { h.Write("var/lib/systemd/linger/ada", "") }
	type memoryCase struct {
		host    string
		answers []string
		old     bool
		program string
		target  mode.Mode
		change  func(*hosts.Host)
		config  func(*config.Config)
		within  time.Duration
		noBus   bool

		reason, message string
	}
	tests := map[string]memoryCase{
		"free":                 {host: "empty", noBus: true, answers: []string{card(0, 100)}, reason: "enough", message: "GPU 0 has 24208 MiB free of 4096 MiB needed"},
		"just as much":         {host: "empty", noBus: true, answers: []string{card(0, 24308-4096)}, reason: "enough", message: "GPU 0 has 4096 MiB free"},
		"a little less":        {host: "empty", noBus: true, answers: []string{card(0, 24308-4095)}, reason: "gpu-memory-low", message: "GPU 0 has 4095 MiB free, compute needs 4096 MiB (guards.memory.computeGpu); the driver names nobody who holds the rest"},
		"more than there is":   {host: "empty", noBus: true, answers: []string{card(0, 0)}, config: compute(32 * config.GiB), reason: "gpu-memory-low", message: "needs 32768 MiB (guards.memory.computeGpu); it has no more"},
		"all that there is":    {host: "empty", noBus: true, answers: []string{card(0, 0)}, config: compute(24308 * config.MiB), reason: "enough"},
		"of an old driver":     {host: "empty", noBus: true, old: true, answers: []string{card(0, 24564-4096)}, reason: "enough", message: "GPU 0 has 4096 MiB free"},
		"nothing is asked for": {host: "empty", noBus: true, program: "/nowhere/observe-gpu", config: compute(0), reason: "enough", message: "compute needs 4096 MiB"},
		"no GPU is configured": {host: "empty", noBus: true, program: "/nowhere/observe-gpu", config: func(c *config.Config) { c.Hardware.PresentGPUs = nil }, reason: "enough"},
		"the machine comes first": {
			host: "empty", noBus: true, program: "/nowhere/observe-gpu", config: func(c *config.Config) { c.Guards.Memory.Compute = config.TiB }, reason: "memory-low",
		},
		"every GPU that compute gets": {
			host: "empty", noBus: true, answers: []string{card(0, 100), card(1, 24000)}, config: func(c *config.Config) { c.Hardware.ComputeGPUs = []int{0, 1} },
			reason: "gpu-memory-low", message: "GPU 1 has 308 MiB free",
		},
		"only those that compute gets": {
			host: "empty", noBus: true, answers: []string{card(0, 24000), card(1, 100)}, config: func(c *config.Config) { c.Hardware.ComputeGPUs = []int{1} },
			reason: "enough", message: "GPU 1 has 24208 MiB free",
		},
		"asleep": {host: "empty", noBus: true, change: asleep, answers: []string{"fail nvmlInit_v2 9"}, reason: "enough", message: "GPU 0 is asleep and unused"},

		"held by a session":          {host: "idle-desktop", answers: []string{card(0, 22000), uses(0, 1604, 20000)}, reason: "enough", message: "GPU 0 has 2308 MiB free and 20000 MiB that the transition frees"},
		"a session holds not enough": {host: "idle-desktop", answers: []string{card(0, 24000), uses(0, 1604, 3000)}, reason: "gpu-memory-low", message: "308 MiB free and 3000 MiB that the transition frees or vLLM already holds, compute needs 4096 MiB (guards.memory.computeGpu); the driver names nobody"},
		"a session, untold":          {host: "idle-desktop", answers: []string{card(0, 24000), "process 0 graphics 1604 -1"}, reason: "gpu-memory-low", message: "the driver does not tell how much Hyprland (pid 1604) in session 2 holds"},
		"a session, impossibly":      {host: "idle-desktop", answers: []string{card(0, 24000), uses(0, 1604, 1<<40)}, reason: "gpu-memory-low", message: "the driver does not tell how much Hyprland"},
		"a session, in two lists":    {host: "idle-desktop", answers: []string{card(0, 24000), uses(0, 1604, 3000), "process 0 graphics 1604 3145728000"}, reason: "gpu-memory-low", message: "and 3000 MiB"},
		"by the login path":          {host: "idle-desktop", answers: []string{card(0, 22000), uses(0, 902, 20000)}, reason: "enough"},
		"by a login screen":          {host: "greeter", answers: []string{card(0, 22000), uses(0, 1350, 20000)}, reason: "enough"},
		"by a service":               {host: "idle-desktop", answers: []string{card(0, 22000), uses(0, sshd, 20000)}, reason: "gpu-memory-low", message: "sshd (pid 731) in sshd.service holds 20000 MiB"},
		"by somebody's service":      {host: "idle-desktop", answers: []string{card(0, 22000), uses(0, 1601, 20000)}, reason: "enough"},
		"by one that lingers":        {host: "idle-desktop", change: linger, answers: []string{card(0, 22000), uses(0, 1601, 20000)}, reason: "gpu-memory-low", message: "in pipewire.service of user@1000.service holds 20000 MiB"},
		"by one who stays": {
			host: "idle-desktop", answers: []string{card(0, 22000), uses(0, 1601, 20000)}, reason: "gpu-memory-low", message: "pipewire.service",
			change: func(h *hosts.Host) {
				h.Login.AddSession(hosts.Props{"Id": "9", "Name": "ada", "UID": 1000, "Type": "tty", "Class": "user", "Remote": true, "State": "active"})
			},
		},
		"by nobody that is there": {host: "idle-desktop", answers: []string{card(0, 22000), uses(0, 99999, 20000)}, reason: "gpu-memory-low", message: "names nobody"},
		"by vLLM already":         {host: "compute", answers: []string{card(0, 22000), uses(0, 5188, 20000)}, reason: "enough", message: "vLLM already holds"},

		"the way back":                    {host: "compute", target: mode.Desktop, config: display, answers: []string{card(0, 22000), uses(0, 5188, 20000)}, reason: "enough", message: "GPU 0 has 2308 MiB free and 20000 MiB that the transition frees"},
		"the way back, untold":            {host: "compute", target: mode.Desktop, config: display, answers: []string{card(0, 22000), "process 0 compute 5188 -1"}, reason: "gpu-memory-low", message: "desktop needs 8192 MiB (guards.memory.displayGpu); the driver does not tell how much VLLM::EngineCor (pid 5188)"},
		"the way back, by a session":      {host: "idle-desktop", target: mode.StudioLocal, config: display, answers: []string{card(0, 22000), uses(0, 1604, 20000)}, reason: "gpu-memory-low", message: "Hyprland (pid 1604) in session 2 holds"},
		"the way back asks for nothing":   {host: "compute", noBus: true, target: mode.Desktop, program: "/nowhere/observe-gpu", reason: "enough"},
		"the way back without a display":  {host: "compute", noBus: true, target: mode.Desktop, program: "/nowhere/observe-gpu", config: func(c *config.Config) { c.Guards.Memory.DisplayGPU = config.GiB }, reason: "enough"},
		"the way back of another display": {host: "compute", noBus: true, target: mode.Desktop, answers: []string{card(0, 22000)}, config: func(c *config.Config) { display(c); *c.Hardware.DisplayGPU = 1 }, reason: "gpu-missing", message: "GPU 1 was not found"},

		"a GPU is missing":     {host: "empty", noBus: true, answers: []string{card(0, 0)}, config: func(c *config.Config) { c.Hardware.PresentGPUs = []int{0, 1} }, reason: "gpu-missing", message: "GPU 1 was not found; the driver knows 1"},
		"no GPU":               {host: "empty", noBus: true, answers: []string{}, reason: "gpu-missing", message: "knows 0 (observe-gpu lists them): the driver knows no GPU"},
		"no kernel module":     {host: "empty", noBus: true, answers: []string{"fail nvmlInit_v2 9"}, reason: "driver-unreadable", message: "driver-missing"},
		"another version":      {host: "empty", noBus: true, answers: []string{"fail nvmlInit_v2 18"}, reason: "driver-unreadable", message: "driver-mismatch"},
		"memory is not told":   {host: "empty", noBus: true, answers: []string{card(0, 0), "fail nvmlDeviceGetMemoryInfo_v2 3", "fail nvmlDeviceGetMemoryInfo 3"}, reason: "driver-unreadable", message: "the memory of GPU 0: partial: nvmlDeviceGetMemoryInfo: not supported"},
		"a hanging driver":     {host: "empty", noBus: true, answers: []string{card(0, 0), "hang nvmlInit_v2"}, within: time.Second, reason: "driver-unreadable", message: "ask the NVIDIA driver: "},
		"a hanging program":    {host: "empty", noBus: true, program: script("sleep 60"), within: 500 * time.Millisecond, reason: "driver-unreadable", message: "no answer in time"},
		"a crash":              {host: "empty", noBus: true, answers: []string{card(0, 0), "crash nvmlShutdown"}, reason: "driver-unreadable", message: "SIGSEGV"},
		"no observe-gpu":       {host: "empty", noBus: true, program: "/nowhere/observe-gpu", reason: "driver-unreadable", message: "no such file"},
		"rubbish":              {host: "empty", noBus: true, program: script("echo x"), reason: "driver-unreadable", message: "invalid character"},
		"nobody says who":      {host: "idle-desktop", noBus: true, answers: []string{card(0, 22000), uses(0, 1604, 20000)}, reason: "source-unreadable", message: "look who uses the GPU"},
		"logind does not":      {host: "idle-desktop", change: (*hosts.Host).HangLogin, within: 1500 * time.Millisecond, answers: []string{card(0, 22000), uses(0, 1604, 20000)}, reason: "deadline", message: "login1"},
		"nobody needs to know": {host: "idle-desktop", noBus: true, answers: []string{card(0, 2000), uses(0, 1604, 1500)}, reason: "enough"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			library := lib
			if tt.old {
				library = old
			}
			fake := library.Copy(t, tt.answers...)
			program := tt.program
			if program == "" {
				program = bin
			}
			r := looking{
				guard: asking(program), host: tt.host, noBus: tt.noBus, change: tt.change, target: tt.target, within: tt.within,
				config: func(c *config.Config) {
					c.Hardware.PresentGPUs, c.GPU.NVMLLibrary = []int{0}, fake.Path
					if tt.config != nil {
						tt.config(c)
					}
				},
			}.run(t)
			witness(t, MemoryHeadroom, r.Reason)
			contract(t, MemoryHeadroom, r)
			if r.Reason != tt.reason || !strings.Contains(r.Message, tt.message) {
				t.Errorf("%s: %s\nwant %s: …%s…\n%s", r.Reason, r.Message, tt.reason, tt.message, r.Evidence)
			}
		})
	}
	t.Run("what was counted", func(t *testing.T) { testAccount(t, bin, lib) })
}

// testAccount holds what the evidence says was counted.
func testAccount(t *testing.T, bin string, lib nvml.Library) {
	t.Parallel()
	lib = lib.Copy(t, "driver 570.86.10", card(0, 23000), uses(0, 1604, 2000), uses(0, 731, 18000), "process 0 graphics 1661 -1")
	r := looking{guard: asking(bin), host: "idle-desktop", config: func(c *config.Config) {
		c.Hardware.PresentGPUs, c.GPU.NVMLLibrary = []int{0}, lib.Path
	}}.run(t)
	var got memoryEvidence
	must(json.Unmarshal(r.Evidence, &got))
	number := func(n uint64) *uint64 { return &n }
	want := memoryEvidence{
		AvailableMiB: got.AvailableMiB, TotalMiB: got.TotalMiB, RequiredMiB: 4096, GPURequiredMiB: 4096, DriverVersion: "570.86.10",
		GPUs: []gpuMemory{{
			Reason: gpu.OK, UsableMiB: 24308, FreeMiB: 1308, CountedMiB: 2000, AvailableMiB: 3308, ProcessCount: 3,
			Processes: []gpuUser{
				{Use: gpu.Use{PID: 1661, Comm: "waybar"}, Place: "session 2", Class: holders.UserSession, Counted: "session 2 is ended"},
				{Use: gpu.Use{PID: 731, Comm: "sshd", UsedMiB: number(18000)}, Place: "sshd.service", Class: holders.Unknown},
				{Use: gpu.Use{PID: 1604, Comm: "Hyprland", UsedMiB: number(2000)}, Place: "session 2", Class: holders.Compositor, Counted: "session 2 is ended"},
			},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Reason != "gpu-memory-low" {
		t.Errorf("%s: %s (-want +got):\n%s", r.Reason, r.Message, diff)
	}
}

// TestGPUEvidenceIsBounded holds that many processes on many GPUs fit a line.
func TestGPUEvidenceIsBounded(t *testing.T) {
	var gpus []string
	for i := range gpu.MaxGPUs {
		var processes []string
		for pid := range 200 {
			processes = append(processes, fmt.Sprintf(`{"pid":%d,"comm":"a-long-name-1234","kind":"compute","used_mib":1}`, pid+100_000))
		}
		gpus = append(gpus, fmt.Sprintf(`{"index":%d,"reason":"ok","memory_used_mib":200,"memory_total_mib":9000,"processes":[%s]}`, i, strings.Join(processes, ",")))
	}
	program := filepath.Join(t.TempDir(), "observe-gpu")
	text := fmt.Sprintf("#!/bin/sh\ncat <<'END'\n{\"schema_version\":1,\"reason\":\"ok\",\"gpus\":[%s]}\nEND\n", strings.Join(gpus, ","))
	must(os.WriteFile(program, []byte(text), 0o755))
	r := looking{guard: asking(program), host: "empty", noBus: true, config: func(c *config.Config) {
		for i := range gpu.MaxGPUs {
			c.Hardware.PresentGPUs = append(c.Hardware.PresentGPUs, i)
		}
	}}.run(t)
	if r.Reason != "enough" || strings.Contains(string(r.Evidence), "omitted_bytes") || !strings.Contains(string(r.Evidence), `"process_count":200`) {
		t.Errorf("%s: %s\n%.300s", r.Reason, r.Message, r.Evidence)
	}
	contract(t, MemoryHeadroom, r)
}

func TestWhatEnds(t *testing.T) {
	e := ending{
		who: holders.Who{Workload: "vllm.service", LoginUnits: []string{"greetd.service"}},
		sessions: []evidence.Session{
			{ID: "2", UID: 1000, Type: "wayland", Class: "user"},
			{ID: "3", UID: 1000, Class: "manager"},
			{ID: "4", UID: 1001, Type: "tty", Class: "user"},
			{ID: "5", UID: 1001, Type: "wayland", Class: "user"},
			{ID: "c1", UID: 900, Type: "tty", Class: "greeter"},
			{ID: "6", UID: 1002, Type: "x11", Class: "user"},
			{ID: "7", UID: 1003, Class: "manager"},
		},
		lingers: map[uint32]bool{1002: true},
	}
	at := func(cgroup string) holders.Process {
		p := holders.Process{PID: 9, Cgroup: cgroup}
		p.Session = procinfo.Session(cgroup)
		p.Unit, p.UserUnit = procinfo.Unit(cgroup)
		return p
	}
	manager := func(uid int) string {
		return fmt.Sprintf("/user.slice/user-%d.slice/user@%d.service/app.slice/app.service", uid, uid)
	}
	for cgroup, want := range map[string]struct{ compute, desktop string }{
		"/user.slice/user-1000.slice/session-2.scope":  {"session 2 is ended", ""},
		"/user.slice/user-1001.slice/session-4.scope":  {"", ""},
		"/user.slice/user-1001.slice/session-5.scope":  {"session 5 is ended", ""},
		"/user.slice/user-900.slice/session-c1.scope":  {"session c1 is ended", ""},
		"/user.slice/user-1000.slice/session-99.scope": {"", ""},
		"/system.slice/greetd.service":                 {"greetd.service is stopped", ""},
		"/ai.slice/vllm.service":                       {"the need is that of vllm.service", "vllm.service is stopped"},
		"/ai.slice/other.service":                      {"", ""},
		"/system.slice/docker-1.scope":                 {"", ""},
		"/":                                            {"", ""},
		manager(1000):                                  {"user@1000.service ends with the last session of its user", ""},
		manager(1001):                                  {"", ""},
		manager(1002):                                  {"", ""},
		manager(1003):                                  {"", ""},
		manager(1004):                                  {"", ""},
	} {
		for target, want := range map[mode.Mode]string{mode.Compute: want.compute, mode.Desktop: want.desktop, mode.StudioLocal: want.desktop} {
			e.target = target
			if got := e.why(at(cgroup)); got != want {
				t.Errorf("%s on the way to %s: %q, want %q", cgroup, target, got, want)
			}
		}
	}
}
