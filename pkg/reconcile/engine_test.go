package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/flock"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

// world is a machine whose units change as steps tell it to, and which can be
// told to fail at a step. It is the only stand-in of this package: the real
// machine is tested in tests/loop.
type world struct {
	t     *testing.T
	units map[string]string
	// session tells whether a person's session is there.
	session bool
	// fail maps a step's title to what goes wrong; a step that is in breaks
	// does its work all the same.
	fail  map[string]error
	hook  func(title string)
	block map[string]guard.Result
	did   []string
	asked [][]string
}

func newWorld(t *testing.T, m mode.Mode) *world {
	w := &world{t: t, units: map[string]string{}, fail: map[string]error{}, block: map[string]guard.Result{}}
	for _, u := range []string{"compute.target", "vllm.service", "studio-local-policy.service", "audio-priority.service"} {
		w.units[u] = "inactive"
	}
	w.units["desktop.target"], w.units["display-manager.service"], w.session = "active", "active", true
	switch m {
	case mode.StudioLocal:
		w.units["studio-local-policy.service"], w.units["audio-priority.service"] = "active", "active"
	case mode.Compute:
		w.units["desktop.target"], w.units["display-manager.service"], w.session = "inactive", "inactive", false
		w.units["compute.target"], w.units["vllm.service"] = "active", "active"
	}
	return w
}

func (w *world) unit(name string) evidence.Unit {
	return evidence.Unit{Name: name, Load: "loaded", Active: w.units[name]}
}

func (w *world) Observe(context.Context) observe.Observation {
	read := func(s string) evidence.Status { return evidence.Status(s) }
	ev := evidence.Evidence{}
	ev.Sessions.Status, ev.Compositors.Status, ev.Controller.Status, ev.Boot.Status = read("ok"), read("ok"), read("ok"), read("ok")
	if w.session {
		ev.Sessions.Value = []evidence.Session{{ID: "1", Type: "wayland", Class: "user", State: "active", User: "ada"}}
	}
	ev.LoginPath = evidence.Reading[[]evidence.Unit]{Status: "ok", Value: []evidence.Unit{w.unit("display-manager.service")}}
	ev.Targets = evidence.Reading[evidence.Targets]{Status: "ok", Value: evidence.Targets{Desktop: w.unit("desktop.target"), Compute: w.unit("compute.target")}}
	v := evidence.VLLM{Enabled: true, Unit: w.unit("vllm.service"), Health: evidence.Unreachable}
	if v.Unit.IsActive() {
		v.Health = evidence.Healthy
	}
	ev.VLLM = evidence.Reading[evidence.VLLM]{Status: "ok", Value: v}
	ev.Overlay = evidence.Reading[evidence.Overlay]{Status: "ok", Value: evidence.Overlay{
		Policy: w.unit("studio-local-policy.service"), Priority: w.unit("audio-priority.service"),
	}}
	ev.Boot.Value = evidence.Boot{SystemState: "running", Finished: true}
	return observe.Classify(ev, observe.Policy{VLLMEnabled: true, LoginPath: []string{"display-manager.service"}})
}

func (w *world) Guards(_ context.Context, names []string, target mode.Mode, _ bool) []guard.Result {
	w.asked = append(w.asked, names)
	var out []guard.Result
	for _, n := range names {
		r, blocked := w.block[n]
		if !blocked {
			r = guard.Result{OK: true, Class: guard.Pass, Reason: "fine"}
		}
		r.Guard, r.Target = "check_"+n, target
		if r.Evidence == nil {
			r.Evidence = json.RawMessage("{}")
		}
		out = append(out, r)
	}
	return out
}

func (w *world) Gate(ctx context.Context, names []string, target mode.Mode) []guard.Result {
	return w.Guards(ctx, names, target, false)
}

func (w *world) Hold(context.Context, mode.Mode) func() { return func() {} }

func (w *world) Do(ctx context.Context, s plan.Step, _ mode.Mode) (string, error) {
	title := s.Title()
	w.did = append(w.did, title)
	if w.hook != nil {
		w.hook(title)
	}
	if err := w.fail[title]; err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			<-ctx.Done()
		}
		return "", err
	}
	switch s.Action {
	case mode.StopUnit:
		w.units[s.Unit] = "inactive"
	case mode.StartUnit:
		w.units[s.Unit] = "active"
	case mode.EndSessions:
		w.session = false
	case mode.AwaitLogin:
		w.session = w.units["display-manager.service"] == "active"
	case mode.VerifyDesktop:
		if !w.session {
			return "", errors.New("nobody is there")
		}
	}
	return "", nil
}

