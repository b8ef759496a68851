package guardproc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

const (
	passing  = `{"guard":"x","ok":true,"code":0,"class":"pass","hard":false,"reason":"fine","message":"all is well","evidence":{"a":1},"target":"desktop"}`
	blocking = `{"guard":"x","ok":false,"code":17,"class":"block","hard":false,"reason":"busy","message":"somebody is there","evidence":{}}`
	blind    = `{"guard":"x","ok":false,"code":27,"class":"error","hard":false,"reason":"source-unreadable","message":"no bus","evidence":{}}`
	misused  = `{"guard":"x","ok":false,"code":31,"class":"misuse","hard":false,"reason":"bad-configuration","message":"line 2"}`
)

// shell makes a guard of a shell script. Its name is in the command line of
// what it runs with $MARK, so that left-overs can be found.
func shell(t *testing.T, script string) Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check_x")
	text := "#!/bin/sh\nMARK=" + mark(t) + "\n" + script + "\n"
	// Not os.WriteFile alone: a fork of another test might hold it open for
	// writing, and then it can't be run.
	if err := os.WriteFile(path+".new", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return Command{Name: "check_x", Argv: []string{"/bin/sh", path}, Code: exitcode.GraphicalPresent, Hard: true}
}

// mark is a number of seconds that only this test's processes sleep for.
func mark(t *testing.T) string {
	sum := uint32(2166136261)
	for _, c := range []byte(t.Name()) {
		sum = (sum ^ uint32(c)) * 16777619
	}
	return fmt.Sprintf("7%d.%d", os.Getpid(), sum)
}

// leftovers lists the processes that carry this test's mark.
func leftovers(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d processes, %v", len(files), err)
	}
	var out []string
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && bytes.Contains(data, []byte(mark(t))) {
			out = append(out, filepath.Base(filepath.Dir(f)))
		}
	}
	return out
}

// gone waits until no process with the mark is left.
func gone(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := leftovers(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes are left: %v", left)
		}
	}
}

// noise is what a busy machine may add to a time.
const noise = time.Second

