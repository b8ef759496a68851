// Command dubnium-machine builds and boots the machine under test: a whole Debian system with a
// real systemd, without the tests around it. It needs root.
//
//	dubnium-machine build                          the tree and the kernel, once
//	dubnium-machine shell --overlay build/root     look around in a machine with Dubnium on it
//	dubnium-machine run --bin build/bin -- mode    boot, run one command, exit with its status
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/tests/machine"
)

type commands struct {
	Build struct{}  `cmd:"" help:"Build the tree and the kernel, unless they are there."`
	Shell machineOf `cmd:"" help:"Boot a machine of your own and open a root shell in it; it goes when the shell ends."`
	Run   struct {
		machineOf
		Command []string `arg:"" help:"Command to run as root, after --."`
	} `cmd:"" help:"Boot a machine, run a command in it, and exit with its status."`
}

type machineOf struct {
	Overlay   []string      `type:"existingdir" sep:"none" placeholder:"DIR" help:"Folder laid out like /, as make install DESTDIR=DIR leaves it; again for more."`
	Bin       string        `type:"existingdir" placeholder:"DIR" help:"Folder whose files appear in /usr/bin."`
	NoDesktop bool          `help:"Leave the stand-in desktop out."`
	KernelArg []string      `sep:"none" placeholder:"WORD" help:"Word for the kernel's command line; again for more."`
	Timeout   time.Duration `default:"60s" help:"Bound on the boot."`
}

func (o machineOf) boot(ctx context.Context) (*machine.Machine, error) {
	return machine.Boot(ctx, machine.Options{
		Overlay: o.Overlay, BinDir: o.Bin, NoDesktop: o.NoDesktop, KernelArgs: o.KernelArg, Timeout: o.Timeout,
	})
}

func main() {
	var c commands
	command := kong.Parse(&c, kong.Name("dubnium-machine"), kong.Description("The machine under test."), kong.UsageOnError()).Command()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	code, err := run(ctx, command, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dubnium-machine:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, command string, c commands) (int, error) {
	switch command {
	case "build":
		return 0, machine.Build(ctx, os.Stderr)
	case "shell":
		return attach(ctx, c.Shell, shell, "dubnium-machine: a root shell in a machine of your own; tester has a desktop, operator and guest don't\n"+
			"dubnium-machine: leave with exit or Ctrl-D, and all of it is gone\n")
	default:
		return attach(ctx, c.Run.machineOf, func() []string { return c.Run.Command }, "")
	}
}

// attach boots a machine, runs a command on the caller's terminal, and shuts the machine down.
func attach(ctx context.Context, o machineOf, argv func() []string, hint string) (code int, err error) {
	m, err := o.boot(ctx)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	fmt.Fprint(os.Stderr, hint)
	return m.Attach(ctx, argv()...)
}

// shell is a login shell, on a terminal of the machine's own if the caller has one.
func shell() []string {
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		return []string{"bash", "--login"}
	}
	return []string{"script", "--quiet", "--return", "--command", "bash --login", "/dev/null"}
}
