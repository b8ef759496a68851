package loop

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

const configFile = "/etc/dubnium/dubnium.toml"

// standIn is a program that says how it was called and runs until it is ended.
const standIn = "#!/bin/sh\necho \"$CUDA_VISIBLE_DEVICES $*\"\nexec sleep infinity\n"

// property asks systemd for one property of a unit.
func (b box) property(unit, name string) string {
	b.t.Helper()
	return strings.TrimSpace(b.MustRun(b.t, "systemctl", "show", "--value", "-p", name, unit))
}

// properties holds what systemd says of units: "UNIT PROPERTY" and a regular
// expression.
func (b box) properties(want map[string]string) {
	b.t.Helper()
	for what, pattern := range want {
		unit, name, _ := strings.Cut(what, " ")
		if got := b.property(unit, name); !regexp.MustCompile(pattern).MatchString(got) {
			b.t.Errorf("%s of %s is %q, want %q", name, unit, got, pattern)
		}
	}
}

// configure replaces the configuration and lets systemd read it, which is all
// that a change takes.
func (b box) configure(content string) {
	b.t.Helper()
	if err := b.WriteFile(configFile, content); err != nil {
		b.t.Fatal(err)
	}
	b.run(0, "systemctl", "daemon-reload")
}

const withWorkloads = Config + `
[plano]
enable = true

[k3s]
enable = true
`

