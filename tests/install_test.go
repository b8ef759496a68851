package tests

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/tests/machine"
)

const (
	prefix       = "/opt/dubnium"
	unitDir      = "/usr/local/lib/systemd/system/" // systemd looks into no /opt
	manifestFile = prefix + "/share/dubnium/manifest"
	generator    = "/usr/local/lib/systemd/system-generators/dubnium-generator"
	configFile   = "/etc/dubnium/dubnium.toml"
	historyFile  = "/var/lib/mode-controller/events.jsonl"
	bootLink     = "/etc/systemd/system/multi-user.target.wants/mode-boot.service"
)

// scriptsInstall runs scripts/install on a root of the test's own.
func scriptsInstall(t *testing.T, verb, root, prefix string, env ...string) (output string, err error) {
	t.Helper()
	if _, err := os.Stat("../bin/mode"); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	cmd := exec.CommandContext(t.Context(), "../scripts/install", verb, root, prefix)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustInstall(t *testing.T, verb, root, prefix string) string {
	t.Helper()
	out, err := scriptsInstall(t, verb, root, prefix)
	if err != nil {
		t.Fatalf("scripts/install %s: %v\n%s", verb, err, out)
	}
	return out
}

// listing describes every file below root: mode, time, and what is in it.
// Folders are there by their mode alone.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x %v", sha256.Sum256(data), info.ModTime())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " -> " + target
		}
		all["/"+strings.TrimPrefix(strings.TrimPrefix(path, root), "/")] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// filesOf are the paths of a listing that are no folders.
func filesOf(all map[string]string) []string {
	var files []string
	for path, what := range all {
		if what[0] != 'd' {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestInstall holds what scripts/install puts in place, and that to do it
// again changes nothing, not even a time.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	// What the host has keeps its mode: Debian's /usr/local is of the group staff.
	if err := os.MkdirAll(root+prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root+prefix, 0o775|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, "install", root, prefix)
	first := listing(t, root)
	if got := first[prefix]; got != "dgrwxrwxr-x" {
		t.Errorf("the mode of %s is %s now", prefix, got)
	}

	mains, err := filepath.Glob("../cmd/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatal(mains, err)
	}
	var want, got []string
	for _, m := range mains {
		if name := filepath.Base(filepath.Dir(m)); !strings.HasPrefix(name, "generate-") {
			want = append(want, name)
		}
	}
	for _, path := range filesOf(first) {
		if name, found := strings.CutPrefix(path, prefix+"/bin/"); found {
			got = append(got, name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("programs, -want +got:\n%s", diff)
	}

	unit := read(t, root+unitDir+"mode-controller@.service")
	if !strings.Contains(unit, "\nExecStart="+prefix+"/bin/reconcile ") {
		t.Errorf("the controller's unit doesn't run what was installed:\n%s", unit)
	}
	if target, err := os.Readlink(root + generator); target != prefix+"/bin/dubnium-generator" {
		t.Errorf("the generator is %q, %v", target, err)
	}
	if target, err := os.Readlink(root + bootLink); target != unitDir+"mode-boot.service" {
		t.Errorf("mode-boot.service is not enabled: %q, %v", target, err)
	}
	if diff := cmp.Diff(read(t, "../docs/dubnium.toml.example"), read(t, root+configFile)); diff != "" {
		t.Errorf("the first configuration, -want +got:\n%s", diff)
	}

	mustInstall(t, "install", root, prefix)
	if diff := cmp.Diff(first, listing(t, root)); diff != "" {
		t.Errorf("the second time, -before +after:\n%s", diff)
	}
}

// TestInstallOverOlder holds what an upgrade does to the files of the version before.
func TestInstallOverOlder(t *testing.T) {
	root := t.TempDir()
	mustInstall(t, "install", root, prefix)
	pristine := listing(t, root)

	const edited = "[slices.ai]\ncpuWeight = 77\n"
	put(t, root+configFile, edited)
	put(t, root+historyFile, "{}\n")
	const dropped = prefix + "/bin/check_dropped"
	put(t, root+dropped, "#!/bin/sh\n")
	put(t, root+manifestFile, read(t, root+manifestFile)+dropped+"\n")
	// A program that runs can't be written to, only replaced.
	running := root + prefix + "/bin/reconcile"
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(running, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), running, "infinity")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
			t.Error(err)
		}
	})

	mustInstall(t, "install", root, prefix)
	after := listing(t, root)
	if got := read(t, root+configFile); got != edited {
		t.Errorf("the edited configuration became %q", got)
	}
	if _, found := after[dropped]; found {
		t.Errorf("%s is left of the older version", dropped)
	}
	content := func(all map[string]string) string { return strings.Fields(all[prefix+"/bin/reconcile"])[1] }
	if content(after) != content(pristine) {
		t.Errorf("reconcile was not replaced while it ran")
	}
	// The machine's configuration is the generator's business, and changes no
	// installed file.
	if before, now := strings.Fields(pristine[unitDir+"ai.slice"])[1], strings.Fields(after[unitDir+"ai.slice"])[1]; before != now {
		t.Errorf("ai.slice has changed with the configuration")
	}
}

