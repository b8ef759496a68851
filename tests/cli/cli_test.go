// Package cli specifies the command line of every binary: scripts below
// testdata run the real programs, each as a process of its own, against
// fixture machines.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/docgen"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/hosts"
	"github.com/ryjen/dubnium/tests/postgres"
)

// TestMain puts every program of the repository into PATH, as this test binary
// under the program's name.
func TestMain(m *testing.M) {
	commands := map[string]func(){}
	for _, p := range docgen.Programs() {
		commands[p.Name] = func() { cli.Main(p) }
	}
	testscript.Main(withDatabase{m}, commands)
}

// withDatabase stops the tests' Postgres after the tests.
type withDatabase struct{ *testing.M }

// Run runs the tests.
func (m withDatabase) Run() int { return postgres.Run(m.M) }

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s := &script{t: t}
			testscript.Run(t, testscript.Params{
				Files: []string{file}, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("REPO", repository(t))
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"host": s.host, "fault": s.fault, "ends": ends, "silent": silent,
					"line": line, "document": document, "json": field, "changes": s.changes, "same": s.same, "messages": s.messages,
					"memory": s.memory, "variable": variable,
				},
			})
		})
	}
}

// TestEveryProgramHasAScript holds that each program's own behaviour is
// specified. Guards are alike, and specified by TestGuards.
func TestEveryProgramHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	for _, p := range docgen.Programs() {
		used := regexp.MustCompile(`(?m)^ends \d+ ` + regexp.QuoteMeta(p.Name) + `( |$)`)
		if !strings.HasPrefix(p.Name, "check_") && !used.Match(all) {
			t.Errorf("no script runs %s", p.Name)
		}
		app, err := cli.Application(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range app.Children {
			if used := regexp.MustCompile(`(?m)^ends \d+ ` + p.Name + ` ` + c.Name + `( |$)`); !used.Match(all) {
				t.Errorf("no script runs %s %s", p.Name, c.Name)
			}
		}
	}
}

// repository is the folder of the whole project.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// script is one run of a script; t is that of the test around it, with which
// machines end.
type script struct {
	t       *testing.T
	machine *hosts.Host
	before  map[string]string
	taken   int
}

// host starts a fixture machine and sets $ROOT to its root:
//
//	host NAME
func (s *script) host(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: host NAME")
	}
	s.machine = hosts.Start(s.t, args[0])
	idle(s.t, s.machine)
	ts.Setenv("ROOT", string(s.machine.Root()))
	s.before = tree(s.t, string(s.machine.Root()))
	s.taken = 0
}

