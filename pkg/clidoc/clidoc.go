// Package clidoc writes what people read and shells need about a program, from
// its grammar and the words in its cli.Program: a manual page, completions for
// bash, zsh and fish, and a reference page. The same program always gives the
// same bytes: there is no date of today, no path of the build machine, and no
// map order in them.
package clidoc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// Date is the date of the manual pages. It is pinned, so that a page changes
// only when its text does.
const Date = "2026-01-01"

// File is a generated file; Path is relative to the folder for all of them.
type File struct {
	Path string
	Data []byte
}

// Files makes every file of a program, in the layout below share/ and docs/
// that packages install. A program without commands has no completions: its
// few flags are not worth three scripts.
func Files(p cli.Program) ([]File, error) {
	d, err := describe(p)
	if err != nil {
		return nil, err
	}
	files := []File{
		{fmt.Sprintf("man/man%d/%s.%d", d.section(), p.Name, d.section()), d.man()},
		{"reference/" + p.Name + ".md", d.markdown()},
	}
	if len(d.root.commands) > 0 {
		files = append(files,
			File{"completions/bash/" + p.Name, d.bash()},
			File{"completions/zsh/_" + p.Name, d.zsh()},
			File{"completions/fish/" + p.Name + ".fish", d.fish()})
	}
	return files, nil
}

// Man is the program's manual page, for man(7).
func Man(p cli.Program) ([]byte, error) { return form(p, description.man) }

// Markdown is the program's reference page.
func Markdown(p cli.Program) ([]byte, error) { return form(p, description.markdown) }

// Bash is the program's completion for bash 4 and later.
func Bash(p cli.Program) ([]byte, error) { return form(p, description.bash) }

// Zsh is the program's completion for zsh.
func Zsh(p cli.Program) ([]byte, error) { return form(p, description.zsh) }

// Fish is the program's completion for fish 3 and later.
func Fish(p cli.Program) ([]byte, error) { return form(p, description.fish) }

func form(p cli.Program, render func(description) []byte) ([]byte, error) {
	d, err := describe(p)
	if err != nil {
		return nil, err
	}
	return render(d), nil
}

// description is a program as the forms need it: what is hidden is gone, and
// every text is final.
type description struct {
	cli.Program
	root command
}

type command struct {
	name     string   // the last word
	path     []string // all words after the program's name
	aliases  []string
	help     string
	group    string
	flags    []value // its own; those of the commands above it apply too
	args     []value
	commands []command
}

// value is a flag or an argument.
type value struct {
	arg         bool
	name        string // of a flag, without the dashes
	short       string // one letter, or empty
	placeholder string // empty for a switch
	help        string
	enum        []string
	file        bool // completes to files
	user        bool // completes to the names of users
	optional    bool
	repeated    bool
}

// describe builds the model of p and takes from it what the forms need.
func describe(p cli.Program) (description, error) {
	app, err := cli.Application(p)
	if err != nil {
		return description{}, err
	}
	d := description{Program: p, root: commandOf(app.Node, nil)}
	return d, d.checkWords()
}

func commandOf(n *kong.Node, path []string) command {
	c := command{name: n.Name, path: path, aliases: n.Aliases, help: n.Help}
	if g := n.ClosestGroup(); g != nil {
		c.group = strings.TrimSuffix(g.Title, ":")
	}
	for _, f := range n.Flags {
		if !f.Hidden {
			c.flags = append(c.flags, flagOf(f))
		}
	}
	for _, a := range n.Positional {
		v := valueOf(a)
		v.arg = true
		c.args = append(c.args, v)
	}
	for _, child := range n.Children {
		if !child.Hidden {
			c.commands = append(c.commands, commandOf(child, append(path[:len(path):len(path)], child.Name)))
		}
	}
	return c
}

func flagOf(f *kong.Flag) value {
	v := valueOf(f.Value)
	if f.Short != 0 {
		v.short = string(f.Short)
	}
	if !f.IsBool() && !f.IsCounter() {
		v.placeholder = f.FormatPlaceHolder()
		v.file = v.file || f.PlaceHolder == "FILE" || f.PlaceHolder == "DIR"
		v.user = f.PlaceHolder == "USER"
	}
	return v
}

func valueOf(k *kong.Value) value {
	v := value{name: k.Name, help: cli.ValueHelp(k), optional: !k.Required, repeated: k.IsCumulative(), enum: cli.Choices(k)}
	switch k.Tag.Type {
	case "path", "existingfile", "existingdir", "filecontent":
		v.file = true
	}
	return v
}

// usage is an argument as a synopsis shows it.
func (v value) usage() string {
	s := "<" + v.name + ">"
	if v.repeated {
		s += " ..."
	}
	if v.optional {
		s = "[" + s + "]"
	}
	return s
}

// walk calls visit for c and every command below it, in order, with the flags
// of the commands above.
func (c command) walk(visit func(c command, inherited []value)) {
	var step func(c command, inherited []value)
	step = func(c command, inherited []value) {
		visit(c, inherited)
		below := append(inherited[:len(inherited):len(inherited)], c.flags...)
		for _, child := range c.commands {
			step(child, below)
		}
	}
	step(c, nil)
}

// leaves lists the commands that can be run: those without a group first, then
// group by group in the order in which the groups appear, as --help has it.
func (c command) leaves() []command {
	var out []command
	groups := []string{""}
	c.walk(func(c command, _ []value) {
		if len(c.commands) == 0 && len(c.path) > 0 {
			out = append(out, c)
			groups = append(groups, c.group)
		}
	})
	slices.SortStableFunc(out, func(a, b command) int {
		return slices.Index(groups, a.group) - slices.Index(groups, b.group)
	})
	return out
}

func (d description) section() int {
	if d.Section == 0 {
		return 1
	}
	return d.Section
}

func (d description) exitCodes() []exitcode.Entry {
	var out []exitcode.Entry
	for _, c := range d.ExitCodes() {
		out = append(out, exitcode.Entry{Code: c, Meaning: c.Meaning()})
	}
	return out
}

// synopsis lists the ways to call the program, without its name: one a
// command, or one for a program without commands.
func (d description) synopsis() []string {
	commands := d.root.leaves()
	if len(commands) == 0 {
		commands = []command{d.root}
	}
	var lines []string
	for _, c := range commands {
		words := append(c.path[:len(c.path):len(c.path)], "[flags]")
		for _, a := range c.args {
			words = append(words, a.usage())
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}
