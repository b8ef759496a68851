// Package cli is the one runner of every Dubnium binary: it parses the command
// line, makes the context, runs the program and turns what comes back into an
// exit code of the contract. Only this package calls os.Exit.
//
// What it guarantees, whatever a program does on its main goroutine:
//
//   - The exit code is one of pkg/exitcode. An error that carries a code ends
//     the process with it; bad usage is 30; a panic, an error without a code
//     and a code outside the contract are bugs of ours, 32, and say so. A
//     goroutine that panics is out of reach: the Go runtime ends it with 2.
//   - stdout holds the result and nothing else; messages go to stderr, with
//     control characters made visible, since names of processes and files
//     appear in them.
//   - SIGINT and SIGTERM cancel the context; a second one ends the process at
//     once, in the way the system does it. A program that returns the
//     context's error without a code of its own ends with 20, as it does when
//     --timeout runs out: the work could not be carried out, nobody is wrong.
//   - A reader that closes stdout early (head, a pager) is no error: writing
//     fails from then on, nothing is printed about it, and the code is 0
//     unless the program says otherwise. It never kills a program half-way.
//     Any other failure to write stdout (a full disk) makes a success 20.
package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// Program is a binary: its grammar, its words for people, and what it runs.
// The manual page, the help, the completions and the reference page are all
// made from it. A program is built by a function that returns a fresh Model
// each time, so that tests may run it in parallel.
type Program struct {
	Name    string // of the binary
	Summary string // one line, no capital, no full stop: what it does

	// Manual is the description: paragraphs separated by blank lines, lists
	// whose items begin with "- ", and code indented by four spaces or a tab.
	// Its first paragraph is the description in --help.
	Manual string

	// Model points to the kong grammar, a struct that embeds Flags or Base.
	// Its commands have the method Run(context.Context, *Env) error; so has
	// the model itself when the program has no commands.
	Model any
	// Run, when set, is called in place of the model's Run methods.
	Run func(ctx context.Context, env *Env) error
	// Misuse, when set, is told when the program ends because of bad usage, a
	// panic or an error without a code, before the process ends: a guard
	// prints its one document even then. env is never nil, but only its
	// writers and its name are filled in when the command line was not read.
	Misuse func(env *Env, code exitcode.Code, err error)

	Timeout  time.Duration     // the default of --timeout; 0 is no limit
	Vars     map[string]string // values for ${name} in the model's tags
	Codes    []exitcode.Code   // exit codes besides those that every program has
	Examples []Example
	Files    []File
	SeeAlso  []string // manual pages, such as "reconcile(8)"
	Section  int      // of the manual; 0 means 1
	// Meant names the command line that is meant by a word in the place of a
	// command, which is no command.
	Meant map[string]string
}

// Example is a command line and what it is for.
type Example struct {
	Command string
	Help    string
}

// File is a file that the program reads or writes.
type File struct {
	Path string
	Help string
}

// ExitCodes lists the exit codes that the program can end with, in order: its
// own, and those of every program (31 only when it reads the configuration).
func (p Program) ExitCodes() []exitcode.Code {
	set := map[exitcode.Code]bool{exitcode.OK: true, exitcode.Inspection: true, exitcode.Usage: true, exitcode.Internal: true}
	if _, ok := p.Model.(interface{ configFlag() *Flags }); ok {
		set[exitcode.Config] = true
	}
	for _, c := range p.Codes {
		set[c] = true
		// A guard that could not look has a code of its own in the place of 20.
		if c.Band() == exitcode.BandError && !slices.Contains(p.Codes, exitcode.Inspection) {
			delete(set, exitcode.Inspection)
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Application is the program's kong model, for what documents or checks it.
func Application(p Program) (*kong.Application, error) {
	k, err := newKong(p)
	if err != nil {
		return nil, err
	}
	return k.Model, nil
}

// Check tells what in the program breaks the conventions: a grammar that does
// not build, a command without Run, a flag that is not long and kebab-case or
// has no help sentence. A test of each program calls it.
func Check(p Program) error {
	app, err := Application(p)
	if err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.Name == "" || p.Summary == "" || p.Manual == "" {
		fault("%q: a program has a name, a summary and a manual", p.Name)
	}
	for _, c := range p.Codes {
		if c.Band() == exitcode.BandOutside {
			fault("%s: exit code %d is outside the contract", p.Name, c)
		}
	}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		where := n.FullPath()
		if n.Type == kong.CommandNode && !sentence(n.Help) {
			fault("%s: the help of a command is a sentence, not %q", where, n.Help)
		}
		for _, f := range n.Flags {
			if !kebab(f.Name) || (f.Short != 0 && f.Name != "help") {
				fault("%s --%s: flags are long and kebab-case", where, f.Name)
			}
			if !sentence(f.Help) {
				fault("%s --%s: the help of a flag is a sentence, not %q", where, f.Name, f.Help)
			}
		}
		for _, a := range n.Positional {
			if !sentence(a.Help) {
				fault("%s <%s>: the help of an argument is a sentence, not %q", where, a.Name, a.Help)
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
		if p.Run == nil && n.Leaf() && !runnable(n) {
			fault("%s: no method Run(context.Context, *cli.Env) error", where)
		}
	}
	visit(app.Node)
	return errors.Join(faults...)
}

// runnable tells whether a node, or one above it, has a Run method that takes
// what the runner can give.
func runnable(n *kong.Node) bool {
	for ; n != nil; n = n.Parent {
		m := n.Target.Addr().MethodByName("Run")
		if !m.IsValid() {
			continue
		}
		given := []reflect.Type{reflect.TypeFor[context.Context](), reflect.TypeFor[*Env]()}
		for p := n; p != nil; p = p.Parent {
			given = append(given, p.Target.Addr().Type())
		}
		for i := range m.Type().NumIn() {
			if !slices.Contains(given, m.Type().In(i)) {
				return false
			}
		}
		return m.Type().NumOut() == 1 && m.Type().Out(0) == reflect.TypeFor[error]()
	}
	return false
}

func sentence(s string) bool {
	return len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && strings.HasSuffix(s, ".")
}

func kebab(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		s[0] != '-' && s[len(s)-1] != '-' && !strings.Contains(s, "--")
}
