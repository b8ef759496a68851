// Package docgen writes everything in the repository that is made from the
// programs and tables: the main packages of the guards, the man pages, the
// completions and the reference pages.
package docgen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/atomicfile"
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/clidoc"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/gpu/observegpu"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/memory/aimemory"
	"github.com/ryjen/dubnium/pkg/memory/apid"
	"github.com/ryjen/dubnium/pkg/memory/mcp"
	"github.com/ryjen/dubnium/pkg/memory/workerd"
	"github.com/ryjen/dubnium/pkg/programs"
	"github.com/ryjen/dubnium/pkg/unitgen"
)

type grammar struct {
	cli.Flags `embed:""`
	Output    string `name:"output" required:"" type:"path" placeholder:"DIR" help:"The root of the repository."`
	Check     bool   `name:"check" help:"Change nothing, and name the files that are not current."`
}

// Program is generate-docs.
func Program() cli.Program {
	return cli.Program{
		Name:    "generate-docs",
		Section: 8,
		Summary: "write the generated files of the repository",
		Manual: `Writes what is made from the programs and tables: the main packages of the guards below cmd, and below docs the man pages, the shell completions, the reference pages, the configuration reference and its example.

With --check nothing is written. Exit code 31 says that files are missing, differ or are left over, and names them on stdout, one a line.`,
		Model:    &grammar{},
		Codes:    []exitcode.Code{exitcode.Config},
		Examples: []cli.Example{{Command: "generate-docs --output .", Help: "Bring the repository up to date."}},
		SeeAlso:  []string{"generate-units(8)"},
	}
}

// Programs lists every binary of the repository.
func Programs() []cli.Program { return programsWith(guards.All()) }

func programsWith(registry []guard.Descriptor) []cli.Program {
	// Its words are asked for, not the driver: that would need cgo.
	all := append(programs.All(), observegpu.Program(nil), unitgen.Program(), unitgen.Generator(), Program())
	all = append(all, aimemory.Program(), apid.Program(), workerd.Program(), mcp.Program())
	for _, d := range registry {
		all = append(all, cli.GuardProgram(d))
	}
	return all
}

// Run writes or compares the files.
func (g *grammar) Run(_ context.Context, env *cli.Env) error {
	files, err := Files()
	if err != nil {
		return err
	}
	stale, err := Stale(g.Output, files)
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	if !g.Check && slices.Contains(stale, registryFile) {
		// Everything else is made from the list that we were built with.
		env.Warnf("the list of guards has changed: run this once more")
		stale = []string{registryFile}
	}
	for _, name := range stale {
		if g.Check {
			fmt.Fprintln(env.Stdout, name)
			continue
		}
		if err := write(filepath.Join(g.Output, name), files[name]); err != nil {
			return exitcode.With(exitcode.Inspection, err)
		}
		env.Logf("wrote %s", name)
	}
	if g.Check && len(stale) > 0 {
		return exitcode.Errorf(exitcode.Config, "%d files are not current: run make generate", len(stale))
	}
	return nil
}

// write writes a file, or removes one that is not generated any more.
func write(name string, data []byte) error {
	if data == nil {
		return os.Remove(name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(name, data, 0o644)
}

// Files makes all generated files; the names are relative to the repository.
func Files() (map[string][]byte, error) { return filesWith(guards.All()) }

func filesWith(registry []guard.Descriptor) (map[string][]byte, error) {
	files := map[string][]byte{
		"docs/configuration.md":     []byte(config.RenderMarkdown()),
		"docs/dubnium.toml.example": []byte(config.RenderExample()),
		"docs/exit-codes.md":        exitCodes(registry),
		"docs/guards.md":            guardTable(registry),
		"docs/transitions.md":       transitions(),
		"docs/observer.md":          observer(),
	}
	if err := nixFiles(files); err != nil {
		return nil, err
	}
	if err := pages(files); err != nil {
		return nil, err
	}
	for _, p := range programsWith(registry) {
		docs, err := clidoc.Files(p)
		if err != nil {
			return nil, err
		}
		for _, f := range docs {
			files[path.Join("docs", f.Path)] = f.Data
		}
	}
	for _, d := range registry {
		files["cmd/"+d.Binary()+"/main.go"] = mainOf(d)
	}
	return files, nil
}

// Stale lists the names of files below root that are missing, differ, or are
// generated no more; the latter are given nil in files. The list of the guards
// is put into files.
func Stale(root string, files map[string][]byte) ([]string, error) {
	list, err := Registry(root)
	if err != nil {
		return nil, fmt.Errorf("list the guards: %w", err)
	}
	files[registryFile] = list
	var stale []string
	for name, data := range files {
		have, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil || !bytes.Equal(have, data) {
			stale = append(stale, name)
		}
	}
	for _, pattern := range []string{
		"cmd/check_*/main.go", "docs/man/*/*", "docs/reference/*", "docs/completions/*/*",
	} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				return nil, err
			}
			if _, made := files[name]; !made {
				files[name] = nil
				stale = append(stale, name)
			}
		}
	}
	slices.Sort(stale)
	return stale, nil
}

// camel makes the name of a guard's variable of the guard's name.
func camel(name string) string {
	var b strings.Builder
	for _, w := range strings.Split(name, "_") {
		switch w {
		case "gpu", "cpu":
			b.WriteString(strings.ToUpper(w))
		case "vllm":
			b.WriteString("VLLM")
		default:
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}