func newEngine(t *testing.T, w *world) *Engine {
	root := hostfs.Root(t.TempDir())
	for _, dir := range []string{record.RunDir, record.StateDir, "/proc"} {
		if err := os.MkdirAll(root.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The lock is a real one, which the kernel lists in the real file.
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path("/proc/locks"), locks, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.VLLM.Enable = true
	short := config.Duration(10 * time.Millisecond)
	cfg.Timeouts.Observe, cfg.Desktop.AnnounceGrace = short, short
	cfg.Timeouts.Settle, cfg.Timeouts.Gate, cfg.Timeouts.StartUnit, cfg.Timeouts.StopUnit = short, short, short, short
	cfg.VLLM.StartTimeout, cfg.Timeouts.Graphical, cfg.Timeouts.EndSessions = short, short, short
	e := &Engine{Host: w, Config: cfg, Store: record.Store{Root: root}, Now: time.Now, ID: "t1", BootID: "b1", PID: os.Getpid()}
	if err := e.Store.SetDesired(mode.Desktop); err != nil {
		t.Fatal(err)
	}
	return e
}

func history(t *testing.T, e *Engine) []record.Event {
	t.Helper()
	var out []record.Event
	bad, err := e.Store.Events(func(ev record.Event) error { out = append(out, ev); return nil })
	if err != nil || bad > 0 {
		t.Fatalf("history: %d bad lines, %v", bad, err)
	}
	return out
}

// TestTransitions walks every way of the table on a machine that obeys.
func TestTransitions(t *testing.T) {
	for _, from := range mode.All() {
		for _, to := range mode.All() {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				w := newWorld(t, from)
				e := newEngine(t, w)
				ev, err := e.Run(t.Context(), to)
				if err != nil {
					t.Fatal(err)
				}
				want := record.Converged
				if from == to {
					want = record.Noop
				}
				if ev.Outcome != want || ev.ExitCode != 0 || ev.Final != to.State() || ev.Prior != from.State() {
					t.Errorf("outcome %s, code %d, %s -> %s: %s", ev.Outcome, ev.ExitCode, ev.Prior, ev.Final, ev.Reason)
				}
				if from == to && len(w.did)+len(w.asked) > 0 {
					t.Errorf("a no-op did %v and asked %v", w.did, w.asked)
				}
				if desired, _, _ := e.Store.Desired(); desired != to {
					t.Errorf("desired is %s, want %s", desired, to)
				}
				if current, _, _ := e.Store.Current(); current != to.State() {
					t.Errorf("current is %s, want %s", current, to)
				}
				if _, found, _ := e.Store.Marker(); found {
					t.Error("the marker is left")
				}
				wantLines := 2 // intent, transition
				if from == to {
					wantLines = 1
				}
				if h := history(t, e); len(h) != wantLines || h[len(h)-1].Outcome != want {
					t.Errorf("history: %+v", h)
				}
			})
		}
	}
}

// TestBlocked holds that a block touches nothing, keeps desired, and ends with
// the code of the hard guard with the lowest code.
func TestBlocked(t *testing.T) {
	block := func(code exitcode.Code, hard bool, class guard.Class) guard.Result {
		return guard.Result{Code: code, Hard: hard, Class: class, Reason: "r", Message: "m"}
	}
	tests := map[string]struct {
		results map[string]guard.Result
		code    exitcode.Code
		outcome record.Outcome
	}{
		"soft":                    {map[string]guard.Result{"memory_headroom": block(14, false, guard.Block)}, 14, record.Blocked},
		"hard beats soft":         {map[string]guard.Result{"memory_headroom": block(14, false, guard.Block), "target_reachable": block(18, true, guard.Block)}, 18, record.Blocked},
		"lowest of the hard":      {map[string]guard.Result{"target_reachable": block(18, true, guard.Block), "graphical_session_terminable": block(17, true, guard.Block)}, 17, record.Blocked},
		"error is no pass":        {map[string]guard.Result{"memory_headroom": block(24, false, guard.Error)}, 24, record.CheckError},
		"block before its errors": {map[string]guard.Result{"target_reachable": block(28, true, guard.Error), "graphical_session_terminable": block(17, true, guard.Block)}, 17, record.Blocked},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			// From studio-local: the overlay must not be touched either.
			w := newWorld(t, mode.StudioLocal)
			w.block = tc.results
			e := newEngine(t, w)
			ev, err := e.Run(t.Context(), mode.Compute)
			if err != nil {
				t.Fatal(err)
			}
			if ev.ExitCode != tc.code || ev.Outcome != tc.outcome || len(w.did) > 0 {
				t.Errorf("code %d, outcome %s, did %v; want %d, %s, nothing", ev.ExitCode, ev.Outcome, w.did, tc.code, tc.outcome)
			}
			if desired, _, _ := e.Store.Desired(); desired != mode.Desktop {
				t.Errorf("desired became %s", desired)
			}
			if current, _, _ := e.Store.Current(); current != mode.StateStudioLocal {
				t.Errorf("current is %s", current)
			}
			if g, found, _ := e.Store.LastGuards(); !found || len(g.Results) != len(ev.Guards) {
				t.Errorf("last-guards.json holds %d results, want %d", len(g.Results), len(ev.Guards))
			}
		})
	}
}

