package loop

import (
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/machine"
)

func TestWalk(t *testing.T) {
	start := time.Now()
	m := machine.Start(t, Options())
	t.Logf("boot %v", time.Since(start))
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		{"systemctl", "is-system-running"},
		{"mode", "status"},
		{"mode", "request", "studio-local"},
		{"mode", "status"},
		{"mode", "request", "desktop"},
		{"mode", "request", "compute"},
		{"mode", "status"},
		{"mode", "request", "desktop"},
		{"mode", "status"},
		{"mode", "last-transition"},
		{"check_memory_headroom"},
	} {
		r := m.Run(t.Context(), argv...)
		t.Logf("%v: %d in %v\n%s%s", argv, r.Code, r.Duration, r.Stdout, r.Stderr)
	}
	t.Log(m.Journal("-u", "mode-controller@*", "-u", "mode-boot", "--no-pager"))
}