func TestRun(t *testing.T) {
	quoted := func(lines ...string) string { return "printf '%s\\n' '" + strings.Join(lines, "' '") + "'" }
	const sleep = "sleep $MARK"
	tests := map[string]struct {
		script   string
		deadline time.Duration // 10 s by default
		class    guard.Class
		code     exitcode.Code
		reason   string
		message  string
		overdue  bool // it takes the whole deadline
	}{
		"pass":              {script: quoted(passing), class: guard.Pass, code: 0, reason: "fine", message: "all is well"},
		"block":             {script: quoted(blocking) + "; exit 17", class: guard.Block, code: 17, reason: "busy"},
		"error":             {script: quoted(blind) + "; exit 27", class: guard.Error, code: 27, reason: "source-unreadable"},
		"no newline":        {script: "printf '%s' '" + passing + "'", class: guard.Pass, reason: "fine"},
		"noise on stderr":   {script: "echo note >&2; " + quoted(passing), class: guard.Pass, reason: "fine"},
		"much on stderr":    {script: "head -c 1000000 /dev/zero >&2; " + quoted(passing), class: guard.Pass, reason: "fine"},
		"reads its stdin":   {script: "cat; " + quoted(passing), class: guard.Pass, reason: "fine"},
		"a child that ends": {script: "sh -c 'exit 3' & wait; " + quoted(passing), class: guard.Pass, reason: "fine"},

		"nothing":                        {script: "exit 0", class: guard.Error, reason: Broken, message: "no JSON object"},
		"nothing, and a block":           {script: "exit 17", class: guard.Error, reason: Broken, message: "no JSON object"},
		"rubbish":                        {script: "echo all is well", class: guard.Error, reason: Broken, message: "no JSON object"},
		"an empty object":                {script: "echo '{}'", class: guard.Error, reason: Broken, message: "disagree"},
		"null":                           {script: "echo null", class: guard.Error, reason: Broken, message: "disagree"},
		"a list":                         {script: quoted("[" + passing + "]"), class: guard.Error, reason: Broken, message: "no JSON object"},
		"cut off":                        {script: quoted(passing[:40]), class: guard.Error, reason: Broken, message: "no JSON object"},
		"two lines":                      {script: quoted(passing, passing), class: guard.Error, reason: Broken, message: "more than one line"},
		"two on one line":                {script: quoted(passing + passing), class: guard.Error, reason: Broken, message: "no JSON object"},
		"an empty line first":            {script: quoted("", passing), class: guard.Error, reason: Broken, message: "more than one line"},
		"pass, with a block's status":    {script: quoted(passing) + "; exit 17", class: guard.Error, reason: Broken, message: "exit status 17, code 0"},
		"block, with a pass's status":    {script: quoted(blocking), class: guard.Error, reason: Broken, message: "exit status 0, code 17"},
		"block, with another's status":   {script: quoted(blocking) + "; exit 13", class: guard.Error, reason: Broken, message: "exit status 13"},
		"a block that says it is a pass": {script: quoted(strings.Replace(blocking, `"class":"block"`, `"class":"pass"`, 1)) + "; exit 17", class: guard.Error, reason: Broken, message: `class "pass"`},
		"a block that says it is ok":     {script: quoted(strings.Replace(blocking, `"ok":false`, `"ok":true`, 1)) + "; exit 17", class: guard.Error, reason: Broken, message: "ok true"},
		"a code of other type":           {script: quoted(strings.Replace(passing, `"code":0`, `"code":"0"`, 1)), class: guard.Error, reason: Broken, message: "no JSON object"},
		"misuse":                         {script: quoted(misused) + "; exit 31", class: guard.Error, reason: Broken, message: "bad-configuration: line 2"},
		"status 1":                       {script: "echo panic: x >&2; exit 1", class: guard.Error, reason: Broken, message: "outside the contract of guards; it said: panic: x"},
		"status 77":                      {script: quoted(passing) + "; exit 77", class: guard.Error, reason: Broken, message: "exit status 77 is outside"},
		"status of a transition":         {script: quoted(passing) + "; exit 42", class: guard.Error, reason: Broken, message: "exit status 42 is outside"},
		"killed":                         {script: quoted(passing) + "; kill -KILL $$", class: guard.Error, reason: Broken, message: "signal: killed"},
		"segmentation fault":             {script: quoted(passing) + "; kill -SEGV $$", class: guard.Error, reason: Broken, message: "segmentation fault"},
		"a little too much":              {script: "head -c 65537 /dev/zero", class: guard.Error, reason: Broken, message: "more than 65536 bytes"},
		"a gigabyte":                     {script: "head -c 1000000000 /dev/zero", class: guard.Error, reason: Broken, message: "more than 65536 bytes"},

		"hangs":                    {script: sleep, deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, message: "no answer within 200ms", overdue: true},
		"hangs after its answer":   {script: quoted(passing) + "; " + sleep, deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, overdue: true},
		"hangs and takes no TERM":  {script: "trap '' TERM INT HUP; while :; do " + sleep + "; done", deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, overdue: true},
		"stops itself":             {script: "kill -STOP $$", deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, overdue: true},
		"endless output":           {script: "cat /dev/zero", deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, overdue: true},
		"a child holds its stdout": {script: sleep + " & " + quoted(passing), class: guard.Pass, reason: "fine"},
		"a child holds its stderr": {script: sleep + " >/dev/null & " + quoted(passing), class: guard.Pass, reason: "fine"},
		"a child outlives it":      {script: sleep + " >/dev/null 2>&1 & " + quoted(passing), class: guard.Pass, reason: "fine"},
		"a child and a hang":       {script: sleep + " & " + sleep, deadline: 200 * time.Millisecond, class: guard.Error, reason: Overdue, overdue: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shell(t, tt.script)
			if tt.deadline == 0 {
				tt.deadline = 10 * time.Second
			}
			if tt.class == guard.Error && tt.code == 0 {
				tt.code = 27
			}
			begin := time.Now()
			r := Run(t.Context(), c, mode.Compute, tt.deadline)
			took := time.Since(begin)
			if took > tt.deadline+noise || tt.overdue != (took >= tt.deadline) {
				t.Errorf("took %v of %v", took, tt.deadline)
			}
			if r.Class != tt.class || r.Code != tt.code || r.Reason != tt.reason || !strings.Contains(r.Message, tt.message) {
				t.Errorf("class %s, code %d, reason %s: %s\nwant %s, %d, %s: …%s…", r.Class, r.Code, r.Reason, r.Message, tt.class, tt.code, tt.reason, tt.message)
			}
			if r.Guard != "check_x" || !r.Hard || r.Target != mode.Compute || r.OK != (r.Class == guard.Pass) || !strings.HasPrefix(string(r.Evidence), "{") {
				t.Errorf("what the caller knows better was not filled in: %+v", r)
			}
			gone(t)
		})
	}
}

