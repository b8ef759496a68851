package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/room"
	"github.com/ryjen/dubnium/tests/machine"
)

// roomFiles are rooms for a machine: demo says hello and waits, odd is of an
// image that is not the configured one, and limited is held to its memory by
// its unit, which a container can't.
func roomFiles(t *testing.T) (overlay string, files []machine.File) {
	t.Helper()
	root, overlay := t.TempDir(), t.TempDir()
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(root, "probe"), "./room/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := filepath.Join(overlay, "var/lib/dubnium/rooms")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	digest, err := room.Pack(t.Context(), root, filepath.Join(dir, "demo.sqsh"))
	if err != nil {
		t.Fatal(err)
	}
	table := func(name, digest, more string, command ...string) string {
		return fmt.Sprintf("[rooms.named.%s]\nimage = \"demo.sqsh\"\nsha256 = %q\ncommand = [\"/probe\", %s]\n%s\n", name, digest, strings.Join(command, ", "), more)
	}
	text := "[desktop]\nloginUnits = [\"headless-dm.service\"]\n" +
		table("demo", digest, `vaultWrite = ["out"]`, `"ids"`, `"+"`, `"write"`, `"/vault/out/kept"`, `"1"`, `"+"`, `"write"`, `"/x"`, `"1"`, `"+"`,
			`"status"`, `"self"`, `"Seccomp"`, `"+"`, `"term"`, `"0"`) +
		table("odd", strings.Repeat("0", 64), "", `"ids"`) +
		table("limited", digest, "memoryMax = \"64MiB\"\ntasksMax = 50\ngpu = true", `"ids"`)
	return overlay, []machine.File{{Path: configFile, Content: text}}
}

// rooms holds what systemd makes of rooms, on a machine that has those of
// roomFiles.
func rooms(t *testing.T, m *machine.Machine) {
	m.MustRun(t, "mkdir", "-p", "/var/lib/dubnium/vault/out")
	m.MustRun(t, "room", "check", "demo")
	start := time.Now()
	m.MustRun(t, "systemctl", "start", "room@demo")
	t.Logf("room@demo was started in %d ms", time.Since(start).Milliseconds())
	if got := m.MustRun(t, "systemctl", "show", "--value", "--property=ActiveState,Slice,ControlGroup", "room@demo"); got != "ai.slice\n/ai.slice/room@demo.service\nactive\n" {
		t.Errorf("room@demo: %q", got)
	}
	m.Eventually(t, 30*time.Second, func() error {
		journal := m.Journal("--unit=room@demo.service", "--output=cat")
		for _, line := range []string{" parent 1 host demo\n", "write /vault/out/kept 1: ok\n", "write /x 1: ok\n", "status self Seccomp: 2\n", "ready\n"} {
			if !strings.Contains(journal, line) {
				return fmt.Errorf("the journal lacks %q:\n%s", line, journal)
			}
		}
		return nil
	})
	if r := m.Run(t.Context(), "room", "gone", "--wait=0s", "demo"); exitcode.Code(r.Code) != exitcode.Degraded || strings.Count(r.Stdout, "\n") < 3 ||
		!strings.Contains(r.Stdout, "the control group /sys/fs/cgroup/ai.slice/room@demo.service is there") {
		t.Errorf("a room that runs is gone: %s", r)
	}
	if got := m.MustRun(t, "room", "list"); !strings.Contains(got, "demo     running") {
		t.Errorf("room list: %s", got)
	}
	m.MustRun(t, "systemctl", "stop", "room@demo")
	if got := m.MustRun(t, "systemctl", "show", "--value", "--property=ActiveState,Result", "room@demo"); got != "success\ninactive\n" && got != "inactive\nsuccess\n" {
		t.Errorf("after its end, room@demo is %q", got)
	}
	m.MustRun(t, "room", "gone", "demo")
	if kept, err := m.ReadFile("/var/lib/dubnium/vault/out/kept"); err != nil || string(kept) != "1" {
		t.Errorf("of the room there is %q, %v", kept, err)
	}

	// A refusal is a start that fails, with its reason in the journal.
	for name, why := range map[string]string{"odd": "nothing of it is run", "limited": "memoryMax is 64MiB, and the control group /ai.slice/room@limited.service"} {
		if r := m.Run(t.Context(), "systemctl", "start", "room@"+name); r.Code == 0 {
			t.Errorf("room@%s started", name)
		}
		if journal := m.Journal("--unit=room@"+name+".service", "--output=cat"); !strings.Contains(journal, why) {
			t.Errorf("the journal of room@%s lacks %q:\n%s", name, why, journal)
		}
		m.MustRun(t, "room", "gone", name)
		m.MustRun(t, "systemctl", "reset-failed", "room@"+name)
	}
	// What the configuration says of one room is in the drop-in of that one.
	const properties = "--property=MemoryMax,TasksMax,DeviceAllow"
	if got := m.MustRun(t, "systemctl", "show", properties, "room@limited"); !strings.Contains(got, "MemoryMax=67108864\n") || !strings.Contains(got, "TasksMax=50\n") || !strings.Contains(got, "DeviceAllow=char-nvidia* rwm\n") {
		t.Errorf("room@limited: %s", got)
	}
	if got := m.MustRun(t, "systemctl", "show", properties, "room@demo"); !strings.Contains(got, "MemoryMax=infinity\n") || strings.Contains(got, "nvidia") {
		t.Errorf("room@demo: %s", got)
	}
}
