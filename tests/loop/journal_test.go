package loop

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

// metricsFile is where the machine under test has its figures.
const metricsFile = "/var/lib/prometheus/node-exporter/dubnium.prom"

// entries are what the journal has for matches, as journalctl shows them.
func (b box) entries(matches ...string) []map[string]any {
	b.t.Helper()
	b.run(0, "journalctl", "--sync")
	out := b.run(0, append([]string{"journalctl", "--output=json", "--all", "--no-pager"}, matches...)...).Stdout
	var list []map[string]any
	for line := range strings.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.t.Fatalf("%v in %s", err, line)
		}
		list = append(list, e)
	}
	return list
}

// TestJournal holds that the journal tells a transition by its id as the
// history does: each guard, each action and the outcome, once, with fields to
// find them by, and under the controller's unit as well.
func TestJournal(t *testing.T) {
	b := boot(t, machine.File{Path: "/var/lib/prometheus/node-exporter/other.prom", Content: ""},
		machine.File{Path: configFile, Content: Config + "\n[metrics]\ninterval = \"2s\"\n"})
	b.measuresByTimer()
	b.run(0, "mode", "request", "studio-local")
	ev := b.last()
	kinds := map[string]int{}
	guards, actions := map[string]string{}, map[string]string{}
	for _, e := range b.entries("TRANSITION_ID=" + ev.ID) {
		kinds[e["MESSAGE_ID"].(string)]++
		if e["MODE"] != "studio-local" || e["_SYSTEMD_UNIT"] != "mode-controller@studio-local.service" || e["_SYSTEMD_INVOCATION_ID"] != ev.InvocationID {
			t.Errorf("an entry of MODE=%v, _SYSTEMD_UNIT=%v, invocation %v", e["MODE"], e["_SYSTEMD_UNIT"], e["_SYSTEMD_INVOCATION_ID"])
		}
		if g, ok := e["GUARD"].(string); ok {
			guards[g] = e["GUARD_CLASS"].(string)
		}
		if a, ok := e["ACTION"].(string); ok {
			unit, _ := e["ACTION_UNIT"].(string)
			actions[a+" "+unit] = e["ACTION_STATUS"].(string)
		}
	}
	for _, g := range ev.Guards {
		if guards[g.Guard] != string(g.Class) {
			t.Errorf("%s is %q in the journal, %s in the history", g.Guard, guards[g.Guard], g.Class)
		}
	}
	for _, a := range ev.Actions {
		if got := actions[string(a.Action)+" "+a.Unit]; got != string(a.Status) {
			t.Errorf("%s is %q in the journal, %s in the history", a.Title, got, a.Status)
		}
	}
	if len(kinds) < 4 || kinds["f5e500f397e14c778b409f370d2e5518"] != 1 {
		t.Errorf("kinds of entries: %v", kinds)
	}
	ends := b.entries("TRANSITION_ID="+ev.ID, "OUTCOME=converged")
	if len(ends) != 1 || ends[0]["FINAL"] != "studio-local" || ends[0]["EXIT_STATUS"] != "0" || ends[0]["SYSLOG_IDENTIFIER"] != "reconcile" {
		t.Errorf("the end: %v", ends)
	}
	// Nothing is told twice: stdout is the journal, too.
	said := map[string]int{}
	for _, e := range b.entries("_SYSTEMD_INVOCATION_ID="+ev.InvocationID, "_COMM=reconcile") {
		said[e["MESSAGE"].(string)]++
	}
	for message, n := range said {
		if n > 1 {
			t.Errorf("%d times: %s", n, message)
		}
	}

	// A block is found by its guard, and the metrics count it.
	inhibit := b.inhibit("an editor", "unsaved work")
	b.run(exitcode.GraphicalPresent, "mode", "request", "compute")
	blocked := b.last()
	inhibit()
	found := b.entries("GUARD=check_graphical_session_terminable", "GUARD_CLASS=block")
	if len(found) != 1 || found[0]["TRANSITION_ID"] != blocked.ID || found[0]["PRIORITY"] != "4" || found[0]["GUARD_HARD"] != "yes" {
		t.Errorf("the block: %v", found)
	}
	figures := b.file(metricsFile)
	for _, want := range []string{
		`dubnium_observed_state{state="studio-local"} 1`, `dubnium_desired_mode{mode="studio-local"} 1`, `dubnium_degraded 0`,
		`dubnium_transitions_total{from="desktop",to="studio-local",outcome="converged"} 1`,
		`dubnium_transitions_total{from="studio-local",to="compute",outcome="blocked"} 1`,
		`dubnium_guard_blocks_total{guard="check_graphical_session_terminable"} 1`,
		`dubnium_last_transition_info{from="studio-local",to="compute",final="studio-local",outcome="blocked",trigger="operator"} 1`,
		`dubnium_last_transition_exit_code 17`,
	} {
		if !strings.Contains(figures, want+"\n") {
			t.Errorf("the metrics lack %s:\n%s", want, figures)
		}
	}
	b.run(0, "systemctl", "restart", "mode-observe.service")
	if again := b.file(metricsFile); !strings.Contains(again, `dubnium_observed_state{state="studio-local"} 1`) || again == figures {
		t.Errorf("mode-observe.service wrote no metrics:\n%s", again)
	}

	// The history tells the same by a beginning of the id, and has the evidence.
	out := b.run(0, "mode", "history", "show", ev.ID[:len(ev.ID)-1]).Stdout
	if !strings.Contains(out, "Evidence before\n") || !strings.Contains(out, "Evidence after\n") || !strings.Contains(out, "observed studio-local (confidence high)") {
		t.Errorf("mode history show: %s", out)
	}
}

// measuresByTimer holds that metrics.interval is enough for mode-observe.timer to
// run from the boot on, and that it has the figures written again and again. It
// ends with the timer stopped.
func (b box) measuresByTimer() {
	b.t.Helper()
	var first, next float64
	read := func(stamp *float64) func() error {
		return func() error {
			text, err := b.ReadFile(metricsFile)
			if err != nil {
				return err
			}
			const name = "\ndubnium_observation_timestamp_seconds "
			_, rest, found := strings.Cut("\n"+string(text), name)
			figure, _, _ := strings.Cut(rest, "\n")
			if *stamp, err = strconv.ParseFloat(figure, 64); !found || err != nil {
				return fmt.Errorf("the metrics have no %s: %v\n%s", name, err, text)
			}
			if stamp == &next && next <= first {
				return fmt.Errorf("the last observation is still of %v", first)
			}
			return nil
		}
	}
	b.Eventually(b.t, 30*time.Second, read(&first))
	b.Eventually(b.t, 30*time.Second, read(&next))
	b.run(0, "systemctl", "is-active", "mode-observe.timer")
	b.run(0, "systemctl", "stop", "mode-observe.timer")
}

// TestJournalOfAKilledController holds that the end of a transition that was
// cut off is told under its id.
func TestJournalOfAKilledController(t *testing.T) {
	b := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 60000}`})
	b.half()
	var m record.Marker
	decode(t, b.file(record.RunDir+"/transition.json"), &m)
	b.MustRun(t, "systemctl", "kill", "--signal=KILL", "mode-controller@compute")
	b.run(0, "mode", "request", "desktop")
	b.observed(mode.StateDesktop)
	ends := b.entries("TRANSITION_ID="+m.ID, "OUTCOME=interrupted")
	if len(ends) != 1 || ends[0]["MESSAGE_ID"] != "dd926d86ddac4acfb5804ce186cd5c6e" || ends[0]["MODE"] != "compute" {
		t.Errorf("the end: %v", ends)
	}
}
