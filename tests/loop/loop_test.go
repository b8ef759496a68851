package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

// box is a machine with a desktop on it and the words that tests need.
type box struct {
	*machine.Machine
	t *testing.T
}

func boot(t *testing.T, files ...machine.File) box {
	t.Helper()
	b := box{machine.Start(t, Options(files...)), t}
	if _, err := b.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a command and fails the test unless it exits with code.
func (b box) run(code exitcode.Code, argv ...string) machine.Result {
	b.t.Helper()
	r := b.Run(b.t.Context(), argv...)
	if r.Code != int(code) || r.Err != nil {
		b.t.Fatalf("want exit status %d: %s", code, r)
	}
	return r
}

// observed asks observe-current, and fails the test unless it says want with
// high confidence.
func (b box) observed(want mode.State) observe.Observation {
	b.t.Helper()
	o := b.observation()
	if o.State != want || o.Confidence != observe.High {
		b.t.Fatalf("observed %s with confidence %s, want %s with high: unmet %v, conflicts %v, errors %v", o.State, o.Confidence, want, o.Unmet, o.Conflicts, o.InspectionErrors)
	}
	return o
}

func (b box) observation() observe.Observation {
	b.t.Helper()
	var o observe.Observation
	decode(b.t, b.run(0, "observe-current", "--json").Stdout, &o)
	return o
}

func (b box) last() record.Event {
	b.t.Helper()
	var ev record.Event
	decode(b.t, b.file(record.RunDir+"/last-transition.json"), &ev)
	return ev
}

func (b box) file(path string) string {
	b.t.Helper()
	data, err := b.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

func (b box) history() []record.Event {
	b.t.Helper()
	var out []record.Event
	for line := range strings.Lines(b.file(record.EventsFile)) {
		var ev record.Event
		decode(b.t, line, &ev)
		out = append(out, ev)
	}
	return out
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// noSession fails the test unless logind knows no graphical session.
func (b box) noSession() {
	b.t.Helper()
	sessions, err := b.Sessions(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range sessions {
		if s.Type == "wayland" || s.Class == "greeter" {
			b.t.Errorf("logind still has %+v", s)
		}
	}
}

// TestLoop walks desktop -> studio-local -> desktop -> compute -> desktop, by
// mode request and by systemctl start, which do the same; each time the facts
// themselves are looked at, not only what Dubnium says of them.
func TestLoop(t *testing.T) {
	b := boot(t)
	for file, want := range map[string]string{"desired": "desktop\n", "current": "desktop\n"} {
		b.Eventually(t, 10*time.Second, func() error {
			if got := b.file(record.RunDir + "/" + file); got != want {
				return fmt.Errorf("after boot %s is %q, want %q", file, got, want)
			}
			return nil
		})
	}
	for _, file := range []string{"capability-placement.json", "hardware-topology.json"} {
		var doc map[string]any
		decode(t, b.file(record.RunDir+"/"+file), &doc)
	}
	b.observed(mode.StateDesktop)

	b.run(0, "mode", "request", "studio-local")
	b.observed(mode.StateStudioLocal)
	if ev := b.last(); ev.AskedBy == nil || ev.AskedBy.User != "root" || ev.AskedBy.CutOff || ev.Trigger != record.ByOperator {
		t.Errorf("by mode it was asked for by %s, %+v", ev.Trigger, ev.AskedBy)
	}
	b.run(0, "systemctl", "is-active", "studio-local-policy.service", "audio-priority.service")
	b.weights("interactive.slice", "CPUWeight=1000")
	b.weights("ai.slice", "CPUWeight=10", "MemoryHigh=4294967296")
	b.run(0, "systemctl", "start", "mode-controller@desktop")
	b.observed(mode.StateDesktop)
	if ev := b.last(); ev.AskedBy != nil || ev.Trigger != record.ByUnit {
		t.Errorf("by systemctl it was asked for by %s, %+v", ev.Trigger, ev.AskedBy)
	}
	b.weights("interactive.slice", "CPUWeight=200")
	b.weights("ai.slice", "CPUWeight=100", "MemoryHigh=infinity")

	for _, way := range [][]string{{"mode", "request", "compute"}, {"systemctl", "start", "mode-controller@compute"}} {
		b.run(0, way...)
		o := b.observed(mode.StateCompute)
		if o.Signals.VLLM.Value.Health != "healthy" {
			t.Errorf("vLLM is %s", o.Signals.VLLM.Value.Health)
		}
		b.noSession()
		b.run(0, "systemctl", "is-active", "compute.target", "vllm.service")
		if r := b.Run(t.Context(), "pgrep", "-x", "sway"); r.Code != 1 {
			t.Errorf("a compositor is left: %s", r)
		}
		if got := b.file(record.RunDir + "/desired"); got != "compute\n" {
			t.Errorf("desired is %q", got)
		}
		b.run(0, "mode", "request", "desktop")
		b.observed(mode.StateDesktop)
		if _, err := b.WaitSession(t.Context()); err != nil {
			t.Error(err)
		}
		if r := b.Run(t.Context(), "pgrep", "-x", "vllm"); r.Code != 1 {
			t.Errorf("vLLM is left: %s", r)
		}
	}

	// The whole story is in the history, intent before transition.
	events := b.history()
	if len(events) != 12 {
		t.Errorf("%d events, want an intent and a transition for each of 6 requests", len(events))
	}
	for i := 0; i+1 < len(events); i += 2 {
		if events[i].Type != record.TypeIntent || events[i+1].Outcome != record.Converged || events[i].ID != events[i+1].ID {
			t.Errorf("events %d and %d: %s %s, %s %s", i, i+1, events[i].Type, events[i].ID, events[i+1].Outcome, events[i+1].ID)
		}
	}
	if state := b.Run(t.Context(), "systemctl", "is-system-running"); strings.TrimSpace(state.Stdout) != "running" {
		t.Errorf("the system is %s", state.Stdout)
	}
}

func (b box) weights(slice string, want ...string) {
	b.t.Helper()
	got := b.MustRun(b.t, "systemctl", "show", slice, "-p", "CPUWeight", "-p", "MemoryHigh")
	for _, w := range want {
		if !strings.Contains(got, w+"\n") {
			b.t.Errorf("%s has %q, want %s", slice, got, w)
		}
	}
}

// TestThroughTheOverlay goes studio-local -> compute -> studio-local: all
// compute guards run before the overlay is touched, and one that blocks leaves
// it alone.
func TestThroughTheOverlay(t *testing.T) {
	b := boot(t)
	b.run(0, "mode", "request", "studio-local")
	inhibit := b.inhibit("an editor", "unsaved work")
	r := b.run(exitcode.GraphicalPresent, "mode", "request", "compute")
	if !strings.Contains(r.Stdout, "an editor") || !strings.Contains(r.Stdout, "unsaved work") {
		t.Errorf("the culprit is not named: %s", r)
	}
	b.observed(mode.StateStudioLocal)
	if ev := b.last(); len(ev.Actions) > 0 || ev.Outcome != record.Blocked {
		t.Errorf("a blocked request did %v, outcome %s", ev.Actions, ev.Outcome)
	}
	if got := b.file(record.RunDir+"/desired") + b.file(record.RunDir+"/current"); got != "studio-local\nstudio-local\n" {
		t.Errorf("desired and current became %q", got)
	}
	status := b.run(0, "mode", "status").Stdout
	for _, want := range []string{"check_graphical_session_terminable", "inhibited", "an editor"} {
		if !strings.Contains(status, want) {
			t.Errorf("mode status does not name %q:\n%s", want, status)
		}
	}
	inhibit()
	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	if first := b.last().Actions[0]; first.Unit != "audio-priority.service" {
		t.Errorf("the first action was %s, not the overlay's", first.Title)
	}
	b.run(0, "mode", "request", "studio-local")
	b.observed(mode.StateStudioLocal)
}

// inhibit takes a logind inhibitor in block mode until the returned function
// is called.
func (b box) inhibit(who, why string) (release func()) {
	b.t.Helper()
	b.MustRun(b.t, "systemd-run", "--quiet", "--unit=inhibitor", "systemd-inhibit", "--what=shutdown", "--who="+who, "--why="+why, "--mode=block", "sleep", "300")
	b.Eventually(b.t, 5*time.Second, func() error {
		if r := b.Run(b.t.Context(), "systemd-inhibit", "--list", "--no-pager"); !strings.Contains(r.Stdout, who) {
			return errors.New("no inhibitor yet")
		}
		return nil
	})
	return func() { b.MustRun(b.t, "systemctl", "stop", "inhibitor.service") }
}

// TestVLLMNeverHealthy holds that the wait is bounded, the desktop restored
// and verified, and the exit code 43.
func TestVLLMNeverHealthy(t *testing.T) {
	b := boot(t,
		machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"never_healthy": true}`},
		machine.File{Path: "/etc/dubnium/dubnium.toml", Content: strings.Replace(Config, `startTimeout = "20s"`, `startTimeout = "2s"`, 1)})
	r := b.run(exitcode.TimedOut, "mode", "request", "compute")
	b.observed(mode.StateDesktop)
	ev := b.last()
	if ev.Outcome != record.TimedOut || ev.Final != mode.StateDesktop || ev.Success {
		t.Errorf("outcome %s, final %s: %s", ev.Outcome, ev.Final, r)
	}
	if got := b.file(record.RunDir + "/desired"); got != "desktop\n" {
		t.Errorf("desired became %q", got)
	}
	if r := b.Run(t.Context(), "systemctl", "is-active", "vllm.service"); r.Code == 0 {
		t.Error("vLLM still runs")
	}
	if _, err := b.WaitSession(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestVLLMDies holds that a server which fails while it loads is told at once,
// not after the bound, and with exit code 40.
func TestVLLMDies(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"exit_code_at_start": 1}`})
	start := time.Now()
	r := b.run(exitcode.RolledBack, "mode", "request", "compute")
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(r.Stdout, "vllm.service") {
		t.Errorf("the culprit is not named: %s", r)
	}
	b.observed(mode.StateDesktop)
}

// TestDisplayManagerStaysAway holds that a desktop without its display manager
// is told as degraded, with the guarantee that is missing, and never as
// success.
func TestDisplayManagerStaysAway(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium/dubnium.toml", Content: strings.Replace(Config, `graphical = "15s"`, `graphical = "3s"`, 1)})
	b.run(0, "mode", "request", "compute")
	b.MustRun(t, "mkdir", "-p", "/run/systemd/system/headless-dm.service.d")
	if err := b.WriteFile("/run/systemd/system/headless-dm.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/false\nExecStartPost=\nRestart=no\n"); err != nil {
		t.Fatal(err)
	}
	b.MustRun(t, "systemctl", "daemon-reload")
	r := b.run(exitcode.Degraded, "mode", "request", "desktop")
	ev := b.last()
	if ev.Success || ev.Outcome != record.Degraded || ev.Final != mode.DegradedDesktop {
		t.Errorf("outcome %s, final %s: %s", ev.Outcome, ev.Final, r)
	}
	if len(ev.Unmet) == 0 || ev.Unmet[0].Predicate != observe.GraphicalPath || !strings.Contains(r.Stdout, string(observe.GraphicalPath)) {
		t.Errorf("unmet %v: %s", ev.Unmet, r)
	}
	if o := b.observation(); o.State != mode.DegradedDesktop {
		t.Errorf("observed %s", o.State)
	}
	// Mended, the same request converges.
	b.MustRun(t, "rm", "-r", "/run/systemd/system/headless-dm.service.d")
	b.MustRun(t, "systemctl", "daemon-reload")
	b.run(0, "mode", "request", "desktop")
	b.observed(mode.StateDesktop)
}

// TestTwoAtOnce holds that one request runs and the other is told who holds
// the lock; and that the same request again is a recorded no-op.
func TestTwoAtOnce(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 4000}`})
	first := make(chan machine.Result, 1)
	go func() { first <- b.Run(context.WithoutCancel(t.Context()), "mode", "request", "compute") }()
	b.Eventually(t, 10*time.Second, func() error {
		var m record.Marker
		data, err := b.ReadFile(record.RunDir + "/transition.json")
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err == nil && m.Phase != record.Acting {
			err = fmt.Errorf("phase %s", m.Phase)
		}
		return err
	})
	for _, argv := range [][]string{{"mode", "request", "desktop"}, {"mode", "request", "compute"}, {"reconcile", "desktop"}} {
		r := b.run(exitcode.Locked, argv...)
		if !strings.Contains(r.Stderr, "compute") || !strings.Contains(r.Stderr, "pid") {
			t.Errorf("holder and target are not named: %s", r)
		}
	}
	if r := b.Run(t.Context(), "systemctl", "start", "mode-controller@desktop"); r.Code == 0 {
		t.Errorf("a second controller succeeded: %s", r)
	}
	if got := b.MustRun(t, "systemctl", "show", "-P", "ExecMainStatus", "mode-controller@desktop"); got != "44\n" {
		t.Errorf("the second controller ended with %q", got)
	}
	if o := b.observation(); o.State != mode.Transitioning {
		t.Errorf("observed %s", o.State)
	}
	if r := b.Run(t.Context(), "systemd-inhibit", "--list", "--no-pager"); !strings.Contains(r.Stdout, "a transition to compute is under way") {
		t.Errorf("the machine could be shut down in the middle of it: %s", r)
	}
	if r := <-first; r.Code != 0 {
		t.Fatal(r)
	}
	b.observed(mode.StateCompute)
	before := len(b.history())
	b.run(0, "mode", "request", "compute")
	events := b.history()
	if len(events) != before+1 || events[before].Outcome != record.Noop {
		t.Errorf("the same request again left %d events", len(events)-before)
	}
}

// TestIsolateByHand holds that isolating a mode's target by hand stops neither
// the services that keep the machine reachable nor a controller that runs, and
// that the observer then tells the truth.
func TestIsolateByHand(t *testing.T) {
	b := boot(t)
	keep := []string{"dbus.service", "systemd-logind.service", "ssh.service", "networking.service"}
	for _, u := range keep {
		b.run(0, "systemctl", "is-active", u)
	}
	b.run(0, "systemctl", "isolate", "compute.target")
	for _, u := range keep {
		if r := b.Run(t.Context(), "systemctl", "is-active", u); r.Code != 0 {
			t.Errorf("%s did not survive: %s", u, r)
		}
	}
	b.noSession()
	// vLLM is enabled, so the generator has the target want it, and an isolate
	// starts it too; until it is healthy the observer says that it is not.
	b.Eventually(t, 30*time.Second, func() error {
		o := b.observation()
		if o.State == mode.DegradedCompute && len(o.Unmet) == 1 && o.Unmet[0].Predicate == observe.VLLMHealthy {
			return errors.New("vLLM is loading")
		}
		if o.State != mode.StateCompute {
			return fmt.Errorf("observed %s, unmet %v, conflicts %v", o.State, o.Unmet, o.Conflicts)
		}
		return nil
	})
	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	b.run(0, "systemctl", "isolate", "desktop.target")
	b.Eventually(t, 10*time.Second, func() error {
		if o := b.observation(); o.State != mode.StateDesktop {
			return fmt.Errorf("observed %s, unmet %v", o.State, o.Unmet)
		}
		return nil
	})
}

// half starts a transition to compute and comes back when vLLM is loading.
func (b box) half() {
	b.t.Helper()
	b.MustRun(b.t, "systemctl", "start", "--no-block", "mode-controller@compute")
	b.Eventually(b.t, 10*time.Second, func() error {
		if r := b.Run(b.t.Context(), "systemctl", "is-active", "vllm.service"); r.Code != 0 {
			return errors.New("vLLM is not there yet")
		}
		return nil
	})
}

// TestIsolateUnderTheController isolates a target by hand while a controller
// is at work: it survives, and ends with what is then observed.
func TestIsolateUnderTheController(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 3000}`})
	b.half()
	b.run(0, "systemctl", "isolate", "compute.target")
	if got := b.MustRun(t, "systemctl", "show", "-P", "ActiveState", "mode-controller@compute"); got != "activating\n" {
		t.Errorf("the controller is %q", got)
	}
	b.Eventually(t, 30*time.Second, func() error {
		if r := b.Run(t.Context(), "systemctl", "show", "-P", "ActiveState", "mode-controller@compute"); r.Stdout == "activating\n" {
			return errors.New("still at work")
		}
		return nil
	})
	if ev := b.last(); ev.Final != b.observation().State {
		t.Errorf("recorded %s (%s), observed %s", ev.Final, ev.Outcome, b.observation().State)
	}
}

