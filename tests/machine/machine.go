// Package machine is the machine under test: a whole Debian system with a real systemd as PID 1,
// real logind, D-Bus and polkit, booted from a tree that is built once.
//
// [Start] boots one in a container (systemd-nspawn) in about two seconds, for a test; [Boot] does
// the same without a test. [QEMU] boots the same tree under a kernel of its own, with graphics
// cards, virtual terminals and cgroup controllers, and takes the better part of a minute.
//
// A container has no cgroup controllers on many hosts, no graphics card and no virtual terminal:
// what depends on those belongs into the virtual machine.
//
// Everything needs root and the tree that `make setup` builds. What is missing is a failure that
// says so, never a skipped test.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"
)

// Options say what is on the machine besides the bare system. Later layers win over earlier ones:
// the tree, the stand-in desktop, Overlay, BinDir, Files.
type Options struct {
	// Overlay lists folders laid out like /, as `make install DESTDIR=...` leaves them. They are
	// laid over the root, not copied: leave them alone while the machine runs. Their folders lend
	// the machine's their modes.
	Overlay []string
	// BinDir is a folder whose files appear in /usr/bin.
	BinDir string
	// Files are put on top of all else.
	Files []File
	// NoDesktop leaves out the stand-in display manager (see [Machine.WaitSession]).
	NoDesktop bool
	// LoopDevices makes loop devices in the machine, for images that units mount.
	LoopDevices bool
	// KernelArgs are added to the command line that PID 1 reads.
	KernelArgs []string
	// Timeout bounds the boot; 60 s unless set.
	Timeout time.Duration
}

// File is one file of a machine, root's own.
type File struct {
	Path    string // in the machine, absolute
	Content string
	Mode    fs.FileMode // 0644 unless set
	Link    string      // if set, Path is a symbolic link to this
}

// Machine is a running container.
type Machine struct {
	name     string
	scratch  string   // our folder on the host: console, socket, staged files, mount point
	leader   int      // PID 1 of the machine, as the host counts
	argv     []string // of systemd-nspawn
	commands string   // the cgroup folder for commands, as the host sees it
	groups   []string
	loops    []int
	exited   chan struct{} // closed when the container is gone
	exitErr  error         // valid then
	stop     func()        // asks the container to shut down; nil when it is down
	console  string        // what it printed, valid when it is down
	unlock   func()
}

// Start boots a machine for a test and fails the test if it can't. It is shut down when the test
// ends; of a failed test the console and the end of the journal are logged first.
func Start(t testing.TB, opts Options) *Machine {
	t.Helper()
	start := time.Now()
	m, err := Boot(t.Context(), opts)
	if err != nil {
		t.Fatalf("machine: %v", err)
	}
	up := time.Since(start)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of %s:\n%s\nend of its journal:\n%s", m.name, m.Console(), m.Journal("--lines=60"))
		}
		start := time.Now()
		if err := m.Close(); err != nil {
			t.Errorf("machine: %v", err)
		}
		t.Logf("%s was up after %.1f s, and down in %.1f s", m.name, up.Seconds(), time.Since(start).Seconds())
	})
	return m
}

// Boot boots a machine and waits until PID 1 reports that the boot is finished: its job queue has
// run empty, whether or not every unit came up. The machine doesn't end with ctx; Close ends it.
func Boot(ctx context.Context, opts Options) (*Machine, error) {
	tree, err := findTree(ctx)
	if err != nil {
		return nil, err
	}
	sweep()
	m := &Machine{name: newName(), exited: make(chan struct{}), loops: loopNodes()}
	if err := m.boot(ctx, tree, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("boot a machine: %w", err), m.Close())
	}
	return m, nil
}

func (m *Machine) boot(ctx context.Context, tree string, opts Options) (err error) {
	if m.unlock, err = shareLock(tree); err != nil {
		return err
	}
	if m.scratch, err = newScratch(m.name); err != nil {
		return err
	}
	layers, err := stage(m.scratch, tree, ownFiles(opts), opts)
	if err != nil {
		return err
	}
	if m.groups, err = newGroups(m.name); err != nil {
		return err
	}
	if opts.Timeout == 0 {
		opts.Timeout = 60 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	if err := m.nspawn(ctx, layers, opts.KernelArgs); err != nil {
		return fmt.Errorf("%w; its console ends with:\n%s", err, tail(m.Console(), 20))
	}
	if m.commands, err = commandGroup(m.leader); err != nil {
		return err
	}
	if opts.LoopDevices {
		const nodes = "mknod /dev/loop-control c 10 237; for i in 0 1 2 3 4 5 6 7 8 9; do mknod /dev/loop$i b 7 $i; done"
		if r := m.Shell(ctx, nodes); r.Code != 0 {
			return fmt.Errorf("make loop devices: %s", r)
		}
	}
	return nil
}

// Name is the machine's name on the host, part of every path that it uses there.
func (m *Machine) Name() string { return m.name }

// Leader is the process id on the host of the machine's PID 1.
func (m *Machine) Leader() int { return m.leader }

// Console returns what the machine has printed on its console.
func (m *Machine) Console() string {
	if m.stop == nil {
		return m.console
	}
	return m.consoleFile()
}

func (m *Machine) consoleFile() string {
	b, err := os.ReadFile(m.consolePath())
	if err != nil {
		return err.Error()
	}
	return string(b)
}
