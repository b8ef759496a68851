package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
)

// asking is a guard that decides with check.
func asking(check func(ctx context.Context) Verdict) Descriptor {
	return Descriptor{
		Name: "door_open", Question: "Is the door open?", Block: exitcode.UserJobsActive, Hard: true, Target: mode.Compute,
		Reasons: []Reason{{"open", Pass, "it is open"}, {"shut", Block, "it is shut"}, {"stuck", Error, "it can't be tried"}},
		Check:   func(ctx context.Context, _ Env) Verdict { return check(ctx) },
	}
}

func TestRun(t *testing.T) {
	say := func(reason string) func(context.Context) Verdict {
		return func(context.Context) Verdict {
			return Say(reason, map[string]int{"angle_deg": 90}, "the door is %s", reason)
		}
	}
	tests := map[string]struct {
		check   func(ctx context.Context) Verdict
		class   Class
		code    exitcode.Code
		reason  string
		message string
	}{
		"pass":                     {say("open"), Pass, 0, "open", "the door is open"},
		"block":                    {say("shut"), Block, 13, "shut", "the door is shut"},
		"own error":                {say("stuck"), Error, 23, "stuck", "the door is stuck"},
		"can't see":                {func(context.Context) Verdict { return CannotSee(errors.New("read door: fog"), nil) }, Error, 23, "source-unreadable", "read door: fog"},
		"bad configuration":        {say(BadConfig.Word), Misuse, 31, "bad-configuration", ""},
		"bad usage":                {say(BadUsage.Word), Misuse, 30, "bad-usage", ""},
		"undeclared":               {say("ajar"), Misuse, 32, "internal-fault", `undeclared reason "ajar": the door is ajar`},
		"no reason":                {func(context.Context) Verdict { return Verdict{} }, Misuse, 32, "internal-fault", `undeclared reason ""`},
		"panic":                    {func(context.Context) Verdict { panic("hinge") }, Misuse, 32, "internal-fault", "the guard panicked: hinge"},
		"nil map":                  {func(context.Context) Verdict { noMap()["x"] = 1; return Verdict{} }, Misuse, 32, "internal-fault", "nil map"},
		"evidence that is no JSON": {func(context.Context) Verdict { return Say("open", func() {}, "look") }, Misuse, 32, "internal-fault", "can't be written as JSON"},
		"deadline seen by the source": {func(context.Context) Verdict {
			return CannotSee(fmt.Errorf("ask the bus: %w", context.DeadlineExceeded), nil)
		}, Error, 23, "deadline", "ask the bus"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := Run(t.Context(), asking(tt.check), Env{Target: mode.Desktop})
			if r.Class != tt.class || r.Code != tt.code || r.Reason != tt.reason || !strings.Contains(r.Message, tt.message) {
				t.Errorf("%s, %d, %s: %s\nwant %s, %d, %s: %s", r.Class, r.Code, r.Reason, r.Message, tt.class, tt.code, tt.reason, tt.message)
			}
			if r.OK != (tt.class == Pass) || string(r.Class) != string(r.Code.Band()) || r.Guard != "check_door_open" || r.Target != mode.Desktop || !r.Hard {
				t.Errorf("%+v", r)
			}
			if _, err := time.Parse(TimeFormat, r.Timestamp); err != nil || r.DurationMS < 0 || !json.Valid(r.Evidence) {
				t.Errorf("timestamp %q (%v), duration %v, evidence %s", r.Timestamp, err, r.DurationMS, r.Evidence)
			}
		})
	}
}

