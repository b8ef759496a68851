package units_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/units"
	"github.com/ryjen/dubnium/tests/machine"
)

// controllerStandIn does to the machine what reconcile does, as far as the
// units are concerned, and tells by its exit status what it was not able to do.
const controllerStandIn = `#!/bin/bash
set -u
echo "$*" >> /run/mode-controller/argv
case "$*" in
--boot) echo desktop > /run/mode-controller/desired; exec systemctl start --no-block desktop.target ;;
"-- compute")
  systemctl --job-mode=fail stop headless-dm.service && systemctl --job-mode=fail stop audio-priority.service studio-local-policy.service &&
  systemctl --job-mode=fail stop desktop.target && systemctl --job-mode=fail start compute.target ;;
"-- desktop")
  systemctl --job-mode=fail stop vllm.service && systemctl --job-mode=fail stop compute.target &&
  systemctl --job-mode=fail start desktop.target && systemctl --job-mode=fail start headless-dm.service ;;
"-- studio-local")
  systemctl --job-mode=fail start studio-local-policy.service && systemctl --job-mode=fail start audio-priority.service ;;
"-- probe")
  pid=$(pidof -s sway) || exit 60
  echo x > /run/mode-controller/probe && echo x > /var/lib/mode-controller/probe || exit 61
  [[ -n $(find "/proc/$pid/fd" -lname '*') && -n $(head -c1 "/proc/$pid/maps") ]] || exit 62
  busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListSessions || exit 63
  kill -0 "$pid" || exit 64
  setpriv --reuid=tester --regid=tester --init-groups test -w /run/user/1000/bus || exit 65
  [[ $(stat -c %a /run/mode-controller /var/lib/mode-controller) == $'755\n755' ]] || exit 66
  { echo x > /etc/probe; } && exit 67
  { echo x > /usr/probe; } && exit 68
  mount -t tmpfs none /mnt && exit 69
  unshare --mount true && exit 70
  exit 0 ;;
"-- wait")
  trap 'echo told > /run/mode-controller/told; exit 40' TERM
  echo x > /run/mode-controller/waiting
  while :; do sleep infinity & wait; done ;;
esac
`

// booted is a configuration that the machine can have.
func booted() config.Config {
	cfg := config.Default()
	cfg.Desktop.LoginUnits = []string{"headless-dm.service"}
	cfg.VLLM.Enable, cfg.VLLM.Model, cfg.VLLM.Runtime = true, config.ModelsDirectory+"/a", config.RuntimePackage
	return cfg
}

func boot(t *testing.T) *machine.Machine {
	t.Helper()
	bin := t.TempDir()
	for name, script := range map[string]string{
		"reconcile":        controllerStandIn,
		"observe-current":  "#!/bin/sh\necho desktop > /run/mode-controller/current\nexec systemd-notify --ready\n",
		"check_audio_idle": "#!/bin/sh\nexit 10\n",
	} {
		write(t, filepath.Join(bin, name), script, 0o755)
	}
	files, err := units.Render(booted(), units.Paths{})
	if err != nil {
		t.Fatal(err)
	}
	opts := machine.Options{BinDir: bin}
	const own = "/usr/lib/systemd/system/"
	for _, f := range files {
		to := own + f.Path
		if strings.Contains(f.Path, "/") {
			to = "/usr/lib/" + f.Path
		}
		opts.Files = append(opts.Files, machine.File{Path: to, Content: f.Text})
	}
	for _, enabled := range []string{"multi-user.target.wants/mode-boot.service", "compute.target.wants/vllm.service"} {
		opts.Files = append(opts.Files, machine.File{
			Path: "/etc/systemd/system/" + enabled, Link: own + filepath.Base(enabled),
		})
	}
	return machine.Start(t, opts)
}

// show gives properties of a unit.
func show(t *testing.T, m *machine.Machine, unit string, properties ...string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(m.MustRun(t, "systemctl", "show", unit, "--property="+strings.Join(properties, ","))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[key] = value
	}
	return got
}

func active(t *testing.T, m *machine.Machine, unit string) string {
	t.Helper()
	return show(t, m, unit, "ActiveState")["ActiveState"]
}

