package units

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
)

// TestComplete holds that it is Render and the drop-ins, and nothing else.
func TestComplete(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		adds   []string
	}{
		"defaults": {func(*config.Config) {}, nil},
		"k3s":      {func(c *config.Config) { c.K3s.Enable = true }, []string{"k3s.service.d/50-dubnium.conf"}},
		"another vLLM": {
			func(c *config.Config) { c.VLLM.Enable, c.VLLM.Unit = true, "llm.service" },
			[]string{"llm.service.d/50-dubnium.conf"},
		},
	} {
		cfg := config.Default()
		c.change(&cfg)
		rendered, err := Render(cfg, Paths{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Complete(cfg, Paths{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rendered, got[:len(rendered)]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var adds []string
		for _, f := range got[len(rendered):] {
			adds = append(adds, f.Path)
			if !strings.HasPrefix(f.Text, "# "+Header+"\n") {
				t.Errorf("%s: %s does not say that it is generated:\n%s", name, f.Path, f.Text)
			}
		}
		if diff := cmp.Diff(c.adds, adds); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestInstall holds that every unit with an [Install] section is there.
func TestInstall(t *testing.T) {
	got := Install()
	for _, u := range All(config.Default(), Paths{}) {
		has := slices.ContainsFunc(u.Sections, func(s section) bool { return s.Name == "Install" })
		if has != (len(got[u.Name]) > 0) {
			t.Errorf("%s: an [Install] section: %v; wanted by %q", u.Name, has, got[u.Name])
		}
	}
	if diff := cmp.Diff([]string{"compute.target"}, got["vllm.service"]); diff != "" {
		t.Error(diff)
	}
}