func ignoreExit(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil
	}
	return err
}

// TestUninstall holds that only the configuration and the history stay.
func TestUninstall(t *testing.T) {
	root := t.TempDir()
	mustInstall(t, "install", root, prefix)
	put(t, root+historyFile, "{}\n")
	mustInstall(t, "uninstall", root, prefix)
	want := []string{configFile, historyFile}
	if diff := cmp.Diff(want, filesOf(listing(t, root))); diff != "" {
		t.Errorf("what stays, -want +got:\n%s", diff)
	}
	before := listing(t, root)
	if out := mustInstall(t, "uninstall", root, prefix); !strings.Contains(out, "nothing is installed") {
		t.Errorf("the second time it says %q", out)
	}
	if diff := cmp.Diff(before, listing(t, root)); diff != "" {
		t.Errorf("the second time, -before +after:\n%s", diff)
	}
}

// TestStageAnywhere holds that a stage may be any folder, and that it is emptied first.
func TestStageAnywhere(t *testing.T) {
	root := t.TempDir()
	put(t, root+"/stale", "")
	mustInstall(t, "stage", root, prefix)
	all := listing(t, root)
	if all[prefix+"/bin/mode"] == "" || all[bootLink] == "" {
		t.Errorf("not staged: %v", filesOf(all))
	}
	for _, path := range []string{"/stale", configFile} {
		if _, found := all[path]; found {
			t.Errorf("%s is in the stage", path)
		}
	}
}

// TestInstallFails holds that a step that fails is told with its reason.
func TestInstallFails(t *testing.T) {
	tests := []struct {
		name, systemctl, config, want string
	}{
		{"systemctl", "#!/bin/sh\necho no space left >&2\nexit 1\n", "", "no space left"},
		{"configuration", "", "[timeouts]\nstartUnit = 3\n", "startUnit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, path := t.TempDir(), t.TempDir()
			if tt.systemctl != "" {
				put(t, path+"/systemctl", tt.systemctl)
				if err := os.Chmod(path+"/systemctl", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if tt.config != "" {
				put(t, root+configFile, tt.config)
			}
			out, err := scriptsInstall(t, "install", root, prefix, "PATH="+path+":"+os.Getenv("PATH"))
			if err == nil || !strings.Contains(out, tt.want) || strings.Contains(out, "installed ") {
				t.Errorf("%v, and it says %q", err, out)
			}
		})
	}
}

// TestInstalledMachine holds that what was installed works on a booted machine.
func TestInstalledMachine(t *testing.T) {
	root := t.TempDir()
	mustInstall(t, "install", root, "/usr/local")
	images, files := roomFiles(t)
	m := machine.Start(t, machine.Options{
		Overlay: []string{root, images}, LoopDevices: true,
		Files: append(files,
			machine.File{Path: "/var/lib/vllm/venv/bin/vllm", Content: "#!/bin/sh\n", Mode: 0o755}, // the site brings these
			machine.File{Path: "/var/lib/plano/venv/bin/planoai", Content: "#!/bin/sh\n", Mode: 0o755}),
	})
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob(root + "/usr/local/lib/systemd/system/*")
	if err != nil || len(units) == 0 {
		t.Fatal(units, err)
	}
	verify := []string{"systemd-analyze", "verify", "--man=no", "--recursive-errors=no"}
	instance := strings.NewReplacer("mode-guard@.", "mode-guard@memory_headroom.", "@.", "@desktop.")
	for _, u := range units {
		verify = append(verify, instance.Replace(filepath.Base(u)))
	}
	if r := m.Run(t.Context(), verify...); r.Code != 0 || r.Stderr != "" {
		t.Errorf("%s", r)
	}
	if got := m.MustRun(t, "mode", "--version"); !strings.HasPrefix(got, "mode ") {
		t.Errorf("mode --version: %q", got)
	}
	if got := m.MustRun(t, "mode", "desired"); got != "desktop\n" {
		t.Errorf("mode desired after the boot: %q", got)
	}
	for _, page := range []string{"man1/mode.1", "man1/observe-current.1", "man8/reconcile.8"} {
		if _, err := m.ReadFile("/usr/local/share/man/" + page); err != nil {
			t.Error(err)
		}
	}
	if got := m.MustRun(t, "systemctl", "--failed", "--no-legend"); got != "" {
		t.Errorf("failed units: %s", got)
	}
	t.Run("rooms", func(t *testing.T) { rooms(t, m) })
}
