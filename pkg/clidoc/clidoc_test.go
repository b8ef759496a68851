package clidoc

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

type grammar struct {
	cli.Flags
	Request struct {
		Grace  time.Duration `name:"grace" default:"1m" help:"Give people this long to save their work."`
		Report string        `name:"report" type:"path" help:"Write the result to a file as well. Nobody reads this sentence in a completion."`
		Secret bool          `name:"secret" hidden:"" help:"Hidden."`
		Mode   string        `arg:"" enum:"${modes}" help:"The mode: [a] or 'b', don't \\ guess."`
		Reason []string      `arg:"" optional:"" help:"Why, for the record."`
	} `cmd:"" group:"Change" help:"Ask for a mode."`
	Guards struct {
		Only string `name:"only" enum:"hard,soft,all" default:"all" help:"Which guards: hard: never bypassed."`
		List struct {
			cli.FormatFlag
			By   []string `name:"by" placeholder:"USER" help:"Only what these ran."`
			Kind string   `name:"kind" enum:",block,gate" default:"" help:"What they are for."`
		} `cmd:"" aliases:"ls" help:"List the guards."`
		Run struct {
			Guard string `arg:"" enum:"audio_idle,cpu_load_safe" help:"The guard."`
			File  string `arg:"" type:"existingfile" help:"What to feed it."`
		} `cmd:"" help:"Run one guard."`
	} `cmd:"" help:"Look at guards."`
	Debug struct{} `cmd:"" hidden:"" help:"Hidden."`
}

type guardGrammar struct {
	cli.Flags
	Target string `arg:"" optional:"" enum:"desktop,compute" default:"compute" help:"The mode that is asked for."`
}

const manual = `Switches the machine. It never guesses. 'Quoted' and .dotted words are
text, and so are back\slashes, --dashes, ~tildes and "quotes".

.TH at the beginning of a paragraph is text, too.
- one thing
  that goes on
- another

    mode request compute
    .dotted 'code'

    # after a gap

The end.`

func run(context.Context, *cli.Env) error { return nil }

func program() cli.Program {
	return cli.Program{
		Name: "mode", Summary: "switch the machine's mode", Manual: manual, Model: &grammar{}, Run: run, Section: 8,
		Vars:     map[string]string{"modes": "desktop,studio-local,compute"},
		Codes:    []exitcode.Code{exitcode.AudioActive, exitcode.Locked},
		Examples: []cli.Example{{Command: "mode request compute --grace=5m 'the model'", Help: "Give people five minutes."}},
		Files:    []cli.File{{Path: "/run/mode-controller/desired", Help: "The requested mode."}},
		SeeAlso:  []string{"reconcile(8)", "systemctl(1)"},
	}
}

func guard() cli.Program {
	return cli.Program{
		Name: "check_audio_idle", Summary: "tell whether audio is idle", Manual: "Looks at PCM streams.", Model: &guardGrammar{}, Run: run,
		Codes: []exitcode.Code{exitcode.AudioActive, exitcode.AudioActive.InspectionOf()},
	}
}

// tool finds a checker. It has to be there: nothing is skipped.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed, so what is generated for it can't be checked: run scripts/setup test", name)
	}
	return path
}

