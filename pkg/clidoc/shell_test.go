package clidoc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// completions are what every shell has to offer for a command line whose last
// word is being typed. files stands for the names of files.
var completions = []struct {
	name  string
	words []string // after the program's name; the last is under the cursor
	want  []string
}{
	{"commands", []string{""}, []string{"guards", "request"}},
	{"a command begun", []string{"re"}, []string{"request"}},
	{"flags of the program", []string{"--ver"}, []string{"--verbose", "--version"}},
	{"sub-commands with aliases", []string{"guards", ""}, []string{"list", "ls", "run"}},
	{"inherited flags", []string{"guards", "list", "--o"}, []string{"--only"}},
	{"flags below an alias", []string{"guards", "ls", "--f"}, []string{"--format"}},
	{"flags of another command", []string{"request", "--f"}, nil},
	{"choices of an argument", []string{"request", ""}, []string{"compute", "desktop", "studio-local"}},
	{"choices after a switch", []string{"--verbose", "request", "--grace", "5m", "s"}, []string{"studio-local"}},
	{"a value that looks like a command", []string{"--config", "guards", "re"}, []string{"request"}},
	{"an argument of which nothing is known", []string{"request", "compute", ""}, nil},
	{"choices of a flag", []string{"guards", "list", "--format", ""}, []string{"json", "plain"}},
	{"choices of a flag that need not be given", []string{"guards", "list", "--kind", ""}, []string{"block", "gate"}},
	{"users", []string{"guards", "list", "--by", "roo"}, []string{"root"}},
	{"choices of a flag of a level above", []string{"guards", "list", "--only", "h"}, []string{"hard"}},
	{"choices of the first argument of a command below", []string{"guards", "run", "a"}, []string{"audio_idle"}},
	{"a file as an argument", []string{"guards", "run", "audio_idle", "some"}, []string{"some file", "some-folder"}},
	{"a file as a flag's value", []string{"--config", "some"}, []string{"some file", "some-folder"}},
	{"a flag without known values", []string{"--timeout", ""}, nil},
}

func folder(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "some file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "some-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBash(t *testing.T) {
	bash := tool(t, "bash")
	script, err := Bash(program())
	path := write(t, "mode", script, err)
	t.Chdir(folder(t))
	for _, test := range append(completions, []struct {
		name  string
		words []string
		want  []string
	}{ // bash splits at =
		{"choices after =", []string{"guards", "list", "--format", "=", "p"}, []string{"plain"}},
		{"all choices after =", []string{"guards", "list", "--format", "="}, []string{"json", "plain"}},
		{"after a value with =", []string{"--config", "=", "x", "gu"}, []string{"guards"}},
	}...) {
		t.Run(test.name, func(t *testing.T) {
			const driver = `source "$1"; shift; COMP_WORDS=(mode "$@"); COMP_CWORD=$#; _mode; printf '%s\n' "${COMPREPLY[@]}"`
			got := strings.FieldsFunc(output(t, bash, append([]string{"--norc", "-eu", "-c", driver, "bash", path}, test.words...)...),
				func(r rune) bool { return r == '\n' })
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got, cmp.Transformer("len0", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBashIsClean(t *testing.T) {
	shellcheck := tool(t, "shellcheck")
	script, err := Bash(program())
	if out := output(t, shellcheck, "--shell=bash", write(t, "mode", script, err)); out != "" {
		t.Error(out)
	}
}

func TestFish(t *testing.T) {
	fish := tool(t, "fish")
	script, err := Fish(program())
	path := write(t, "mode.fish", script, err)
	output(t, fish, "--no-execute", path)
	t.Setenv("HOME", t.TempDir())
	t.Chdir(folder(t))
	for _, test := range completions {
		t.Run(test.name, func(t *testing.T) {
			line := strings.Join(append([]string{"mode"}, test.words...), " ")
			var got []string
			for offer := range strings.Lines(output(t, fish, "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, path, line)) {
				word, _, _ := strings.Cut(strings.TrimSpace(offer), "\t")
				got = append(got, strings.TrimSuffix(word, "/"))
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// zsh completes only on a terminal, so the script runs with the two functions
// of zsh's library that it uses replaced by ones that show what they are given.
func TestZsh(t *testing.T) {
	zsh := tool(t, "zsh")
	script, err := Zsh(program())
	path := write(t, "_mode", script, err)
	output(t, zsh, "-f", "-n", path)
	const driver = `
		compdef() { : }
		_arguments() { print -rl -- "$@"; state=$give }
		_describe() { print -rl -- "${(P@)4}" }
		source $1
		give=$3 words=($4)
		$2`
	for _, test := range []struct {
		name, function, state, word string
		want                        []string
	}{
		{"commands", "_mode", "command", "", []string{"request:Ask for a mode", "guards:Look at guards", "--config=[Read the configuration from FILE (default /etc/dubnium/dubnium.toml)]:config:_files", "1: :->command"}},
		{"aliases", "_mode__guards", "command", "", []string{"ls:List the guards"}},
		{"a command below, by its alias", "_mode__guards", "argument", "ls", []string{"--format=[Print the result for people (plain) or for programs (json) (default plain)]:format:(plain json)", "--only=[Which guards\\: hard\\: never bypassed (default all)]:only:(hard soft all)", "--by=[Only what these ran]:by:_users", "--kind=[What they are for]:kind:(block gate)"}},
		{"arguments", "_mode", "argument", "request", []string{"1:mode:(desktop studio-local compute)", "*:reason: ", "--report=[Write the result to a file as well]:report:_files"}},
		{"two arguments", "_mode__guards", "argument", "run", []string{"1:guard:(audio_idle cpu_load_safe)", "2:file:_files"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Split(output(t, zsh, "-f", "-c", driver, "zsh", path, test.function, test.state, test.word), "\n")
			for _, want := range test.want {
				if !slices.Contains(got, want) {
					t.Errorf("not given: %q\ngiven:\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}
