package idle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

const minute = time.Minute

var policy = Policy{Quiet: 30 * minute, First: 5 * minute, Most: 30 * minute}

func ada(h Hint, since time.Duration) Session { return Session{"2", "ada", "wayland", h, since} }

func TestDecide(t *testing.T) {
	const now = 100 * minute
	idle := []Session{ada(Idle, 60*minute)}
	for name, tt := range map[string]struct {
		f    Facts
		m    Memory
		do   Do
		why  Reason
		at   time.Duration
		want string
	}{
		"idle for long, in desktop":   {f: Facts{Sessions: idle, State: mode.StateDesktop}, do: Ask, why: Due, at: 90 * minute, want: "ada's wayland session 2 has been idle for 40m0s"},
		"idle for long, not observed": {f: Facts{Sessions: idle}, do: Observe, why: Unobserved, at: 90 * minute, want: "ada's wayland session 2 has been idle"},
		"idle for just long enough":   {f: Facts{Sessions: []Session{ada(Idle, 70*minute)}, State: mode.StateDesktop}, do: Ask, why: Due, at: now, want: "ada's wayland session 2 has been idle for 30m0s"},
		"idle for a moment less":      {f: Facts{Sessions: []Session{ada(Idle, 70*minute+1)}, State: mode.StateDesktop}, do: Rest, why: NotLongEnough, at: now + 1, want: "ada's wayland session 2 has been idle for 30m0s of 30m0s"},
		"a hint of the future":        {f: Facts{Sessions: []Session{ada(Idle, 200*minute)}, State: mode.StateDesktop}, do: Rest, why: NotLongEnough, at: 130 * minute, want: "ada's wayland session 2 has been idle for 0s of 30m0s"},
		"active":                      {f: Facts{Sessions: []Session{ada(Active, minute)}, State: mode.StateDesktop}, do: Rest, why: SessionActive, want: "ada's wayland session 2 is in use"},
		"never told":                  {f: Facts{Sessions: []Session{ada(Untold, 0)}, State: mode.StateDesktop}, do: Rest, why: HintUntold, want: "ada's wayland session 2 never tells whether it is idle; let its compositor, or an idle daemon such as hypridle or swayidle, set logind's idle hint"},
		"one idle, one active":        {f: Facts{Sessions: append(idle, Session{"5", "bob", "tty", Active, minute})}, do: Rest, why: SessionActive, want: "bob's tty session 5 is in use"},
		"one idle, one untold":        {f: Facts{Sessions: []Session{{"5", "bob", "x11", Untold, 0}, ada(Idle, minute)}}, do: Rest, why: HintUntold, want: "bob's x11 session 5 never tells whether it is idle; let its compositor, or an idle daemon such as hypridle or swayidle, set logind's idle hint"},
		"two idle, the last counts":   {f: Facts{Sessions: append(idle, Session{"5", "bob", "tty", Idle, 80 * minute})}, do: Rest, why: NotLongEnough, at: 110 * minute, want: "bob's tty session 5 has been idle for 20m0s of 30m0s"},
		"nobody, for long":            {f: Facts{State: mode.StateDesktop}, m: Memory{Empty: 70 * minute}, do: Ask, why: Due, at: now, want: "nobody has been logged in for 30m0s"},
		"nobody, as of now":           {f: Facts{State: mode.StateDesktop}, do: Rest, why: NotLongEnough, at: 130 * minute, want: "nobody has been logged in for 0s of 30m0s"},
		"the mode changed lately":     {f: Facts{Sessions: idle, Changed: 90 * minute, State: mode.StateDesktop}, do: Rest, why: NotLongEnough, at: 120 * minute, want: "nobody has been active since the mode changed, for 10m0s of 30m0s"},
		"inhibited":                   {f: Facts{Sessions: idle, Inhibitors: []string{"mpv (pid 7) inhibits idle: a film"}, State: mode.StateDesktop}, do: Rest, why: Inhibited, want: "mpv (pid 7) inhibits idle: a film"},
		"unread":                      {f: Facts{Sessions: idle, Unread: "logind hangs", State: mode.StateDesktop}, do: Rest, why: Unreadable, want: "whether somebody is there can't be told: logind hangs"},
		"an override waits":           {f: Facts{Sessions: idle, Override: true, State: mode.StateDesktop}, do: Rest, why: OverridePending, want: "an override of guards waits for another request"},
		"in studio-local":             {f: Facts{Sessions: idle, State: mode.StateStudioLocal}, do: Rest, why: InStudio, want: "the machine is in studio-local, which only a person ends"},
		"in compute":                  {f: Facts{State: mode.StateCompute}, m: Memory{Empty: minute}, do: Rest, why: InCompute, want: "the machine is in compute"},
		"degraded":                    {f: Facts{Sessions: idle, State: mode.DegradedDesktop}, do: Rest, why: NotInDesktop, want: "the machine is observed as degraded-desktop, and only desktop is left without a person's request"},
		"after a failed transition":   {f: Facts{Sessions: idle, State: mode.FailedTransition}, do: Rest, why: NotInDesktop, want: "the machine is observed as failed-transition, and only desktop is left without a person's request"},
		"unknown":                     {f: Facts{Sessions: idle, State: mode.Unknown}, do: Rest, why: NotInDesktop, want: "the machine is observed as unknown, and only desktop is left without a person's request"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.f.Now = now
			got, _ := Decide(tt.f, tt.m, policy)
			if diff := cmp.Diff(Decision{tt.do, tt.why, tt.want, tt.at}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func no(name, reason string) []guard.Result {
	return []guard.Result{{Guard: "check_fine", OK: true, Class: guard.Pass}, {Guard: name, Class: guard.Block, Code: 10, Hard: true, Reason: reason, Message: "because"}}
}

// TestBackOff holds that pauses double up to the longest while the same stands
// in the way, and begin anew with other reasons and other evidence.
func TestBackOff(t *testing.T) {
	f := Facts{Now: 100 * minute, Sessions: []Session{ada(Idle, 10*minute)}, State: mode.StateDesktop}
	m := Memory{}
	block := func(results []guard.Result, want time.Duration) {
		t.Helper()
		d, after := Decide(f, m, policy)
		if d.Do != Ask {
			t.Fatalf("at %v: %+v", f.Now, d)
		}
		m = Blocked(after, f, results, policy)
		if got := m.NotBefore - f.Now; got != want {
			t.Errorf("at %v: a pause of %v, want %v", f.Now, got, want)
		}
		d, m = Decide(f, m, policy)
		if d.Reason != BackingOff || d.At != m.NotBefore {
			t.Errorf("at %v: %+v", f.Now, d)
		}
		f.Now = m.NotBefore
	}
	playing := no("check_audio_idle", "pcm-running")
	for _, want := range []time.Duration{5, 10, 20, 30, 30} {
		block(playing, want*minute)
	}
	block(no("check_user_jobs_safe", "program-running"), 5*minute)
	block(no("check_user_jobs_safe", "program-running"), 10*minute)
	// A person came back and left again.
	f.Now++
	f.Sessions = []Session{ada(Active, f.Now)}
	if d, after := Decide(f, m, policy); d.Reason != SessionActive || after.Tries != 0 || after.NotBefore != 0 {
		t.Errorf("%+v, %+v", d, after)
	}
	// Nobody saw that person: the hint is another one all the same.
	f.Sessions = []Session{ada(Idle, f.Now)}
	f.Now += 30 * minute
	block(playing, 5*minute)
	// An inhibitor comes and goes.
	f.Inhibitors = []string{"x"}
	if d, after := Decide(f, m, policy); d.Reason != Inhibited || after.Tries != 0 {
		t.Errorf("%+v, %+v", d, after)
	}
}

// TestFailedIsNotRepeated holds that a transition that failed is not tried
// again for the longest pause, whatever else changes, unless somebody comes.
func TestFailedIsNotRepeated(t *testing.T) {
	f := Facts{Now: 100 * minute, Sessions: []Session{ada(Idle, 10*minute)}, State: mode.StateDesktop}
	m := Ended(Memory{}, f, record.Event{Outcome: record.RolledBack, Reason: "vLLM died"}, policy)
	f.Now, f.Sessions = 129*minute, nil // the transition has ended the session
	m.Empty = 90 * minute
	d, after := Decide(f, m, policy)
	if want := (Decision{Rest, BackingOff, "1m0s left of the pause after a transition that ended as rolled-back: vLLM died", 130 * minute}); d != want {
		t.Errorf("%s", cmp.Diff(want, d))
	}
	f.Now = 130 * minute
	if d, _ := Decide(f, after, policy); d.Do != Ask {
		t.Errorf("after the pause: %+v", d)
	}
	f.Sessions = []Session{ada(Active, f.Now)}
	if _, after := Decide(f, after, policy); after.NotBefore != 0 {
		t.Errorf("somebody is back: %+v", after)
	}
}

func TestEnded(t *testing.T) {
	f := Facts{Now: 100 * minute}
	for outcome, want := range map[record.Outcome]time.Duration{
		record.Converged: 0, record.Noop: 0, record.Blocked: 5 * minute, record.CheckError: 5 * minute, record.RolledBack: 30 * minute,
		record.TimedOut: 30 * minute, record.Degraded: 30 * minute, record.Failed: 30 * minute, record.Interrupted: 30 * minute,
	} {
		m := Ended(Memory{Empty: minute, Tries: 0}, f, record.Event{Outcome: outcome, Guards: no("check_a", "b")}, policy)
		if got := max(0, m.NotBefore-f.Now); got != want || m.Empty != minute {
			t.Errorf("%s: a pause of %v, want %v; empty %v", outcome, got, want, m.Empty)
		}
	}
}

func TestFactsOf(t *testing.T) {
	got := FactsOf(login.State{
		Sessions: []login.Session{
			{ID: "1", User: "ada", Class: "user", Type: "wayland", Seat: "seat0", State: "active"},
			{ID: "2", User: "ada", Class: "user", Type: "wayland", State: "online", Idle: true, IdleSinceMonotonicUsec: 2e6, IdleSinceUsec: 9},
			{ID: "3", User: "bob", Class: "user-early", Type: "tty", Seat: "seat0", State: "active", IdleSinceMonotonicUsec: 3e6},
			{ID: "4", User: "eve", Class: "user", Type: "tty", Remote: true, State: "active"},
			{ID: "5", User: "greetd", Class: "greeter", Type: "wayland", Seat: "seat0", State: "active"},
			{ID: "6", User: "ada", Class: "manager", Type: "unspecified", State: "active"},
			{ID: "7", User: "ada", Class: "user", Type: "x11", Seat: "seat0", State: "closing"},
			{ID: "8", User: "cron", Class: "background", Type: "unspecified", State: "active"},
		},
		Inhibitors: []login.Inhibitor{
			{What: []string{"shutdown", "idle"}, Who: "mpv", Why: "a film", Mode: "block", PID: 7},
			{What: []string{"sleep"}, Who: "a backup", Why: "tape", Mode: "block-weak", PID: 8},
			{What: []string{"sleep"}, Who: "locker", Why: "lock first", Mode: "delay", PID: 9},
			{What: []string{"handle-lid-switch"}, Who: "gnome", Why: "a screen", Mode: "block", PID: 10},
		},
		PreparingForSleep: true,
	}, nil)
	want := Facts{
		Sessions: []Session{
			{"1", "ada", "wayland", Untold, 0}, {"2", "ada", "wayland", Idle, 2 * time.Second}, {"3", "bob", "tty", Active, 3 * time.Second},
		},
		Inhibitors: []string{"mpv (pid 7) inhibits shutdown:idle: a film", "a backup (pid 8) inhibits sleep: tape", "the machine is about to go down or to sleep"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, s := range map[string]login.State{"sessions": {}, "inhibitors": {InhibitorsErr: errGone}, "manager": {ManagerErr: errGone}} {
		var err error
		if name == "sessions" {
			err = errGone
		}
		if got := FactsOf(s, err); got.Unread == "" {
			t.Errorf("%s could not be read, and that is not told: %s", name, cmp.Diff(Facts{}, got, cmpopts.EquateEmpty()))
		}
	}
}
