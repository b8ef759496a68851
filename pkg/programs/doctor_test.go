package programs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/record"
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

// TestDoctorReadsTheNewest holds that of a long history the newest part is read,
// and all of it when that is asked for: a torn line at its beginning is then
// found.
func TestDoctorReadsTheNewest(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	if err := os.MkdirAll(root.Path(record.StateDir), 0o755); err != nil {
		t.Fatal(err)
	}
	line := []byte(`{"id":"a","type":"transition","reason":"` + strings.Repeat("x", 1<<10) + "\"}\n")
	text := append([]byte("{\"torn\n"), bytes.Repeat(line, 2*recentHistory/len(line))...)
	if err := os.WriteFile(root.Path(record.EventsFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	for full, want := range map[bool]string{
		false: "of the 32 MiB before them nothing was read",
		true:  "1 of its lines are torn or foreign",
	} {
		d := &doctor{env: &cli.Env{Root: root}, store: record.Store{Root: root}, full: full}
		d.history(t.Context())
		if len(d.list) != 1 || !strings.Contains(d.list[0].Message, want) {
			t.Errorf("full %v: %+v, want %q", full, d.list, want)
		}
	}
}