// TestFailureAtEveryStep lets each step of each transition fail in turn, once
// with an error and once by running out of time, and holds that the machine is
// then back in its prior mode, verified, with the right code; or, at a step
// that is tolerated, that the outcome is what is then observed.
func TestFailureAtEveryStep(t *testing.T) {
	for _, row := range mode.Transitions() {
		e := newEngine(t, newWorld(t, row.From))
		for i, s := range plan.ForState(row.From.State(), row.To, e.Config).Steps {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s at %s, late %v", row.From, row.To, s.Title(), late), func(t *testing.T) {
					w := newWorld(t, row.From)
					e := newEngine(t, w)
					cause := errors.New("it broke")
					if late {
						cause = context.DeadlineExceeded
					}
					if s.Action == mode.Gate {
						w.block["graphical_session_absent"] = guard.Result{Code: 17, Hard: true, Class: guard.Block, Message: "held"}
						late = true // a gate that never passes is out of time
					} else {
						w.fail[s.Title()] = cause
						// Once: the way back may need the same step.
						w.hook = func(title string) {
							if len(w.did) > 1 && strings.Count(strings.Join(w.did, "\n"), title) > 1 {
								delete(w.fail, title)
							}
						}
					}
					ev, err := e.Run(t.Context(), row.To)
					if err != nil {
						t.Fatal(err)
					}
					if ev.Outcome == record.Converged && !happened(ev, s.Title()) {
						return // the step did not apply on this machine
					}
					switch {
					case s.Tolerated && row.To == mode.StudioLocal:
						// Without a person's session there is no studio to go to.
						if ev.Outcome != record.Converged && ev.Final != row.From.State() {
							t.Errorf("outcome %s, final %s: %s", ev.Outcome, ev.Final, ev.Reason)
						}
					case s.Tolerated:
						if ev.Outcome != record.Converged && ev.Outcome != record.Degraded {
							t.Errorf("step %d: outcome %s, final %s: %s", i, ev.Outcome, ev.Final, ev.Reason)
						}
					case late:
						if ev.Outcome != record.TimedOut || ev.ExitCode != exitcode.TimedOut || ev.Final != row.From.State() {
							t.Errorf("outcome %s, code %d, final %s: %s\n%v", ev.Outcome, ev.ExitCode, ev.Final, ev.Reason, w.did)
						}
					default:
						if ev.Outcome != record.RolledBack || ev.ExitCode != exitcode.RolledBack || ev.Final != row.From.State() {
							t.Errorf("outcome %s, code %d, final %s: %s\n%v", ev.Outcome, ev.ExitCode, ev.Final, ev.Reason, w.did)
						}
					}
					if desired, _, _ := e.Store.Desired(); !ev.Success && ev.Outcome != record.Degraded && desired != mode.Desktop {
						t.Errorf("desired became %s", desired)
					}
				})
			}
		}
	}
}

func happened(ev record.Event, title string) bool {
	for _, a := range ev.Actions {
		if a.Title == title && a.Status != record.Skipped {
			return true
		}
	}
	return false
}

