package unitgen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/units"
)

type generator struct {
	cli.Flags
	BinDir string `name:"bindir" placeholder:"DIR" help:"Let the units run Dubnium's programs from DIR (default: where this one is)."`
	Normal string `arg:"" type:"path" help:"The folder that the units are written to."`
	Early  string `arg:"" type:"path" help:"Given by systemd, and not used: a unit there would win over the operator's own."`
	Late   string `arg:"" type:"path" help:"Given by systemd, and not used: a unit there would lose against the shipped one."`
}

const generatorName = "dubnium-generator"

// Generator is dubnium-generator.
func Generator() cli.Program {
	return cli.Program{
		Name:    generatorName,
		Summary: "make the units fit the configuration, at boot",
		Manual: `A systemd generator: systemd runs it early at boot and at each systemctl daemon-reload, before it reads the units. It reads the configuration and writes into the first of its three folders what differs from the units that were installed. So to change the file and to call systemctl daemon-reload is all it takes; a unit that runs keeps its command line and its environment until it is started again.

What it writes:

- the units whose text the configuration changes: vllm.service with the model, the runtime and the GPUs (CUDA_VISIBLE_DEVICES), plano.service, the slices with their weights and limits, the bounds on time of the others;
- the links that start what the configuration enables: vllm.service and plano.service with compute.target, the memory service with the machine;
- a drop-in that puts k3s into platform.slice, when k3s.enable is set;
- when vllm.unit names a unit of another maker, a drop-in that puts that one into ai.slice and compute.target, and a mask on vllm.service.

A unit or a drop-in in /etc/systemd/system wins over what is written here. With no configuration file nothing is written: the installed units are those of the defaults.

It keeps no machine from starting. When the configuration is wrong it writes nothing, so that the machine has the units of the defaults and none of its workloads, and says in one line of the kernel's log which file, line and key is to be mended (journalctl -k -t dubnium-generator); systemd tells of its exit status beside it. In the initrd it does nothing.`,
		Model:   &generator{},
		Section: 8,
		Examples: []cli.Example{
			{Command: "systemctl daemon-reload", Help: "Run it as systemd does."},
			{Command: "mkdir /tmp/units && dubnium-generator /tmp/units /tmp/units /tmp/units", Help: "See what it would write."},
			{Command: "systemctl cat vllm.service", Help: "See the unit that holds."},
		},
		Files: []cli.File{
			{Path: config.DefaultPath, Help: "The configuration."},
			{Path: "/run/systemd/generator", Help: "Where systemd lets it write."},
			{Path: "/dev/kmsg", Help: "The kernel's log, the only one that there is this early."},
		},
		SeeAlso: []string{"systemd.generator(7)", "generate-units(8)", "mode(1)"},
	}
}

// Run writes what the configuration adds to the installed units.
func (g *generator) Run(_ context.Context, env *cli.Env) error {
	// The initrd's /etc is not the machine's.
	if env.Getenv("SYSTEMD_IN_INITRD") == "1" {
		return nil
	}
	err := g.generate(env)
	if err != nil && env.Getenv("SYSTEMD_SCOPE") == "system" {
		logKernel(env.Root, err.Error())
	}
	return err
}

func (g *generator) generate(env *cli.Env) error {
	path := ""
	if env.ConfigGiven {
		path = env.Config
	}
	cfg, err := config.Load(env.Root, path)
	if err != nil {
		return exitcode.Errorf(exitcode.Config, "%s; the units are those of the defaults until then", oneLine(err))
	}
	bin := g.BinDir
	if bin == "" {
		self, err := os.Executable()
		if err != nil {
			return exitcode.Errorf(exitcode.Inspection, "find the folder of Dubnium's programs: %w", err)
		}
		bin = filepath.Dir(self)
	}
	files, links, err := units.ForMachine(cfg, units.Paths{BinDir: bin})
	if err != nil {
		return exitcode.With(exitcode.Config, err)
	}
	// The folder is new and in memory, and read when we have ended: nothing
	// asks for more than plain files, such as random names, which this early
	// may have to be waited for.
	for _, f := range files {
		if err := place(filepath.Join(g.Normal, f.Path), func(at string) error { return os.WriteFile(at, []byte(f.Text), 0o644) }); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := place(filepath.Join(g.Normal, l.Path), func(at string) error { return link(at, l.To) }); err != nil {
			return err
		}
	}
	env.Logf("%d units and %d links differ from the installed ones", len(files), len(links))
	return nil
}

// place makes the folder of a file, then the file.
func place(at string, make func(at string) error) error {
	err := os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = make(at)
	}
	if err != nil {
		return exitcode.Errorf(exitcode.Inspection, "write %s, which the configuration asks for: %w", at, err)
	}
	return nil
}

// link makes a symbolic link, or leaves the right one alone.
func link(at, to string) error {
	err := os.Symlink(to, at)
	if have, readErr := os.Readlink(at); readErr == nil && have == to {
		return nil
	}
	return err
}

// oneLine is the first thing that is wrong with a configuration, and how much
// more there is.
func oneLine(err error) string {
	var e *config.Error
	if !errors.As(err, &e) || len(e.Problems) < 2 {
		return err.Error()
	}
	first := config.Error{Name: e.Name, Problems: e.Problems[:1]}
	return fmt.Sprintf("%s (and %d more)", first.Error(), len(e.Problems)-1)
}

// maxRecord is what the kernel's log takes of one line, in bytes, with room
// for its own words.
const maxRecord = 900

// logKernel writes a line to the kernel's log, as systemd.generator(7) wants
// it of generators. Nothing waits for a log that takes no line.
func logKernel(root hostfs.Root, line string) {
	f, err := os.OpenFile(root.Path("/dev/kmsg"), os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer f.Close()
	const levelError = 3
	record := fmt.Sprintf("<%d>%s[%d]: %s", levelError, generatorName, os.Getpid(), cli.Visible(line))
	_, _ = f.WriteString(record[:min(len(record), maxRecord)] + "\n")
}
