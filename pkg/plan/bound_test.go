package plan

import (
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
)

// TestToleratedUnits holds that only the stop of a unit that the configuration
// names may fail, and only that.
func TestToleratedUnits(t *testing.T) {
	cfg := config.Default()
	cfg.Desktop.LoginUnits = []string{"greetd.service", "seatd.service"}
	cfg.Degraded.DesktopUnits = []string{"seatd.service"}
	for _, tr := range mode.Transitions() {
		for _, s := range ForState(tr.From.State(), tr.To, cfg).Steps {
			start := s.Action == mode.StartUnit && (s.Unit == "greetd.service" || s.Unit == "seatd.service") || s.Action == mode.AwaitLogin
			want := start || s.Action == mode.StopUnit && s.Unit == "seatd.service"
			if s.Tolerated != want {
				t.Errorf("%s -> %s: %s is tolerated: %v", tr.From, tr.To, s.Title(), s.Tolerated)
			}
		}
	}
}

// TestBounds holds what the parts of a bound come from; that they bound a real
// run is a test of the engine.
func TestBounds(t *testing.T) {
	cfg := config.Default()
	p := ForState(mode.StateCompute, mode.Desktop, cfg)
	b := p.Bound(cfg)
	if b.Forward != b.Observe+b.Guards+b.Steps+b.Settle || b.Whole != b.Forward+b.Back || b.Steps != p.Total() || b.Back == 0 {
		t.Errorf("%+v", b)
	}
	more := cfg
	more.VLLM.DrainTimeout += config.Duration(time.Hour)
	if got := p.Bound(more).Guards - b.Guards; got != time.Hour {
		t.Errorf("an hour more of draining adds %v", got)
	}
	if there := ForState(mode.StateDesktop, mode.Compute, cfg); there.Bound(more).Guards != there.Bound(cfg).Guards {
		t.Error("draining counts where nothing is drained")
	}
	if noop := (Plan{Noop: true, From: mode.StateDesktop}).Bound(cfg); noop.Whole != cfg.Timeouts.Observe.Std() {
		t.Errorf("a no-op may take %v", noop.Whole)
	}
	for _, from := range mode.States() {
		for _, to := range mode.All() {
			if whole := ForState(from, to, cfg).Bound(cfg).Whole; whole > Longest(cfg) {
				t.Errorf("%s -> %s may take %v, longer than the longest, %v", from, to, whole, Longest(cfg))
			}
		}
	}
}
