package unitgen

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// site is a machine with a configuration and the three folders that systemd
// gives.
type site struct {
	t    *testing.T
	root string
	env  map[string]string
}

func newSite(t *testing.T, text string) site {
	t.Helper()
	s := site{t: t, root: t.TempDir(), env: map[string]string{"SYSTEMD_SCOPE": "system"}}
	for _, dir := range []string{"normal", "early", "late", "dev", "etc/dubnium"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(s.root, "dev/kmsg"), "")
	if text != "" {
		write(t, filepath.Join(s.root, config.DefaultPath), text)
	}
	return s
}

func (s site) run(more ...string) (code exitcode.Code, stderr string) {
	s.t.Helper()
	args := []string{"--root", s.root, "--bindir", "/opt/dubnium"}
	for _, dir := range []string{"normal", "early", "late"} {
		args = append(args, filepath.Join(s.root, dir))
	}
	var out, errs bytes.Buffer
	code = cli.Execute(Generator(), append(args, more...), strings.NewReader(""), &out, &errs, func(key string) string { return s.env[key] })
	if out.Len() > 0 {
		s.t.Errorf("it prints %q", &out)
	}
	return code, errs.String()
}

// written is every file below the three folders, and where each link leads.
func (s site) written() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"normal", "early", "late"} {
		err := filepath.WalkDir(filepath.Join(s.root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, _ := filepath.Rel(s.root, path)
			if to, err := os.Readlink(path); err == nil {
				all[name] = "-> " + to
				return nil
			}
			data, err := os.ReadFile(path)
			all[name] = string(data)
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

func (s site) kernelLog() string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.root, "dev/kmsg"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func TestGeneratorProgram(t *testing.T) {
	if err := cli.Check(Generator()); err != nil {
		t.Error(err)
	}
}

const enabled = "[vllm]\nenable = true\nmodel = \"/var/lib/dubnium/models/m\"\n"

func TestGenerator(t *testing.T) {
	s := newSite(t, enabled)
	if code, errs := s.run(); code != exitcode.OK || errs != "" {
		t.Fatalf("exit code %d, %q", code, errs)
	}
	first := s.written()
	if unit := first["normal/vllm.service"]; !strings.Contains(unit, "/bin/vllm serve /var/lib/dubnium/models/m ") {
		t.Errorf("the unit is\n%s", unit)
	}
	if got := first["normal/compute.target.wants/vllm.service"]; got != "-> ../vllm.service" {
		t.Errorf("the link is %q", got)
	}
	for name := range first {
		if !strings.HasPrefix(name, "normal/") {
			t.Errorf("it wrote %s", name)
		}
	}
	if code, errs := s.run(); code != exitcode.OK || errs != "" {
		t.Fatalf("again: exit code %d, %q", code, errs)
	}
	if diff := cmp.Diff(first, s.written()); diff != "" {
		t.Errorf("again: %s", diff)
	}
	if got := s.kernelLog(); got != "" {
		t.Errorf("the kernel's log got %q", got)
	}
}

// The units run the programs that lie where the generator does.
func TestGeneratorKnowsItsPrograms(t *testing.T) {
	s := newSite(t, "[timeouts]\nguard = \"9s\"\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if code, errs := s.run("--bindir", ""); code != exitcode.OK {
		t.Fatal(errs)
	}
	if unit := s.written()["normal/mode-guard@.service"]; !strings.Contains(unit, "\nExecStart="+filepath.Dir(self)+"/check_%i\n") {
		t.Errorf("the unit is\n%s", unit)
	}
}

func TestGeneratorWritesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		env  string
		code exitcode.Code
		says string
	}{
		"no file":   {"", "", exitcode.OK, ""},
		"initrd":    {enabled, "SYSTEMD_IN_INITRD", exitcode.OK, ""},
		"a mistake": {enabled + "prot = 1\n", "", exitcode.Config, "/etc/dubnium/dubnium.toml:4: vllm.prot: unknown key; did you mean vllm.port?; the units"},
		"two mistakes": {
			enabled + "prot = 1\nhsot = 2\n", "", exitcode.Config,
			"/etc/dubnium/dubnium.toml:4: vllm.prot: unknown key; did you mean vllm.port? (and 1 more)",
		},
		"no TOML":          {"[vllm", "", exitcode.Config, "/etc/dubnium/dubnium.toml:1: "},
		"a unit's mistake": {enabled + "[slices.ai]\ncpuWeight = 0\n", "", exitcode.Config, "slices.ai.cpuWeight"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.text)
			s.env[c.env] = "1"
			code, errs := s.run()
			if code != c.code || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, %q", code, errs)
			}
			if got := s.written(); len(got) > 0 {
				t.Errorf("it wrote %v", got)
			}
			log := s.kernelLog()
			if (log != "") != (c.says != "") || !strings.Contains(log, c.says) || strings.Count(log, "\n") > 1 {
				t.Errorf("the kernel's log got %q", log)
			}
			if log != "" && !strings.HasPrefix(log, "<3>dubnium-generator[") {
				t.Errorf("the record has no level and no name: %q", log)
			}
		})
	}
}

// By hand, the terminal is told and the kernel's log is left alone. A log that
// takes nothing is not waited for.
func TestKernelLog(t *testing.T) {
	s := newSite(t, "prot = 1\n")
	delete(s.env, "SYSTEMD_SCOPE")
	if code, errs := s.run(); code != exitcode.Config || !strings.Contains(errs, ":1: prot: ") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if got := s.kernelLog(); got != "" {
		t.Errorf("the kernel's log got %q", got)
	}
	s.env["SYSTEMD_SCOPE"] = "system"
	kmsg := filepath.Join(s.root, "dev/kmsg")
	if err := os.Remove(kmsg); err != nil {
		t.Fatal(err)
	}
	if code, _ := s.run(); code != exitcode.Config {
		t.Errorf("without a log: exit code %d", code)
	}
	if err := unix.Mkfifo(kmsg, 0o644); err != nil { // which a container has, and nobody reads
		t.Fatal(err)
	}
	if code, _ := s.run(); code != exitcode.Config {
		t.Errorf("with a log that nobody reads: exit code %d", code)
	}
}

func TestGeneratorCannotWrite(t *testing.T) {
	s := newSite(t, enabled)
	if err := os.Remove(filepath.Join(s.root, "normal")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.root, "normal"), "")
	if code, errs := s.run(); code != exitcode.Inspection || !strings.Contains(errs, "normal/vllm.service, which the configuration asks for") && !strings.Contains(errs, "normal/plano.service, which") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if code, _ := s.run("fourth"); code != exitcode.Usage {
		t.Errorf("four folders: exit code %d", code)
	}
}
