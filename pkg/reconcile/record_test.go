package reconcile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// onSmallDisk puts the history on a file system of its own, and gives what
// fills it up and what makes room again.
func onSmallDisk(t *testing.T, e *Engine) (fill, free func()) {
	t.Helper()
	dir := e.Store.Root.Path(record.StateDir)
	if err := unix.Mount("reconcile-test", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("this test needs root and a tmpfs of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	fill = func() {
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.Write(make([]byte, 8<<20)); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("filling the disk: %v, want ENOSPC", err)
		}
		// The page that the log has begun is full, too.
		log, err := os.OpenFile(e.Store.Root.Path(record.EventsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*os.File{log, f} {
			if info, err := f.Stat(); err == nil && f == log && info.Size() > 0 {
				_, _ = f.Write(append([]byte(strings.Repeat("\n", 4096)), '\n'))
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return fill, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

func summary(t *testing.T, e *Engine) []string {
	t.Helper()
	var got []string
	for _, ev := range history(t, e) {
		got = append(got, fmt.Sprintf("%s %s %s", ev.ID, ev.Type, ev.Outcome))
	}
	return got
}

// TestDiskFullBefore holds that no transition starts whose intent can't be
// written, on a disk that is really full.
func TestDiskFullBefore(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	fill, free := onSmallDisk(t, e)
	fill()
	_, err := e.Run(t.Context(), mode.Compute)
	if !errors.Is(err, unix.ENOSPC) || len(w.did) > 0 {
		t.Errorf("error %v, did %v", err, w.did)
	}
	if _, found, _ := e.Store.Marker(); found {
		t.Error("the marker of a transition that never began is left")
	}
	free()
	if ev, err := e.Run(t.Context(), mode.Compute); err != nil || !ev.Success {
		t.Errorf("with room again: %+v, %v", ev, err)
	}
}

// TestDiskFullMeanwhile fills the disk in the middle of a transition: it is
// finished, or rolled back when a step fails, says that it could not be
// recorded, and is recorded once there is room.
func TestDiskFullMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail error
		want record.Outcome
	}{{"finished", nil, record.Converged}, {"rolled back", errors.New("no"), record.RolledBack}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, mode.Desktop)
			e := newEngine(t, w)
			fill, free := onSmallDisk(t, e)
			w.hook = func(title string) {
				if title == "stop desktop.target" {
					fill()
					w.hook = nil
				}
			}
			if tt.fail != nil {
				w.fail["start compute.target"] = tt.fail
			}
			ev, err := e.Run(t.Context(), mode.Compute)
			if err != nil || ev.Outcome != tt.want || !strings.Contains(ev.Reason, "the history could not be written") {
				t.Fatalf("%s (%s), %v", ev.Outcome, ev.Reason, err)
			}
			if last, _, err := e.Store.Last(); err != nil || last.Outcome != tt.want {
				t.Errorf("last-transition.json says %s, %v", last.Outcome, err)
			}
			if diff := cmp.Diff([]string{"t1 intent "}, summary(t, e)); diff != "" {
				t.Error(diff)
			}
			free()
			next := *e
			for _, id := range []string{"t2", "t3"} {
				next.ID = id
				if _, err := next.Run(t.Context(), map[bool]mode.Mode{true: mode.Compute, false: mode.Desktop}[tt.fail == nil]); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{"t1 intent ", "t1 transition " + string(tt.want), "t2 transition noop", "t3 transition noop"}
			if diff := cmp.Diff(want, summary(t, e)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMarkerCannotBeWritten holds that an intent whose marker can't be written
// is ended in the history, too, and nothing is touched.
func TestMarkerCannotBeWritten(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	e.Progress = func(m record.Marker) {
		if len(m.Guards) > 0 && m.Phase == record.Guarding {
			// From here on, the name is a folder's, which no file replaces.
			path := e.Store.Root.Path(record.RunDir + "/transition.json")
			if err := errors.Join(os.Remove(path), os.MkdirAll(path+"/x", 0o755)); err != nil {
				t.Error(err)
			}
		}
	}
	ev, err := e.Run(t.Context(), mode.Compute)
	if err != nil || ev.Outcome != record.Interrupted || len(w.did) > 0 {
		t.Errorf("%s, %v, did %v", ev.Outcome, err, w.did)
	}
	if diff := cmp.Diff([]string{"t1 intent ", "t1 transition interrupted"}, summary(t, e)); diff != "" {
		t.Error(diff)
	}
}

// TestEvidence holds that the history has the evidence before and after.
func TestEvidence(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	if _, err := e.Run(t.Context(), mode.Compute); err != nil {
		t.Fatal(err)
	}
	events := history(t, e)
	if len(events) != 2 || events[0].Before == nil || events[0].After != nil || events[1].Before != nil || events[1].After == nil {
		t.Fatalf("%d events, with evidence in other places than it should be", len(events))
	}
	if before, after := events[0].Before, events[1].After; before.State != mode.StateDesktop || len(before.Signals.Sessions.Value) != 1 ||
		after.State != mode.StateCompute || len(after.Signals.Sessions.Value) != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestOverride holds that an override passes the soft guards that it names,
// once, never a hard one, and that the record says so.
func TestOverride(t *testing.T) {
	soft := guard.Result{Class: guard.Block, Code: exitcode.UserJobsActive, Reason: "jobs-active"}
	hard := guard.Result{Class: guard.Block, Code: exitcode.AudioActive, Hard: true, Reason: "pcm-running"}
	for _, tt := range []struct {
		name    string
		names   []string
		block   map[string]guard.Result
		target  mode.Mode
		outcome record.Outcome
		used    []string
	}{
		{"one soft guard", []string{"check_user_jobs_safe"}, map[string]guard.Result{"user_jobs_safe": soft}, mode.Compute, record.Converged, []string{"check_user_jobs_safe"}},
		{"nothing was in the way", []string{"check_user_jobs_safe"}, nil, mode.Compute, record.Converged, []string{}},
		{"another soft guard", []string{"check_cpu_load_safe"}, map[string]guard.Result{"user_jobs_safe": soft}, mode.Compute, record.Blocked, []string{}},
		{"a hard guard", []string{"check_audio_idle"}, map[string]guard.Result{"audio_idle": hard}, mode.Compute, record.Blocked, []string{}},
		{"a hard one beside it", []string{"check_user_jobs_safe"}, map[string]guard.Result{"user_jobs_safe": soft, "audio_idle": hard}, mode.Compute, record.Blocked, []string{"check_user_jobs_safe"}},
		{"for another target", []string{"check_user_jobs_safe"}, map[string]guard.Result{"user_jobs_safe": soft}, mode.StudioLocal, record.Blocked, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, mode.Desktop)
			w.block = tt.block
			e := newEngine(t, w)
			if err := e.Store.SetOverride(record.OverrideRequest{
				SchemaVersion: 1, Target: mode.Compute, BootID: "b1", Expires: time.Now().UTC().Add(time.Minute).Format(record.TimeFormat),
				Override: record.Override{ID: "o", Guards: tt.names, Reason: "it can wait", UID: 0, LoginUID: 1000, User: "ada"},
			}); err != nil {
				t.Fatal(err)
			}
			ev, err := e.Run(t.Context(), tt.target)
			if err != nil || ev.Outcome != tt.outcome {
				t.Fatalf("%s (%s), %v", ev.Outcome, ev.Reason, err)
			}
			if tt.used == nil {
				if ev.Override != nil {
					t.Errorf("it was used for another target: %+v", ev.Override)
				}
				return
			}
			for i, told := range history(t, e) {
				if o := told.Override; o == nil || o.Reason != "it can wait" || o.User != "ada" || o.LoginUID != 1000 {
					t.Fatalf("event %d says %+v", i, o)
				} else if diff := cmp.Diff(tt.used, o.Used); diff != "" {
					t.Error(diff)
				}
			}
			// It counts once.
			w2 := newWorld(t, mode.Desktop)
			w2.block = map[string]guard.Result{"user_jobs_safe": soft}
			next := *e
			next.Host, next.ID = w2, "t2"
			if ev, err := next.Run(t.Context(), mode.Compute); err != nil || ev.Outcome != record.Blocked || ev.Override != nil {
				t.Errorf("the next request: %s, %+v, %v", ev.Outcome, ev.Override, err)
			}
		})
	}
}