// TestEscaped holds that a process which leaves the group can't hold up the
// answer beyond the deadline, and that it spoils it: it may write on.
func TestEscaped(t *testing.T) {
	away := filepath.Join(t.TempDir(), "away")
	c := shell(t, "setsid sh -c ': >"+away+"; exec sleep '$MARK & while [ ! -e "+away+" ]; do sleep 0.01; done; printf '%s\\n' '"+passing+"'")
	t.Cleanup(func() {
		for _, pid := range leftovers(t) {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil {
				if p, err := os.FindProcess(n); err == nil {
					_ = p.Kill()
				}
			}
		}
	})
	begin := time.Now()
	r := Run(t.Context(), c, mode.Compute, 2*time.Second)
	if took := time.Since(begin); took > 2*time.Second+noise {
		t.Errorf("took %v", took)
	}
	if r.Class != guard.Error || r.Code != 27 || !strings.Contains(r.Message, "left behind") {
		t.Errorf("%+v", r)
	}
}

func TestProgramsThatDoNotStart(t *testing.T) {
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, reason, message string }{
		{filepath.Join(folder, "check_nothing"), NoProgram, "check_nothing is not installed"},
		{plain, Broken, "permission denied"},
		{folder, Broken, "permission denied"},
		{plain + "/below", Broken, "not a directory"},
	} {
		r := Run(t.Context(), Command{Name: "check_x", Argv: []string{tt.path}, Code: exitcode.MemoryLow}, mode.Desktop, time.Second)
		if r.Class != guard.Error || r.Code != 24 || r.Reason != tt.reason || !strings.Contains(r.Message, tt.message) || r.Hard {
			t.Errorf("%s: %+v, want %s: %s", tt.path, r, tt.reason, tt.message)
		}
	}
}

// TestCallerGivesUp holds that the end of the caller's context ends the guards.
func TestCallerGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := shell(t, "sleep $MARK")
	go func() {
		for t.Context().Err() == nil && len(leftovers(t)) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	begin := time.Now()
	r := Run(ctx, c, mode.Compute, time.Minute)
	if took := time.Since(begin); took > 20*time.Second || r.Reason != Overdue || !strings.Contains(r.Message, "context canceled") {
		t.Errorf("after %v: %+v", took, r)
	}
	gone(t)
	if r := Run(ctx, c, mode.Compute, time.Minute); r.Class != guard.Error {
		t.Errorf("with a context that has ended: %+v", r)
	}
	gone(t)
}

// TestAll holds that guards run side by side, and that their results keep the
// order of the commands.
func TestAll(t *testing.T) {
	meet := t.TempDir()
	// Each guard waits until all have come: one after the other, none would end.
	const n = 8
	var commands []Command
	for i := range n {
		c := shell(t, fmt.Sprintf(`
			: >%[1]s/%[2]d
			while [ "$(ls %[1]s | wc -l)" -lt %[3]d ]; do sleep 0.01; done
			printf '%%s\n' '%[4]s'`, meet, i, n, strings.Replace(passing, "fine", fmt.Sprintf("guard-%d", i), 1)))
		c.Name = fmt.Sprintf("check_%d", i)
		commands = append(commands, c)
	}
	for i, r := range All(t.Context(), commands, mode.Compute, 20*time.Second) {
		if r.Guard != fmt.Sprintf("check_%d", i) || r.Reason != fmt.Sprintf("guard-%d", i) || r.Class != guard.Pass {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if got := All(t.Context(), nil, mode.Compute, time.Second); len(got) != 0 {
		t.Errorf("no commands: %v", got)
	}
	gone(t)
}

// TestEnvironment holds what a guard gets to see of ours.
func TestEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD", "x.so")
	t.Setenv("DUBNIUM_ROOT", "/elsewhere")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/other")
	got := strings.Join(environment(), " ")
	want := "PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/other"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLongestWindowFirst holds that what watches the longest is started first,
// by the numbers that the processes got.
func TestLongestWindowFirst(t *testing.T) {
	var commands []Command
	for _, window := range []time.Duration{0, time.Second, 0, 3 * time.Second, 2 * time.Second} {
		c := shell(t, "printf '%s\\n' '"+strings.Replace(passing, "fine", "'$$'", 1)+"'")
		c.Window = window
		commands = append(commands, c)
	}
	results := All(t.Context(), commands, mode.Compute, 20*time.Second)
	order := []int{0, 1, 2, 3, 4}
	number := func(i int) int {
		n, err := strconv.Atoi(results[i].Reason)
		if err != nil {
			t.Fatalf("%+v", results[i])
		}
		return n
	}
	slices.SortFunc(order, func(a, b int) int { return number(a) - number(b) })
	if want := []int{3, 4, 1, 0, 2}; !slices.Equal(order, want) {
		t.Errorf("started in the order %v, want %v", order, want)
	}
}
