package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/docgen"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

// result is what became of a process.
type result struct {
	code           exitcode.Code
	stdout, stderr string
}

// run runs a program of ours as a user and waits for its end.
func run(t *testing.T, as *syscall.SysProcAttr, program string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, as
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", program, err)
	}
	return result{exitcode.Code(cmd.ProcessState.ExitCode()), stdout.String(), stderr.String()}
}

// inside runs a program inside this process, which costs a hundredth.
func inside(p cli.Program, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := cli.Execute(p, args, strings.NewReader(""), &stdout, &stderr, os.Getenv)
	return result{code, stdout.String(), stderr.String()}
}

// leaves lists the command lines, without arguments, that a program has.
func leaves(t *testing.T, p cli.Program) [][]string {
	t.Helper()
	app, err := cli.Application(p)
	if err != nil {
		t.Fatal(err)
	}
	out := [][]string{nil}
	for _, c := range app.Children {
		out = append(out, []string{c.Name})
	}
	return out
}

// TestConventions holds what all command lines have in common.
func TestConventions(t *testing.T) {
	for i, p := range docgen.Programs() {
		t.Run(p.Name, func(t *testing.T) {
			// A model takes one command line.
			again := func(args ...string) result { return inside(docgen.Programs()[i], args...) }
			isGuard := strings.HasPrefix(p.Name, "check_")
			for _, words := range leaves(t, p) {
				r := again(append(words, "--help")...)
				if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "Usage: "+strings.Join(append([]string{p.Name}, words...), " ")) {
					t.Errorf("%q --help: %+v", words, r)
				}
			}
			r := again("--version")
			if r.code != 0 || r.stderr != "" || oneLine(r.stdout) != nil || !strings.HasPrefix(r.stdout, p.Name+" ") {
				t.Errorf("--version: %+v", r)
			}
			app, err := cli.Application(p)
			if err != nil {
				t.Fatal(err)
			}
			var needed []string
			for _, f := range app.Flags {
				if f.Required {
					needed = append(needed, "--"+f.Name+"=x")
				}
			}
			for _, arg := range app.Positional {
				if arg.Required {
					needed = append(needed, "x")
				}
			}
			for flag, says := range map[string]string{
				"--no-such-flag": "unknown flag --no-such-flag",
				"-x":             "unknown flag -x",
				"--timeout=soon": "timeout",
				"--timeout=-1s":  "is negative",
				"--verbos":       "did you mean --verbose",
			} {
				words := leaves(t, p)
				r := again(slices.Concat(words[len(words)-1], needed, []string{flag})...)
				if r.code != exitcode.Usage || !strings.HasPrefix(r.stderr, p.Name+": ") || !strings.Contains(r.stderr, says) {
					t.Errorf("%s: %+v, want code 30 and %q", flag, r, says)
				}
				if isGuard {
					guardLine(t, r, guard.Misuse)
				} else if r.stdout != "" {
					t.Errorf("%s: stdout of a bad command line: %q", flag, r.stdout)
				}
			}
		})
	}
}

// guardLine holds the contract of a guard's stdout.
func guardLine(t *testing.T, r result, class guard.Class) guard.Result {
	t.Helper()
	var doc guard.Result
	if err := oneLine(r.stdout); err != nil {
		t.Error(err)
	}
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("stdout is no result of a guard: %v: %q", err, r.stdout)
	}
	var tree any
	if err := json.Unmarshal([]byte(r.stdout), &tree); err != nil {
		t.Fatal(err)
	}
	if err := conventional("", tree); err != nil {
		t.Error(err)
	}
	if doc.Class != class || doc.Code != r.code || string(doc.Class) != string(r.code.Band()) || doc.OK != (r.code == 0) || len(r.stdout) > 64<<10 {
		t.Errorf("exit status %d, and %d bytes of %+v; want the class %s", r.code, len(r.stdout), doc, class)
	}
	return doc
}

// TestGuards runs every guard as the process that it is.
func TestGuards(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	root := "--root=" + string(h.Root())
	bad := filepath.Join("/etc", "dubnium", "bad.toml")
	h.Write(bad[1:], "# a comment\n[guards.memory]\ncompute = \"much\"\n")
	before := tree(t, string(h.Root()))
	t.Cleanup(func() { // after the parallel guards
		if diff := cmp.Diff(before, tree(t, string(h.Root()))); diff != "" || len(h.Calls()) > 0 {
			t.Errorf("the guards have changed the machine: calls %q, files (-before +after):\n%s", h.Calls(), diff)
		}
	})
	for _, d := range guards.All() {
		t.Run(d.Binary(), func(t *testing.T) {
			t.Parallel()
			r := run(t, nil, d.Binary(), root)
			class := guard.Class(r.code.Band())
			doc := guardLine(t, r, class)
			if _, declared := d.Reason(doc.Reason); !declared || class == guard.Misuse || doc.Guard != d.Binary() || doc.Target != d.Target || doc.Hard != d.Hard {
				t.Errorf("by hand: %+v", doc)
			}
			if r.stderr != "" {
				t.Errorf("stderr is not silent: %q", r.stderr)
			}
			if r := run(t, nil, d.Binary(), root, "--verbose"); !strings.HasPrefix(r.stderr, d.Binary()+": "+doc.Reason+": ") {
				t.Errorf("--verbose: %q", r.stderr)
			}
			for _, m := range mode.All() {
				r := inside(cli.GuardProgram(d), root, "--target="+string(m))
				if doc := guardLine(t, r, guard.Class(r.code.Band())); doc.Target != m {
					t.Errorf("asked for %s, and answered for %s", m, doc.Target)
				}
			}
			r = inside(cli.GuardProgram(d), root, "--target=nowhere")
			if doc := guardLine(t, r, guard.Misuse); r.code != exitcode.Usage || doc.Reason != guard.BadUsage.Word {
				t.Errorf("an unknown target: %+v", r)
			}
			r = inside(cli.GuardProgram(d), root, "now")
			if guardLine(t, r, guard.Misuse); r.code != exitcode.Usage {
				t.Errorf("an argument: %+v", r)
			}
			r = run(t, nil, d.Binary(), root, "--config="+bad)
			doc = guardLine(t, r, guard.Misuse)
			if r.code != exitcode.Config || doc.Reason != guard.BadConfig.Word || !strings.Contains(doc.Message, bad+":3: guards.memory.compute: ") {
				t.Errorf("a bad configuration: %+v", r)
			}
		})
	}
}

