// Package units_test holds the promises of the rendered units: they are
// current, systemd takes every key of them, the sandboxes are as tight as they
// were, no order among units lets the controller wait for itself, and a real
// systemd does with them what was meant.
package units_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/units"
)

// committed is the folder of the rendered files in the repository.
const committed = "../../units"

// whole is a configuration with everything in it that changes a unit.
func whole() config.Config {
	cfg := config.Default()
	display := 0
	cfg.Hardware = config.Hardware{PlannedGPUCount: 2, PresentGPUs: []int{0, 1}, DisplayGPU: &display, ComputeGPUs: []int{0, 1}}
	cfg.Desktop.LoginUnits = []string{"greetd.service", "seatd.service"}
	cfg.VLLM.Enable = true
	cfg.VLLM.Model = config.ModelsDirectory + "/a model"
	cfg.VLLM.ServedModelName = "100% $mart"
	cfg.VLLM.ExtraArgs = []string{"--override-generation-config", `{"temperature": 0.2}`}
	cfg.VLLM.EnvironmentFiles = []string{"-/etc/dubnium/vllm.env"}
	cfg.Plano.EnvironmentFiles = []string{"/run/secrets/plano.env"}
	cfg.Slices.AI.MemoryHigh = 64 * config.GiB
	cfg.Memory.Enable = true
	cfg.Memory.Database.DSN, cfg.Memory.Database.Unit = "host=/run/postgresql", "postgresql.service"
	cfg.Memory.Redis.URL, cfg.Memory.Redis.Unit = "unix:///run/redis/redis.sock", "redis.service"
	cfg.Memory.Artifacts.Directory = "/srv/artifacts"
	cfg.Rooms.Vault = "/srv/vault"
	cfg.Rooms.Named = map[string]*config.Room{"studio-local": {MemoryMax: 4 * config.GiB, TasksMax: 512, GPU: true}}
	return cfg
}

// configurations are those for which systemd is asked.
func configurations() map[string]config.Config {
	elsewhere := config.Default()
	elsewhere.VLLM.Runtime = config.RuntimePackage
	elsewhere.Desktop.LoginUnits = nil
	elsewhere.Plano.Runtime, elsewhere.Plano.ConfigFile = config.RuntimePackage, "/etc/plano.yaml"
	elsewhere.Memory.Database.Directory, elsewhere.Memory.API.Port = "/srv/memory", 0
	return map[string]config.Config{"default": config.Default(), "whole": whole(), "package, no display manager": elsewhere}
}

func TestCommittedFilesAreCurrent(t *testing.T) {
	files, err := units.Render(config.Default(), units.Paths{})
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	for _, f := range files {
		want[f.Path] = f.Text
	}
	err = filepath.WalkDir(committed, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(committed, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run `go run ./cmd/generate-units --output units`: %s", diff)
	}
}

// staged is a folder of rendered units whose programs are all there.
type staged struct {
	folder string
	paths  units.Paths
	files  []units.File
}

func stage(t *testing.T, cfg config.Config) staged {
	t.Helper()
	s := staged{folder: t.TempDir()}
	bin := t.TempDir()
	cfg.VLLM.RuntimePath, cfg.Plano.RuntimePath = filepath.Join(bin, "venv"), filepath.Join(bin, "venv")
	s.paths = units.Paths{
		BinDir: bin, Systemctl: filepath.Join(bin, "systemctl"), True: filepath.Join(bin, "true"),
		Rm: filepath.Join(bin, "rm"), Head: filepath.Join(bin, "head"), VLLM: filepath.Join(bin, "vllm"), Plano: filepath.Join(bin, "planoai"),
	}
	for _, name := range []string{
		"reconcile", "observe-current", "mode-idle", "check_audio_idle", "memory-api", "embed-worker", "ai-memory", "room",
		"systemctl", "true", "rm", "head", "vllm", "venv/bin/vllm", "planoai", "venv/bin/planoai",
	} {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n", 0o755)
	}
	var err error
	if s.files, err = units.Render(cfg, s.paths); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.files {
		write(t, filepath.Join(s.folder, f.Path), f.Text, 0o644)
	}
	return s
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// unitNames lists the staged units, a template as one of its instances.
func (s staged) unitNames() []string {
	var all []string
	for _, f := range s.files {
		if strings.Contains(f.Path, "/") {
			continue
		}
		all = append(all, instance(f.Path))
	}
	return all
}

// instance is an instance that the programs are there for.
func instance(name string) string {
	if name == "mode-guard@.service" {
		return "mode-guard@audio_idle.service"
	}
	return strings.Replace(name, "@.", "@studio-local.", 1)
}

// analyze runs systemd-analyze on units of the folder and gives all that it
// said.
func (s staged) analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", args...)
	// The colon at the end adds systemd's own units.
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+s.folder+":", "SYSTEMD_COLORS=0", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Fatalf("systemd-analyze, of the package systemd, is needed here: %v", err)
	}
	return string(out), err
}

