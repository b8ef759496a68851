package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// grammar is a program with a bit of everything.
type grammar struct {
	Flags
	Run   runCmd   `cmd:"" group:"Act" help:"Do what the test asks for."`
	Guard struct { // nouns, then verbs
		List listCmd `cmd:"" aliases:"ls" help:"List the guards."`
	} `cmd:"" help:"Look at guards."`
}

type runCmd struct {
	FormatFlag
	Level int           `name:"level" default:"3" help:"How far to go."`
	Grace time.Duration `name:"grace" default:"1s" help:"How long to wait."`
	Mode  string        `arg:"" enum:"desktop,compute" help:"The mode."`

	do func(ctx context.Context, env *Env) error
}

func (c *runCmd) Run(ctx context.Context, env *Env) error { return c.do(ctx, env) }

type listCmd struct{}

func (*listCmd) Run(env *Env) error {
	t := env.NewTable("GUARD", "HARD")
	t.Row("audio_idle", "yes")
	return t.Write()
}

func newProgram(do func(ctx context.Context, env *Env) error) Program {
	g := &grammar{}
	g.Run.do = do
	return Program{
		Name: "mode", Summary: "switch the machine's mode", Manual: "Switches modes.\n\nMore.", Model: g,
		Codes:    []exitcode.Code{exitcode.Locked},
		Examples: []Example{{Command: "mode run compute", Help: "Go."}},
		Meant:    map[string]string{"desktop": "mode run desktop"},
	}
}

// outcome is all that can be seen of a run from outside.
type outcome struct {
	Code           exitcode.Code
	Stdout, Stderr string
}

func execute(ctx context.Context, p Program, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := ExecuteContext(ctx, p, args, strings.NewReader(""), &stdout, &stderr, noEnv)
	return outcome{code, stdout.String(), stderr.String()}
}

func noEnv(string) string { return "" }

var errPlain = errors.New("the disk is on fire")

const bug = "which is a bug in Dubnium; please report it: " + reportTo + "\n"

