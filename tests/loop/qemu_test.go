package loop

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/audio"
	"github.com/ryjen/dubnium/tests/machine"
)

//go:embed testdata/vm.bash
var vm string

// TestVirtualMachine walks the loop under a kernel of its own, where graphics
// cards can be held and cgroup controllers enforce what systemd is told: the
// script tells what it looks at.
func TestVirtualMachine(t *testing.T) {
	opts := Options()
	// Emulated, everything takes its time.
	slow := strings.NewReplacer(`"15s"`, `"60s"`, `"20s"`, `"60s"`, `settle = "4s"`, `settle = "30s"`+"\nobserve = \"10s\"\nguard = \"20s\"").Replace(Config)
	files := append(opts.Files, machine.File{Path: "/etc/dubnium/dubnium.toml", Content: slow},
		machine.File{Path: "/usr/lib/dubnium-test/snd-dummy.bash", Content: audio.SndDummy})
	r := machine.QEMU(t.Context(), t, machine.QEMUOptions{
		Overlay: opts.Overlay, Files: files, Script: vm, GPUs: 2, Timeout: 8 * time.Minute,
	})
	t.Logf("%v\n%s", r.Duration.Round(time.Second), r.Stdout)
	if r.Code != 0 || r.Err != nil {
		t.Fatalf("exit status %d, %v", r.Code, r.Err)
	}
}
