package checkpoint

import (
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWatch stops a shell at every file that it makes and reads, and kills it
// at the third: what it was about to do has not happened then.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var seen []string
	g, err := Watch(func(o Open) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, o.Name)
		if len(seen) == 3 {
			if err := syscall.Kill(o.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo 1 >a; echo 2 >b; read x <a; echo 3 >c")
	cmd.Dir = dir
	err = cmd.Run()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the shell ended with %v", err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"a", "b", "a"}, seen); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if made, _ := filepath.Glob(filepath.Join(dir, "*")); len(made) != 2 {
		t.Errorf("the shell went on after it was killed: %v", made)
	}
}