func TestExit(t *testing.T) {
	run := []string{"run", "compute"}
	fail := func(err error) func(context.Context, *Env) error {
		return func(context.Context, *Env) error { return err }
	}
	for _, test := range []struct {
		name string
		args []string
		do   func(ctx context.Context, env *Env) error
		want outcome
	}{
		{"success", run, fail(nil), outcome{}},
		{"command without Run of its own context", []string{"guard", "list"}, nil, outcome{Stdout: "GUARD       HARD\naudio_idle  yes\n"}},
		{"alias", []string{"guard", "ls"}, nil, outcome{Stdout: "GUARD       HARD\naudio_idle  yes\n"}},
		{"coded error", run, fail(exitcode.Errorf(exitcode.Locked, "take the lock: pid 7 holds it")), outcome{44, "", "mode: take the lock: pid 7 holds it\n"}},
		{"coded error, wrapped", run, fail(fmt.Errorf("enter compute: %w", exitcode.With(exitcode.AudioActive, errPlain))), outcome{10, "", "mode: enter compute: the disk is on fire\n"}},
		{"coded error, joined", run, fail(errors.Join(errPlain, exitcode.With(exitcode.Failed, errPlain))), outcome{41, "", "mode: the disk is on fire\nthe disk is on fire\n"}},
		{"status says nothing", run, fail(Status(exitcode.CPULoadHigh)), outcome{12, "", ""}},
		{"status of success", run, fail(Status(exitcode.OK)), outcome{}},
		{"status of another program", run, fail(Passed(1)), outcome{Code: 1}},
		{"success of another program", run, fail(Passed(0)), outcome{}},
		{"error without a code", run, fail(errPlain), outcome{32, "", "mode: the disk is on fire\nmode: this error carries no exit code, " + bug}},
		{"code outside the contract", run, fail(exitcode.With(1, errPlain)), outcome{32, "", "mode: the disk is on fire\nmode: this error carries the exit code 1, which no error may have, " + bug}},
		{"error with the code of success", run, fail(exitcode.With(exitcode.OK, errPlain)), outcome{32, "", "mode: the disk is on fire\nmode: this error carries the exit code 0, which no error may have, " + bug}},
		{"silent error outside the contract", run, fail(Status(7)), outcome{32, "", "mode: exit status 7, outside the contract\nmode: this error carries the exit code 7, which no error may have, " + bug}},
		{"escape sequences are made visible", run, fail(exitcode.Errorf(exitcode.Failed, "kill \x1b[2Jevil\u202e: gone\x9b")), outcome{41, "", "mode: kill \\x1b[2Jevil\\u202e: gone\\ufffd\n"}},

		{"unknown flag", []string{"--fomat", "json"}, nil, outcome{30, "", "mode: unknown flag --fomat (mode --help lists all)\n"}},
		{"unknown flag with a suggestion", []string{"run", "--fomat", "json"}, nil, outcome{30, "", "mode: unknown flag --fomat; did you mean --format? (mode run --help lists all)\n"}},
		{"unknown flag with two suggestions", []string{"--ver"}, nil, outcome{30, "", "mode: unknown flag --ver; did you mean one of --verbose, --version? (mode --help lists all)\n"}},
		{"unknown command", []string{"rum"}, nil, outcome{30, "", "mode: unexpected argument rum; did you mean run? (mode --help lists all)\n"}},
		{"a word that stands for a command", []string{"desktop", "--verbose"}, nil, outcome{30, "", "mode: unexpected argument desktop; did you mean mode run desktop? (mode --help lists all)\n"}},
		{"the word behind a flag", []string{"--verbose", "desktop"}, nil, outcome{30, "", "mode: unexpected argument desktop; did you mean mode run desktop? (mode --help lists all)\n"}},
		{"the word in place of a flag's value", []string{"--timeout", "desktop"}, nil, outcome{30, "", "mode: --timeout: expected duration but got \"desktop\": time: invalid duration \"desktop\" (mode --help lists all)\n"}},
		{"the word where a command was", []string{"guard", "list", "desktop"}, nil, outcome{30, "", "mode: unexpected argument desktop (mode guard list --help lists all)\n"}},
		{"the word where a command below was to be", []string{"guard", "desktop"}, nil, outcome{30, "", "mode: unexpected argument desktop (mode guard --help lists all)\n"}},
		{"the word as a value, and no command", []string{"--config", "desktop"}, nil, outcome{30, "", "mode: expected one of \"run\", \"guard\" (mode --help lists all)\n"}},
		{"no command", nil, nil, outcome{30, "", "mode: expected one of \"run\", \"guard\" (mode --help lists all)\n"}},
		{"no sub-command", []string{"guard"}, nil, outcome{30, "", "mode: expected \"list\" (mode guard --help lists all)\n"}},
		{"missing argument", []string{"run"}, nil, outcome{30, "", "mode: expected \"<mode>\" (mode run --help lists all)\n"}},
		{"surplus argument", []string{"run", "compute", "now"}, nil, outcome{30, "", "mode: unexpected argument now (mode run --help lists all)\n"}},
		{"bad enum of an argument", []string{"run", "disco"}, nil, outcome{30, "", "mode: <mode> must be one of \"desktop\",\"compute\" but got \"disco\" (mode run --help lists all)\n"}},
		{"bad enum of a flag", []string{"run", "compute", "--format=xml"}, nil, outcome{30, "", "mode: --format must be one of \"plain\",\"json\" but got \"xml\" (mode run --help lists all)\n"}},
		{"bad number", []string{"run", "compute", "--level=high"}, nil, outcome{30, "", "mode: --level: expected a valid 64 bit int but got \"high\" (mode run --help lists all)\n"}},
		{"negative timeout", []string{"run", "compute", "--timeout=-1s"}, nil, outcome{30, "", "mode: --timeout: -1s is negative; 0 is no limit (mode run --help lists all)\n"}},
		{"escape sequences in arguments", []string{"\x1b[31mred"}, nil, outcome{30, "", "mode: unexpected argument \\x1b[31mred (mode --help lists all)\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t.Context(), newProgram(test.do), test.args...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An argument is bytes, and so is the name of a file: kong's own strings go
// through JSON, which has other characters for bytes that are no UTF-8.
func TestArgumentsAreBytes(t *testing.T) {
	const name = "/tmp/caf\xe9 \u2028<&>\\"
	var got struct {
		Base
		File string   `name:"file" help:"A file."`
		Args []string `arg:"" help:"Arguments."`
	}
	p := Program{Name: "x", Summary: "do it", Manual: "Does it.", Model: &got, Run: func(context.Context, *Env) error { return nil }}
	if out := execute(t.Context(), p, "--file", name, name, "-"); out != (outcome{}) {
		t.Fatalf("%+v", out)
	}
	if diff := cmp.Diff([]any{name, []string{name, "-"}}, []any{got.File, got.Args}); diff != "" {
		t.Error(diff)
	}
	if out := execute(t.Context(), p, "--file"); out.Code != exitcode.Usage || !strings.Contains(out.Stderr, "--file") {
		t.Errorf("without its value: %+v", out)
	}
}

func TestPanicIsAnInternalFault(t *testing.T) {
	for name, value := range map[string]any{"text": "no such state", "error": errPlain, "exit of kong": exit{}} {
		t.Run(name, func(t *testing.T) {
			var told exitcode.Code
			p := newProgram(func(context.Context, *Env) error { panic(value) })
			p.Misuse = func(_ *Env, code exitcode.Code, _ error) { told = code }
			got := execute(t.Context(), p, "run", "compute")
			if got.Code != exitcode.Internal || told != exitcode.Internal || got.Stdout != "" {
				t.Errorf("exit %d, the program was told %d, stdout %q", got.Code, told, got.Stdout)
			}
			for _, want := range []string{fmt.Sprintf("mode: internal fault: %v\n", value), "cli_test.go", reportTo} {
				if !strings.Contains(got.Stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.Stderr)
				}
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		err  error
		want []exitcode.Code
	}{
		{"bad usage", []string{"--nonsense"}, nil, []exitcode.Code{exitcode.Usage}},
		{"error without a code", []string{"run", "compute"}, errPlain, []exitcode.Code{exitcode.Internal}},
		{"the program's own code", []string{"run", "compute"}, exitcode.With(exitcode.Locked, errPlain), nil},
		{"success", []string{"run", "compute"}, nil, nil},
		{"help", []string{"--help"}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var told []exitcode.Code
			p := newProgram(func(context.Context, *Env) error { return test.err })
			p.Misuse = func(env *Env, code exitcode.Code, err error) {
				told = append(told, code)
				if env.Stdout == nil || env.Name != "mode" || err == nil {
					t.Errorf("told without what is needed to answer: %+v, %v", env, err)
				}
				panic("a bug while a bug is reported")
			}
			got := execute(t.Context(), p, test.args...)
			if diff := cmp.Diff(test.want, told); diff != "" {
				t.Error(diff)
			}
			if len(test.want) > 0 && (got.Code != test.want[0] || !strings.Contains(got.Stderr, "a bug while a bug is reported")) {
				t.Errorf("exit %d, want %d; stderr:\n%s", got.Code, test.want[0], got.Stderr)
			}
		})
	}
}

func TestBrokenGrammarIsOurFault(t *testing.T) {
	var nothing *grammar
	for name, model := range map[string]any{
		"no shared flags": &struct{ Name string }{},
		"no pointer":      grammar{},
		"nil":             nothing,
		"nothing at all":  nil,
		"a flag of ours": &struct {
			Base
			Verbose2 bool `name:"verbose"`
		}{},
		"default not a mode": &struct {
			Base
			Mode string `enum:"a,b"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			p := Program{Name: "mode", Model: model}
			got := execute(t.Context(), p)
			if got.Code != exitcode.Internal || !strings.Contains(got.Stderr, "build the grammar of mode") {
				t.Errorf("exit %d, stderr %q", got.Code, got.Stderr)
			}
			if _, err := Application(p); err == nil {
				t.Error("Application built it all the same")
			}
			if err := Check(p); err == nil {
				t.Error("Check found nothing")
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	wait := func(ctx context.Context, _ *Env) error {
		<-ctx.Done()
		return fmt.Errorf("wait for the unit: %w", ctx.Err())
	}
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	for _, test := range []struct {
		name string
		ctx  context.Context
		args []string
		do   func(context.Context, *Env) error
		want outcome
	}{
		{"timeout", t.Context(), []string{"--timeout=1ms"}, wait, outcome{20, "", "mode: gave up after 1ms, the limit that --timeout sets: wait for the unit: context deadline exceeded\n"}},
		{"signal", interrupted, nil, wait, outcome{20, "", "mode: interrupt signal received: wait for the unit: context canceled\n"}},
		{"the program knows better", interrupted, nil, func(ctx context.Context, _ *Env) error {
			return exitcode.With(exitcode.TimedOut, ctx.Err())
		}, outcome{43, "", "mode: context canceled\n"}},
		{"finished all the same", interrupted, nil, func(context.Context, *Env) error { return nil }, outcome{}},
		{"a deadline of its own, without a code", t.Context(), nil, func(context.Context, *Env) error {
			return context.DeadlineExceeded
		}, outcome{32, "", "mode: context deadline exceeded\nmode: this error carries no exit code, " + bug}},
		{
			"another error, after the end", interrupted, nil, func(context.Context, *Env) error { return errPlain },
			outcome{32, "", "mode: the disk is on fire\nmode: this error carries no exit code, " + bug},
		},
		{"no limit", t.Context(), nil, func(ctx context.Context, _ *Env) error {
			if _, limited := ctx.Deadline(); limited {
				return errPlain
			}
			return nil
		}, outcome{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(test.ctx, newProgram(test.do), append(test.args, "run", "compute")...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// broken fails every write.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestStdoutFails(t *testing.T) {
	printing := func(err error) func(context.Context, *Env) error {
		return func(_ context.Context, env *Env) error {
			_, failed := fmt.Fprintln(env.Stdout, "result")
			if err == nil {
				return failed
			}
			return err
		}
	}
	careless := func(_ context.Context, env *Env) error {
		fmt.Fprintln(env.Stdout, "result")
		return nil
	}
	full := "mode: write the result to stdout: no space left on device\n"
	for _, test := range []struct {
		name string
		args []string
		do   func(context.Context, *Env) error
		err  error
		want outcome
	}{
		{"reader gone", nil, printing(nil), unix.EPIPE, outcome{}},
		{"reader gone, unnoticed", nil, careless, unix.EPIPE, outcome{}},
		{"reader gone, in this process", nil, careless, io.ErrClosedPipe, outcome{}},
		{"reader gone, and a verdict", nil, printing(Status(exitcode.AudioActive)), unix.EPIPE, outcome{Code: 10}},
		{"disk full", nil, printing(nil), unix.ENOSPC, outcome{20, "", full}},
		{"disk full, unnoticed", nil, careless, unix.ENOSPC, outcome{20, "", full}},
		{"disk full, and a verdict", nil, printing(Status(exitcode.AudioActive)), unix.ENOSPC, outcome{Code: 10}},
		{"help, reader gone", []string{"--help"}, nil, unix.EPIPE, outcome{}},
		{"help, disk full", []string{"--help"}, nil, unix.ENOSPC, outcome{20, "", full}},
		{"version, reader gone", []string{"--version"}, nil, unix.EPIPE, outcome{}},
		{"version, disk full", []string{"--version"}, nil, unix.ENOSPC, outcome{20, "", full}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := ExecuteContext(t.Context(), newProgram(test.do), append(test.args, "run", "compute"),
				strings.NewReader(""), broken{test.err}, &stderr, noEnv)
			if diff := cmp.Diff(test.want, outcome{Code: code, Stderr: stderr.String()}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	for _, test := range []struct {
		name        string
		args        []string
		config      string
		given, loud bool
		root        string
	}{
		{"defaults", nil, DefaultConfig, false, false, ""},
		{"a file", []string{"--config=/srv/x.toml", "--verbose"}, "/srv/x.toml", true, true, ""},
		{"another root", []string{"--root=/fixture", "--config", "x.toml"}, "x.toml", true, false, "/fixture"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var env *Env
			got := execute(t.Context(), newProgram(func(_ context.Context, e *Env) error {
				env = e
				e.Logf("looking")
				return nil
			}), append(test.args, "run", "compute")...)
			if got.Code != 0 {
				t.Fatalf("exit %d: %s", got.Code, got.Stderr)
			}
			if env.Config != test.config || env.ConfigGiven != test.given || env.Verbose != test.loud || string(env.Root) != test.root {
				t.Errorf("got %+v", env)
			}
			if want := map[bool]string{true: "mode: looking\n"}[test.loud]; got.Stderr != want {
				t.Errorf("stderr %q, want %q", got.Stderr, want)
			}
			if env.Terminal || env.Colour || env.Interactive || env.Width != 80 {
				t.Errorf("a buffer is no terminal: %+v", env)
			}
		})
	}
}

func TestRelativeConfigIsBelowTheWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var config string
	got := execute(t.Context(), newProgram(func(_ context.Context, e *Env) error {
		config = e.Config
		return nil
	}), "--config=x.toml", "run", "compute")
	if got.Code != 0 || config != dir+"/x.toml" {
		t.Errorf("exit %d, reads %s", got.Code, config)
	}
}

// The constant is repeated so that programs which read no configuration do
// not carry its parser.
func TestDefaultConfigIsThatOfTheConfiguration(t *testing.T) {
	if DefaultConfig != config.DefaultPath {
		t.Errorf("--config defaults to %s, the configuration says %s", DefaultConfig, config.DefaultPath)
	}
}

func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		"run compute", "--help", "guard ls --verbose", "--timeout 5x", "-", "--", "-é", "--=", "-hh", "--no-verbose",
		"run -- --mode", "--version=false", "--help=no", "--root", "run compute --level 99999999999999999999", "@file", "${config}",
	} {
		f.Add(strings.ReplaceAll(seed, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := execute(t.Context(), newProgram(func(context.Context, *Env) error { return nil }), strings.Split(line, "\x00")...)
		switch got.Code {
		case exitcode.OK:
			if got.Stderr != "" {
				t.Errorf("success, but stderr says %q", got.Stderr)
			}
		case exitcode.Usage:
			if got.Stdout != "" || !strings.HasPrefix(got.Stderr, "mode: ") || strings.ContainsAny(got.Stderr, "\x1b\x00") {
				t.Errorf("stdout %q, stderr %q", got.Stdout, got.Stderr)
			}
		default:
			t.Errorf("exit %d for %q: %s", got.Code, line, got.Stderr)
		}
	})
}
