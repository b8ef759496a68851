package procinfo

import (
	"os/exec"
	"testing"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// crowd makes this machine run at least n processes for the length of b.
func crowd(b *testing.B, n int) {
	b.Helper()
	scan, err := Processes(hostfs.Root(""))
	if err != nil {
		b.Fatal(err)
	}
	for range n - len(scan.Processes) {
		cmd := exec.Command("/bin/sleep", "600")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
}

// BenchmarkFind is the scan on the way of every status: 300 processes, one
// hit.
func BenchmarkFind(b *testing.B) {
	crowd(b, 300)
	target := exec.Command("/bin/cat")
	if _, err := target.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	if err := target.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		target.Process.Kill()
		target.Wait()
	})
	names := []string{"cat", "Hyprland", "reaper", "pipewire", "vllm"}
	b.ReportAllocs()
	seen := 0
	for b.Loop() {
		scan, err := Find(hostfs.Root(""), names)
		if err != nil || len(scan.Processes) == 0 {
			b.Fatalf("found %+v, %v", scan, err)
		}
		seen = scan.Seen
	}
	b.ReportMetric(float64(seen), "processes")
}

func BenchmarkProcesses(b *testing.B) {
	crowd(b, 300)
	b.ReportAllocs()
	seen := 0
	for b.Loop() {
		scan, err := Processes(hostfs.Root(""))
		if err != nil {
			b.Fatal(err)
		}
		seen = scan.Seen
	}
	b.ReportMetric(float64(seen), "processes")
}

func BenchmarkMeminfo(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Meminfo(hostfs.Root("")); err != nil {
			b.Fatal(err)
		}
	}
}
