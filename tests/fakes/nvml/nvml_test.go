package nvml_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
)

// result is what a run of observe-gpu ended with.
type result struct {
	report gpu.Report
	code   int
	stdout string
	stderr string
	took   time.Duration
}

// observe runs the real observe-gpu.
func observe(t *testing.T, bin string, env []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r.code = cmd.ProcessState.ExitCode()
	if !slices.Contains(args, "--format=plain") {
		if r.report, err = gpu.Decode(stdout.Bytes()); err != nil {
			t.Fatalf("exit %d, %v\n%s\n%s", r.code, err, r.stdout, r.stderr)
		}
	}
	return r
}

const (
	gpu0 = "gpu 0 00000000:01:00.0 GPU-aaaa 536870912 25757220864 268435456 1 1"
	gpu1 = "gpu 1 00000000:02:00.0 GPU-bbbb 1 25757220864 268435456 0 0"
)

// TestObserver is what observe-gpu makes of each answer of the driver, through
// the real dlopen.
func TestObserver(t *testing.T) {
	bin := nvml.BuildObserver(t)
	me := os.Getpid()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(comm))
	number := func(n uint64) *uint64 { return &n }
	yes, no := true, false
	first := gpu.GPU{
		Index: 0, UUID: "GPU-aaaa", Name: "Fake GPU", PCI: "0000:01:00.0", Reason: gpu.OK, MemoryUsedMiB: number(512),
		MemoryTotalMiB: number(24564), MemoryReservedMiB: number(256), DisplayActive: &yes, Persistence: &yes, Processes: []gpu.Process{},
	}
	second := gpu.GPU{
		Index: 1, UUID: "GPU-bbbb", Name: "Fake GPU", PCI: "0000:02:00.0", Reason: gpu.OK, MemoryUsedMiB: number(1),
		MemoryTotalMiB: number(24564), MemoryReservedMiB: number(256), DisplayActive: &no, Persistence: &no, Processes: []gpu.Process{},
	}
	but := func(g gpu.GPU, change func(*gpu.GPU)) gpu.GPU { change(&g); return g }
	tests := map[string]struct {
		old     bool
		answers []string
		code    int
		want    gpu.Report
	}{
		"two GPUs": {
			answers: []string{"driver 570.86.10", gpu0, gpu1},
			want:    gpu.Report{Reason: gpu.OK, DriverVersion: "570.86.10", GPUs: []gpu.GPU{first, second}},
		},
		"processes, some of which are no processes": {
			answers: []string{
				gpu0, fmt.Sprintf("process 0 graphics %d 104857601", me), "process 0 graphics 4194999 1", "process 0 graphics 0 1",
				"process 0 graphics 4294967295 1", fmt.Sprintf("process 0 compute %d -1", me), fmt.Sprintf("process 0 mps %d 1048576", me),
			},
			want: gpu.Report{Reason: gpu.OK, GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) {
				g.GarbagePIDs = 3
				g.Processes = []gpu.Process{
					{PID: me, Comm: name, Kind: gpu.Graphics, UsedMiB: number(101)},
					{PID: me, Comm: name, Kind: gpu.Compute},
					{PID: me, Comm: name, Kind: gpu.MPS, UsedMiB: number(1)},
				}
			})}},
		},
		"an old driver": {
			old: true, code: 20, answers: []string{"driver 390.157", gpu0, fmt.Sprintf("process 0 graphics %d 104857600", me)},
			want: gpu.Report{
				Reason: gpu.Partial, DriverVersion: "390.157",
				Message: "GPU 0: the library has no nvmlDeviceGetDisplayActive, the library has no nvmlDeviceGetMPSComputeRunningProcesses",
				GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) {
					g.Reason, g.Message = gpu.Partial, "the library has no nvmlDeviceGetDisplayActive, the library has no nvmlDeviceGetMPSComputeRunningProcesses"
					g.Missing = []string{"display_active", "mps"}
					g.MemoryReservedMiB, g.DisplayActive = nil, nil
					g.Processes = []gpu.Process{{PID: me, Comm: name, Kind: gpu.Graphics, UsedMiB: number(100)}}
				})},
			},
		},
		"no GPU":               {answers: nil, want: gpu.Report{Reason: gpu.NoDevice, Message: "the driver knows no GPU"}},
		"no kernel module":     {code: 20, answers: []string{"fail nvmlInit_v2 9"}, want: gpu.Report{Reason: gpu.DriverMissing, Message: "nvmlInit: the driver is not loaded"}},
		"version mismatch":     {code: 20, answers: []string{"fail nvmlInit_v2 18"}, want: gpu.Report{Reason: gpu.DriverMismatch, Message: "nvmlInit: the library and the kernel module are of different versions"}},
		"no permission":        {code: 20, answers: []string{"fail nvmlInit_v2 4"}, want: gpu.Report{Reason: gpu.NotPermitted, Message: "nvmlInit: no permission"}},
		"init fails":           {code: 20, answers: []string{"fail nvmlInit_v2 999"}, want: gpu.Report{Reason: gpu.DriverError, Message: "nvmlInit: unknown error"}},
		"a new error":          {code: 20, answers: []string{"fail nvmlInit_v2 77"}, want: gpu.Report{Reason: gpu.DriverError, Message: "nvmlInit: error 77"}},
		"the driver times out": {code: 20, answers: []string{gpu0, "fail nvmlDeviceGetCount_v2 10"}, want: gpu.Report{Reason: gpu.Timeout, Message: "nvmlDeviceGetCount: the driver timed out"}},
		"a lost GPU": {
			code: 20, answers: []string{gpu0, "fail nvmlDeviceGetHandleByIndex_v2 15"},
			want: gpu.Report{
				Reason: gpu.Partial, Message: "GPU 0: its handle: the GPU has fallen off the bus",
				GPUs: []gpu.GPU{{Reason: gpu.DriverError, Message: "its handle: the GPU has fallen off the bus", Processes: []gpu.Process{}}},
			},
		},
		"memory of version 1 when 2 is refused": {
			answers: []string{gpu0, "fail nvmlDeviceGetMemoryInfo_v2 13"},
			want:    gpu.Report{Reason: gpu.OK, GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) { g.MemoryReservedMiB = nil })}},
		},
		"more used than there is": {
			code: 20, answers: []string{"gpu 0 00000000:01:00.0 GPU-aaaa 25757220865999 25757220864 268435456 1 1"},
			want: gpu.Report{
				Reason: gpu.Partial, Message: "GPU 0: nvmlDeviceGetMemoryInfo gave more used than total memory",
				GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) {
					g.Reason, g.Message, g.Missing = gpu.Partial, "nvmlDeviceGetMemoryInfo gave more used than total memory", []string{"memory"}
					g.MemoryUsedMiB, g.MemoryTotalMiB, g.MemoryReservedMiB = nil, nil, nil
				})},
			},
		},
		"a card without a display": {
			answers: []string{gpu0, "fail nvmlDeviceGetDisplayActive 3"},
			want:    gpu.Report{Reason: gpu.OK, GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) { g.DisplayActive = nil })}},
		},
		"no list of graphics processes": {
			code: 20, answers: []string{gpu0, "fail nvmlDeviceGetGraphicsRunningProcesses_v3 3"},
			want: gpu.Report{
				Reason: gpu.Partial, Message: "GPU 0: nvmlDeviceGetGraphicsRunningProcesses: not supported",
				GPUs: []gpu.GPU{but(first, func(g *gpu.GPU) {
					g.Reason, g.Message, g.Missing = gpu.Partial, "nvmlDeviceGetGraphicsRunningProcesses: not supported", []string{"graphics"}
				})},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lib := nvml.Build(t, test.old, test.answers...)
			got := observe(t, bin, []string{"LD_LIBRARY_PATH=" + lib.Dir})
			if got.code != test.code || got.stderr != "" {
				t.Errorf("exit %d, want %d; stderr %q", got.code, test.code, got.stderr)
			}
			test.want.SchemaVersion = gpu.SchemaVersion
			opts := cmp.Options{cmpopts.IgnoreFields(gpu.Report{}, "Timestamp", "DurationMS", "Cards"), cmpopts.EquateEmpty()}
			if diff := cmp.Diff(test.want, got.report, opts); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("hang", func(t *testing.T) { testHang(t, bin) })
	t.Run("crash", func(t *testing.T) { testCrash(t, bin) })
	t.Run("asleep", func(t *testing.T) { testAsleep(t, bin) })
	t.Run("no library", func(t *testing.T) { testNoLibrary(t, bin) })
	t.Run("linked lazily", func(t *testing.T) { testLinked(t, bin) })
	t.Run("closed at once", func(t *testing.T) { testClosed(t, bin) })
	t.Run("plain", func(t *testing.T) { testPlain(t, bin) })
}

// testHang holds that no call into NVML outlives the deadline, and that what
// was learnt before is told.
func testHang(t *testing.T, bin string) {
	for _, call := range []string{
		"nvmlInit_v2", "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID",
		"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlShutdown",
	} {
		t.Run(call, func(t *testing.T) {
			lib := nvml.Build(t, false, "driver 570.86.10", gpu0, "hang "+call)
			got := observe(t, bin, nil, "--timeout=300ms", "--library="+lib.Path)
			if got.code != 20 || got.report.Reason != gpu.Timeout || !strings.Contains(got.report.Message, call) {
				t.Errorf("exit %d, %s: %s; want 20 and a timeout in %s", got.code, got.report.Reason, got.report.Message, call)
			}
			if got.took > 2*time.Second {
				t.Errorf("it took %v with a limit of 300 ms", got.took)
			}
			if call == "nvmlDeviceGetMemoryInfo_v2" && (len(got.report.GPUs) != 1 || got.report.GPUs[0].UUID != "GPU-aaaa" || got.report.DriverVersion == "") {
				t.Errorf("what was learnt before is lost: %+v", got.report)
			}
		})
	}
}

// testCrash holds that Ask tells of a driver that brings the program down.
func testCrash(t *testing.T, bin string) {
	lib := nvml.Build(t, false, gpu0, "crash nvmlDeviceGetMemoryInfo_v2")
	_, err := gpu.Ask(t.Context(), "", bin, lib.Path)
	if err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "SIGSEGV") {
		t.Errorf("error %v, want one that tells of the crash", err)
	}
}