// TestGenerator holds that the configuration is what the units are: at boot,
// and after an edit and a daemon-reload. k3s stays up through all of it.
func TestGenerator(t *testing.T) {
	b := boot(t,
		machine.File{Path: configFile, Content: withWorkloads},
		machine.File{Path: "/etc/systemd/system/k3s.service", Content: "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"},
		machine.File{Path: "/etc/systemd/system/multi-user.target.wants/k3s.service", Link: "../k3s.service"},
		machine.File{Path: "/var/lib/plano/venv/bin/planoai", Content: standIn, Mode: 0o755})
	b.properties(map[string]string{
		"vllm.service ExecStart":             `argv\[\]=/var/lib/vllm/venv/bin/vllm serve ` + model + ` `,
		"vllm.service Environment":           `HF_HUB_OFFLINE=1`,
		"vllm.service UnitFileState":         `^generated$`,
		"vllm.service WantedBy":              `^compute.target$`,
		"plano.service ActiveState":          `^inactive$`,
		"plano.service WantedBy":             `^compute.target$`,
		"k3s.service ControlGroup":           `^/platform.slice/k3s.service$`,
		"k3s.service ActiveState":            `^active$`,
		"platform.slice CPUWeight":           `^100$`,
		"dubnium-memory-api.socket WantedBy": `^$`,
	})
	k3s := b.property("k3s.service", "MainPID")

	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	argv := b.run(0, "ps", "-C", "vllm", "-o", "args=").Stdout
	if !strings.Contains(argv, " serve "+model+" ") {
		t.Errorf("vLLM runs as %q", argv)
	}
	b.properties(map[string]string{
		"plano.service ActiveState":  `^active$`,
		"plano.service ControlGroup": `^/ai.slice/plano.service$`,
		"vllm.service ControlGroup":  `^/ai.slice/vllm.service$`,
		"k3s.service MainPID":        "^" + k3s + "$",
	})
	b.run(0, "mode", "request", "desktop")
	b.observed(mode.StateDesktop)
	b.Eventually(t, 10*time.Second, func() error {
		if got := b.property("plano.service", "ActiveState"); got != "inactive" {
			return fmt.Errorf("plano.service is %s in desktop mode", got)
		}
		return nil
	})

	// An edit and a daemon-reload.
	other := strings.NewReplacer(`models/demo"`, `models/other"`, "enable = true\n", "enable = true\nenvironmentFiles = [\"-/run/x\"]\n").Replace(withWorkloads[:len(Config)])
	b.configure(other + "\n[hardware]\npresentGpus = [0, 1]\ncomputeGpus = [1]\n\n[slices.platform]\ncpuWeight = 33\nmemoryHigh = \"1GiB\"\n\n[memory]\nenable = true\n")
	b.properties(map[string]string{
		"vllm.service ExecStart":             `argv\[\]=/var/lib/vllm/venv/bin/vllm serve /var/lib/dubnium/models/other `,
		"vllm.service Environment":           `CUDA_VISIBLE_DEVICES=1`,
		"vllm.service EnvironmentFiles":      `^/run/x`,
		"plano.service WantedBy":             `^$`,
		"platform.slice CPUWeight":           `^33$`,
		"platform.slice MemoryHigh":          `^1073741824$`,
		"k3s.service Slice":                  `^system.slice$`,
		"dubnium-memory-api.socket WantedBy": `^sockets.target$`,
	})
	// Generating again changes nothing.
	list := func() string {
		lines := strings.Split(b.MustRun(t, "find", "/run/systemd/generator", "-printf", "%P %l %y\n"), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n") + b.MustRun(t, "cat", "/run/systemd/generator/vllm.service")
	}
	first := list()
	b.run(0, "systemctl", "daemon-reload")
	if diff := cmp.Diff(first, list()); diff != "" {
		t.Error(diff)
	}
	// The operator's own unit wins.
	if err := b.WriteFile("/etc/systemd/system/vllm.service", "[Service]\nExecStart=/usr/bin/true\n"); err != nil {
		t.Fatal(err)
	}
	b.run(0, "systemctl", "daemon-reload")
	b.properties(map[string]string{"vllm.service FragmentPath": `^/etc/systemd/system/vllm.service$`})
	if got := b.property("k3s.service", "MainPID"); got != k3s {
		t.Errorf("k3s was %s, is %s", k3s, got)
	}
}

// TestWhatIsMissingIsNamed holds that a workload whose program or model is not
// there does not start, says which path, and fetches nothing.
func TestWhatIsMissingIsNamed(t *testing.T) {
	b := boot(t, machine.File{Path: configFile, Content: withWorkloads})
	for _, c := range [][2]string{
		{"vllm.service", model + "/config.json"},
		{"vllm.service", "/var/lib/vllm/venv/bin/vllm"},
		{"plano.service", "/var/lib/plano/venv/bin/planoai"},
	} {
		unit, path := c[0], c[1]
		b.run(0, "rm", "-f", path)
		if r := b.Run(t.Context(), "systemctl", "start", unit); r.Code == 0 {
			t.Errorf("%s started without %s", unit, path)
		}
		if j := b.Journal("--unit=" + unit); !strings.Contains(j, path) {
			t.Errorf("the journal of %s does not name %s:\n%s", unit, path, j)
		}
		if got := b.property(unit, "MainPID"); got != "0" {
			t.Errorf("without %s, %s runs as %s", path, unit, got)
		}
		b.run(0, "systemctl", "stop", unit)
		if err := b.WriteFileMode(path, standIn, 0o755); err != nil {
			t.Fatal(err)
		}
		b.Run(t.Context(), "systemctl", "reset-failed", unit)
	}
	b.run(0, "systemctl", "start", "plano.service")
}

// TestBadConfigurationBoots holds that a mistake in the file keeps no machine
// from starting, and no unit from being there; nothing of the file is used.
func TestBadConfigurationBoots(t *testing.T) {
	b := boot(t, machine.File{Path: configFile, Content: strings.Replace(withWorkloads, "[timeouts]", "prot = 8001\n\n[timeouts]", 1)})
	b.properties(map[string]string{
		"multi-user.target ActiveState": `^active$`,
		"vllm.service UnitFileState":    `^disabled$`,
		"vllm.service ExecStart":        `vllm.model-is-not-set`,
		"compute.target LoadState":      `^loaded$`,
	})
	const generator = "/usr/lib/systemd/system-generators/dubnium-generator"
	b.run(0, "mkdir", "/run/by-hand")
	r := b.run(31, generator, "/run/by-hand", "/run/by-hand", "/run/by-hand")
	if !strings.Contains(r.Stderr, configFile+":9: vllm.prot: unknown key") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("it says %q", r.Stderr)
	}
	if got := b.MustRun(t, "find", "/run/by-hand", "-mindepth", "1"); got != "" {
		t.Errorf("it wrote %s", got)
	}
	if r := b.run(31, "mode", "status"); !strings.Contains(r.Stderr, configFile+":9: vllm.prot: unknown key") {
		t.Errorf("mode status says %q", r.Stderr)
	}

	b.configure(withWorkloads)
	b.run(0, "systemctl", "start", "mode-boot.service")
	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	// A mistake made while vLLM runs leaves it alone.
	b.configure("[vllm]\nprot = 8001\n")
	b.properties(map[string]string{"vllm.service ActiveState": `^active$`, "compute.target ActiveState": `^active$`})
	if j := b.Journal(); !strings.Contains(j, "dubnium-generator failed with exit status 31") {
		t.Error("the journal does not tell of it")
	}
	if got := b.file(record.RunDir + "/desired"); got != "compute\n" {
		t.Errorf("desired is %q", got)
	}
}