// verify lets systemd read the units. Without --recursive-errors=no it would
// tell an unknown key and call it a success.
func (s staged) verify(t *testing.T, names ...string) (string, error) {
	return s.analyze(t, append([]string{"verify", "--man=no", "--recursive-errors=no"}, names...)...)
}

func TestVerify(t *testing.T) {
	for name, cfg := range configurations() {
		t.Run(name, func(t *testing.T) {
			s := stage(t, cfg)
			if out, err := s.verify(t, s.unitNames()...); err != nil || out != "" {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}

// The generator's files lie over the shipped ones, and over units of others.
func TestVerifyGenerated(t *testing.T) {
	cfg := whole()
	cfg.Plano.Enable, cfg.K3s.Enable, cfg.VLLM.Unit = true, true, "llm.service"
	cfg.Plano.Runtime = config.RuntimePackage // which is there
	s := stage(t, config.Default())
	files, links, err := units.ForMachine(cfg, s.paths)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"k3s.service", "llm.service"} {
		write(t, filepath.Join(s.folder, name), "[Service]\nType=exec\nExecStart=/bin/true\n", 0o644)
	}
	generated := staged{folder: t.TempDir() + ":" + s.folder}
	names := []string{"k3s.service", "llm.service", "compute.target"}
	over, _, _ := strings.Cut(generated.folder, ":")
	for _, f := range files {
		write(t, filepath.Join(over, f.Path), f.Text, 0o644)
		if !strings.Contains(f.Path, "/") {
			names = append(names, instance(f.Path))
		}
	}
	for _, l := range links {
		at := filepath.Join(over, l.Path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(l.To, at); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := generated.verify(t, names...); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	write(t, filepath.Join(over, "k3s.service.d", "50-dubnium.conf"), "[Service]\nSlicee=a\n", 0o644)
	if out, err := generated.verify(t, "k3s.service"); err == nil || !strings.Contains(out, "Slicee") {
		t.Errorf("a wrong drop-in passes: %v\n%s", err, out)
	}
}

// What TestVerify relies on: each of these faults is told.
func TestVerifyIsStrict(t *testing.T) {
	s := stage(t, config.Default())
	for name, c := range map[string]struct{ old, bad, says string }{
		"unknown key":     {"KillMode=mixed", "KillMod=mixed", "'KillMod'"},
		"unknown value":   {"KillMode=mixed", "KillMode=some", "Failed to parse"},
		"missing program": {"/reconcile --", "/reconcil --", "is not executable"},
		"unknown section": {"[Service]\n", "[Servce]\nA=b\n[Service]\n", "Unknown section 'Servce'"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := stage(t, config.Default())
			text := bad.text(t, "mode-controller@.service")
			changed := strings.Replace(text, c.old, c.bad, 1)
			if changed == text {
				t.Fatalf("the unit holds no %q to replace", c.old)
			}
			write(t, filepath.Join(bad.folder, "mode-controller@.service"), changed, 0o644)
			out, err := bad.verify(t, "mode-controller@studio-local.service")
			if err == nil || !strings.Contains(out, c.says) {
				t.Errorf("verify passed it, or did not say %q: %v\n%s", c.says, err, out)
			}
		})
	}
	// X- keys are for others than systemd, and no fault.
	if !strings.Contains(s.text(t, "desktop.target"), "\nX-OnlyManualStart=yes\n") {
		t.Error("desktop.target has no X-OnlyManualStart for NixOS")
	}
}

func (s staged) text(t *testing.T, name string) string {
	t.Helper()
	for _, f := range s.files {
		if f.Path == name {
			return f.Text
		}
	}
	t.Fatalf("no %s among the rendered files", name)
	return ""
}

// exposure is the ratchet: the figure of `systemd-analyze security` (0 is
// best) that a service may not exceed, in tenths, and why it is not lower.
var exposure = map[string]struct {
	tenths int
	why    string
}{
	"mode-controller@.service":        {33, "root, other people's processes, devices of the GPU, a network for vLLM's health"},
	"mode-observe.service":            {32, "root, other people's processes, devices of the GPU, a network for vLLM's metrics"},
	"mode-guard@.service":             {32, "as mode-observe.service"},
	"mode-idle.service":               {32, "as mode-observe.service: it runs the guards"},
	"mode-boot.service":               {15, "root, and D-Bus"},
	"studio-local-policy.service":     {11, "root, though it does nothing"},
	"audio-priority.service":          {11, "root, and D-Bus"},
	"vllm.service":                    {19, "devices of the GPU, the network, code compiled at run time"},
	"plano.service":                   {16, "the network, code compiled at run time"},
	"dubnium-memory-api.service":      {18, "the network: clients, the database, the embedding endpoint; the unit of whoever asks"},
	"dubnium-embed-worker.service":    {16, "the network: the database, Redis, the embedding endpoint"},
	"dubnium-memory-expire.service":   {15, "the service's socket"},
	"room@.service":                   {48, "root that mounts, makes device nodes and namespaces, and gives them up before the command"},
	"dubnium-memory-database.service": {12, "the superuser of the database"},
}

// leeway is how much versions of systemd count differently, in tenths.
const leeway = 3

func TestSandboxes(t *testing.T) {
	overall := regexp.MustCompile(`Overall exposure level for \S+: (\d+)\.(\d) `)
	s := stage(t, whole())
	var names []string
	for _, f := range s.files {
		if !strings.HasSuffix(f.Path, ".service") {
			continue
		}
		names = append(names, f.Path)
		t.Run(f.Path, func(t *testing.T) {
			limit, known := exposure[f.Path]
			if !known {
				t.Fatal("a service needs a row in the table, with its reason")
			}
			out, err := s.analyze(t, "security", "--offline=true", "--no-pager", instance(f.Path))
			m := overall.FindStringSubmatch(out)
			if err != nil || m == nil {
				t.Fatalf("systemd-analyze security: %v\n%s", err, out)
			}
			var whole, tenth int
			if _, err := fmt.Sscan(m[1]+" "+m[2], &whole, &tenth); err != nil {
				t.Fatal(err)
			}
			switch got := whole*10 + tenth; {
			case got > limit.tenths:
				t.Errorf("exposure %d.%d is over the limit of %d.%d (%s)\n%s", whole, tenth, limit.tenths/10, limit.tenths%10, limit.why, out)
			case got+leeway < limit.tenths:
				t.Errorf("exposure %d.%d is better than the table says: lower it from %d.%d, so that it stays", whole, tenth, limit.tenths/10, limit.tenths%10)
			}
		})
	}
	for name := range exposure {
		if !slices.Contains(names, name) {
			t.Errorf("%s is in the table and not rendered", name)
		}
	}
}

// parsed is a unit as go-systemd reads it.
type parsed struct {
	name string
	opts []*unit.UnitOption
}

// values gives the words of every setting of a key, after the last reset.
func (p parsed) values(section, key string) []string {
	var all []string
	for _, o := range p.opts {
		if o.Section != section || o.Name != key {
			continue
		}
		if o.Value == "" {
			all = nil
		}
		all = append(all, strings.Fields(o.Value)...)
	}
	return all
}

func parse(t *testing.T, files []units.File) []parsed {
	t.Helper()
	var all []parsed
	for _, f := range files {
		if strings.Contains(f.Path, "/") {
			continue
		}
		opts, err := unit.DeserializeOptions(strings.NewReader(f.Text))
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		all = append(all, parsed{f.Path, opts})
	}
	return all
}

// Every service says what it is, where it runs, and how long it may take.
func TestServicesSayWhatTheyAre(t *testing.T) {
	for _, p := range parse(t, stage(t, whole()).files) {
		if len(p.values("Unit", "Description")) == 0 || !strings.HasPrefix(strings.Join(p.values("Unit", "Documentation"), " "), "man:") {
			t.Errorf("%s has no description, or no manual page", p.name)
		}
		if !strings.HasSuffix(p.name, ".service") {
			continue
		}
		for _, key := range []string{"Type", "Slice", "TimeoutStartSec", "TimeoutStopSec", "ExecStart", "ProtectSystem", "NoNewPrivileges"} {
			if len(p.values("Service", key)) == 0 {
				t.Errorf("%s has no %s=", p.name, key)
			}
		}
		for _, key := range []string{"TimeoutStartSec", "TimeoutStopSec"} {
			if got := p.values("Service", key); slices.Contains(got, "infinity") || slices.Contains(got, "0") {
				t.Errorf("%s: %s=%v bounds nothing", p.name, key, got)
			}
		}
		// A runtime folder goes when its unit stops, unless that is said.
		if len(p.values("Service", "RuntimeDirectory")) > 0 && !slices.Equal(p.values("Service", "RuntimeDirectoryPreserve"), []string{"yes"}) {
			t.Errorf("%s would take its runtime folder away when it stops", p.name)
		}
	}
}