func wantActive(t *testing.T, m *machine.Machine, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for unit := range want {
		got[unit] = active(t, m, unit)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// weightsOf are the settings of a slice that the overlay changes, as systemd
// has them and as files.
func weightsOf(t *testing.T, m *machine.Machine, slice string) string {
	t.Helper()
	p := show(t, m, slice, "CPUWeight", "IOWeight", "MemoryHigh")
	files := strings.Fields(m.MustRun(t, "find", "/run/systemd", "-path", "*"+slice+".d/*", "-name", "50-*"))
	return fmt.Sprintf("cpu %s io %s high %s, %d files", p["CPUWeight"], p["IOWeight"], p["MemoryHigh"], len(files))
}

// The subtests go from mode to mode on one machine, in order.
func TestBooted(t *testing.T) {
	m := boot(t)

	t.Run("boot begins the default mode once", func(t *testing.T) {
		wantActive(t, m, map[string]string{
			"mode-boot.service": "active", "desktop.target": "active", "graphical.target": "active",
			"headless-dm.service": "active", "compute.target": "inactive", "vllm.service": "inactive",
		})
		m.MustRun(t, "systemctl", "stop", "mode-boot.service")
		m.MustRun(t, "systemctl", "start", "multi-user.target")
		if got, err := m.ReadFile("/run/mode-controller/argv"); err != nil || string(got) != "--boot\n" {
			t.Errorf("reconcile was called with %q, %v", got, err)
		}
	})

	t.Run("sysusers and tmpfiles", func(t *testing.T) {
		m.MustRun(t, "getent", "group", config.OperatorsGroup)
		const folders = "/run/mode-controller /var/lib/mode-controller /var/lib/dubnium/models /etc/dubnium/guards.d"
		got := m.MustRun(t, append([]string{"stat", "--format=%a %U %F"}, strings.Fields(folders)...)...)
		if want := strings.Repeat("755 root directory\n", 4); got != want {
			t.Errorf("folders: %s", got)
		}
	})

	t.Run("a guard's exit code shows", func(t *testing.T) {
		if r := m.Run(t.Context(), "systemctl", "start", "mode-guard@audio_idle.service"); r.Code == 0 {
			t.Error("a guard that blocks started well")
		}
		want := map[string]string{"ExecMainStatus": "10", "Result": "exit-code"}
		if diff := cmp.Diff(want, show(t, m, "mode-guard@audio_idle.service", "ExecMainStatus", "Result")); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("observe", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "mode-observe.service")
		if got, err := m.ReadFile("/run/mode-controller/current"); err != nil || string(got) != "desktop\n" {
			t.Errorf("current: %q, %v", got, err)
		}
	})

	t.Run("the controller may what it needs and no more", func(t *testing.T) {
		if r := m.Run(t.Context(), "systemctl", "start", "mode-controller@probe.service"); r.Code != 0 {
			t.Errorf("%s\nstatus %s\n%s", r, show(t, m, "mode-controller@probe.service", "ExecMainStatus"), m.Journal("--unit=mode-controller@probe.service"))
		}
	})

	t.Run("an instance is no flag", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "mode-controller@--boot.service")
		got, err := m.ReadFile("/run/mode-controller/argv")
		if err != nil || !strings.HasSuffix(string(got), "\n-- --boot\n") {
			t.Errorf("reconcile was called with %q, %v", got, err)
		}
	})

	const baselineUser = "cpu 100 io 100 high infinity, 0 files"
	t.Run("studio-local, and a start that fails half-way", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "mode-controller@studio-local.service")
		wantActive(t, m, map[string]string{"studio-local-policy.service": "active", "audio-priority.service": "active"})
		for slice, want := range map[string]string{
			"interactive.slice": "cpu 1000 io 1000 high infinity, 3 files", "ai.slice": "cpu 10 io 10 high 4294967296, 3 files",
			"platform.slice": "cpu 20 io 20 high 8589934592, 3 files", "user.slice": "cpu 1000 io 1000 high infinity, 3 files",
		} {
			if got := weightsOf(t, m, slice); got != want {
				t.Errorf("%s: %s, want %s", slice, got, want)
			}
		}
		baseline := map[string]string{
			"interactive.slice": "cpu 200 io 200 high infinity, 0 files", "ai.slice": "cpu 100 io 100 high infinity, 0 files",
			"platform.slice": "cpu 100 io 100 high infinity, 0 files", "user.slice": baselineUser,
		}
		check := func(when string) {
			t.Helper()
			for slice, want := range baseline {
				if got := weightsOf(t, m, slice); got != want {
					t.Errorf("%s: %s: %s, want %s", when, slice, got, want)
				}
			}
		}
		m.MustRun(t, "systemctl", "stop", "audio-priority.service")
		check("stopped")

		const dropIn = "/run/systemd/system/audio-priority.service.d/fail.conf"
		if err := m.WriteFile(dropIn, "[Service]\nExecStart=/usr/bin/false\n"); err != nil {
			t.Fatal(err)
		}
		m.MustRun(t, "systemctl", "daemon-reload")
		baseline["user.slice"] = "cpu [not set] io [not set] high infinity, 0 files"
		check("after a reload")
		if r := m.Run(t.Context(), "systemctl", "start", "audio-priority.service"); r.Code == 0 {
			t.Error("audio-priority.service started although its last command fails")
		}
		baseline["user.slice"] = baselineUser
		check("failed half-way")
		m.MustRun(t, "rm", dropIn)
		m.MustRun(t, "systemctl", "daemon-reload")
		m.MustRun(t, "systemctl", "start", "audio-priority.service")
	})

	t.Run("vLLM without its model fails with the path", func(t *testing.T) {
		if r := m.Run(t.Context(), "systemctl", "start", "vllm.service"); r.Code == 0 {
			t.Error("it started")
		}
		const bundle = config.ModelsDirectory + "/a/config.json"
		if j := m.Journal("--unit=vllm.service"); !strings.Contains(j, bundle) {
			t.Errorf("the journal does not name the model:\n%s", j)
		}
		m.MustRun(t, "systemctl", "stop", "vllm.service")
		m.MustRun(t, "systemctl", "reset-failed", "vllm.service")
		if err := m.WriteFile(bundle, "{}\n"); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("vLLM without its program fails with the path", func(t *testing.T) {
		if r := m.Run(t.Context(), "systemctl", "start", "vllm.service"); r.Code == 0 {
			t.Error("it started")
		}
		if j := m.Journal("--unit=vllm.service"); !strings.Contains(j, "/usr/bin/vllm") {
			t.Errorf("the journal does not name the program:\n%s", j)
		}
		want := map[string]string{"ActiveState": "failed", "ExecMainStatus": "203"}
		if diff := cmp.Diff(want, show(t, m, "vllm.service", "ActiveState", "ExecMainStatus")); diff != "" {
			t.Error(diff)
		}
		if err := m.WriteFileMode("/usr/bin/vllm", "#!/bin/sh\necho \"$HOME $*\" > $HOME/argv && exec sleep infinity\n", 0o755); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("the controller starts compute and waits for it", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "mode-controller@compute.service")
		wantActive(t, m, map[string]string{
			"compute.target": "active", "vllm.service": "active", "desktop.target": "inactive", "graphical.target": "inactive",
			"headless-dm.service": "inactive", "studio-local-policy.service": "inactive", "audio-priority.service": "inactive",
			"multi-user.target": "active", "systemd-logind.service": "active",
		})
		m.Eventually(t, 30*time.Second, func() error {
			got, err := m.ReadFile("/var/cache/private/vllm/argv")
			if err == nil && string(got) != "/var/cache/vllm serve /var/lib/dubnium/models/a --host 127.0.0.1 --port 8000 --served-model-name a\n" {
				err = fmt.Errorf("vllm was called with %q", got)
			}
			return err
		})
	})

	t.Run("vLLM ends with the target", func(t *testing.T) {
		m.MustRun(t, "systemctl", "stop", "compute.target")
		m.Eventually(t, 30*time.Second, func() error {
			if got := active(t, m, "vllm.service"); got != "inactive" {
				return errors.New(got)
			}
			return nil
		})
		m.MustRun(t, "systemctl", "start", "compute.target")
	})

	t.Run("isolate by hand", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "--no-block", "mode-controller@wait.service")
		m.Eventually(t, 30*time.Second, func() error { _, err := m.ReadFile("/run/mode-controller/waiting"); return err })
		m.MustRun(t, "systemctl", "isolate", "desktop.target")
		// The target is reached before its display manager is up.
		m.MustRun(t, "systemctl", "start", "headless-dm.service")
		wantActive(t, m, map[string]string{
			"mode-controller@wait.service": "activating", "desktop.target": "active", "compute.target": "inactive",
			"headless-dm.service": "active", "multi-user.target": "active", "systemd-logind.service": "active",
			"dbus.service": "active", "vllm.service": "inactive",
		})
		m.MustRun(t, "systemctl", "start", "audio-priority.service")
		m.MustRun(t, "systemctl", "isolate", "compute.target")
		wantActive(t, m, map[string]string{
			"mode-controller@wait.service": "activating", "desktop.target": "inactive", "compute.target": "active",
			"headless-dm.service": "inactive", "multi-user.target": "active", "systemd-logind.service": "active",
			"dbus.service": "active", "vllm.service": "active", "audio-priority.service": "inactive", "studio-local-policy.service": "inactive",
		})
		if got := weightsOf(t, m, "user.slice"); got != baselineUser {
			t.Errorf("user.slice: %s, want %s", got, baselineUser)
		}
	})

	t.Run("the controller is told to stop", func(t *testing.T) {
		m.MustRun(t, "systemctl", "stop", "mode-controller@wait.service")
		if got, err := m.ReadFile("/run/mode-controller/told"); err != nil || string(got) != "told\n" {
			t.Errorf("told: %q, %v", got, err)
		}
		if _, err := m.ReadFile("/run/mode-controller/argv"); err != nil {
			t.Errorf("the folder went with the unit: %v", err)
		}
	})

	t.Run("the controller goes back to the desktop", func(t *testing.T) {
		m.MustRun(t, "systemctl", "start", "mode-controller@desktop.service")
		wantActive(t, m, map[string]string{
			"desktop.target": "active", "graphical.target": "active", "headless-dm.service": "active",
			"compute.target": "inactive", "vllm.service": "inactive",
		})
	})
}