// TestUnprivileged holds that everybody can read what mode status shows, and
// only root can change anything.
func TestUnprivileged(t *testing.T) {
	b := boot(t)
	b.run(exitcode.GraphicalPresent, "bash", "-c", `systemd-inhibit --what=shutdown --who=ed --why=work --mode=block mode request compute`)
	root := b.run(0, "mode", "status", "--json").Stdout
	guest := b.RunAs(t.Context(), "guest", "mode", "status", "--json")
	if guest.Code != 0 {
		t.Fatal(guest)
	}
	var a, c map[string]any
	decode(t, root, &a)
	decode(t, guest.Stdout, &c)
	for _, key := range []string{"desired", "reconciliation_needed", "blocked_by", "last_transition", "placement", "hardware", "unread"} {
		if fmt.Sprint(a[key]) != fmt.Sprint(c[key]) {
			t.Errorf("%s: root sees %v, a guest %v", key, a[key], c[key])
		}
	}
	for _, argv := range [][]string{{"mode", "current"}, {"mode", "desired"}, {"mode", "last-transition"}, {"mode", "explain"}, {"observe-current"}} {
		if r := b.RunAs(t.Context(), "guest", argv...); r.Code != 0 {
			t.Error(r)
		}
	}
	for _, argv := range [][]string{
		{"mode", "request", "compute"},
		{"mode", "reconcile", "--target", "studio-local"},
		{"reconcile", "compute"},
		{"reconcile", "--boot"},
		{"observe-current", "--write"},
		{"mode", "current", "--refresh"},
	} {
		if r := b.RunAs(t.Context(), "guest", argv...); r.Code != int(exitcode.NotPermitted) {
			t.Errorf("want %d: %s", exitcode.NotPermitted, r)
		}
	}
	// Holding the lock would stop everybody else's transitions.
	if r := b.RunAs(t.Context(), "guest", "flock", "--nonblock", record.RunDir+"/lock", "true"); r.Code == 0 {
		t.Error("a guest can take the controller's lock")
	}
	b.observed(mode.StateDesktop)
}

