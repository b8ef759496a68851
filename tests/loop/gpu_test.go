package loop

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/machine"
)

// fakeNVML is where the machine has its NVIDIA management library.
const fakeNVML = "/opt/fake-nvml/"

// gpuUsing is what the fake driver tells of one GPU with 24308 usable MiB.
func gpuUsing(mib int) string {
	return fmt.Sprintf("driver 570.86.10\ngpu 0 00000000:01:00.0 GPU-aaaa %d 25757220864 268435456 0 1\n", mib<<20)
}

// TestGPUMemory walks to compute and back on a machine with a GPU: compute
// waits for memory before anything is touched, and the way back waits after
// vLLM has stopped until its memory is back, or until the bound runs out.
func TestGPUMemory(t *testing.T) {
	library, err := os.ReadFile(nvml.Build(t, false).Path)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(Config, `stopUnit = "15s"`, "stopUnit = \"8s\"\ngate = \"3s\"", 1) +
		"\n[hardware]\npresentGpus = [0]\ncomputeGpus = [0]\n\n[gpu]\nnvmlLibrary = \"" + fakeNVML + "libnvidia-ml.so.1\"\n"
	b := boot(t,
		machine.File{Path: "/etc/dubnium/dubnium.toml", Content: config},
		machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 500, "served_model_name": "demo"}`},
		machine.File{Path: fakeNVML + "libnvidia-ml.so.1", Content: string(library), Mode: 0o755},
		machine.File{Path: fakeNVML + "answers", Content: gpuUsing(23000)})
	driver := func(mib int) {
		t.Helper()
		if err := b.WriteFile(fakeNVML+"answers", gpuUsing(mib)); err != nil {
			t.Fatal(err)
		}
	}

	r := b.run(exitcode.MemoryLow, "mode", "request", "compute")
	if ev := b.last(); ev.Outcome != record.Blocked || !strings.Contains(ev.Reason, "gpu-memory-low: GPU 0 has 1308 MiB free") {
		t.Errorf("%s: %s: %s", ev.Outcome, ev.Reason, r)
	}
	b.observed(mode.StateDesktop)

	driver(100)
	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	if r := b.run(0, "mode", "status"); !strings.Contains(r.Stdout, ", serves demo\n") {
		t.Errorf("status does not tell what vLLM serves: %s", r)
	}

	// The memory does not come back: the bound ends it.
	driver(20000)
	b.run(exitcode.TimedOut, "mode", "request", "desktop")
	if reason := b.last().Reason; strings.Contains(reason, "\n") || !strings.Contains(reason, "not done within 8s: vLLM is stopped") {
		t.Errorf("the reason is %q, want one line that names the bound", reason)
	}
	if stop := stopOfVLLM(t, b.last()); stop.Status != record.Errored || !strings.Contains(stop.Detail, "its GPU memory is not back: GPU 0 has 20000 MiB in use") {
		t.Errorf("%s: %s", stop.Status, stop.Detail)
	}
	b.observed(mode.StateCompute)

	// It comes back late: the transition waits for it.
	done := make(chan machine.Result, 1)
	go func() { done <- b.Run(t.Context(), "mode", "request", "desktop") }()
	b.Eventually(t, 10*time.Second, func() error {
		if state := b.Run(t.Context(), "systemctl", "show", "-P", "ActiveState", "vllm.service").Stdout; strings.TrimSpace(state) != "inactive" {
			return fmt.Errorf("vllm.service is %s", state)
		}
		return nil
	})
	b.run(0, "systemctl", "is-active", "compute.target") // which is stopped only after it
	driver(100)
	if r := <-done; r.Code != 0 || r.Err != nil {
		t.Fatal(r)
	}
	if stop := stopOfVLLM(t, b.last()); stop.Status != record.Done || !strings.Contains(stop.Detail, "GPU memory is back: GPU 0 has 100 MiB in use (20000 before)") {
		t.Errorf("%s: %s", stop.Status, stop.Detail)
	}
	b.observed(mode.StateDesktop)
}

func stopOfVLLM(t *testing.T, ev record.Event) record.Action {
	t.Helper()
	for _, a := range ev.Actions {
		if a.Action == mode.StopUnit && a.Unit == "vllm.service" {
			return a
		}
	}
	t.Fatalf("vLLM was not stopped: %+v", ev.Actions)
	return record.Action{}
}