// TestDisplayManagerStaysAway holds that a desktop without its display manager
// is told as degraded, with the guarantee that is missing, and not undone.
func TestDisplayManagerStaysAway(t *testing.T) {
	w := newWorld(t, mode.Compute)
	w.fail["start display-manager.service"] = errors.New("start-limit-hit")
	w.fail["wait for a session or a greeter"] = context.DeadlineExceeded
	e := newEngine(t, w)
	ev, err := e.Run(t.Context(), mode.Desktop)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Outcome != record.Degraded || ev.ExitCode != exitcode.Degraded || ev.Final != mode.DegradedDesktop {
		t.Errorf("outcome %s, code %d, final %s", ev.Outcome, ev.ExitCode, ev.Final)
	}
	if len(ev.Unmet) != 1 || ev.Unmet[0].Predicate != observe.GraphicalPath || !strings.Contains(ev.Reason, string(observe.GraphicalPath)) {
		t.Errorf("unmet %v, reason %q", ev.Unmet, ev.Reason)
	}
}

// TestNothingCanBeRestored holds that a rollback which fails too is told as
// what is observed, never as success.
func TestNothingCanBeRestored(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	w.fail["wait until vLLM is healthy"] = context.DeadlineExceeded
	w.fail["start desktop.target"] = errors.New("masked")
	w.fail["stop compute.target"] = errors.New("stuck")
	e := newEngine(t, w)
	ev, err := e.Run(t.Context(), mode.Compute)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Success || (ev.ExitCode != exitcode.Failed && ev.ExitCode != exitcode.Degraded) {
		t.Errorf("outcome %s, code %d, final %s", ev.Outcome, ev.ExitCode, ev.Final)
	}
	if ev.Outcome == record.Failed {
		if o := w.Observe(t.Context()); func() bool { _, usable := o.State.Base(); return usable }() {
			t.Errorf("told as failed, but %s is usable", o.State)
		}
	}
}

// TestStopped holds that a controller that is told to stop half-way restores
// the prior mode before it ends.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t, mode.Desktop)
	w.hook = func(title string) {
		if title == "stop desktop.target" {
			cancel()
		}
	}
	e := newEngine(t, w)
	ev, err := e.Run(ctx, mode.Compute)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Outcome != record.RolledBack || ev.Final != mode.StateDesktop {
		t.Errorf("outcome %s, final %s: %s", ev.Outcome, ev.Final, ev.Reason)
	}
}

// TestLocked holds that a second transition does not begin, and says who holds
// the lock.
func TestLocked(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	holder, err := flock.TryAcquire(e.Store.Root.Path(record.LockFile), []byte(`{"pid":4242,"target":"compute"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Release()
	_, err = e.Run(t.Context(), mode.Desktop)
	var coder exitcode.Coder
	if !errors.As(err, &coder) || coder.ExitCode() != exitcode.Locked || len(w.did) > 0 {
		t.Errorf("error %v, did %v", err, w.did)
	}
}

// TestNoRecordNoTransition holds that nothing is touched when the intent can't
// be written.
func TestNoRecordNoTransition(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	if err := os.RemoveAll(e.Store.Root.Path(record.StateDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), mode.Compute); err == nil || len(w.did) > 0 {
		t.Errorf("error %v, did %v", err, w.did)
	}
	if _, found, _ := e.Store.Marker(); found {
		t.Error("the marker of a transition that never began is left")
	}
}

// TestInterrupted holds that a controller that died leaves exactly one record
// of that, however often its successor runs, and that the successor converges.
func TestInterrupted(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	died := errors.New("killed")
	w.hook = func(title string) {
		if title == "stop desktop.target" {
			panic(died)
		}
	}
	func() {
		defer func() {
			if recover() != died { //nolint:errorlint // the very value
				t.Fatal("the controller did not die where it should")
			}
		}()
		_, _ = e.Run(t.Context(), mode.Compute)
	}()
	w.hook = nil
	next := *e
	next.ID = "t2"
	ev, err := next.Run(t.Context(), mode.Desktop)
	if err != nil || !ev.Success {
		t.Fatalf("the successor: %+v, %v", ev, err)
	}
	next.ID = "t3"
	if _, err := next.Run(t.Context(), mode.Desktop); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range history(t, e) {
		got = append(got, fmt.Sprintf("%s %s %s", ev.ID, ev.Type, ev.Outcome))
	}
	want := []string{"t1 intent ", "t1 transition interrupted", "t2 intent ", "t2 transition converged", "t3 transition noop"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
