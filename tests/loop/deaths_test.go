package loop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

// TestReset cuts the machine's power between two steps of a transition, on the
// way to compute and on the way back; with -every, between any two. The next
// boot is the default mode's, tells once that a transition was interrupted, and
// the same request converges.
func TestReset(t *testing.T) {
	t.Parallel()
	b := boot(t, quick)
	tried := 0
	for _, to := range []mode.Mode{mode.Compute, mode.Desktop} {
		first, last := 4, 4
		if *every {
			first, last = 1, 20
		}
		for n := first; n <= last; n++ {
			if to == mode.Desktop {
				b.run(0, "mode", "request", "compute")
			}
			if !b.cutPower(to, n) {
				break
			}
			tried++
			b.run(0, "mode", "request", "desktop")
		}
	}
	t.Logf("the power was cut %d times", tried)
	if tried < 2 {
		t.Error("no transition was under way")
	}
}

// cutPower cuts the power at the n-th boundary between two steps of a
// transition; false is a transition that has fewer.
func (b box) cutPower(to mode.Mode, n int) bool {
	b.t.Helper()
	k := newKillTest(b)
	held, down := make(chan struct{}), make(chan struct{})
	k.Arm(n, StepBoundary, func(int) { close(held); <-down })
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	ended := make(chan machine.Result, 1)
	go func() { ended <- b.Run(ctx, "mode", "request", string(to)) }()
	select {
	case <-held:
	case <-ended:
		close(down)
		return false
	}
	marker, err := Marker(b.Machine)
	if err != nil {
		b.t.Fatal(err)
	}
	known := len(b.history())
	if err := b.Reset(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	close(down)
	<-ended
	_ = k.Close()
	where := fmt.Sprintf("power cut on the way to %s, at %s", to, stage(marker))
	b.t.Log(where)
	if _, err := b.WaitSession(b.t.Context()); err != nil {
		b.t.Fatalf("%s: %v", where, err)
	}
	b.Eventually(b.t, 20*time.Second, func() error {
		if o := b.observation(); o.State != mode.StateDesktop {
			return fmt.Errorf("%s: observed as %s, unmet %v", where, o.State, o.Unmet)
		}
		return nil
	})
	if got := b.file(record.RunDir + "/desired"); got != "desktop\n" {
		b.t.Errorf("%s: desired is %q after the boot", where, got)
	}
	after := b.history()[known:]
	if len(after) != 1 || after[0].ID != marker.ID || after[0].Outcome != record.Interrupted || after[0].Type != record.TypeTransition {
		b.t.Errorf("%s: the boot wrote %+v", where, after)
	}
	k = newKillTest(b)
	k.converges(to)
	_ = k.Close()
	return true
}

// kill kills a unit, and returns when systemd knows of it: what the controller
// observes from then on has to show it.
func (b box) kill(unit string) {
	main := func() string {
		return b.Run(b.t.Context(), "systemctl", "show", "--value", "--property=MainPID", unit).Stdout
	}
	before := main()
	if strings.TrimSpace(before) == "0" {
		return // it does not run yet, or no more
	}
	b.Run(b.t.Context(), "systemctl", "kill", "--signal=KILL", unit)
	for end := time.Now().Add(20 * time.Second); main() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Errorf("%s was killed, and its main process is still %s", unit, strings.TrimSpace(before))
			return
		}
	}
}

// TestDeaths kills what the controller leans on between two steps of a
// transition: D-Bus, logind, the display manager; with -every, between any two.
// The transition ends, mode request says how, what Dubnium then says is so, and
// the next request converges.
func TestDeaths(t *testing.T) {
	t.Parallel()
	b := boot(t, quick, machine.File{Path: "/etc/dubnium/dubnium.toml", Content: strings.NewReplacer(
		`endSessions = "15s"`, "endSessions = \"6s\"\nobserve = \"1s\"", `settle = "4s"`, `settle = "2s"`,
		`graphical = "15s"`, `graphical = "6s"`).Replace(Config)})
	tried := 0
	for _, death := range []struct {
		unit string
		at   int
		to   mode.Mode
		mend []string
	}{
		{"display-manager.service", 4, mode.Desktop, nil},
		{"systemd-logind.service", 2, mode.Compute, nil},
		// logind does not find its way back to a bus that was started anew.
		{"dbus.service", 6, mode.Compute, []string{"systemctl", "restart", "systemd-logind.service"}},
	} {
		first, last := death.at, death.at
		if *every {
			first, last = 1, 20
		}
		k := newKillTest(b)
		for n := first; n <= last; n++ {
			k.converges(map[mode.Mode]mode.Mode{mode.Compute: mode.Desktop, mode.Desktop: mode.Compute}[death.to])
			k.Arm(n, StepBoundary, func(int) { b.kill(death.unit) })
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			r := b.Run(ctx, "mode", "request", string(death.to))
			cancel()
			if k.Disarm() == "" {
				break
			}
			tried++
			where := fmt.Sprintf("to %s, %s killed at boundary %d", death.to, death.unit, n)
			ev := b.last()
			t.Logf("%s: %s, exit status %d after %.1f s", where, ev.Outcome, r.Code, r.Duration.Seconds())
			if err := Alone(b.Machine); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if ev.Requested != death.to || exitcode.Code(r.Code) != ev.ExitCode {
				t.Errorf("%s: the record says %s with %d of a request for %s: %s", where, ev.Outcome, ev.ExitCode, ev.Requested, r)
			}
			if len(death.mend) > 0 {
				if _, stable := b.observation().State.Stable(); stable {
					t.Errorf("%s: a mode is observed that can't be", where)
				}
				b.run(0, death.mend...)
				// What was started without a bus hangs until its own bound, and a job
				// of somebody else is not cancelled.
				b.Eventually(t, time.Minute, func() error {
					if jobs := b.run(0, "systemctl", "list-jobs", "--no-legend").Stdout; strings.TrimSpace(jobs) != "" {
						return fmt.Errorf("systemd has jobs: %s", jobs)
					}
					return nil
				})
			} else if r.Code == 0 {
				if err := Facts(t.Context(), b.Machine, death.to); err != nil {
					t.Errorf("%s: FALSE SUCCESS: %v", where, err)
				}
			}
			k.truth(where)
			k.converges(death.to)
			k.told(where, nil)
		}
		_ = k.Close()
	}
	t.Logf("%d deaths", tried)
	if tried < 3 {
		t.Error("not each of them died")
	}
}
