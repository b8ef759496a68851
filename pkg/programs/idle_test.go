package programs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/record"
)

func TestIdleOf(t *testing.T) {
	now := time.Date(2026, 5, 28, 12, 0, 0, 0, time.UTC)
	told := func(next time.Duration) *record.Idle {
		return &record.Idle{SchemaVersion: 1, Timestamp: stamp(now.Add(-time.Minute)), NextLook: stamp(now.Add(next)), Reason: "not-long-enough", Message: "ada is away", AsksAt: stamp(now.Add(time.Hour))}
	}
	for name, tt := range map[string]struct {
		off    bool
		told   *record.Idle
		silent bool
		want   string
	}{
		"off":            {off: true, told: told(time.Minute), want: "off: compute is never asked for while nobody is there"},
		"on, and looks":  {told: told(time.Minute), want: "on: ada is away; would ask for compute at 2026-05-28T13:00:00.000Z"},
		"a little late":  {told: told(-slack), want: "on: ada is away; would ask for compute at 2026-05-28T13:00:00.000Z"},
		"too late":       {told: told(-slack - time.Second), silent: true, want: "on, but mode-idle.service has been silent since 2026-05-28T11:59:00.000Z"},
		"told no time":   {told: &record.Idle{Timestamp: "then"}, silent: true, want: "on, but mode-idle.service has been silent since then"},
		"told nothing":   {silent: true, want: "on, but mode-idle.service has not told anything since boot"},
		"after attempts": {told: &record.Idle{NextLook: stamp(now), Reason: "inhibited", Message: "a film", Tries: 2, Blocked: "check_a: b: c"}, want: "on: a film (stopped 2 times by check_a: b: c)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := record.Store{Root: hostfs.Root(t.TempDir())}
			if err := os.MkdirAll(s.Root.Path(record.RunDir), 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.told != nil {
				if err := s.SetIdle(*tt.told); err != nil {
					t.Fatal(err)
				}
			}
			cfg := config.Default()
			cfg.Idle.Enable = !tt.off
			got, err := idleOf(s, cfg, now)
			if err != nil || got.Silent != tt.silent || got.String() != tt.want {
				t.Errorf("%q, silent %v, %v; want %q", got, got.Silent, err, tt.want)
			}
			if err := os.WriteFile(s.Root.Path(record.IdleFile), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := idleOf(s, cfg, now); (err == nil) != tt.off || err != nil && !strings.Contains(err.Error(), filepath.Base(record.IdleFile)) {
				t.Errorf("a garbled file: %v", err)
			}
		})
	}
}

// TestPulse holds that a step which takes longer than it may stops the pulse.
func TestPulse(t *testing.T) {
	p := newPulse(t.Context(), 0)
	if p.until(time.Second); !p.alive() {
		t.Error("a step that has just begun stops the pulse")
	}
	if p.until(-slack - time.Millisecond); p.alive() {
		t.Error("a step that should be over keeps the pulse")
	}
}