// TestDeadline holds that a check which does not come back is left behind, and
// that one which does may say where it was.
func TestDeadline(t *testing.T) {
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	for name, tt := range map[string]struct {
		check   func(ctx context.Context) Verdict
		reason  string
		message string
	}{
		"deaf":   {func(context.Context) Verdict { <-forever; return Verdict{} }, "deadline", "a source did not answer in time"},
		"polite": {func(ctx context.Context) Verdict { <-ctx.Done(); return CannotSee(errors.New("was at the bus"), nil) }, "deadline", "was at the bus"},
		"knows":  {func(ctx context.Context) Verdict { <-ctx.Done(); return Say("shut", nil, "it is shut") }, "shut", "it is shut"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		r := Run(ctx, asking(tt.check), Env{})
		cancel()
		if took := time.Since(begin); took > time.Second+50*time.Millisecond {
			t.Errorf("%s: took %v", name, took)
		}
		// On a busy machine the word of a polite check may come too late.
		late := name != "deaf" && r.Reason == "deadline"
		if !late && (r.Reason != tt.reason || !strings.Contains(r.Message, tt.message)) || r.Class == Pass {
			t.Errorf("%s: %s: %s, want %s: %s", name, r.Reason, r.Message, tt.reason, tt.message)
		}
	}
}

// TestLineIsBounded holds that no name that others choose, and no number of
// things, makes the line longer than callers read.
func TestLineIsBounded(t *testing.T) {
	long := strings.Repeat("\x01é", 1<<20)
	for name, v := range map[string]Verdict{
		"message":  Say("shut", nil, "%s", long),
		"evidence": Say("shut", map[string]string{"who": long}, "ada"),
		"both":     Say("shut", []string{long}, "%s", long),
		"nearly":   Say("shut", strings.Repeat("x", 47<<10), "%s", strings.Repeat("\x01", 4096)),
		"rubbish":  Say("shut", nil, "%s", strings.Repeat("\xff", 1<<20)),
	} {
		r := Finish(asking(nil), mode.Compute, v, time.Now())
		line, err := json.Marshal(r)
		if err != nil || len(line) >= MaxLine {
			t.Errorf("%s: %d bytes, %v", name, len(line), err)
		}
		if r.Class != Block || r.Reason != "shut" || !utf8.ValidString(r.Message) || r.Message == "" {
			t.Errorf("%s: %s, %s, %.40q", name, r.Class, r.Reason, r.Message)
		}
	}
	r := Finish(asking(nil), mode.Compute, Say("shut", map[string]string{"who": "ada"}, "it is shut"), time.Now())
	if string(r.Evidence) != `{"who":"ada"}` || r.Message != "it is shut" {
		t.Errorf("what is short is left alone: %s, %s", r.Evidence, r.Message)
	}
}

func TestWorst(t *testing.T) {
	ok := Result{Guard: "ok", OK: true}
	r := func(name string, hard bool, code exitcode.Code) Result {
		return Result{Guard: name, Hard: hard, Code: code, Class: Class(code.Band())}
	}
	for name, tt := range map[string]struct {
		results []Result
		want    string
	}{
		"none":                    {nil, ""},
		"all pass":                {[]Result{ok, ok}, ""},
		"one":                     {[]Result{ok, r("a", false, 14)}, "a"},
		"hard before soft":        {[]Result{r("a", false, 12), r("b", true, 18), ok}, "b"},
		"hard error before block": {[]Result{r("a", true, 27), r("b", false, 14)}, "a"},
		"lowest hard":             {[]Result{r("a", true, 18), r("b", true, 17), r("c", true, 28)}, "b"},
		"lowest soft":             {[]Result{r("a", false, 14), r("b", false, 13)}, "b"},
		"the first of equals":     {[]Result{r("a", true, 18), r("b", true, 18)}, "a"},
	} {
		got := ""
		if w := Worst(tt.results); w != nil {
			got = w.Guard
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestJSON holds the form of the line.
func TestJSON(t *testing.T) {
	data, err := json.Marshal(Finish(asking(nil), mode.Compute, Say("open", nil, "look"), time.Date(2026, 5, 28, 2, 0, 0, 123456, time.FixedZone("", 7200))))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "duration_ms")
	want := map[string]any{
		"guard": "check_door_open", "ok": true, "code": 0.0, "class": "pass", "hard": true, "reason": "open", "message": "look",
		"evidence": map[string]any{}, "target": "compute", "timestamp": "2026-05-28T00:00:00.000Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// noMap is a map that can't be written to.
func noMap() map[string]int { return nil }
