package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

// store is a machine with the folders that systemd-tmpfiles makes.
func store(t *testing.T) Store {
	t.Helper()
	s := Store{Root: hostfs.Root(t.TempDir())}
	for _, dir := range []string{RunDir, StateDir} {
		if err := os.MkdirAll(s.Root.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s Store) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.Root.Path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWords(t *testing.T) {
	s := store(t)
	if m, set, err := s.Desired(); m != "" || set || err != nil {
		t.Errorf("before anything was desired: %q, %v, %v", m, set, err)
	}
	for _, m := range mode.All() {
		if err := s.SetDesired(m); err != nil {
			t.Fatal(err)
		}
		if got, set, err := s.Desired(); got != m || !set || err != nil {
			t.Errorf("%s: %q, %v, %v", m, got, set, err)
		}
		if data, err := s.Root.ReadFile(desiredFile); string(data) != string(m)+"\n" || err != nil {
			t.Errorf("the file is one word and a newline: %q, %v", data, err)
		}
	}
	for _, st := range mode.States() {
		if err := s.SetCurrent(st); err != nil {
			t.Fatal(err)
		}
		if got, set, err := s.Current(); got != st || !set || err != nil {
			t.Errorf("%s: %q, %v, %v", st, got, set, err)
		}
	}
	for text, fault := range map[string]bool{
		"": false, " \n": false, "compute": false, " compute \n\n": false, "Compute\n": true, "unknown\n": true, "compute desktop\n": true,
		"\x00": true, strings.Repeat("compute\n", 100): true,
	} {
		s.put(t, desiredFile, text)
		m, set, err := s.Desired()
		if (err != nil) != fault || set != (!fault && strings.TrimSpace(text) != "") || fault && m != "" {
			t.Errorf("%.20q: %q, %v, %v", text, m, set, err)
		}
		if err != nil && !strings.Contains(err.Error(), "desired") {
			t.Errorf("%.20q: the error does not name the file: %v", text, err)
		}
	}
}

func TestDocuments(t *testing.T) {
	s := store(t)
	if _, found, err := s.Last(); found || err != nil {
		t.Errorf("no last transition: %v, %v", found, err)
	}
	if _, found, err := s.Marker(); found || err != nil {
		t.Errorf("no marker: %v, %v", found, err)
	}
	if _, found, err := s.LastGuards(); found || err != nil {
		t.Errorf("no guards: %v, %v", found, err)
	}
	results := []guard.Result{{Guard: "check_x", Code: 17, Class: guard.Block, Evidence: json.RawMessage(`{"a":1}`), Target: mode.Compute}}
	event := Event{
		SchemaVersion: 1, Type: TypeTransition, ID: "x", Requested: mode.Compute, Prior: mode.StateDesktop, Final: mode.StateCompute,
		Outcome: Converged, Success: true, Guards: results, Actions: []Action{{Title: "stop x", Action: mode.StopUnit, Unit: "x", Status: Done, BoundMS: 10}},
	}
	marker := Marker{SchemaVersion: 1, ID: "x", PID: 7, Requested: mode.Compute, Prior: mode.StateDesktop, Phase: Acting, Guards: results, Steps: event.Actions}
	list := Guards{SchemaVersion: 1, ID: "x", Target: mode.Compute, Results: results}
	if err := errors.Join(s.SetLast(event), s.SetMarker(marker), s.SetGuards(list)); err != nil {
		t.Fatal(err)
	}
	compact := cmp.Transformer("compact", func(m json.RawMessage) string { return strings.Join(strings.Fields(string(m)), "") })
	if got, found, err := s.Last(); !found || err != nil || !cmp.Equal(event, got, compact) {
		t.Errorf("%v, %v\n%s", found, err, cmp.Diff(event, got, compact))
	}
	if got, found, err := s.Marker(); !found || err != nil || !cmp.Equal(marker, got, compact) {
		t.Errorf("%v, %v\n%s", found, err, cmp.Diff(marker, got, compact))
	}
	if got, found, err := s.LastGuards(); !found || err != nil || !cmp.Equal(list, got, compact) {
		t.Errorf("%v, %v\n%s", found, err, cmp.Diff(list, got, compact))
	}
	for _, name := range []string{lastFile, markerFile, guardsFile} {
		info, err := s.Root.Stat(name)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v: everybody reads it, root writes it", name, info.Mode(), err)
		}
	}
	if err := errors.Join(s.ClearMarker(), s.ClearMarker()); err != nil {
		t.Errorf("clear the marker, twice: %v", err)
	}
	if _, found, err := s.Marker(); found || err != nil {
		t.Errorf("the marker is cleared: %v, %v", found, err)
	}
}

func TestGarbled(t *testing.T) {
	s := store(t)
	for name, tt := range map[string]struct {
		text    string
		garbled bool
	}{
		"half":           {`{"id": "x`, true},
		"empty":          {"", true},
		"zeros":          {"\x00\x00\x00", true},
		"another type":   {`{"id": 7}`, true},
		"a list":         {`[]`, true},
		"unknown fields": {`{"id": "x", "future": {"a": []}}`, false},
		"two documents":  {`{"id": "x"}{"id": "y"}`, true},
	} {
		s.put(t, markerFile, tt.text)
		_, found, err := s.Marker()
		if errors.Is(err, ErrGarbled) != tt.garbled || found == tt.garbled {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if err != nil && !strings.Contains(err.Error(), "transition.json") {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
	if err := os.Truncate(s.Root.Path(markerFile), hostfs.DefaultLimit+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Marker(); !errors.Is(err, hostfs.ErrTooLarge) {
		t.Errorf("a file without end: %v", err)
	}
}

func TestMutated(t *testing.T) {
	for phase, want := range map[Phase]bool{"": false, Guarding: false, Acting: true, Observing: true, RollingBack: true, "future": true} {
		if got := (Marker{Phase: phase}).Mutated(); got != want {
			t.Errorf("%q: %v, want %v", phase, got, want)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, o := range []Outcome{Converged, Noop, Blocked, CheckError, RolledBack, TimedOut, Degraded, Failed, Interrupted, "future"} {
		if want := o == Converged || o == Noop; o.Success() != want {
			t.Errorf("%s is a success: %v", o, o.Success())
		}
	}
}

func TestHistory(t *testing.T) {
	s := store(t)
	read := func() (ids []string, bad int) {
		bad, err := s.Events(func(e Event) error { ids = append(ids, e.ID); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return ids, bad
	}
	if ids, bad := read(); len(ids) != 0 || bad != 0 {
		t.Errorf("no history yet: %q, %d", ids, bad)
	}
	if err := s.CanAppend(); err != nil {
		t.Errorf("a first event can't be written: %v", err)
	}
	for i := range 3 {
		if err := s.Append(Event{SchemaVersion: 1, ID: fmt.Sprint(i), Reason: "two\nlines\u2028"}); err != nil {
			t.Fatal(err)
		}
	}
	if ids, bad := read(); !cmp.Equal(ids, []string{"0", "1", "2"}) || bad != 0 {
		t.Errorf("%q, %d bad", ids, bad)
	}
	data, err := s.Root.ReadFile(EventsFile)
	if err != nil {
		t.Fatal(err)
	}
	// A foreign line, one without an id, and one that was cut off by a crash.
	s.put(t, EventsFile, string(data)+"rubbish\n{\"schema_version\":1}\n"+string(data[:20]))
	if ids, bad := read(); len(ids) != 3 || bad != 3 {
		t.Errorf("%q, %d bad", ids, bad)
	}
	if err := s.Append(Event{SchemaVersion: 1, ID: "3"}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := read(); !cmp.Equal(ids, []string{"0", "1", "2", "3"}) {
		t.Errorf("after a torn line: %q", ids)
	}
	stop := errors.New("enough")
	if _, err := s.Events(func(Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's error is lost: %v", err)
	}
	s.put(t, "/var/lib/file", "")
	if err := (Store{Root: hostfs.Root(s.Root.Path("/var/lib/file"))}).CanAppend(); err == nil {
		t.Error("a history below a file can be appended to")
	}
}

func TestLock(t *testing.T) {
	h := hosts.Start(t, "transition-running")
	s := Store{Root: h.Root()}
	l, err := s.Lock()
	if err != nil || !l.Held || l.PID != 4711 || l.Target != mode.Compute {
		t.Errorf("%+v, %v", l, err)
	}
	if got := s.HeldBy(); !strings.Contains(got, "a transition to compute holds the lock (pid 4711") {
		t.Error(got)
	}
	free := store(t)
	if l, err := free.Lock(); l.Held || err != nil {
		t.Errorf("no file: %+v, %v", l, err)
	}
	if got := free.HeldBy(); got != "another transition holds the lock" {
		t.Error(got)
	}
	// What a controller left that was killed is no holder.
	free.put(t, LockFile, `{"pid": 4711, "target": "compute"}`)
	if err := os.MkdirAll(free.Root.Path("/proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	free.put(t, "/proc/locks", "")
	if l, err := free.Lock(); l.Held || err != nil {
		t.Errorf("a left-over record: %+v, %v", l, err)
	}
	if err := os.Remove(free.Root.Path("/proc/locks")); err != nil {
		t.Fatal(err)
	}
	if l, err := free.Lock(); err == nil {
		t.Errorf("who could not look must not say that it is free: %+v", l)
	}
}

func TestPlacement(t *testing.T) {
	s := store(t)
	if err := errors.Join(s.SetPlacement(map[string]any{"ai": "local"}), s.SetTopology(map[string]any{"present_gpus": []int{}})); err != nil {
		t.Fatal(err)
	}
	doc, found, err := s.Placement()
	if err != nil || !found || doc["ai"] != "local" {
		t.Errorf("%v, %v, %v", doc, found, err)
	}
	data, err := s.Root.ReadFile(topologyFile)
	if err != nil || !strings.HasSuffix(string(data), "}\n") {
		t.Errorf("%q, %v", data, err)
	}
	if err := s.SetPlacement(func() {}); err == nil {
		t.Error("what is no JSON was written")
	}
	if left, err := filepath.Glob(s.Root.Path(RunDir, "*")); err != nil || len(left) != 2 {
		t.Errorf("files are left over: %q, %v", left, err)
	}
}

// TestNoFolder holds that nothing makes the folders but systemd-tmpfiles, and
// that callers can tell when they are missing.
func TestNoFolder(t *testing.T) {
	s := Store{Root: hostfs.Root(t.TempDir())}
	for name, err := range map[string]error{
		"desired": s.SetDesired(mode.Compute), "current": s.SetCurrent(mode.Unknown), "last": s.SetLast(Event{}), "marker": s.SetMarker(Marker{}),
	} {
		if !hostfs.Absent(err) {
			t.Errorf("%s without its folder: %v", name, err)
		}
	}
}
