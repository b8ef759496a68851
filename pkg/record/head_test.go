package record

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// slowly is what encoding/json makes of the fields of a Head and a Sum: the
// yardstick of the quick parsers.
type slowly struct {
	Head
	Guards  []SumGuard
	Actions []SumAction
}

func (s *slowly) read(line string) bool {
	var ev Event
	if json.Unmarshal([]byte(line), &ev) != nil || ev.ID == "" {
		return false
	}
	s.Head = Head{
		Type: ev.Type, Timestamp: ev.Timestamp, ID: ev.ID, BootID: ev.BootID, Requested: ev.Requested, Prior: ev.Prior, Final: ev.Final,
		Outcome: ev.Outcome, Success: ev.Success, ExitCode: ev.ExitCode, Reason: ev.Reason, DurationMS: ev.DurationMS,
		AskedBy: ev.AskedBy,
	}
	for _, g := range ev.Guards {
		s.Guards = append(s.Guards, SumGuard{g.Guard, g.OK, g.Class, g.Hard, g.Reason})
	}
	for _, a := range ev.Actions {
		s.Actions = append(s.Actions, SumAction{a.Action, a.Unit, a.Status, a.DurationMS})
	}
	return true
}

// agree holds that the quick parsers read what the slow one reads.
func agree(t *testing.T, line string) {
	t.Helper()
	var want slowly
	if !want.read(line) {
		return // what of an event is wrong that nobody asked for is not looked for
	}
	head, ok := parseHead([]byte(line))
	head.Line = nil
	if diff := cmp.Diff(want.Head, head); diff != "" || !ok {
		t.Errorf("%s: %v (-slow +quick): %s", line, ok, diff)
	}
	sum, ok := parseSum([]byte(line))
	all := Sum{want.ID, want.Type, want.Timestamp, want.Requested, want.Prior, want.Outcome, want.DurationMS, want.AskedBy, want.Guards, want.Actions}
	if diff := cmp.Diff(all, sum); diff != "" || !ok {
		t.Errorf("%s: %v (-slow +quick): %s", line, ok, diff)
	}
}

func lines(t testing.TB) []string {
	t.Helper()
	whole := ended("20260528T000000Z-0011aabb", Blocked,
		guard.Result{Guard: "check_a", Class: guard.Block, Code: 10, Hard: true, Reason: "r", Message: "\"quoted\"\n\u2028é", Evidence: json.RawMessage(`{"guard":"not this","a":[{"ok":true}]}`)},
		guard.Result{Guard: "check_b", OK: true, Class: guard.Pass})
	whole.Reason, whole.ExitCode, whole.DurationMS, whole.Final = "a <b> & \"c\" \x01 é", 10, 1e-7, mode.Unknown
	whole.Actions = []Action{{Title: "stop x", Action: mode.StopUnit, Unit: "x.service", Status: Done, BoundMS: 5, DurationMS: 1234.5, Detail: "d"}, {}}
	whole.AskedBy = &Asker{UID: 0, LoginUID: 1000, User: "ada \"l\"", PID: 7, Unit: "session-3.scope", CutOff: true}
	var out []string
	for _, e := range []Event{whole, {ID: "1"}, {ID: "2", Type: TypeIntent, Success: true}} {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(data))
	}
	return append(out, `{"id":"x","type":null,"guards":null,"actions":[],"success":null,"duration_ms":-0.5e2}`, `{"id":"\u0041"}`,
		`{"id":"x","asked_by":null}`, `{"id":"x","asked_by":{}}`, `{"id":"x","asked_by":{"login_uid":-1,"user":null}}`,
		"{\"id\":\"\xff\"}", `{"id":"x","id":"y"}`)
}

func TestQuickParsers(t *testing.T) {
	for _, line := range lines(t) {
		agree(t, line)
	}
	for _, line := range []string{
		`{}`, `{"id":""}`, `{"id":null}`, `{"id":7}`, `{"id":"x","success":1}`, `{"id":"x","exit_code":"1"}`, `{"id":"x","exit_code":1.5}`,
		`{"id":"x","duration_ms":"1"}`, `{"id":"x","outcome":[]}`, `{"id":"x"`, `[]`, `{"id":"x"}}`,
		`{"id":"x","asked_by":7}`, `{"id":"x","asked_by":{"uid":"0"}}`, `{"id":"x","asked_by":{"user":7}}`,
	} {
		if h, ok := parseHead([]byte(line)); ok {
			t.Errorf("%s is taken for an event: %+v", line, h)
		}
	}
	for _, line := range []string{
		`{}`, `{"id":"x","guards":{}}`, `{"id":"x","guards":[1]}`, `{"id":"x","guards":[{"ok":"yes"}]}`, `{"id":"x","actions":[{"duration_ms":[]}]}`,
		`{"id":"x","actions":"none"}`,
	} {
		if s, ok := parseSum([]byte(line)); ok {
			t.Errorf("%s is taken for an event: %+v", line, s)
		}
	}
}

func FuzzHead(f *testing.F) {
	for _, line := range lines(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ToLower(line) != line {
			return // encoding/json takes ID for id
		}
		if strings.Count(line, `"guards"`) > 1 || strings.Count(line, `"actions"`) > 1 || strings.Count(line, `"asked_by"`) > 1 || strings.Contains(line, `\`) {
			return // it merges values that are there twice, and knows a key that is written with escapes
		}
		agree(t, line)
	})
}