// TestOperator holds that a member of the operators' group may ask for a mode
// without sudo, and may do nothing else with the controller or with the units
// that it works on.
func TestOperator(t *testing.T) {
	b := boot(t)
	b.run(0, "usermod", "--append", "--groups", config.OperatorsGroup, "operator")
	for _, step := range []struct {
		argv []string
		want mode.State
	}{
		{[]string{"mode", "request", "studio-local"}, mode.StateStudioLocal},
		{[]string{"systemctl", "start", "mode-controller@desktop"}, mode.StateDesktop},
	} {
		if r := b.RunAs(t.Context(), "operator", step.argv...); r.Code != 0 {
			t.Fatal(r)
		}
		b.observed(step.want)
	}
	for _, argv := range [][]string{
		{"systemctl", "start", "compute.target"},
		{"systemctl", "isolate", "compute.target"},
		{"systemctl", "start", "vllm.service"},
		{"systemctl", "start", "mode-boot.service"},
		{"systemctl", "restart", "mode-controller@compute"},
		{"systemctl", "stop", "mode-controller@compute"},
		{"systemctl", "start", "mode-controller@evil"},
		{"systemctl", "kill", "mode-controller@desktop"},
		{"systemctl", "set-property", "--runtime", "mode-controller@compute.service", "CPUWeight=1"},
		{"systemctl", "edit", "--stdin", "--runtime", "mode-controller@compute.service"},
		{"systemctl", "daemon-reload"},
		{"systemctl", "enable", "--runtime", "mode-boot.service"},
		{"observe-current", "--write"},
		{"reconcile", "compute"},
	} {
		if r := b.RunAs(t.Context(), "operator", argv...); r.Code == 0 {
			t.Errorf("an operator may %v", argv)
		}
	}
	b.observed(mode.StateDesktop)
	// Being in another group, or having a session, is no licence.
	for _, user := range []string{"guest", "tester"} {
		if r := b.RunAs(t.Context(), user, "mode", "request", "compute"); r.Code != int(exitcode.NotPermitted) {
			t.Errorf("%s: want %d: %s", user, exitcode.NotPermitted, r)
		}
	}
	b.observed(mode.StateDesktop)
}

