package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// closeTimeout bounds a clean shutdown, which takes a fraction of a second; after it the container is killed.
const closeTimeout = 8 * time.Second

func (m *Machine) consolePath() string { return filepath.Join(m.scratch, "console") }

// masked are units that only cost time on a machine whose tree is complete and never written to.
var masked = []string{
	"ldconfig.service", "systemd-journal-catalog-update.service", "systemd-hwdb-update.service",
	"systemd-update-done.service", "console-getty.service",
}

// nspawn starts the container and waits until PID 1 reports the end of the boot.
func (m *Machine) nspawn(ctx context.Context, layers, kernelArgs []string) error {
	return m.await(ctx, func() (*exec.Cmd, error) { return m.command(layers, kernelArgs) })
}

// await starts the container and waits until PID 1 reports the end of the boot.
func (m *Machine) await(ctx context.Context, command func() (*exec.Cmd, error)) error {
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(m.scratch, "notify"), Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listen for the end of the boot: %w", err)
	}
	defer ready.Close()
	defer context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Now()) })()

	cmd, err := command()
	if err != nil {
		return err
	}
	if err := m.run(cmd); err != nil {
		return err
	}
	go func() {
		<-m.exited
		ready.SetReadDeadline(time.Now())
	}()
	for buf := make([]byte, 4096); ; {
		n, err := ready.Read(buf)
		if err != nil {
			select {
			case <-m.exited:
				return fmt.Errorf("systemd-nspawn ended before the boot was finished: %w", m.exitErr)
			default:
				return fmt.Errorf("wait for the end of the boot: %w", errors.Join(ctx.Err(), err))
			}
		}
		for line := range strings.Lines(string(buf[:n])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "X_NSPAWN_LEADER_PID":
				if m.leader, err = strconv.Atoi(value); err != nil {
					return fmt.Errorf("read the leader's process id from nspawn: %w", err)
				}
			case key == "READY" && value == "1" && m.leader != 0:
				return nil
			}
		}
	}
}

// command is the container's: it makes its mounts in a namespace of its own and then becomes nspawn.
func (m *Machine) command(layers, kernelArgs []string) (*exec.Cmd, error) {
	args := []string{"-c", embedded("boot"), "boot", m.scratch, strings.Join(m.groups, " ")}
	args = append(args, layers...)
	m.argv = []string{
		"systemd-nspawn", "--quiet", "--boot",
		"--directory=" + filepath.Join(m.scratch, "mnt", "root"), "--machine=" + m.name, "--hostname=testbox",
		"--register=no", "--keep-unit", "--notify-ready=yes", "--console=pipe", "--link-journal=no",
		"--private-network", "--resolv-conf=off", "--timezone=off", "--",
		"systemd.show_status=0", "systemd.wants=dubnium-harness.service",
	}
	for _, unit := range masked {
		m.argv = append(m.argv, "systemd.mask="+unit)
	}
	m.argv = append(m.argv, kernelArgs...)
	cmd := exec.Command("/bin/sh", append(append(args, "--"), m.argv...)...)
	cmd.Env = m.environment()
	console, err := os.Create(m.consolePath())
	if err != nil {
		return nil, fmt.Errorf("make the console's file: %w", err)
	}
	cmd.Stdout, cmd.Stderr = console, console
	// A killed test takes its machine along: SIGTERM shuts the container down.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true, Pdeathsig: syscall.SIGTERM}
	return cmd, nil
}

func (m *Machine) environment() []string {
	return append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "NOTIFY_SOCKET="+filepath.Join(m.scratch, "notify"))
}

// run starts cmd and watches over it. The signal at the parent's death is the starting thread's,
// so that thread is kept until the command ends.
func (m *Machine) run(cmd *exec.Cmd) error {
	started, exited := make(chan error), m.exited
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		cmd.Stdout.(*os.File).Close()
		started <- err
		if err != nil {
			return
		}
		m.exitErr = cmd.Wait()
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start systemd-nspawn: %w", err)
	}
	m.stop = func() { cmd.Process.Signal(syscall.SIGTERM) }
	return nil
}

// Close shuts the machine down and removes all that it had on the host. One that doesn't go down in
// time, as with a service that ignores SIGTERM, is killed: that is no error.
func (m *Machine) Close() error {
	if m.stop != nil {
		m.stop()
		m.waitExit(closeTimeout)
		var payload []string
		for _, group := range m.groups {
			payload = append(payload, filepath.Join(group, "payload"))
		}
		killGroups(payload) // nspawn lives to see it, and reaps PID 1
		m.waitExit(closeTimeout)
		killGroups(m.groups) // a container that was stopped before it was up leaves a child or two dying
		<-m.exited
		m.console = m.consoleFile()
		m.stop = nil
	}
	return m.remove()
}

func (m *Machine) waitExit(limit time.Duration) {
	select {
	case <-m.exited:
	case <-time.After(limit):
	}
}

// remove gives back what the machine had on the host, in any state of its making.
func (m *Machine) remove() error {
	restoreLoopNodes(m.scratch, m.loops)
	err := removeGroups(m.groups)
	m.groups = nil
	if m.scratch != "" {
		err = errors.Join(err, os.RemoveAll(m.scratch))
	}
	if m.unlock != nil {
		m.unlock()
		m.unlock = nil
	}
	return err
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
