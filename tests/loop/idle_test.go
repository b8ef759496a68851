package loop

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

// idleConfig lets mode-idle look and ask within seconds.
const idleConfig = Config + `
[idle]
enable = true
quiet = "1s"
interval = "200ms"
pause = "300ms"
pauseMost = "1s"
`

// told reads what mode-idle.service has told last.
func (b box) told() record.Idle {
	b.t.Helper()
	var told record.Idle
	decode(b.t, b.file(record.IdleFile), &told)
	return told
}

// waitsFor waits until mode-idle.service says that it rests for a reason.
func (b box) waitsFor(reason string) record.Idle {
	b.t.Helper()
	var told record.Idle
	b.Eventually(b.t, 20*time.Second, func() error {
		if _, err := b.ReadFile(record.IdleFile); err != nil {
			return err
		}
		if told = b.told(); told.Reason != reason {
			return fmt.Errorf("it says %+v, want %s", told, reason)
		}
		return nil
	})
	return told
}

// staysSo holds that it says the same at each look for longer than idle.quiet,
// and that nobody has asked for compute meanwhile.
func (b box) staysSo(reason string) {
	b.t.Helper()
	requests := b.requests(mode.Compute)
	b.waitsFor(reason)
	end := time.Now().Add(1500 * time.Millisecond)
	b.Eventually(b.t, 20*time.Second, func() error {
		if told := b.told(); told.Reason != reason {
			b.t.Fatalf("it says %+v, want %s", told, reason)
		} else if at, err := time.Parse(time.RFC3339, told.Timestamp); err != nil || at.Before(end) {
			return fmt.Errorf("its last look was at %s, %v", told.Timestamp, err)
		}
		return nil
	})
	if n := b.requests(mode.Compute); n != requests {
		b.t.Errorf("%d requests for compute while %s", n-requests, reason)
	}
}

// requests counts those for a mode in the history.
func (b box) requests(m mode.Mode) (n int) {
	b.t.Helper()
	if _, err := b.ReadFile(record.EventsFile); err != nil {
		return 0
	}
	for _, ev := range b.history() {
		if ev.Requested == m {
			n++
		}
	}
	return n
}