// TestKilledController kills the controller half-way: what is then observed is
// no stable mode that is not there, the history gets exactly one line about it,
// and the next request converges.
func TestKilledController(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 60000}`})
	b.half()
	b.MustRun(t, "systemctl", "kill", "--signal=KILL", "mode-controller@compute")
	b.Eventually(t, 10*time.Second, func() error {
		if o := b.observation(); o.State != mode.FailedTransition {
			return fmt.Errorf("observed %s", o.State)
		}
		return nil
	})
	b.run(0, "mode", "request", "desktop")
	b.observed(mode.StateDesktop)
	interrupted := 0
	for _, ev := range b.history() {
		if ev.Outcome == record.Interrupted {
			interrupted++
		}
	}
	if interrupted != 1 {
		t.Errorf("%d interrupted records", interrupted)
	}
}

// TestTerminalDies holds that a transition outlives the terminal, and the
// process, that asked for it.
func TestTerminalDies(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 2000}`})
	r := b.Run(t.Context(), "timeout", "--signal=HUP", "1", "script", "--quiet", "--command", "mode request compute", "/dev/null")
	if r.Code != 124 {
		t.Fatalf("the terminal was to go away in the middle of it: %s", r)
	}
	b.Eventually(t, 20*time.Second, func() error {
		if o := b.observation(); o.State != mode.StateCompute {
			return fmt.Errorf("observed %s", o.State)
		}
		return nil
	})
	if ev := b.last(); ev.Outcome != record.Converged {
		t.Errorf("outcome %s: %s", ev.Outcome, ev.Reason)
	}
}