// testAsleep holds that a GPU which is asleep is not touched: not at all when
// all are, and by address around it when one is.
func testAsleep(t *testing.T, bin string) {
	root := t.TempDir()
	for address, power := range map[string]string{"0000:01:00.0": "suspended", "0000:02:00.0": "active"} {
		dir := filepath.Join(root, "sys/bus/pci/devices", address)
		if err := os.MkdirAll(filepath.Join(dir, "power"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"class": "0x030000", "vendor": "0x10de", "power/runtime_status": power} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../../../../bus/pci/drivers/nvidia", filepath.Join(dir, "driver")); err != nil {
			t.Fatal(err)
		}
	}
	calls := filepath.Join(t.TempDir(), "calls")
	lib := nvml.Build(t, false, gpu0, gpu1, "log "+calls)
	got := observe(t, bin, nil, "--root="+root, "--library="+lib.Path)
	var reasons []string
	for _, g := range got.report.GPUs {
		reasons = append(reasons, fmt.Sprintf("%d %s %s", g.Index, g.PCI, g.Reason))
	}
	if diff := cmp.Diff([]string{"0 0000:01:00.0 suspended", "1 0000:02:00.0 ok"}, reasons); diff != "" || got.code != 0 {
		t.Errorf("exit %d (-want +got):\n%s", got.code, diff)
	}
	log, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "nvmlDeviceGetHandle"); n != 1 || strings.Contains(string(log), "ByIndex") {
		t.Errorf("the handles asked for are not just that of the awake GPU:\n%s", log)
	}

	if err := os.WriteFile(filepath.Join(root, "sys/bus/pci/devices/0000:02:00.0/power/runtime_status"), []byte("suspending\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(calls); err != nil {
		t.Fatal(err)
	}
	got = observe(t, bin, nil, "--root="+root, "--library="+lib.Path)
	if got.code != 0 || len(got.report.GPUs) != 2 || got.report.GPUs[0].Reason != gpu.Suspended || got.report.GPUs[1].Reason != gpu.Suspended {
		t.Errorf("exit %d, %+v; want two suspended GPUs", got.code, got.report)
	}
	if log, err := os.ReadFile(calls); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("NVML was called while all GPUs are asleep: %s, %v", log, err)
	}
}

