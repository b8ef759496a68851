package programs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// TestGenerated holds whose drop-ins are no surprise: what a generator, the
// overlay or NixOS has made; everything else is a person's.
func TestGenerated(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	store, byHand := "nix/store/x-system-units/mode-boot.service.d", "etc/other/mode-boot.service.d"
	for _, dir := range []string{store, byHand, "etc/systemd"} {
		if err := os.MkdirAll(root.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{store + "/overrides.conf", byHand + "/mine.conf"} {
		if err := os.WriteFile(root.Path(file), []byte("[Service]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const dropIns = "/etc/systemd/system/mode-boot.service.d/"
	for name, tt := range map[string]struct {
		system string // what /etc/systemd/system leads to
		drops  []string
		want   bool
	}{
		"NixOS":                     {filepath.Dir(store), []string{dropIns + "overrides.conf"}, true},
		"a person's":                {filepath.Dir(byHand), []string{dropIns + "mine.conf"}, false},
		"one that is gone":          {filepath.Dir(store), []string{dropIns + "gone.conf"}, false},
		"a generator's":             {"", []string{"/run/systemd/generator/vllm.service.d/50-dubnium.conf"}, true},
		"the overlay's":             {"", []string{"/run/systemd/system.control/ai.slice.d/50-CPUWeight.conf"}, true},
		"a generator's, a person's": {filepath.Dir(byHand), []string{"/run/systemd/generator/x.conf", dropIns + "mine.conf"}, false},
	} {
		link := root.Path("etc/systemd/system")
		_ = os.Remove(link)
		if err := os.Symlink("../../"+tt.system, link); err != nil {
			t.Fatal(err)
		}
		if got := generated(root, tt.drops); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