// hint sets the idle hint of the person's session, as an idle daemon in it does.
func (b box) hint(idle bool) {
	b.t.Helper()
	s, err := b.WaitSession(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.MustRun(b.t, "busctl", "call", "org.freedesktop.login1", string(s.Path), "org.freedesktop.login1.Session", "SetIdleHint", "b", fmt.Sprint(idle))
}

// TestIdle walks mode-idle.service through everything that it meets, on one
// machine: off, a session that never tells, one in use, an inhibitor, guards
// that say no, studio-local, and at last compute.
func TestIdle(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 300, "hold_ms": 30000}`})
	b.sealsAtBoot()

	// Off, it says so and ends well.
	b.run(0, "systemctl", "start", "mode-idle.service")
	b.Eventually(t, 10*time.Second, func() error {
		if got := b.property("mode-idle.service", "ActiveState") + b.property("mode-idle.service", "Result"); got != "inactivesuccess" {
			return errors.New(got)
		}
		return nil
	})
	if got := b.Journal("--unit=mode-idle.service"); !strings.Contains(got, "idle.enable is false") {
		t.Errorf("it does not say why it ended: %s", got)
	}
	if got := b.run(0, "mode", "status").Stdout; !strings.Contains(got, "idle off") {
		t.Errorf("mode status: %s", got)
	}

	b.configure(idleConfig)
	b.doctorSays(exitcode.Inspection, "fault", "has not told anything")
	b.run(0, "systemctl", "start", "mode-idle.service")
	b.staysSo("idle-unknown")
	b.doctorSays(exitcode.OK, "warning", "never tells")
	b.hint(true)
	b.waitsFor("not-long-enough")
	b.hint(false)
	b.staysSo("session-active")

	b.MustRun(t, "systemd-run", "--quiet", "--unit=film", "systemd-inhibit", "--what=idle", "--who=a player", "--why=a film", "--mode=block", "sleep", "300")
	b.hint(true)
	b.staysSo("inhibited")
	if told := b.told(); !strings.Contains(told.Message, "a player") || !strings.Contains(told.Message, "a film") {
		t.Errorf("who inhibits is not named: %s", told.Message)
	}

	// Guards say no: it does not ask, and pauses longer and longer.
	release := b.inhibit("an editor", "unsaved work")
	b.MustRun(t, "systemctl", "stop", "film.service")
	b.Eventually(t, 20*time.Second, func() error {
		if told := b.told(); told.Reason != "backing-off" || told.Tries < 3 {
			return fmt.Errorf("it says %+v", told)
		}
		return nil
	})
	told := b.told()
	if !strings.Contains(told.Blocked, "check_graphical_session_terminable") || !strings.Contains(told.Blocked, "an editor") || told.AsksAt == "" {
		t.Errorf("what stops it is not told: %+v", told)
	}
	if got := b.run(0, "mode", "status").Stdout; !strings.Contains(got, "an editor") || !strings.Contains(got, "idle on") {
		t.Errorf("mode status: %s", got)
	}
	if n := b.requests(mode.Compute); n != 0 {
		t.Errorf("%d requests for compute", n)
	}
	b.hint(false)
	release()

	// Never from studio-local, however long nobody is there.
	b.run(0, "mode", "request", "studio-local")
	b.hint(true)
	b.staysSo("studio-local")
	b.observed(mode.StateStudioLocal)

	// A change of the mode counts as somebody: only then quiet begins.
	b.run(0, "mode", "request", "desktop")
	b.waitsFor("not-long-enough")
	b.Eventually(t, 60*time.Second, func() error {
		if told := b.told(); told.Reason != "already-in-compute" {
			return fmt.Errorf("it says %+v", told)
		}
		return nil
	})
	b.observed(mode.StateCompute)
	b.noSession()
	ev := b.last()
	if ev.Outcome != record.Converged || len(ev.Guards) < 8 || ev.Override != nil {
		t.Errorf("it did not go the ordinary way: %s, %d guards", ev.Outcome, len(ev.Guards))
	}
	if a := ev.AskedBy; ev.Trigger != record.ByIdle || a == nil || a.Unit != record.IdleUnit || a.UID != 0 {
		t.Errorf("it was asked for by %s, %+v", ev.Trigger, a)
	}
	if got := b.Journal("--unit=mode-idle.service"); !strings.Contains(got, ev.ID) {
		t.Errorf("the journal does not name %s: %s", ev.ID, got)
	}
	if got := b.property("mode-idle.service", "ActiveState") + b.property("mode-idle.service", "NRestarts"); got != "active0" {
		t.Errorf("mode-idle.service is %s", got)
	}
	b.MustRun(t, "systemctl", "stop", "mode-idle.service")
	b.drains()
}

// drains holds that leaving compute waits for a request in flight, tells how
// many there are and how long it still waits, and then does what
// vllm.drainThen says.
func (b box) drains() {
	b.t.Helper()
	draining := func(then string) string {
		return strings.Replace(Config, `startTimeout = "20s"`, `startTimeout = "20s"
drainTimeout = "1500ms"
drainThen = "`+then+`"`, 1)
	}
	b.configure(draining("fail"))
	b.asksVLLM()
	r := b.run(exitcode.VLLMNotDrainable, "mode", "request", "desktop")
	if !waits.MatchString(r.Stdout) || !strings.Contains(r.Stdout, "drain-overdue") {
		b.t.Errorf("it does not tell what it waits for: %s", r)
	}
	if list := b.entries("TRANSITION_ID="+b.last().ID, "REQUESTS_RUNNING=1"); len(list) == 0 {
		b.t.Errorf("the journal does not tell what it waited for: %s", b.Journal("TRANSITION_ID="+b.last().ID))
	}
	b.observed(mode.StateCompute)
	b.run(exitcode.Usage, "mode", "request", "desktop", "--cut-off")
	b.configure(draining("ask"))
	b.asksWhatToDo()
	b.run(0, "mode", "request", "compute")
	b.configure(draining("stop"))
	b.asksVLLM()
	r = b.run(exitcode.OK, "mode", "request", "desktop")
	if !waits.MatchString(r.Stdout) || !strings.Contains(r.Stdout, "given-up") {
		b.t.Errorf("it does not tell that it gives up: %s", r)
	}
	b.observed(mode.StateDesktop)
}

// asksWhatToDo holds that requests which outlast the drain are left to an
// operator where the configuration says so: on a terminal mode request asks, and
// stays unless it is told otherwise; elsewhere it stays and names the command.
// Nobody but an operator is heard, and the history tells who was.
func (b box) asksWhatToDo() {
	b.t.Helper()
	const question = "1 request still at vllm.service: (s)top it and cut it off, (w)ait 1.5s more, or stay in compute? [stay]"
	typed := func(answers string) []string {
		return []string{"bash", "-c", "printf '" + answers + "' | TERM=dumb script --quiet --return --command 'mode request desktop' /dev/null"}
	}
	b.run(0, "usermod", "--append", "--groups", config.OperatorsGroup, "operator")
	lines := strings.Split(strings.TrimSpace(b.run(exitcode.VLLMNotDrainable, "mode", "request", "desktop", "--json").Stdout), "\n")
	var ev record.Event
	decode(b.t, lines[len(lines)-1], &ev)
	want := record.Question{About: record.AboutDrain, Unit: "vllm.service", Running: 1, Yes: "mode request desktop --cut-off"}
	if ev.Question == nil || *ev.Question != want || ev.Outcome != record.Blocked || !strings.Contains(ev.Reason, want.Yes) {
		b.t.Errorf("%s (%s), and asks %+v", ev.Outcome, ev.Reason, ev.Question)
	}
	if r := b.run(exitcode.VLLMNotDrainable, typed(`\n`)...); strings.Count(r.Stdout, question) != 1 {
		b.t.Errorf("it is to ask once and to stay: %s", r)
	}
	if r := b.RunAs(b.t.Context(), "guest", "mode", "request", "desktop", "--cut-off"); r.Code != int(exitcode.NotPermitted) {
		b.t.Errorf("a guest may cut requests off: %s", r)
	}
	b.observed(mode.StateCompute)

	r := b.RunAs(b.t.Context(), "operator", typed(`what?\nw\ns\n`)...)
	if r.Code != 0 || strings.Count(r.Stdout, question) != 3 || !strings.Contains(r.Stdout, "cut-off") {
		b.t.Errorf("it is to ask, to wait once more, and to stop: %s", r)
	}
	b.observed(mode.StateDesktop)
	ev = b.last()
	if a := ev.AskedBy; a == nil || a.User != "operator" || !a.CutOff || ev.Trigger != record.ByOperator {
		b.t.Errorf("it was asked for by %s, %+v", ev.Trigger, a)
	}
	if out := b.run(0, "mode", "history", "show").Stdout; !strings.Contains(out, "Asked for by operator (uid ") || !strings.Contains(out, "who let vLLM's requests be cut off") {
		b.t.Errorf("mode history show: %s", out)
	}
	if list := b.entries("TRANSITION_ID="+ev.ID, "ASKED_BY=operator", "CUT_OFF=yes"); len(list) != 1 {
		b.t.Errorf("%d entries in the journal tell who cut requests off", len(list))
	}
}

// waits is a line of progress while requests are waited for.
var waits = regexp.MustCompile(`(?m)^waiting +vllm\.service: \d requests running and \d waiting, \d s left$`)

// asksVLLM sends a request that takes seconds, and returns while it is being
// answered.
func (b box) asksVLLM() {
	b.t.Helper()
	conn, err := b.Dial(b.t.Context(), "tcp", "127.0.0.1:8000")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	const body = `{"model": "demo", "prompt": "x"}`
	if _, err := fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: vllm\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		b.t.Fatal(err)
	}
	b.Eventually(b.t, 5*time.Second, func() error {
		r := b.Run(b.t.Context(), "check_vllm_drainable")
		if r.Code != int(exitcode.VLLMNotDrainable) {
			return fmt.Errorf("vLLM answers nobody: %s", r)
		}
		return nil
	})
}

// sealsAtBoot holds that mode-boot.service closes what a boot before left open
// in the history, and closes it once.
func (b box) sealsAtBoot() {
	b.t.Helper()
	const intent = `{"schema_version":1,"type":"intent","timestamp":"2026-05-28T00:00:00.000Z","id":"before","boot_id":"another","requested":"compute","prior":"desktop","guards":[],"actions":[]}`
	if err := b.WriteFile(record.EventsFile, intent+"\n"); err != nil {
		b.t.Fatal(err)
	}
	for range 2 {
		b.MustRun(b.t, "rm", record.RunDir+"/desired")
		b.run(0, "systemctl", "restart", "mode-boot.service")
	}
	var sealed []record.Event
	for _, ev := range b.history() {
		if ev.Type == record.TypeTransition {
			sealed = append(sealed, ev)
		}
	}
	if len(sealed) != 1 || sealed[0].ID != "before" || sealed[0].Outcome != record.Interrupted || sealed[0].BootID != "another" {
		b.t.Errorf("sealed at boot: %+v", sealed)
	}
	b.observed(mode.StateDesktop)
	b.MustRun(b.t, "rm", record.EventsFile)
}

// doctorSays holds what mode doctor finds about mode-idle.service.
func (b box) doctorSays(code exitcode.Code, grade, message string) {
	b.t.Helper()
	for _, f := range b.doctor(code).Findings {
		if f.What == "mode-idle.service" && f.Area == "idle" && (f.Grade != grade || !strings.Contains(f.Message, message)) {
			b.t.Errorf("mode doctor: %+v, want a %s with %q", f, grade, message)
		}
	}
}
