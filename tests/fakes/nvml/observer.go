package nvml

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// LinkFlags are the linker flags without which observe-gpu would not start on
// a machine without the driver. The Makefile has the same.
const LinkFlags = "-extldflags=-Wl,-z,lazy"

// BuildObserver builds the real observe-gpu as it is built for installing, and
// gives its path.
func BuildObserver(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "observe-gpu")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w "+LinkFlags, "-o", bin, "github.com/ryjen/dubnium/cmd/observe-gpu")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-O2 -g -Wno-deprecated-declarations")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build observe-gpu: %v\n%s", err, out)
	}
	return bin
}
