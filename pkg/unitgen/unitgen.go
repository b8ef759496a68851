// Package unitgen is the program generate-units: it writes the rendered files
// of pkg/units into a folder, or tells which of those that lie there are not
// current.
package unitgen

import (
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
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/units"
)

type grammar struct {
	cli.Flags
	Output   string `name:"output" required:"" type:"path" placeholder:"DIR" help:"Write the files into DIR, or compare them with those in DIR."`
	BinDir   string `name:"bindir" default:"${bindir}" placeholder:"DIR" help:"Let the units run Dubnium's programs from DIR (default ${default})."`
	Programs string `name:"programs" default:"${bindir}" placeholder:"DIR" help:"Let the units run the programs of others from DIR: systemctl, true, rm, head, and vllm and planoai of the runtime \"package\" (default ${default})."`
	Complete bool   `name:"complete" help:"Write the drop-ins for units of others too, for a system that runs no generator at boot."`
	Check    bool   `name:"check" help:"Change nothing, and name the files that are not current."`
}

// Program is generate-units.
func Program() cli.Program {
	return cli.Program{
		Name:    "generate-units",
		Summary: "render Dubnium's systemd units",
		Manual: `Renders the systemd units, and the files for systemd-sysusers and systemd-tmpfiles, from their one definition in pkg/units.

The files that were generated before and are not any more are removed from the folder; what else lies there is left alone. Without --config the units are those of the defaults, whatever the machine is configured as: that is what is committed under units/.

With --check nothing is written. Exit code 31 says that files are missing, differ or are left over, and names them on stdout, one a line.`,
		Model: &grammar{},
		Vars:  map[string]string{"bindir": units.DefaultBinDir},
		Examples: []cli.Example{
			{Command: "generate-units --output units", Help: "Bring the committed files up to date."},
			{Command: "generate-units --output units --check", Help: "See whether they are."},
			{Command: "generate-units --output /tmp/units --complete --config /etc/dubnium/dubnium.toml", Help: "See all that a configuration comes to."},
		},
		SeeAlso: []string{"systemd.unit(5)"},
		Section: 8,
	}
}

// Run renders the units and writes or compares them.
func (g *grammar) Run(_ context.Context, env *cli.Env) error {
	cfg := config.Default()
	if env.ConfigGiven {
		var err error
		if cfg, err = config.Load(env.Root, env.Config); err != nil {
			return err
		}
	}
	render := units.Render
	if g.Complete {
		render = units.Complete
	}
	files, err := render(cfg, units.Paths{
		BinDir: g.BinDir, Systemctl: path.Join(g.Programs, "systemctl"), True: path.Join(g.Programs, "true"), Rm: path.Join(g.Programs, "rm"),
		Head: path.Join(g.Programs, "head"), VLLM: path.Join(g.Programs, "vllm"), Plano: path.Join(g.Programs, "planoai"),
	})
	if err != nil {
		return exitcode.With(exitcode.Config, err)
	}
	found, err := compare(g.Output, files)
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	if !g.Check {
		if err := found.repair(g.Output); err != nil {
			return exitcode.With(exitcode.Inspection, err)
		}
		env.Logf("%d of %d files in %s were not current", len(found.stale), len(files), g.Output)
		return nil
	}
	for _, line := range found.lines() {
		if _, err := fmt.Fprintln(env.Stdout, line); err != nil {
			return err
		}
	}
	if n := len(found.stale) + len(found.left); n > 0 {
		return exitcode.Errorf(exitcode.Config, "%d files in %s are not what pkg/units says; run generate-units --output %s", n, g.Output, g.Output)
	}
	return nil
}

// difference is what separates a folder from what should lie in it.
type difference struct {
	stale []units.File // missing or of other content
	left  []string     // generated once, and not any more
}

// lines names the files of the difference, in order.
func (d difference) lines() []string {
	var lines []string
	for _, f := range d.stale {
		lines = append(lines, f.Path+": not current")
	}
	for _, name := range d.left {
		lines = append(lines, name+": left over")
	}
	slices.Sort(lines)
	return lines
}

// compare looks at every file in the folder. A folder that is not there holds
// nothing.
func compare(folder string, files []units.File) (difference, error) {
	var d difference
	expected := map[string]bool{}
	for _, f := range files {
		expected[f.Path] = true
		have, err := os.ReadFile(filepath.Join(folder, f.Path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d, fmt.Errorf("compare %s: %w", f.Path, err)
		}
		if err != nil || string(have) != f.Text {
			d.stale = append(d.stale, f)
		}
	}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !entry.Type().IsRegular():
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if err != nil || expected[name] {
			return err
		}
		data, err := os.ReadFile(path)
		first, _, _ := strings.Cut(string(data), "\n")
		if err == nil && (first == "# "+units.Header || first == "// "+units.Header) {
			d.left = append(d.left, name)
		}
		return err
	})
	if err != nil {
		return d, fmt.Errorf("look for files that are left over in %s: %w", folder, err)
	}
	return d, nil
}

// repair makes the folder hold what it should.
func (d difference) repair(folder string) error {
	for _, f := range d.stale {
		path := filepath.Join(folder, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := atomicfile.Write(path, []byte(f.Text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	for _, name := range d.left {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("remove %s, which is not generated any more: %w", name, err)
		}
	}
	return nil
}
