package nix

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/pkg/units"
)

// machine is what a case is on disk once it is built: a store, and the folder
// that NixOS makes /etc/systemd/system of.
type machine struct {
	outcome
	store string
	units string // folder of the units' package
	etc   string
	cfg   config.Config
}

// packageOnce is a package whose one program that a build runs is real.
var packageOnce = sync.OnceValues(func() (string, error) {
	dir, err := caseFolder()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "package")
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "libexec/dubnium/generate-units"), "../../cmd/generate-units")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func programs(t *testing.T) string {
	t.Helper()
	dir, err := packageOnce()
	if err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadDir("../../cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		program(t, filepath.Join(dir, "bin", d.Name()))
	}
	return dir
}

func program(t *testing.T, path string) { put(t, path, "#!/bin/sh\n", 0o755) }

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// realise writes what a case's build is given, and runs its command.
func realise(t *testing.T, bin, name string) (m machine, output string, err error) {
	t.Helper()
	m.store = t.TempDir()
	all, _, stderr := run(t, shim, m.store, name)
	if stderr != "" {
		t.Fatalf("%s: %s", name, stderr)
	}
	m.outcome = all[name]
	if len(m.Packages) != 1 {
		t.Fatalf("%s: systemd.packages has %d of ours", name, len(m.Packages))
	}
	p := m.Packages[0]
	m.units = p.Path
	link(t, bin, filepath.Join(m.store, "dubnium"))
	env := append(os.Environ(), "out="+p.Path)
	for variable, in := range p.Inputs {
		env = append(env, variable+"="+in.Path)
		if in.Value != "" {
			put(t, in.Path, string(tomlOf(t, m.Settings)), 0o644)
		}
		for _, l := range in.Links {
			if _, err := os.Stat(l.Path); err != nil {
				program(t, l.Path)
			}
			link(t, l.Path, filepath.Join(in.Path, l.Name))
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", p.Command)
	cmd.Dir, cmd.Env = t.TempDir(), env
	out, err := cmd.CombinedOutput()
	return m, string(out), err
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// build realises a case that is right, and lays out /etc/systemd/system as
// NixOS does: the units of packages without their .wants, the units of Nix as
// drop-ins over them, and the links of their wantedBy.
func build(t *testing.T, bin, name string) machine {
	t.Helper()
	m, out, err := realise(t, bin, name)
	if err != nil || out != "" {
		t.Fatalf("%s: the command of the build: %v\n%s", name, err, out)
	}
	m.cfg = configOf(t, m.outcome)
	m.etc = t.TempDir()
	if err := os.CopyFS(m.etc, os.DirFS(filepath.Join(m.units, "lib/systemd/system"))); err != nil {
		t.Fatal(err)
	}
	for unitName, u := range m.Units {
		if _, err := os.Stat(filepath.Join(m.etc, unitName)); err != nil && u.OverrideStrategy != "asDropin" {
			t.Errorf("%s: the module changes %s, which no package has: it would be a unit of its own, without a program", name, unitName)
			continue
		}
		put(t, filepath.Join(m.etc, unitName+".d", "overrides.conf"), u.Text, 0o644)
		for _, target := range u.WantedBy {
			link(t, "../"+unitName, filepath.Join(m.etc, target+".wants", unitName))
		}
	}
	return m
}

// built are the cases that are built.
var built = []string{
	"enabled", "idle", "no-metrics", "workstation", "wsl", "vllm-package", "vllm-elsewhere", "plano", "memory", "memory-private", "memory-model", "memory-words", "room",
}

// directives are the lines of a unit that say something, drop-ins included,
// apart from the [Install] section: section, key and values in their order.
func directives(t *testing.T, texts ...string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, text := range texts {
		options, err := unit.DeserializeOptions(strings.NewReader(text))
		if err != nil {
			t.Fatalf("read a unit: %v\n%s", err, text)
		}
		for _, o := range options {
			if o.Section != "Install" {
				key := o.Section + "." + o.Name
				all[key] = append(all[key], o.Value)
			}
		}
	}
	return all
}

// folder reads the units below a folder: their directives, by their names.
// Drop-ins count as part of the unit, or stand alone where it is another's.
func folder(t *testing.T, dir string) map[string]map[string][]string {
	t.Helper()
	texts := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		unitName, _, _ := strings.Cut(name, ".d/")
		if unitName == name {
			texts[name] = append([]string{read(t, path)}, texts[name]...)
		} else {
			texts[unitName] = append(texts[unitName], read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]string{}
	for name, t2 := range texts {
		all[name] = directives(t, t2...)
	}
	return all
}

// links are the units that targets want, by the folders of a tree.
func links(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.wants", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range found {
		name, _ := filepath.Rel(dir, f)
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// onlyNixOS are the directives that the module adds, and nothing else may:
// what a rebuild does, and where the external runtime finds libraries.
var onlyNixOS = map[string]bool{"X-RestartIfChanged=false": true, "CC": true, "LD_LIBRARY_PATH": true, "TRITON_LIBCUDA_PATH": true}

// withoutNixOS takes the directives of NixOS out of a unit.
func withoutNixOS(all map[string][]string) map[string][]string {
	kept := map[string][]string{}
	for key, values := range all {
		_, name, _ := strings.Cut(key, ".")
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool {
			variable, _, _ := strings.Cut(strings.Trim(v, `"`), "=")
			return onlyNixOS[name+"="+v] || name == "Environment" && onlyNixOS[variable]
		})
		if len(values) > 0 {
			kept[key] = values
		}
	}
	return kept
}

// TestUnits holds that a machine with NixOS has the units, and starts what
// another distribution's generator makes of the same configuration.
func TestUnits(t *testing.T) {
	bin := programs(t)
	for _, name := range built {
		m := build(t, bin, name)
		p := units.Paths{BinDir: filepath.Join(m.store, "dubnium/bin")}
		for field, program := range map[*string]string{
			&p.Systemctl: "systemctl", &p.True: "true", &p.Rm: "rm", &p.Head: "head", &p.VLLM: "vllm", &p.Plano: "planoai",
		} {
			*field = filepath.Join(m.store, "dubnium-programs", program)
		}

		// The installed units of the defaults, and what the generator lays over them.
		debian := t.TempDir()
		for _, u := range units.All(config.Default(), p) {
			text, err := u.Render()
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(debian, u.Name), text, 0o644)
		}
		files, wanted, err := units.ForMachine(m.cfg, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			put(t, filepath.Join(debian, f.Path), f.Text, 0o644)
		}
		boot := "multi-user.target.wants/"
		want := []string{boot + "mode-boot.service", boot + "mode-observe.service"} // what installing enables
		for _, l := range wanted {
			if l.To == "/dev/null" {
				if err := os.Remove(filepath.Join(debian, l.Path)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want = append(want, l.Path)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, links(t, m.etc)); diff != "" {
			t.Errorf("%s: what starts by itself (-generator +NixOS):\n%s", name, diff)
		}

		have := folder(t, m.etc)
		for unitName := range have {
			if have[unitName] = withoutNixOS(have[unitName]); len(have[unitName]) == 0 {
				delete(have, unitName) // a drop-in alone, for a unit of another maker
			}
		}
		if diff := cmp.Diff(folder(t, debian), have); diff != "" {
			t.Errorf("%s: units (-generator +NixOS):\n%s", name, diff)
		}
		verify(t, name, m)
		people(t, name, m)
	}
}

// verify lets systemd read everything as it would be on the machine, and looks
// for paths that are on no NixOS.
func verify(t *testing.T, name string, m machine) {
	t.Helper()
	// The environments that operators keep are not on this machine.
	venvs := filepath.Join(m.store, "venvs")
	for _, p := range []string{"vllm", "planoai"} {
		program(t, filepath.Join(venvs, "bin", p))
	}
	var names []string
	err := filepath.WalkDir(m.etc, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text := read(t, path)
		for _, bad := range []string{"=/usr/", "=-/usr/", " /usr/bin", "=/bin/"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: %s has a path that is on no NixOS:\n%s", name, filepath.Base(path), text)
			}
		}
		if filepath.Dir(path) == m.etc {
			names = append(names, strings.Replace(strings.Replace(d.Name(), "mode-guard@.", "mode-guard@audio_idle.", 1), "@.", "@studio-local.", 1))
		}
		text = strings.NewReplacer("/var/lib/vllm/venv/bin", venvs+"/bin", "/opt/plano/bin", venvs+"/bin", "/var/lib/plano/venv/bin", venvs+"/bin").Replace(text)
		return os.WriteFile(path, []byte(text), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	// What others bring: NixOS its databases and k3s, and the owner a unit for vLLM.
	for _, other := range []string{"k3s.service", "vllm@.service", "postgresql.service", "redis-dubnium-memory.service"} {
		put(t, filepath.Join(m.etc, other), "[Service]\nType=exec\nExecStart=/bin/true\n", 0o644)
	}
	if m.cfg.VLLM.Unit != config.Default().VLLM.Unit {
		names = append(names, m.cfg.VLLM.Unit)
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no", "k3s.service"}, names...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+m.etc+":", "SYSTEMD_COLORS=0", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: systemd-analyze verify: %v\n%s", name, err, out)
	}
}

// people holds that NixOS makes the users, groups and folders that
// systemd-sysusers and systemd-tmpfiles make elsewhere.
func people(t *testing.T, name string, m machine) {
	t.Helper()
	for line := range strings.Lines(read(t, filepath.Join(m.units, "lib/sysusers.d/dubnium.conf"))) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case fields[0] == "g":
			if _, ok := m.Groups[fields[1]]; !ok {
				t.Errorf("%s: there is no group %s", name, fields[1])
			}
		case fields[0] == "u":
			u := m.Users[fields[1]]
			got := fmt.Sprintf("u %s - %q %s\n", fields[1], u.Description, u.Home)
			if _, group := m.Groups[u.Group]; got != line || !u.IsSystemUser || !group || u.Group != fields[1] {
				t.Errorf("%s: the user %+v is not that of %q", name, u, line)
			}
		default:
			t.Errorf("%s: sysusers has a line that NixOS knows nothing of: %q", name, line)
		}
	}
	if !slices.Contains(m.Tmpfiles, filepath.Base(m.units)) {
		t.Errorf("%s: systemd-tmpfiles is not told of %s", name, m.units)
	}
	for _, file := range []string{filepath.Join(m.units, "lib/tmpfiles.d/dubnium.conf"), m.Etc["polkit-1/rules.d/50-dubnium.rules"], m.Etc["dubnium/dubnium.toml"]} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: %s: %v", name, file, err)
		}
	}
	// A socket that only its group may use, and who is in that group.
	if url := m.cfg.Memory.Redis.URL; m.cfg.Memory.Enable && strings.HasPrefix(url, "unix://") != slices.Contains(m.Users["dubnium-memory"].ExtraGroups, "redis-dubnium-memory") {
		t.Errorf("%s: Redis is %q, and the service's groups are %q", name, url, m.Users["dubnium-memory"].ExtraGroups)
	}
}

// TestWrongConfigurationFailsTheBuild holds that what no type can say is said
// by the programs when the system is built, with file, line and key.
func TestWrongConfigurationFailsTheBuild(t *testing.T) {
	_, out, err := realise(t, programs(t), "free-key")
	if err == nil || !regexp.MustCompile(`dubnium\.toml:[0-9]+: vllm\.newKey: unknown key`).MatchString(out) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestDatabase holds that the module asks for the database that the service's
// own set-up makes.
func TestDatabase(t *testing.T) {
	text := accepted(t)["memory"].Settings["memory"].(map[string]any)["database"].(map[string]any)
	if diff := cmp.Diff([]any{"postgresql:///" + store.Database + "?host=/run/postgresql", "postgresql.service"}, []any{text["dsn"], text["unit"]}); diff != "" {
		t.Error(diff)
	}
	private := accepted(t)["memory-private"].Settings["memory"].(map[string]any)["database"].(map[string]any)
	if diff := cmp.Diff([]any{"", "", storePath + "/postgresql-with-pgvector/bin"}, []any{private["dsn"], private["unit"], private["programs"]}); diff != "" {
		t.Error(diff)
	}
}
