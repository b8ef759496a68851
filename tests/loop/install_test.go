package loop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/machine"
)

// TestInstall installs on a machine that runs, as make install does on a real
// host, walks an overlay there, and takes everything away again: the session
// that was there before is there afterwards, and nothing else is left.
func TestInstall(t *testing.T) {
	src := t.TempDir()
	// What make install reads of the source tree.
	dir := filepath.Join(src, "usr", "src", "dubnium")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin", "cmd", "docs", "scripts"} {
		if out, err := exec.Command("cp", "-r", filepath.Join(repository(), name), dir).CombinedOutput(); err != nil {
			t.Fatalf("cp %s: %v: %s", name, err, out)
		}
	}
	b := box{machine.Start(t, machine.Options{Overlay: []string{src}}), t}
	if _, err := b.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := func() string {
		return b.MustRun(t, "find", "/usr/local", "/etc/systemd/system", "/usr/lib/systemd", "!", "-type", "d")
	}
	before := list()
	install := []string{"/usr/src/dubnium/scripts/install", "install", "/", "/usr/local"}
	b.run(0, install...)
	if out := b.MustRun(t, "systemctl", "list-units", "--state=active", "--plain", "--no-legend", "mode-*", "desktop.target", "compute.target"); out != "" {
		t.Errorf("installing started something:\n%s", out)
	}
	first := list()
	b.run(0, install...)
	if second := list(); second != first {
		t.Errorf("installing again changed something:\n%s\n%s", first, second)
	}
	b.run(0, "systemctl", "start", "mode-boot.service", "mode-observe.service")
	b.observed(mode.StateDesktop)
	if got := b.file("/run/mode-controller/current"); got != "desktop\n" {
		t.Errorf("current is %q", got)
	}
	b.run(0, "mode", "request", "studio-local")
	b.observed(mode.StateStudioLocal)
	// The generator is there, and its units run the programs beside it.
	b.configure("[timeouts]\nguard = \"9s\"\n")
	b.properties(map[string]string{
		"mode-guard@audio_idle.service FragmentPath": `^/run/systemd/generator/mode-guard@.service$`,
		"mode-guard@audio_idle.service ExecStart":    `path=/usr/local/bin/check_audio_idle `,
	})

	sessions, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	uninstall := []string{"/usr/src/dubnium/scripts/install", "uninstall", "/", "/usr/local"}
	b.run(0, uninstall...)
	b.run(0, uninstall...)
	if after := list(); after != before {
		t.Errorf("left behind or missing:\nbefore: %s\nafter: %s", before, after)
	}
	for _, kept := range []string{"/etc/dubnium/dubnium.toml", "/var/lib/mode-controller/events.jsonl"} {
		b.file(kept)
	}
	now, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(now) != len(sessions) {
		t.Errorf("sessions were %v, are %v", sessions, now)
	}
	if failed := strings.TrimSpace(b.MustRun(t, "systemctl", "--failed", "--plain", "--no-legend")); failed != "" {
		t.Errorf("failed units: %s", failed)
	}
}
