package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the command.
func TestMain(m *testing.M) {
	if os.Getenv("DUBNIUM_MACHINE_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "DUBNIUM_MACHINE_MAIN=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	overlay := t.TempDir()
	if err := os.MkdirAll(filepath.Join(overlay, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(overlay, "etc/layer"), []byte("laid over\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t, "", "run", "--no-desktop", "--overlay", overlay, "--", "sh", "-c", "cat /etc/layer; exit 9")
	if code != 9 || stdout != "laid over\n" || stderr != "" {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := command(t, "hostname\nexit 3\n", "shell", "--no-desktop")
	if code != 3 || stdout != "testbox\n" || strings.Count(stderr, "\n") != 2 {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	if code, _, stderr := command(t, "", "boot"); code == 0 || !strings.Contains(stderr, "unexpected argument boot") {
		t.Errorf("exit status %d, %q", code, stderr)
	}
}
