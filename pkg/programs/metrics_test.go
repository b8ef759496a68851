package programs

import (
	"bytes"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/textfile"
)

func TestMetrics(t *testing.T) {
	l := looked{state: mode.Desktop.Degraded(), at: time.UnixMilli(1500), desired: mode.Compute, tally: record.Tally{
		Transitions: []record.TransitionCount{{From: mode.StateDesktop, To: mode.Compute, Outcome: record.Blocked, Count: 2, DurationMS: 500}},
		Guards:      []record.GuardCount{{Guard: "check_a", Blocks: 2, Errors: 1}},
	}, last: &record.Event{Prior: mode.StateDesktop, Requested: mode.Compute, Final: mode.StateDesktop, Outcome: record.Blocked, ExitCode: 13, DurationMS: 250, Trigger: "unit", Timestamp: "1970-01-01T00:00:01.000Z"}}
	text, err := textfile.Render(l.metrics())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`dubnium_observed_state{state="degraded-desktop"} 1`, `dubnium_observed_state{state="desktop"} 0`, `dubnium_desired_mode{mode="compute"} 1`,
		"dubnium_degraded 1", "dubnium_reconciliation_needed 1", "dubnium_observation_timestamp_seconds 1.5",
		"dubnium_last_transition_success 0", "dubnium_last_transition_exit_code 13", "dubnium_last_transition_duration_seconds 0.25", "dubnium_last_transition_timestamp_seconds 1",
		`dubnium_transitions_total{from="desktop",to="compute",outcome="blocked"} 2`,
		`dubnium_transition_duration_seconds_sum{from="desktop",to="compute",outcome="blocked"} 0.5`,
		`dubnium_guard_blocks_total{guard="check_a"} 2`, `dubnium_guard_errors_total{guard="check_a"} 1`,
	} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// Just booted: nothing is desired, and nothing has happened.
	if text, err = textfile.Render(looked{state: mode.Unknown, at: time.UnixMilli(0)}.metrics()); err != nil || strings.Contains(string(text), "last_transition") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestWriteMetrics holds that figures are written where their folder is, that
// a machine without one is left alone, and that a failure is told and no more.
func TestWriteMetrics(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	for _, dir := range []string{record.RunDir, record.StateDir} {
		if err := os.MkdirAll(root.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.Default()
	file := root.Path(cfg.Metrics.Textfile)
	var stderr bytes.Buffer
	env := &cli.Env{Name: "test", Root: root, Stderr: &stderr}
	writeMetrics(env, cfg, mode.StateDesktop, true)
	if _, err := os.Stat(path.Dir(file)); !os.IsNotExist(err) || stderr.Len() > 0 {
		t.Errorf("without the folder: %v, %s", err, &stderr)
	}
	if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	writeMetrics(env, cfg, mode.StateDesktop, true)
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), `{state="desktop"} 1`) || stderr.Len() > 0 {
		t.Errorf("%v, %s, %s", err, data, &stderr)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(file, 0o755); err != nil { // a folder in the file's place
		t.Fatal(err)
	}
	writeMetrics(env, cfg, mode.StateDesktop, true)
	if !strings.Contains(stderr.String(), "dubnium.prom") {
		t.Errorf("a failure says %q", &stderr)
	}
	cfg.Metrics.Textfile = ""
	stderr.Reset()
	writeMetrics(env, cfg, mode.StateDesktop, true)
	if stderr.Len() > 0 {
		t.Errorf("with none configured: %s", &stderr)
	}
}

// TestWatchTells holds what is new in a look at the status.
func TestWatchTells(t *testing.T) {
	frame := func(before map[string]string, change func(*status)) statusFrame {
		f := statusFrame{before: before}
		f.Observation.State, f.Observation.Confidence, f.Observation.Timestamp = mode.StateDesktop, "high", "T"
		f.Desired = mode.Desktop
		if change != nil {
			change(&f.status)
		}
		return f
	}
	first := frame(statusFrame{}.now(), nil)
	for _, tt := range []struct {
		name  string
		frame statusFrame
		want  string
	}{
		{"the first", first, "T observed desktop (confidence high)\nT desired  desktop\nT last     no transition since boot\n"},
		{"nothing", frame(first.now(), nil), ""},
		{"a step", frame(first.now(), func(s *status) {
			s.Observation.State = mode.Transitioning
			s.Transition = &record.Marker{Requested: mode.Compute, Steps: []record.Action{{Title: "gate", Status: record.Running}}}
		}), "T observed transitioning (confidence high)\nT step     compute, now: gate\n"},
		{"an end", frame(first.now(), func(s *status) {
			s.Last = &record.Event{ID: "x", Prior: mode.StateDesktop, Requested: mode.Compute, Outcome: record.Blocked}
		}), "T last     x: desktop -> compute: blocked\n"},
	} {
		var out bytes.Buffer
		if err := tt.frame.Tell(&cli.Env{Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