func write(t *testing.T, name string, data []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestFiles(t *testing.T) {
	var paths []string
	for _, p := range []cli.Program{program(), guard()} {
		if err := cli.Check(p); err != nil {
			t.Fatal(err)
		}
		first, err := Files(p)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Files(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range first {
			paths = append(paths, f.Path)
			if !bytes.Equal(f.Data, second[i].Data) {
				t.Errorf("%s differs between two runs", f.Path)
			}
			if head, _, _ := bytes.Cut(f.Data, []byte("\n#")); !bytes.Contains(bytes.Join(bytes.SplitN(f.Data, []byte("\n"), 3)[:2], nil), []byte("DO NOT EDIT")) {
				t.Errorf("%s does not say that it is generated: %s", f.Path, head)
			}
			if bytes.Contains(f.Data, []byte("secret")) || bytes.Contains(f.Data, []byte("debug")) || bytes.Contains(f.Data, []byte("--root")) {
				t.Errorf("%s shows what is hidden", f.Path)
			}
		}
	}
	want := []string{
		"man/man8/mode.8", "reference/mode.md", "completions/bash/mode", "completions/zsh/_mode", "completions/fish/mode.fish",
		"man/man1/check_audio_idle.1", "reference/check_audio_idle.md",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
}

func TestWordsThatAShellWouldMisread(t *testing.T) {
	for _, model := range []any{
		&struct {
			cli.Base
			Shell string `enum:"a,$(reboot)" default:"a" help:"Bad."`
		}{},
		&struct {
			cli.Base
			Go struct{} `cmd:"" aliases:"g;o" help:"Bad."`
		}{},
	} {
		p := cli.Program{Name: "x", Summary: "s", Manual: "m", Model: model, Run: run}
		if files, err := Files(p); err == nil || files != nil {
			t.Errorf("%T was accepted", model)
		}
	}
}

func TestManIsClean(t *testing.T) {
	mandoc := tool(t, "mandoc")
	for name, p := range map[string]cli.Program{"mode.8": program(), "check_audio_idle.1": guard()} {
		page, err := Man(p)
		path := write(t, name, page, err)
		if out := output(t, mandoc, "-T", "lint", "-W", "style", path); out != "" {
			t.Errorf("mandoc says\n%s", out)
		}
	}
}

// What a person sees is what the manual says, whatever roff makes of dots,
// quotes, hyphens and backslashes.
func TestManAsItIsRead(t *testing.T) {
	mandoc := tool(t, "mandoc")
	page, err := Man(program())
	text := output(t, mandoc, "-T", "utf8", "-O", "width=200", write(t, "mode.8", page, err))
	var plain strings.Builder
	for i, r := range []rune(text) { // overstrikes are bold and underlined
		runes := []rune(text)
		if r != '\b' && (i+1 >= len(runes) || runes[i+1] != '\b') {
			plain.WriteRune(r)
		}
	}
	got := strings.Join(strings.Fields(plain.String()), " ")
	for _, want := range []string{
		"mode - switch the machine's mode",
		"mode request [flags] <mode> [<reason> ...]",
		"mode guards list [flags]",
		`It never guesses. 'Quoted' and .dotted words are text, and so are back\slashes, --dashes, ~tildes and "quotes".`,
		".TH at the beginning of a paragraph is text, too.",
		"• one thing that goes on • another",
		"mode request compute .dotted 'code' # after a gap The end.",
		`<mode> The mode: [a] or 'b', don't \ guess (one of desktop, studio-local, compute).`,
		"(json) (default plain). --by=USER,... Only what these ran. --kind=block|gate What they are for. --only=hard|soft|all Which guards: hard: never bypassed (default all).",
		"COMMANDS mode guards list List the guards.",
		"Change mode request",
		"--report=FILE",
		"Also: ls.",
		"-h, --help Print this help and exit; each command has help of its own.",
		"10 Blocked: audio active.",
		"mode request compute --grace=5m 'the model' Give people five minutes.",
		"reconcile(8), systemctl(1)",
		"2026-01-01",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(plain.String())
	}
}

func TestParseManual(t *testing.T) {
	want := []block{
		{paragraph, []string{`Switches the machine. It never guesses. 'Quoted' and .dotted words are text, and so are back\slashes, --dashes, ~tildes and "quotes".`}},
		{paragraph, []string{".TH at the beginning of a paragraph is text, too."}},
		{list, []string{"one thing that goes on", "another"}},
		{code, []string{"mode request compute", ".dotted 'code'", "", "# after a gap"}},
		{paragraph, []string{"The end."}},
	}
	if diff := cmp.Diff(want, parseManual(manual), cmp.AllowUnexported(block{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseManual(f *testing.F) {
	f.Add(manual)
	f.Add("- \n\t\n    \n.\\")
	f.Fuzz(func(t *testing.T, text string) {
		words := 0
		for _, b := range parseManual(text) {
			if len(b.lines) == 0 || b.kind == paragraph && len(b.lines) != 1 {
				t.Errorf("a block of kind %d has %d lines", b.kind, len(b.lines))
			}
			words += len(strings.Fields(strings.Join(b.lines, " ")))
		}
		if max := len(strings.Fields(text)); words > max {
			t.Errorf("%d words became %d", max, words)
		}
		for line := range strings.Lines(roff(text)) {
			if strings.Contains(text, "\n") {
				break // roff takes one line
			}
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
				t.Errorf("%q is a request", line)
			}
		}
	})
}

func TestMarkdown(t *testing.T) {
	page, err := Markdown(program())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# mode\n\nSwitch the machine's mode.\n",
		"mode request [flags] <mode> [<reason> ...]\n",
		"- one thing that goes on\n- another\n",
		"```text\nmode request compute\n.dotted 'code'\n\n# after a gap\n```\n",
		"### mode guards list\n\nList the guards.\n\nAlso: `ls`.\n",
		"| `--only=hard\\|soft\\|all` | Which guards: hard: never bypassed (default all). |\n",
		"| `<mode>` | The mode: \\[a\\] or 'b', don't \\\\ guess (one of desktop, studio-local, compute). |\n",
		"| 44 | another transition holds the lock |\n",
		"- `/run/mode-controller/desired`: The requested mode.\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", page)
	}
}
