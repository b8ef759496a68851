package machine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMachine looks at one machine from all sides; its subtests leave nothing behind in it.
func TestMachine(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	writeHost(t, filepath.Join(bin, "hello"), "#!/bin/sh\necho hello from $0\n", 0o755)
	first, second := t.TempDir(), t.TempDir()
	writeHost(t, filepath.Join(first, "etc/layer"), "first\n", 0o644)
	writeHost(t, filepath.Join(first, "etc/first"), "first\n", 0o644)
	writeHost(t, filepath.Join(second, "etc/layer"), "second\n", 0o640)
	m := Start(t, Options{
		Overlay: []string{first, second},
		BinDir:  bin,
		Files: []File{
			{Path: "/lib/systemd/system/mine.service", Content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/hello\n"},
			{Path: "/etc/systemd/system/multi-user.target.wants/mine.service", Link: "/usr/lib/systemd/system/mine.service"},
			{Path: "/home/tester/bin/tool", Content: "#!/bin/sh\nid -un\n", Mode: 0o755},
		},
		KernelArgs: []string{"dubnium.test=1"},
	})

	t.Run("boots whole", func(t *testing.T) {
		if got := strings.TrimSpace(m.MustRun(t, "systemctl", "is-system-running")); got != "running" {
			t.Errorf("is-system-running: %s\n%s", got, m.MustRun(t, "systemctl", "--failed"))
		}
		for _, unit := range []string{"graphical.target", "ssh.service", "networking.service", "systemd-logind.service", "mine.service"} {
			if r := m.Run(t.Context(), "systemctl", "is-active", unit); r.Code != 0 {
				t.Errorf("%s", r)
			}
		}
		if !strings.Contains(m.MustRun(t, "cat", "/proc/1/cmdline"), "dubnium.test=1") {
			t.Error("the kernel argument is missing")
		}
	})
	t.Run("has what was laid over it", func(t *testing.T) {
		got := m.MustRun(t, "sh", "-c", "cat /etc/layer /etc/first; hello; stat -c '%a %U %n' /etc/layer / /etc /home/tester /usr/bin/hello")
		want := "second\nfirst\nhello from /usr/bin/hello\n" +
			"640 root /etc/layer\n755 root /\n755 root /etc\n700 tester /home/tester\n755 root /usr/bin/hello\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got := m.MustRun(t, "runuser", "-u", "tester", "/home/tester/bin/tool"); got != "tester\n" {
			t.Errorf("the tool in the user's folder says %q", got)
		}
	})
	t.Run("runs commands", func(t *testing.T) { testCommands(t, m) })
	t.Run("shares files", func(t *testing.T) {
		if err := m.WriteFileMode("/run/some/where", "text", 0o600); err != nil {
			t.Fatal(err)
		}
		if got := m.MustRun(t, "sh", "-c", "cat /run/some/where; stat -c %a /run/some/where"); got != "text600\n" {
			t.Errorf("got %q", got)
		}
		m.MustRun(t, "cp", "/etc/layer", "/run/some/copy")
		if b, err := m.ReadFile("/run/some/copy"); err != nil || string(b) != "second\n" {
			t.Errorf("got %q, %v", b, err)
		}
	})
	t.Run("is reached over its network", func(t *testing.T) {
		conn, err := m.Dial(t.Context(), "tcp", "127.0.0.1:22")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "SSH-2.0-OpenSSH") {
			t.Errorf("got %q, %v", line, err)
		}
	})
}

func testCommands(t *testing.T, m *Machine) {
	ctx := t.Context()
	if r := m.Shell(ctx, "echo out; echo err >&2; exit 7"); r.Code != 7 || r.Stdout != "out\n" || r.Stderr != "err\n" || r.Err != nil {
		t.Errorf("%s", r)
	}
	// The host's environment stays on the host.
	env := m.MustRun(t, "env")
	if want := []string{"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"}; !cmp.Equal(want, names(env)) {
		t.Errorf("root's environment: %s", env)
	}
	who := m.RunAs(ctx, "guest", "sh", "-c", "id -un; pwd; echo $HOME; sed -n 's/^0:://p' /proc/self/cgroup; systemctl stop ssh.service")
	if want := "guest\n/\n/home/guest\n/system.slice/dubnium-harness.service/command-"; !strings.HasPrefix(who.Stdout, want) {
		t.Errorf("%s", who)
	}
	if who.Code == 0 || !strings.Contains(who.Stderr, "authentication required") {
		t.Errorf("an unprivileged user stopped a service: %s", who)
	}
	if r := m.Exec(ctx, Command{Args: []string{"sh", "-c", "echo $A; cat"}, Env: []string{"A=a b"}, Stdin: strings.NewReader("in")}); r.Stdout != "a b\nin" {
		t.Errorf("%s", r)
	}
	if r := m.Run(ctx, "no-such-program"); r.Code != 127 {
		t.Errorf("%s", r)
	}
	// A command out of time ends with its children, those in a session of their own too.
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if r := m.Shell(short, "trap '' TERM; setsid sleep 4321 & sleep 4321"); r.Code != -1 || r.Err == nil || r.Duration > 3*time.Second {
		t.Errorf("%s", r)
	}
	m.Eventually(t, 3*time.Second, func() error {
		if r := m.Run(ctx, "pgrep", "-f", "^sleep 4321"); r.Code != 1 {
			return fmt.Errorf("left: %s", r.Stdout)
		}
		return nil
	})
	// What a command leaves running on purpose neither ends nor keeps us waiting.
	if r := m.Shell(ctx, "sleep 4322 &"); r.Code != 0 || r.Duration > 3*time.Second {
		t.Errorf("%s", r)
	}
	m.Eventually(t, 3*time.Second, func() error { // it may not be sleep yet
		if r := m.Run(ctx, "pkill", "-f", "^sleep 4322"); r.Code != 0 {
			return fmt.Errorf("gone: %s", r)
		}
		return nil
	})
	// Commands survive the isolation of a target.
	if r := m.Shell(ctx, "systemctl isolate multi-user.target && systemctl is-active dubnium-harness.service && systemctl isolate graphical.target"); r.Code != 0 {
		t.Errorf("%s", r)
	}
}

func TestOptionsErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts Options
		want string
	}{
		"relative file":    {Options{Files: []File{{Path: "etc/x"}}}, "starts with /"},
		"hidden file":      {Options{Files: []File{{Path: "/var/run/x"}}}, "write the file after the boot"},
		"no such overlay":  {Options{Overlay: []string{"/no/such"}}, "install into it first"},
		"no such binaries": {Options{BinDir: "/no/such"}, "build them first"},
		"boot too slow":    {Options{Timeout: 50 * time.Millisecond}, "wait for the end of the boot: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Boot(t.Context(), test.opts)
			if err == nil {
				m.Close()
				t.Fatal("it booted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant it to say %q", err, test.want)
			}
		})
	}
}

// names returns the sorted names of an environment.
func names(env string) (names []string) {
	for line := range strings.Lines(env) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func writeHost(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
