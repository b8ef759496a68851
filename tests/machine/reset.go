package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Reset cuts the machine's power and boots it again from its disk as it is then.
// What was in memory is gone, /run and all processes among it; the boot id is a
// new one.
func (m *Machine) Reset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := m.reset(ctx); err != nil {
		return fmt.Errorf("cut the power of %s and boot it again: %w; its console ends with:\n%s", m.name, err, tail(m.Console(), 20))
	}
	return nil
}

func (m *Machine) reset(ctx context.Context) error {
	// The disk is mounted in nspawn's own mount namespace, and gone with it.
	supervisor, err := parent(m.leader)
	if err != nil {
		return err
	}
	disk, err := os.Open(filepath.Join("/proc", strconv.Itoa(supervisor), "ns", "mnt"))
	if err != nil {
		return err
	}
	defer disk.Close()
	killGroups(m.groups)
	select {
	case <-m.exited:
	case <-ctx.Done():
		return fmt.Errorf("wait for its end: %w", ctx.Err())
	}
	if err := os.Remove(filepath.Join(m.scratch, "notify")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	groups, err := newGroups(newName())
	if err != nil {
		return err
	}
	m.groups = append(m.groups, groups...)
	const enter = `for group in $1; do echo 0 >"$group/cgroup.procs"; done; shift; exec nsenter --mount=/proc/self/fd/3 -- "$@"`
	m.leader, m.exited = 0, make(chan struct{})
	if err := m.await(ctx, func() (*exec.Cmd, error) {
		console, err := os.OpenFile(m.consolePath(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("/bin/sh", append([]string{"-c", enter, "enter", strings.Join(groups, " ")}, m.argv...)...)
		cmd.Env, cmd.Stdout, cmd.Stderr = m.environment(), console, console
		cmd.ExtraFiles = []*os.File{disk}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
		return cmd, nil
	}); err != nil {
		return err
	}
	m.commands, err = commandGroup(m.leader)
	return err
}

// parent gives a process's parent.
func parent(pid int) (int, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("PPid:")); ok {
			return strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return 0, fmt.Errorf("the status of process %d names no parent", pid)
}
