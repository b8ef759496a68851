package room

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Leftover is something of a room that is there.
type Leftover struct {
	Kind    string `json:"kind"` // mount, loop-device, control-group
	What    string `json:"what"`
	Message string `json:"message"`
}

// groupsOf are where systemd puts the control group of a room's unit, with each
// of its layouts.
var groupsOf = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"}

// Slice is the one that rooms are in.
const Slice = "ai.slice"

// Gone lists what is there of a room, once the kernel has had patience to take
// down what nobody uses any more. A room that runs is there in full.
func (h Host) Gone(ctx context.Context, name string, patience time.Duration) ([]Leftover, error) {
	if wrong := config.WrongRoomName(name); wrong != "" {
		return nil, exitcode.Errorf(exitcode.Usage, "%q %s", cut(name), wrong)
	}
	if unix.Geteuid() != 0 {
		return nil, exitcode.Errorf(exitcode.NotPermitted, "only root sees the mounts of all processes; run room gone as root")
	}
	return settle(ctx, patience, func() ([]Leftover, error) { return h.left(name) })
}

func (h Host) left(name string) ([]Leftover, error) {
	all, err := mounts(h.Root, name)
	if err != nil {
		return nil, err
	}
	devices, err := loopsOf(h.Root, name)
	if err != nil {
		return nil, err
	}
	for _, l := range devices {
		all = append(all, Leftover{"loop-device", l.path, fmt.Sprintf("%s is a device over %s", l.path, l.backing)})
	}
	for _, top := range groupsOf {
		group := path.Join(top, Slice, Unit(name))
		if _, err := h.Root.Stat(group); err == nil {
			all = append(all, Leftover{"control-group", group, "the control group " + group + " is there: systemctl status " + Unit(name)})
		}
	}
	return all, nil
}

// mounts lists the mount namespaces in which the room's file systems are
// mounted, each by one process that is in it.
func mounts(root hostfs.Root, name string) ([]Leftover, error) {
	names, err := root.ReadDirNames("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	slices.Sort(names)
	var all []Leftover
	seen := map[string]bool{}
	for _, pid := range names {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		namespace, err := root.Readlink(path.Join("/proc", pid, "ns/mnt"))
		if ended(err) || err == nil && seen[namespace] {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up the mount namespace of process %s: %w", pid, err)
		}
		data, err := root.ReadFile(path.Join("/proc", pid, "mountinfo"))
		if ended(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the mounts of process %s: %w", pid, err)
		}
		seen[namespace] = true
		points, err := parseMounts(data, marker(name))
		if err != nil {
			return nil, fmt.Errorf("read the mounts of process %s: %w", pid, err)
		}
		if len(points) > 0 {
			comm, _ := root.ReadFile(path.Join("/proc", pid, "comm"))
			all = append(all, Leftover{"mount", "pid " + pid, fmt.Sprintf(
				"process %s (%s) has the room's file system at %s", pid, strings.TrimSpace(string(comm)), strings.Join(points, ", "))})
		}
	}
	return all, nil
}

// ended tells whether err says that a process is no more.
func ended(err error) bool {
	return hostfs.Absent(err) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}

// parseMounts gives the places in a mountinfo file (proc_pid_mountinfo(5)) at
// which file systems of a source are mounted.
func parseMounts(data []byte, source string) ([]string, error) {
	var points []string
	for line := range bytes.Lines(data) {
		// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS TAG... - TYPE SOURCE OPTIONS
		fields := strings.Fields(string(line))
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+3 {
			return nil, fmt.Errorf("%q is no line of a mountinfo file", cut(strings.TrimSpace(string(line))))
		}
		if fields[dash+2] == source {
			points = append(points, fields[4])
		}
	}
	return points, nil
}