// TestForMachines holds that mode request --json tells one document a line,
// the last of which is the record.
func TestForMachines(t *testing.T) {
	b := boot(t)
	out := b.run(0, "mode", "request", "studio-local", "--json").Stdout
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		var doc map[string]any
		decode(t, line, &doc)
	}
	var ev record.Event
	decode(t, lines[len(lines)-1], &ev)
	if ev.Outcome != record.Converged || len(lines) < 5 {
		t.Errorf("%d lines, the last with outcome %q:\n%s", len(lines), ev.Outcome, out)
	}
	if ev.InvocationID == "" || ev.BootID == "" || ev.ID == "" {
		t.Errorf("the record lacks ids: %+v", ev)
	}
}

// TestStoppedController stops the controller's unit half-way: it restores the
// mode that it came from before it ends.
func TestStoppedController(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 60000}`})
	b.half()
	b.run(0, "systemctl", "stop", "mode-controller@compute")
	b.observed(mode.StateDesktop)
	if ev := b.last(); ev.Outcome != record.RolledBack || ev.Final != mode.StateDesktop {
		t.Errorf("outcome %s, final %s: %s", ev.Outcome, ev.Final, ev.Reason)
	}
}

// TestDefaultCompute boots a machine whose default is compute: that is what it
// is afterwards.
func TestDefaultCompute(t *testing.T) {
	b := box{machine.Start(t, Options(machine.File{Path: "/etc/dubnium/dubnium.toml", Content: Config + "\n[boot]\ndefaultMode = \"compute\"\n"})), t}
	b.Eventually(t, 20*time.Second, func() error {
		if o := b.observation(); o.State != mode.StateCompute {
			return fmt.Errorf("observed %s, unmet %v, conflicts %v", o.State, o.Unmet, o.Conflicts)
		}
		return nil
	})
	if got := b.file(record.RunDir + "/desired"); got != "compute\n" {
		t.Errorf("desired is %q", got)
	}
	b.noSession()
}