// TestBadConfiguration holds that whoever reads the configuration names file,
// line, key and remedy.
func TestBadConfiguration(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Write("etc/dubnium/dubnium.toml", "[desktop]\nloginUnit = []\n")
	root := "--root=" + string(h.Root())
	for _, words := range []string{
		"mode status", "mode current", "mode explain", "mode guards compute", "mode dry-run compute",
		"observe-current", "reconcile compute", "reconcile compute --dry-run", "reconcile --boot",
	} {
		args := append(strings.Fields(words), root)
		r := run(t, nil, args[0], args[1:]...)
		if r.code != exitcode.Config || r.stdout != "" || !strings.HasPrefix(r.stderr, args[0]+": /etc/dubnium/dubnium.toml:2: desktop.loginUnit: ") || !strings.Contains(r.stderr, "loginUnits") {
			t.Errorf("%s: %+v", words, r)
		}
	}
	if calls := h.Calls(); len(calls) > 0 {
		t.Errorf("calls %q", calls)
	}
}

// nobody is a user without any rights. Where we have none ourselves, the
// process stays what we are.
func nobody(t *testing.T, h *hosts.Host) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	bin, err := exec.LookPath("mode")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{filepath.Dir(bin), filepath.Dir(filepath.Dir(bin)), string(h.Root())} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const id = 65534
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
}

// volatile are the parts of a document that differ from look to look.
var volatile = regexp.MustCompile(`("(?:took_ms|duration_ms|timestamp|transition_id)": ?)("[^"]*"|[\d.]+)|[\d.]+ ms`)

// TestUnprivileged holds that a user without rights sees all that root sees,
// and can change nothing.
func TestUnprivileged(t *testing.T) {
	for _, name := range []string{"idle-desktop", "last-failed", "transition-running"} {
		t.Run(name, func(t *testing.T) {
			h := hosts.Start(t, name)
			h.Systemd.Refuse("StartUnit", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
			root := "--root=" + string(h.Root())
			user := nobody(t, h)
			for _, f := range []string{"lock", "desired"} {
				if _, err := h.Root().Stat("/run/mode-controller/" + f); err != nil {
					h.Write("run/mode-controller/"+f, "")
				}
			}
			// The lock is root's alone: whoever could open it could hold it.
			if err := os.Chmod(h.Root().Path("/run/mode-controller/lock"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, string(h.Root()))
			look := []string{"mode status", "mode status --json", "mode last-transition --json"}
			if name == "idle-desktop" {
				look = append(look, "mode current --json", "mode desired", "mode explain", "mode guards compute --json",
					"mode dry-run compute --json", "observe-current --json", "reconcile compute --dry-run --json")
			}
			for _, words := range look {
				args := append(strings.Fields(words), root)
				same := func(r result) result {
					r.stdout = volatile.ReplaceAllString(r.stdout, "$1…")
					return r
				}
				want, got := same(run(t, nil, args[0], args[1:]...)), same(run(t, user, args[0], args[1:]...))
				if want.stderr == "" && want.stdout == "" {
					t.Errorf("%s says nothing", words)
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
					t.Errorf("%s (-root +user):\n%s", words, diff)
				}
			}
			refused := []string{"mode current --refresh", "observe-current --write", "reconcile desktop", "reconcile --boot"}
			if name == "idle-desktop" {
				refused = append(refused, "mode request compute", "mode reconcile")
			}
			if name == "transition-running" {
				refused = slices.DeleteFunc(refused, func(s string) bool { return s == "reconcile --boot" }) // the lock comes first
			}
			for _, words := range refused {
				args := append(strings.Fields(words), root)
				if r := run(t, user, args[0], args[1:]...); r.code != exitcode.NotPermitted || r.stderr == "" {
					t.Errorf("%s: %+v, want code 45", words, r)
				}
			}
			after := tree(t, string(h.Root()))
			if !maps.Equal(before, after) {
				t.Errorf("a user without rights has changed the machine (-before +after):\n%s", cmp.Diff(before, after))
			}
			for _, call := range h.Calls() {
				if !strings.HasPrefix(call, "StartUnit mode-controller@") { // which systemd refused
					t.Errorf("the services took the call %s", call)
				}
			}
		})
	}
}
