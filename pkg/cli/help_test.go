package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "80") // kong reads the process's environment
	const common = `
Common flags:
  -h, --help                Print this help and exit; each command has help of
                            its own.
      --config=FILE         Read the configuration from FILE (default
                            /etc/dubnium/dubnium.toml).
      --timeout=DURATION    Give up after DURATION, such as 5s or 2m; 0 is no
                            limit (default 0).
      --verbose             Say on stderr what is done and why.
      --version             Print the version and exit.
`
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"program", []string{"--help"}, `Usage: mode <command> [flags]

Switch the machine's mode.

Switches modes.

Commands:
  guard list (ls)    List the guards.

Act:
  run    Do what the test asks for.
` + common + `
Run "mode <command> --help" for more information on a command.

Examples:
  mode run compute
      Go.

Exit codes:
  0   pass, converged, done
  20  the check could not be carried out (20 plus the last digit of the guard's
      block code)
  30  bad usage: unknown flag, missing argument, unknown mode
  31  bad configuration: file, line, key, and what would be right
  32  internal fault: a bug of ours
  44  another transition holds the lock
`},
		{"command", []string{"run", "-h"}, `Usage: mode run <mode> [flags]

Do what the test asks for.

Arguments:
  <mode>    The mode (one of desktop, compute).

Flags:
  --format=plain|json    Print the result for people (plain) or for programs
                         (json) (default plain).
  --level=N              How far to go (default 3).
  --grace=DURATION       How long to wait (default 1s).
` + common},
		{"help wins over a missing argument and --version", []string{"guard", "--help", "--version"}, `Usage: mode guard <command> [flags]

Look at guards.

Commands:
  guard list (ls)    List the guards.
` + common},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t.Context(), newProgram(nil), test.args...)
			if diff := cmp.Diff(outcome{Stdout: test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A flag that need not be given has an empty choice, which nobody writes.
func TestOptionalChoices(t *testing.T) {
	t.Setenv("COLUMNS", "200")
	program := func() Program {
		return Program{Name: "x", Summary: "do it", Manual: "Does it.", Run: func(context.Context, *Env) error { return nil }, Model: &struct {
			Base
			Purpose string `name:"purpose" enum:",ask,plan" default:"" help:"What it is for."`
			Class   string `name:"class" enum:",working,episodic" default:"" placeholder:"CLASS" help:"Its class."`
			Last    string `name:"last" enum:"first,second," default:"" help:"The last."`
		}{}}
	}
	help := execute(t.Context(), program(), "--help").Stdout
	for _, want := range []string{"--purpose=ask|plan ", "Its class (one of working, episodic).", "--last=first|second "} {
		if !strings.Contains(help, want) {
			t.Errorf("the help lacks %q:\n%s", want, help)
		}
	}
	want := outcome{30, "", "x: --purpose must be one of \"ask\",\"plan\" but got \"fun\" (x --help lists all)\n"}
	if diff := cmp.Diff(want, execute(t.Context(), program(), "--purpose=fun")); diff != "" {
		t.Error(diff)
	}
	want.Stderr = "x: --last must be one of \"first\",\"second\" but got \"fun\" (x --help lists all)\n"
	if diff := cmp.Diff(want, execute(t.Context(), program(), "--last=fun")); diff != "" {
		t.Error(diff)
	}
	for _, args := range [][]string{nil, {"--purpose=ask"}, {"--purpose="}} {
		if got := execute(t.Context(), program(), args...); got != (outcome{}) {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// No width may bring kong's wrapping down, whatever COLUMNS says.
func TestHelpAtAnyWidth(t *testing.T) {
	for _, columns := range []string{"-1", "0", "1", "7", "20", "1000000", "x"} {
		t.Setenv("COLUMNS", columns)
		if got := execute(t.Context(), newProgram(nil), "--help"); got.Code != 0 || !strings.Contains(got.Stdout, "--timeout") {
			t.Errorf("COLUMNS=%s: exit %d, %q", columns, got.Code, got.Stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"run", "--version"}, {"--version", "--help"}} {
		got := execute(t.Context(), newProgram(nil), args...)
		if got.Code != 0 || got.Stderr != "" || !strings.HasPrefix(got.Stdout, "mode ") || strings.Count(got.Stdout, "\n") != 1 {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestCheck(t *testing.T) {
	type good struct {
		Base
		Go struct{} `cmd:"" help:"Go."`
	}
	full := func(model any) Program {
		return Program{Name: "x", Summary: "do it", Manual: "Does it.", Model: model, Run: func(context.Context, *Env) error { return nil }}
	}
	norun := full(&good{})
	norun.Run = nil
	outside := full(&good{})
	outside.Codes = append(outside.Codes, 2)
	nameless := full(&good{})
	nameless.Manual = ""
	for _, test := range []struct {
		name    string
		program Program
		want    string // part of the fault; empty for none
	}{
		{"a good program", newProgram(nil), ""},
		{"one Run for all", full(&good{}), ""},
		{"no Run", norun, "x go: no method Run"},
		{"no manual", nameless, "has a name, a summary and a manual"},
		{"exit code 2", outside, "exit code 2 is outside the contract"},
		{"short flag", full(&struct {
			Base
			Force bool `short:"f" help:"Force it."`
		}{}), "x --force: flags are long"},
		{"snake case", full(&struct {
			Base
			Force bool `name:"by_force" help:"Force it."`
		}{}), "x --by_force: flags are long and kebab-case"},
		{"no help", full(&struct {
			Base
			Force bool
		}{}), `x --force: the help of a flag is a sentence, not ""`},
		{"argument without help", full(&struct {
			Base
			Mode string `arg:""`
		}{}), "x <mode>: the help of an argument"},
		{"command without help", full(&struct {
			Base
			Go struct{} `cmd:"" help:"go"`
		}{}), "x go: the help of a command"},
		{"Run with an argument that nobody binds", Program{Name: "x", Summary: "s", Manual: "m", Model: &struct {
			Base
			Go badRun `cmd:"" help:"Go."`
		}{}}, "x go: no method Run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Check(test.program)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

type badRun struct{}

func (badRun) Run(int) error { return nil }