// testNoLibrary holds that the program starts without the driver and says so.
func testNoLibrary(t *testing.T, bin string) {
	got := observe(t, bin, []string{"LD_LIBRARY_PATH=" + t.TempDir()}, "--library="+filepath.Join(t.TempDir(), "libnvidia-ml.so.1"))
	if got.code != 20 || got.report.Reason != gpu.LibraryMissing {
		t.Errorf("exit %d, %s: %s", got.code, got.report.Reason, got.report.Message)
	}
	other := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	cmd := exec.Command("gcc", "-shared", "-fPIC", "-o", other, "-x", "c", "-")
	cmd.Stdin = strings.NewReader("int unrelated(void) { return 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got = observe(t, bin, nil, "--library="+other)
	if got.code != 20 || got.report.Reason != gpu.LibraryMissing || !strings.Contains(got.report.Message, "no NVML") {
		t.Errorf("a library that is no NVML: exit %d, %s: %s", got.code, got.report.Reason, got.report.Message)
	}
}

// testLinked holds that the program does not resolve NVML's symbols when it
// starts, which it could not without the driver.
func testLinked(t *testing.T, bin string) {
	out, err := exec.Command("readelf", "-d", bin).CombinedOutput()
	if err != nil {
		t.Fatalf("readelf: %v\n%s", err, out)
	}
	if text := string(out); strings.Contains(text, "BIND_NOW") || strings.Contains(text, "NOW") || !strings.Contains(text, "libc.so") {
		t.Errorf("the program binds at start:\n%s", text)
	}
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	undefined := 0
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "nvml") && s.Section == elf.SHN_UNDEF {
			undefined++
		}
	}
	if undefined == 0 {
		t.Error("no symbol of NVML is left open: this test looks at the wrong thing")
	}
}

// testClosed holds that NVML is shut down, and last.
func testClosed(t *testing.T, bin string) {
	calls := filepath.Join(t.TempDir(), "calls")
	lib := nvml.Build(t, false, gpu0, "log "+calls)
	observe(t, bin, nil, "--library="+lib.Path)
	data, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if lines[0] != "nvmlInit_v2" || lines[len(lines)-1] != "nvmlShutdown" || strings.Count(string(data), "nvmlInit") != 1 {
		t.Errorf("the calls are %q", lines)
	}
}

func testPlain(t *testing.T, bin string) {
	lib := nvml.Build(t, false, gpu0, gpu1, fmt.Sprintf("process 0 graphics %d 104857600", os.Getpid()))
	got := observe(t, bin, nil, "--format=plain", "--library="+lib.Path, "--root=/", "--timeout=5s")
	for _, want := range []string{"GPU 0  0000:01:00.0  Fake GPU  512 of 24564 MiB used  display active\n", "graphics, 100 MiB\n", "GPU 1  "} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
}
