package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// postmaster is what a server writes of itself into postmaster.pid.
type postmaster struct {
	pid   int
	ready bool
}

// The lines of postmaster.pid that are of use, from 0; see Postgres's
// src/include/utils/pidfile.h.
const (
	linePID    = 0
	lineStatus = 7
)

// parsePostmaster reads postmaster.pid, which may be half written.
func parsePostmaster(text []byte) (postmaster, error) {
	lines := bytes.Split(text, []byte("\n"))
	pid, err := strconv.Atoi(string(bytes.TrimSpace(lines[linePID])))
	// A standalone backend writes its pid negated.
	if pid < 0 {
		pid = -pid
	}
	if err != nil || pid <= 0 || pid > 1<<22 { // PID_MAX_LIMIT of the kernel
		return postmaster{}, fmt.Errorf("%.40q is no process id", lines[linePID])
	}
	p := postmaster{pid: pid}
	if len(lines) > lineStatus {
		p.ready = string(bytes.TrimSpace(lines[lineStatus])) == "ready"
	}
	return p, nil
}

func (c Config) pidFile() string { return filepath.Join(c.data(), "postmaster.pid") }

func (c Config) postmaster() (postmaster, error) {
	text, err := hostfs.Root("").ReadLimited(c.pidFile(), 4096)
	if err != nil {
		return postmaster{}, err
	}
	return parsePostmaster(text)
}

// settle deals with the postmaster.pid of an earlier start. We hold the
// folder's lock, so a server that still runs there has lost its service and is
// on its way out: it is waited for. A file without such a server is stale, and
// Postgres would refuse to start when its number has gone to another process.
func (c Config) settle(ctx context.Context) error {
	p, err := c.postmaster()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = c.outlast(ctx, p.pid)
		if err != nil && !errors.Is(err, errNotOurs) {
			return err
		}
	}
	if err := os.Remove(c.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what a server that died left: %w", err)
	}
	return nil
}

// outlast waits until the server pid, when it is one of our folder, has ended.
func (c Config) outlast(ctx context.Context, pid int) error {
	cwd := fmt.Sprintf("/proc/%d/cwd", pid)
	// A server works in its data folder; the link of one of another user can't
	// be read, and then it is not ours.
	if dir, err := c.Root.Readlink(cwd); err != nil || dir != c.data() {
		return errNotOurs
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the server %d that an earlier service left: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.StopTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if dir, err := c.Root.Readlink(cwd); err != nil || dir != c.data() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server %d that an earlier service left does not end: stop it by hand", pid)
		case <-tick.C:
		}
	}
}
