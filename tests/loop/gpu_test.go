package loop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
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
	b.acceptsLess(config)
}

// acceptsLess holds that what the site says compute may lack is told, with the
// guarantees that are not met, and ends no transition: a GPU that is planned and
// not there, and a unit of the login path that can't be stopped.
func (b box) acceptsLess(config string) {
	b.t.Helper()
	if err := b.WriteFile("/run/systemd/system/stubborn.service", "[Unit]\nRefuseManualStop=yes\n[Service]\nExecStart=/usr/bin/sleep infinity\n"); err != nil {
		b.t.Fatal(err)
	}
	config = strings.Replace(config, "[desktop]\n", "[desktop]\nloginUnits = [\"display-manager.service\", \"stubborn.service\"]\n", 1)
	config = strings.Replace(config, "[hardware]\n", "[hardware]\nplannedGpuCount = 2\n", 1)
	b.configure(config + "\n[degraded]\nminComputeGpus = 1\ndesktopUnits = [\"stubborn.service\"]\n")
	b.run(0, "systemctl", "start", "stubborn.service")
	r := b.run(exitcode.Degraded, "mode", "request", "compute")
	ev := b.last()
	if ev.Outcome != record.Degraded || ev.Success || ev.Final != mode.DegradedCompute || b.file(record.RunDir+"/desired") != "compute\n" {
		b.t.Errorf("%s, final %s: %s", ev.Outcome, ev.Final, r)
	}
	o := b.observed(mode.DegradedCompute)
	for predicate, message := range map[observe.Predicate]string{
		observe.GPUsPlanned: "compute has 1 of 2 planned GPUs", observe.LoginPathStopped: "stubborn.service is active",
	} {
		unmet := observe.Unmet{Predicate: predicate, Message: message}
		if !slices.Contains(o.Unmet, unmet) || !slices.Contains(ev.Unmet, unmet) {
			b.t.Errorf("%+v is not among what is observed, %v, or recorded, %v", unmet, o.Unmet, ev.Unmet)
		}
		status := b.run(0, "mode", "status").Stdout
		if !strings.Contains(status, string(predicate)) || !strings.Contains(r.Stdout, message) {
			b.t.Errorf("%s is not told: %s\n%s", predicate, r, status)
		}
	}
	if len(o.Unmet) != 2 || len(o.Conflicts) != 0 {
		b.t.Errorf("unmet %v, conflicts %v", o.Unmet, o.Conflicts)
	}
	b.run(0, "mode", "request", "desktop")
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