// idle gives every control group the account of its processor time that the
// kernel keeps and the archives leave out.
func idle(t *testing.T, h *hosts.Host) {
	t.Helper()
	groups := h.Root().Path("/sys/fs/cgroup")
	err := filepath.WalkDir(groups, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.WriteFile(filepath.Join(path, "cpu.stat"), []byte("usage_usec 1000\n"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fault breaks the machine's bus:
//
//	fault hang|stop|kill|refuse-start
func (s *script) fault(ts *testscript.TestScript, _ bool, args []string) {
	faults := map[string]func(){
		"hang": s.machine.Hang, "stop": s.machine.StopBus, "kill": s.machine.KillBus,
		"refuse-start": func() {
			s.machine.Systemd.Refuse("StartUnit", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
		},
	}
	if len(args) != 1 || faults[args[0]] == nil {
		ts.Fatalf("usage: fault hang|stop|kill|refuse-start")
	}
	faults[args[0]]()
}

// changes holds which calls that change something the machine's services took:
//
//	changes [REGEXP]
func (s *script) changes(ts *testscript.TestScript, _ bool, args []string) {
	got := strings.Join(s.machine.Calls(), "\n")
	want := "^" + strings.Join(args, " ") + "$"
	if !regexp.MustCompile(want).MatchString(got) {
		ts.Fatalf("the services took the calls\n%s\nwant %s", got, want)
	}
}

// messages bounds how many method calls the machine's services have taken since
// the last time:
//
//	messages MOST
func (s *script) messages(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: messages MOST")
	}
	taken := s.machine.Taken()
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := taken - s.taken; got == 0 || got > most {
		ts.Fatalf("the services took %d messages, want at most %d", got, most)
	}
	s.taken = taken
}

// same holds that no file of the machine has changed since it started:
//
//	same
func (s *script) same(ts *testscript.TestScript, _ bool, _ []string) {
	for name, now := range tree(s.t, string(s.machine.Root())) {
		if s.before[name] != now {
			ts.Fatalf("%s has changed", name)
		}
		delete(s.before, name)
	}
	for name := range s.before {
		ts.Fatalf("%s is gone", name)
	}
	s.before = tree(s.t, string(s.machine.Root()))
}

// ends runs a program and holds its exit code:
//
//	ends CODE PROGRAM [ARGUMENT...]
func ends(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: ends CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d\nstdout: %s\nstderr: %s", args[1], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// silent holds that the last program wrote nothing to stderr:
//
//	silent
func silent(ts *testscript.TestScript, _ bool, _ []string) {
	if text := ts.ReadFile("stderr"); text != "" {
		ts.Fatalf("stderr is not silent:\n%s", text)
	}
}

// line holds that stdout is exactly one line:
//
//	line
func line(ts *testscript.TestScript, _ bool, _ []string) {
	if err := oneLine(ts.ReadFile("stdout")); err != nil {
		ts.Fatalf("%v", err)
	}
}

func oneLine(out string) error {
	if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
		return fmt.Errorf("stdout is not one line:\n%s", out)
	}
	return nil
}

// documents are the JSON documents of the tools, with all of their fields.
var documents = map[string]func() any{
	"observation": func() any { return new(observe.Observation) },
	"event":       func() any { return new(record.Event) },
	"guards":      func() any { return new(record.Guards) },
	"desired": func() any {
		return new(struct {
			SchemaVersion int       `json:"schema_version"`
			Desired       mode.Mode `json:"desired"`
		})
	},
	"status": func() any {
		return new(struct {
			SchemaVersion int                 `json:"schema_version"`
			Desired       mode.Mode           `json:"desired"`
			Observation   observe.Observation `json:"observation"`
			Needed        bool                `json:"reconciliation_needed"`
			BlockedBy     []guard.Result      `json:"blocked_by"`
			Transition    *record.Marker      `json:"transition"`
			Last          *record.Event       `json:"last_transition"`
			Placement     struct {
				Studio   config.Placement `json:"studio"`
				AI       config.Placement `json:"ai"`
				Platform config.Placement `json:"platform"`
			} `json:"placement"`
			Hardware struct {
				PlannedGPUCount int   `json:"planned_gpu_count"`
				PresentGPUs     []int `json:"present_gpus"`
				DisplayGPU      *int  `json:"display_gpu"`
				DesktopAIGPUs   []int `json:"desktop_ai_gpus"`
				ComputeGPUs     []int `json:"compute_gpus"`
			} `json:"hardware"`
			Idle struct {
				Enabled bool         `json:"enabled"`
				Silent  bool         `json:"silent"`
				Told    *record.Idle `json:"told"`
			} `json:"idle"`
			Unread []string `json:"unread"`
		})
	},
	"preview": func() any {
		return new(struct {
			SchemaVersion int            `json:"schema_version"`
			Plan          plan.Plan      `json:"plan"`
			Guards        []guard.Result `json:"guards"`
			Blocked       bool           `json:"blocked"`
			BoundMS       int64          `json:"bound_ms"`
			Bound         bounds         `json:"bound"`
			ExitCode      exitcode.Code  `json:"exit_code"`
		})
	},
	"told": func() any {
		return new(struct {
			SchemaVersion int           `json:"schema_version"`
			ID            string        `json:"id"`
			Intent        *record.Event `json:"intent"`
			Transition    *record.Event `json:"transition"`
		})
	},
	"stats": func() any {
		type durations struct {
			Count    int     `json:"count"`
			MedianMS float64 `json:"median_ms"`
			P95MS    float64 `json:"p95_ms"`
			MaxMS    float64 `json:"max_ms"`
		}
		return new(struct {
			SchemaVersion int    `json:"schema_version"`
			Transitions   int    `json:"transitions"`
			First         string `json:"first"`
			Last          string `json:"last"`
			Outcomes      []struct {
				Outcome record.Outcome `json:"outcome"`
				Count   int            `json:"count"`
			} `json:"outcomes"`
			Ways []struct {
				From mode.State `json:"from"`
				To   mode.Mode  `json:"to"`
				durations
			} `json:"ways"`
			GPURelease []struct {
				What string `json:"what"`
				durations
			} `json:"gpu_release"`
			Guards []struct {
				Guard  string      `json:"guard"`
				Class  guard.Class `json:"class"`
				Reason string      `json:"reason"`
				Hard   bool        `json:"hard"`
				Count  int         `json:"count"`
			} `json:"guards"`
			Unreadable int `json:"unreadable_lines"`
		})
	},
	"diagnosis": func() any {
		return new(struct {
			SchemaVersion int           `json:"schema_version"`
			Healthy       bool          `json:"healthy"`
			ExitCode      exitcode.Code `json:"exit_code"`
			Findings      []struct {
				Area    string `json:"area"`
				Grade   string `json:"grade"`
				What    string `json:"what"`
				Message string `json:"message"`
				Remedy  string `json:"remedy"`
			} `json:"findings"`
		})
	},
	"explanation": func() any {
		return new([]struct {
			SchemaVersion int       `json:"schema_version"`
			Mode          mode.Mode `json:"mode"`
			Intent        string    `json:"intent"`
			Success       string    `json:"success"`
			Ways          []struct {
				plan.Plan
				Bound bounds `json:"bound"`
			} `json:"ways"`
		})
	},
}

// bounds are those of a transition.
type bounds struct {
	ObserveMS int64 `json:"observe_ms"`
	GuardsMS  int64 `json:"guards_ms"`
	StepsMS   int64 `json:"steps_ms"`
	SettleMS  int64 `json:"settle_ms"`
	ForwardMS int64 `json:"forward_ms"`
	BackMS    int64 `json:"back_ms"`
	WholeMS   int64 `json:"whole_ms"`
}

// document holds that stdout is one JSON document of a kind: no field that is
// not documented, a schema version, names in snake case, no null.
//
//	document KIND
func document(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 || documents[args[0]] == nil {
		ts.Fatalf("usage: document KIND")
	}
	data := ts.ReadFile("stdout")
	ts.Check(wellFormed([]byte(data), documents[args[0]]()))
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func wellFormed(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("stdout is no document of this kind: %w\n%s", err, data)
	}
	if dec.More() {
		return fmt.Errorf("stdout holds more than one document:\n%s", data)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return err
	}
	top, _ := tree.(map[string]any)
	if list, ok := tree.([]any); ok && len(list) > 0 {
		top, _ = list[0].(map[string]any)
	}
	if _, ok := top["schema_version"]; !ok {
		return fmt.Errorf("the document has no schema_version:\n%s", data)
	}
	return conventional("", tree)
}

// conventional walks through a document. The keys of weights are names of
// slices.
func conventional(at string, v any) error {
	switch v := v.(type) {
	case nil:
		return fmt.Errorf("%s is null", at)
	case []any:
		for i, item := range v {
			if err := conventional(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, value := range v {
			if !snake.MatchString(key) && !strings.HasSuffix(at, ".weights") {
				return fmt.Errorf("%s.%s is not in snake case", at, key)
			}
			if err := conventional(at+"."+key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// field holds the value of a field of the JSON on stdout, by a regular
// expression for the whole of it; numbers in the path are indices, and len is
// a list's length:
//
//	json PATH REGEXP
func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH REGEXP")
	}
	got := at(ts, args[0])
	if regexp.MustCompile("^(?:"+args[1]+")$").MatchString(got) == neg {
		ts.Fatalf("%s is %q, want %s (negated: %v)", args[0], got, args[1], neg)
	}
}

// variable sets a variable of the environment to a field of the JSON on stdout:
//
//	variable NAME PATH
func variable(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: variable NAME PATH")
	}
	ts.Setenv(args[0], at(ts, args[1]))
}

// at gives a field of the JSON on stdout, or "absent".
func at(ts *testscript.TestScript, path string) string {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, step := range strings.Split(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[step]
		case []any:
			if step == "len" {
				v = len(node)
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(node) {
				ts.Fatalf("%s: no item %s of %d", path, step, len(node))
			}
			v = node[i]
		default:
			v = nil
		}
	}
	if v == nil {
		return "absent"
	}
	return fmt.Sprint(v)
}

// tree gives every file below a folder with its content; sockets and the bus's
// own files are no part of the machine.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
