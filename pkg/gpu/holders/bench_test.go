package holders

import (
	"fmt"
	"os/exec"
	"testing"
)

// BenchmarkScan measures one look at 800 and at 12,800 descriptors, and what
// fuser and lsof take for one device on the same processes.
func BenchmarkScan(b *testing.B) {
	for _, load := range []struct{ descriptors, processes int }{{800, 100}, {12800, 400}} {
		b.Run(fmt.Sprint(load.descriptors), func(b *testing.B) {
			before := scanOnce(b)
			each := (load.descriptors-before.Descriptors)/load.processes - 5 // that each has anyway
			for range load.processes {
				start(b, fmt.Sprintf("%s=%d", manyEnv, max(each, 1)))
			}
			s := scanOnce(b)
			note := func(b *testing.B) { b.ReportMetric(float64(s.Descriptors), "fds") }
			b.Run("scan", func(b *testing.B) {
				for b.Loop() {
					scanOnce(b)
				}
				note(b)
			})
			for _, argv := range [][]string{{"fuser", "/dev/zero"}, {"lsof", "/dev/zero"}} {
				path, err := exec.LookPath(argv[0])
				if err != nil {
					b.Fatalf("%v: install psmisc and lsof", err)
				}
				b.Run(argv[0], func(b *testing.B) {
					for b.Loop() {
						_ = exec.Command(path, argv[1:]...).Run() // 1: nobody holds it
					}
					note(b)
				})
			}
		})
	}
}

func scanOnce(tb testing.TB) Scan {
	tb.Helper()
	s := newScanner("", Options{})
	if err := s.prepare(); err != nil {
		tb.Fatal(err)
	}
	s.wanted = majors{majorDRM: "drm", majorNVIDIA: "nvidia"} // as if there were drivers
	scan, err := s.walk(soon(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return scan
}
