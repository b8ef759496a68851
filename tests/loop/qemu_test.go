package loop

import (
	_ "embed"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/audio"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/machine"
)

var (
	//go:embed testdata/vm.bash
	vm string
	//go:embed testdata/display.bash
	display string
	//go:embed testdata/stubborn
	stubborn string
)

// cards makes the virtual machine's two cards the GPUs of a driver, so that
// the gate asks all that it would ask on a real machine.
const cards = `
[hardware]
plannedGpuCount = 2
presentGpus = [0, 1]
displayGpu = 0
computeGpus = [1]

[gpu]
nvmlLibrary = "/usr/lib/dubnium-test/libnvidia-ml.so.1"
`

// platform is what the configuration says of k3s and of the budget of its slice.
const platform = `
[k3s]
enable = true

[slices.platform]
cpuWeight = 150
ioWeight = 120
memoryHigh = "6GiB"
studioCpuWeight = 15
`

// k3s stands in for it: up from the boot on.
const k3s = "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\n"

// compute is the profile of a machine whose first card is of another maker, and
// has the display.
var compute = strings.NewReplacer("presentGpus = [0, 1]", "presentGpus = [1]", "displayGpu = 0\n", "").Replace(cards)

// driver is what the stand-in for NVML says of the two.
const driver = `driver 570.86.10
gpu 0 00000000:00:04.0 GPU-aaaa 104857600 25757220864 0 0 1
gpu 1 00000000:00:05.0 GPU-bbbb 0 25757220864 0 0 1
`

// TestVirtualMachine walks the loop under a kernel of its own, where graphics
// cards can be held and cgroup controllers enforce what systemd is told: the
// script tells what it looks at, and how long each step took.
func TestVirtualMachine(t *testing.T) {
	opts := Options()
	// Emulated, everything takes its time.
	slow := strings.NewReplacer(`endSessions = "15s"`, `endSessions = "20s"`, `"15s"`, `"60s"`, `"20s"`, `"60s"`,
		`settle = "4s"`, `settle = "20s"`+"\nobserve = \"30s\"\nguard = \"60s\"\ngate = \"25s\"").Replace(Config)
	library, err := os.ReadFile(nvml.Build(t, false).Path)
	if err != nil {
		t.Fatal(err)
	}
	const dir = "/usr/lib/dubnium-test/"
	files := append(opts.Files,
		machine.File{Path: "/etc/dubnium/dubnium.toml", Content: slow + cards + platform},
		machine.File{Path: "/etc/systemd/system/k3s.service", Content: k3s},
		machine.File{Path: "/etc/systemd/system/multi-user.target.wants/k3s.service", Link: "../k3s.service"},
		machine.File{Path: dir + "compute.toml", Content: slow + compute},
		machine.File{Path: "/etc/systemd/system/mode-boot.service.d/slow.conf", Content: "[Service]\nTimeoutStartSec=5min\n"},
		machine.File{Path: dir + "libnvidia-ml.so.1", Content: string(library)},
		machine.File{Path: dir + "answers", Content: driver},
		machine.File{Path: dir + "display.bash", Content: display},
		machine.File{Path: dir + "stubborn", Content: stubborn, Mode: 0o755},
		machine.File{Path: dir + "snd-dummy.bash", Content: audio.SndDummy})
	r := machine.QEMU(t.Context(), t, machine.QEMUOptions{
		Overlay: opts.Overlay, Files: files, Script: vm, GPUs: 2, Timeout: 15 * time.Minute,
	})
	t.Logf("the virtual machine ran for %v", r.Duration.Round(time.Second))
	if r.Code != 0 || r.Err != nil {
		t.Fatalf("exit status %d, %v", r.Code, r.Err)
	}
}
