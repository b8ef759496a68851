package unitctl

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/systemd"
	"github.com/ryjen/dubnium/tests/hosts"
)

const (
	patience = 300 * time.Millisecond
	slack    = 5 * time.Second
)

// manage connects to a machine's manager, with short intervals.
func manage(t *testing.T, h *hosts.Host) *Manager {
	t.Helper()
	m, err := NewManager(t.Context(), h.Root())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	m.poll, m.backoff = 20*time.Millisecond, time.Millisecond
	return m
}

func TestStart(t *testing.T) {
	const unit = "vllm.service"
	tests := map[string]struct {
		outcomes []hosts.Outcome
		result   string // of the job
		active   string // state afterwards
		failed   bool   // whether the error is a JobFailed
		limit    bool
		skipped  bool
	}{
		"done":               {nil, "done", "active", false, false, false},
		"told early":         {[]hosts.Outcome{{Early: true}}, "done", "active", false, false, false},
		"never told":         {[]hosts.Outcome{{Lost: true}}, ResultUntold, "active", false, false, false},
		"never told, failed": {[]hosts.Outcome{{Lost: true, State: hosts.Props{"ActiveState": "failed"}}}, ResultUntold, "failed", true, false, false},
		"failed":             {[]hosts.Outcome{{Result: "failed", State: hosts.Props{"ActiveState": "failed", "Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 3}}}, "failed", "failed", true, false, false},
		"start limit":        {[]hosts.Outcome{{Result: "failed", State: hosts.Props{"ActiveState": "failed", "Result": "start-limit-hit"}}}, "failed", "failed", true, true, false},
		"timeout":            {[]hosts.Outcome{{Result: "timeout", State: hosts.Props{"ActiveState": "failed", "Result": "timeout"}}}, "timeout", "failed", true, false, false},
		"canceled":           {[]hosts.Outcome{{Result: "canceled"}}, "canceled", "inactive", true, false, false},
		"dependency":         {[]hosts.Outcome{{Result: "dependency"}}, "dependency", "inactive", true, false, false},
		"skipped":            {[]hosts.Outcome{{Result: "skipped"}}, "skipped", "inactive", true, false, false},
		"condition":          {[]hosts.Outcome{{State: hosts.Props{"ActiveState": "inactive", "ConditionResult": false}}}, "done", "inactive", true, false, true},
		"done, yet restarts": {[]hosts.Outcome{{State: hosts.Props{"ActiveState": "activating", "SubState": "auto-restart"}}}, "done", "activating", true, false, false},
		"busy twice": {[]hosts.Outcome{
			{Error: "org.freedesktop.systemd1.TransactionIsDestructive"}, {Error: "System.Error.EDEADLK"}, {},
		}, "done", "active", false, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := hosts.Start(t, "idle-desktop")
			m := manage(t, h)
			h.Systemd.OnJob("start", unit, tt.outcomes...)
			r, err := m.Start(t.Context(), unit, ModeFail)
			if r.Result != tt.result || r.Unit.ActiveState != tt.active {
				t.Errorf("got %q and %q (%v), want %q and %q", r.Result, r.Unit.ActiveState, err, tt.result, tt.active)
			}
			var failed *JobFailed
			if errors.As(err, &failed) != tt.failed || (err == nil) == tt.failed {
				t.Fatalf("got the error %v, want a JobFailed: %t", err, tt.failed)
			}
			if tt.failed && (failed.StartLimitHit() != tt.limit || failed.Skipped() != tt.skipped) {
				t.Errorf("start limit hit %t, skipped %t: %v", failed.StartLimitHit(), failed.Skipped(), err)
			}
		})
	}
}

// TestEnqueue: a job that never ends is not waited for.
func TestEnqueue(t *testing.T) {
	h := hosts.Start(t, "booting")
	m := manage(t, h)
	h.Systemd.OnJob("start", "desktop.target", hosts.Outcome{Stuck: true})
	if err := m.Enqueue(t.Context(), "desktop.target", ModeFail); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"StartUnit desktop.target fail"}, h.Calls()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := m.Enqueue(t.Context(), "nonsuch.target", ModeFail); !bus.IsUnknownObject(err) {
		t.Errorf("a unit that is not there: %v", err)
	}
}

func TestJobFailedSays(t *testing.T) {
	r := JobResult{Result: "failed", Unit: systemd.Unit{ActiveState: "failed", SubState: "failed", Detail: systemd.Detail{Result: "exit-code", ExecMainCode: 1, ExecMainStatus: 3}}}
	want := `start a.service: the job ended as "failed" and the unit is failed (failed), with the result exit-code (exit status 3); see journalctl --boot --unit=a.service`
	if got := jobFailed("start", "a.service", r).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStop(t *testing.T) {
	h := hosts.Start(t, "compute")
	m := manage(t, h)
	ended := false
	h.Systemd.After("stop", "vllm.service", func() { ended = true })
	r, err := m.Stop(t.Context(), "vllm.service", ModeFail)
	if err != nil || r.Result != "done" || r.Unit.Up() || !ended {
		t.Errorf("got %+v, %v; the effect came: %t", r, err, ended)
	}
	r, err = m.Stop(t.Context(), "nonsuch.service", ModeFail)
	if err != nil || r.Result != ResultAbsent || r.Unit.Up() {
		t.Errorf("a unit that is not there: %+v, %v", r, err)
	}
	h.Systemd.OnJob("stop", "compute.target", hosts.Outcome{State: hosts.Props{"ActiveState": "deactivating"}})
	var failed *JobFailed
	if _, err := m.Stop(t.Context(), "compute.target", ModeFail); !errors.As(err, &failed) || failed.Verb != "stop" {
		t.Errorf("a unit that says it stopped and did not: %v", err)
	}
	h.Systemd.OnJob("stop", "compute.target", hosts.Outcome{State: hosts.Props{"ActiveState": "failed"}})
	if r, err := m.Stop(t.Context(), "compute.target", ModeFail); err != nil || !r.Unit.Failed() {
		t.Errorf("a unit that failed on the way down is down: %+v, %v", r, err)
	}
	want := []string{"StopUnit vllm.service fail", "StopUnit nonsuch.service fail", "StopUnit compute.target fail", "StopUnit compute.target fail"}
	if diff := cmp.Diff(want, h.Calls()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	m := manage(t, h)
	if _, err := m.Start(t.Context(), "nonsuch.service", ModeFail); !bus.IsUnknownObject(err) {
		t.Errorf("start a unit that is not there: %v", err)
	}
	h.Systemd.OnJob("start", "vllm.service", hosts.Outcome{Error: "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"})
	if _, err := m.Start(t.Context(), "vllm.service", ModeFail); !bus.IsAccessDenied(err) {
		t.Errorf("start a unit without permission: %v", err)
	}
}

// TestDeadlines: whatever does not come, the context's end does.
func TestDeadlines(t *testing.T) {
	const unit = "vllm.service"
	busy := make([]hosts.Outcome, 10000)
	for i := range busy {
		busy[i].Error = "org.freedesktop.systemd1.TransactionIsDestructive"
	}
	tests := map[string]func(t *testing.T, h *hosts.Host){
		"a job that never ends": func(_ *testing.T, h *hosts.Host) { h.Systemd.OnJob("start", unit, hosts.Outcome{Stuck: true}) },
		"always busy":           func(_ *testing.T, h *hosts.Host) { h.Systemd.OnJob("start", unit, busy...) },
		"a manager that hangs":  func(_ *testing.T, h *hosts.Host) { h.HangSystemd() },
		"a bus that hangs":      func(t *testing.T, h *hosts.Host) { h.StopBus(); t.Cleanup(h.ContinueBus) },
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			h := hosts.Start(t, "idle-desktop")
			m := manage(t, h)
			fault(t, h)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			_, err := m.Start(ctx, unit, ModeFail)
			var deadline *Deadline
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &deadline) {
				t.Errorf("got %v, want a Deadline", err)
			}
			if took := time.Since(start); took > patience+slack {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestBusDies(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	m := manage(t, h)
	h.Systemd.OnJob("start", "vllm.service", hosts.Outcome{Stuck: true})
	done := make(chan error, 1)
	go func() {
		_, err := m.Start(t.Context(), "vllm.service", ModeFail)
		done <- err
	}()
	h.KillBus()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a start without a bus succeeds")
		}
	case <-time.After(slack):
		t.Fatal("a start does not notice that the bus is gone")
	}
}

func TestNewManagerInTime(t *testing.T) {
	for name, fault := range map[string]func(*hosts.Host){
		"hung manager": func(h *hosts.Host) { h.HangSystemd() },
		"stopped bus":  func(h *hosts.Host) { h.StopBus() },
	} {
		t.Run(name, func(t *testing.T) {
			h := hosts.Start(t, "empty")
			fault(h)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			if m, err := NewManager(ctx, h.Root()); err == nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, %v", m, err)
			}
			if took := time.Since(start); took > patience+slack {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestResetFailed(t *testing.T) {
	h := hosts.Start(t, "last-failed")
	m := manage(t, h)
	if err := m.ResetFailed(t.Context(), "display-manager.service"); err != nil {
		t.Error(err)
	}
	if got := h.Systemd.State("greetd.service"); got != "inactive" {
		t.Errorf("after the reset it is %s", got)
	}
	if err := m.ResetFailed(t.Context(), "nonsuch.service"); err != nil {
		t.Errorf("a unit that is not there: %v", err)
	}
}
