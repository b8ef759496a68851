package machine

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQEMU proves the virtual machine in one boot: staged files, output and exit status, cgroup
// controllers, and a real desktop on a real graphics card.
func TestQEMU(t *testing.T) {
	t.Parallel()
	bin, overlay := t.TempDir(), t.TempDir()
	writeHost(t, filepath.Join(bin, "hello"), "#!/bin/sh\necho hello from $0\n", 0o755)
	writeHost(t, filepath.Join(overlay, "etc/layer"), "staged\n", 0o644)
	r := QEMU(t.Context(), t, QEMUOptions{
		BinDir: bin, Overlay: []string{overlay}, GPUs: 2, Script: embedded("smoke.bash"),
	})
	if r.Code != 7 || !strings.Contains(r.Stdout, "staged: hello from /usr/bin/hello") || !strings.HasSuffix(r.Stdout, "released\n") {
		t.Error("the script didn't come to its end")
	}
}

func TestQEMUOutOfTime(t *testing.T) {
	t.Parallel()
	start := time.Now()
	_, _, err := runQEMU(t.Context(), io.Discard, QEMUOptions{Script: "sleep infinity", Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "out of time after 1 s") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
}
