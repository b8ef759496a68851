package unitgen

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/units"
)

func generate(t *testing.T, args ...string) (code exitcode.Code, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Execute(Program(), args, strings.NewReader(""), &out, &errs, func(string) string { return "" })
	return code, out.String(), errs.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestProgram(t *testing.T) {
	if err := cli.Check(Program()); err != nil {
		t.Error(err)
	}
}

func TestGenerateAndCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "units")
	if code, out, _ := generate(t, "--output", dir, "--check"); code != exitcode.Config || !strings.Contains(out, "vllm.service: not current\n") {
		t.Errorf("an absent folder: exit code %d, %q", code, out)
	}
	if code, out, errs := generate(t, "--output", dir); code != exitcode.OK || out != "" || errs != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	if code, out, errs := generate(t, "--output", dir, "--check"); code != exitcode.OK || out != "" || errs != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}

	write(t, filepath.Join(dir, "vllm.service"), "edited\n")
	write(t, filepath.Join(dir, "old.service"), "# "+units.Header+"\n")
	write(t, filepath.Join(dir, "README"), "mine\n")
	if err := os.Remove(filepath.Join(dir, "sysusers.d", "dubnium.conf")); err != nil {
		t.Fatal(err)
	}
	code, out, errs := generate(t, "--output", dir, "--check")
	want := "old.service: left over\nsysusers.d/dubnium.conf: not current\nvllm.service: not current\n"
	if diff := cmp.Diff(want, out); diff != "" || code != exitcode.Config || !strings.Contains(errs, "3 files in ") {
		t.Errorf("exit code %d, stderr %q: %s", code, errs, diff)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "vllm.service")); err != nil || string(data) != "edited\n" {
		t.Errorf("--check changed a file: %q, %v", data, err)
	}

	if code, _, errs := generate(t, "--output", dir); code != exitcode.OK {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	if code, out, _ := generate(t, "--output", dir, "--check"); code != exitcode.OK {
		t.Errorf("exit code %d, %q", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "old.service")); err == nil {
		t.Error("a file that was left over is still there")
	}
	if data, err := os.ReadFile(filepath.Join(dir, "README")); err != nil || string(data) != "mine\n" {
		t.Errorf("a file of somebody else: %q, %v", data, err)
	}
}

func TestConfigAndBinDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dubnium.toml")
	write(t, file, "[slices.ai]\ncpuWeight = 42\n")
	out := filepath.Join(dir, "out")
	if code, _, errs := generate(t, "--output", out, "--config", file, "--bindir", "/opt/dubnium"); code != exitcode.OK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for name, want := range map[string]string{
		"ai.slice": "\nCPUWeight=42\n", "mode-controller@.service": "\nExecStart=/opt/dubnium/reconcile -- %i\n",
	} {
		if data, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s holds no %q: %v", name, want, err)
		}
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dubnium.toml")
	write(t, file, "[k3s]\nenable = true\n[plano]\nruntime = \"package\"\n")
	out := filepath.Join(dir, "out")
	if code, _, errs := generate(t, "--output", out, "--config", file, "--programs", "/programs", "--complete"); code != exitcode.OK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for name, want := range map[string]string{
		"k3s.service.d/50-dubnium.conf": "\nSlice=platform.slice\n",
		"vllm.service":                  "\nExecStartPre=/programs/head ",
		"plano.service":                 "\nExecStart=/programs/planoai ",
		"audio-priority.service":        "\nExecStart=/programs/systemctl ",
		"studio-local-policy.service":   "\nExecStart=/programs/true\n",
		"mode-boot.service":             "\nExecStart=/usr/bin/reconcile ",
	} {
		if data, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s holds no %q: %v\n%s", name, want, err, data)
		}
	}
	if code, stdout, errs := generate(t, "--output", out, "--config", file, "--programs", "/programs", "--check"); code != exitcode.Config || stdout != "k3s.service.d/50-dubnium.conf: left over\n" {
		t.Errorf("without --complete: exit code %d, %q, %s", code, stdout, errs)
	}
}

func TestFaults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dubnium.toml")
	write(t, file, "[slices.ai]\ncpuWeigth = 42\n")
	notDir := filepath.Join(dir, "file")
	write(t, notDir, "")
	for name, c := range map[string]struct {
		args []string
		code exitcode.Code
		says string
	}{
		"no output":     {nil, exitcode.Usage, "--output"},
		"bad key":       {[]string{"--output", dir, "--config", file}, exitcode.Config, "cpuWeigth"},
		"no such file":  {[]string{"--output", dir, "--config", file + "x"}, exitcode.Config, "no such file"},
		"bindir":        {[]string{"--output", dir, "--bindir", "bin"}, exitcode.Config, "not an absolute path"},
		"not a folder":  {[]string{"--output", notDir}, exitcode.Inspection, "not a directory"},
		"check no dir":  {[]string{"--output", notDir, "--check"}, exitcode.Inspection, "not a directory"},
		"unknown value": {[]string{"--output", dir, "--force"}, exitcode.Usage, "--force"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := generate(t, c.args...)
			if code != c.code || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, want %d; stderr %q does not hold %q", code, c.code, errs, c.says)
			}
		})
	}
}
