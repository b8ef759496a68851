package procinfo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// ErrNoUnified says that the machine has no unified control group hierarchy
// (cgroup v2) mounted where systemd mounts it.
var ErrNoUnified = errors.New("no unified control group hierarchy is mounted")

// mounts are the places of the unified hierarchy: alone, and beside version 1.
var mounts = [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// Cgroup is the path of a process in the unified hierarchy, as in
// "/system.slice/sshd.service"; false says that there is no such process. On a
// kernel without that hierarchy the path is "".
func Cgroup(root hostfs.Root, pid int) (cgroup string, alive bool, err error) {
	cgroup, err = parsed(root, procDir(pid)+"/cgroup", parseCgroup)
	if gone(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look up the control group of process %d: %w", pid, err)
	}
	return cgroup, true, nil
}

// parseCgroup finds the line "0::PATH". The kernel marks the path of a dead
// process whose control group was removed with " (deleted)", which is taken
// off.
func parseCgroup(data []byte) (string, error) {
	for line := range bytes.Lines(data) {
		cgroup, ok := bytes.CutPrefix(line, []byte("0::"))
		if !ok {
			continue
		}
		cgroup = bytes.TrimSuffix(bytes.TrimSuffix(cgroup, []byte("\n")), []byte(" (deleted)"))
		if !bytes.HasPrefix(cgroup, []byte("/")) {
			return "", fmt.Errorf("path %q: want one that begins with /", cgroup)
		}
		return string(cgroup), nil
	}
	return "", nil
}

// Populated tells whether any process lives in a control group or below it. The
// kernel keeps that answer ready, so it costs one small read whatever the size
// of the tree. exists is false when there is no such control group, which to
// systemd and to us is as good as an empty one.
func Populated(root hostfs.Root, cgroup string) (populated, exists bool, err error) {
	dir, err := cgroupDir(root, cgroup)
	if err != nil {
		return false, false, fmt.Errorf("look whether control group %s is populated: %w", cgroup, err)
	}
	if path.Clean(cgroup) == "/" {
		// The root has no events file, and it is never empty.
		return true, true, nil
	}
	populated, err = parsed(root, dir+"/cgroup.events", parseEvents)
	if gone(err) {
		if _, statErr := root.Stat(dir); gone(statErr) {
			return false, false, nil
		}
	}
	if err != nil {
		return false, false, fmt.Errorf("look whether control group %s is populated: %w", cgroup, err)
	}
	return populated, true, nil
}

// parseEvents finds "populated 0" or "populated 1" in cgroup.events.
func parseEvents(data []byte) (bool, error) {
	for line := range bytes.Lines(data) {
		key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if string(key) != "populated" {
			continue
		}
		switch string(value) {
		case "0":
			return false, nil
		case "1":
			return true, nil
		}
		return false, fmt.Errorf("populated %q: want 0 or 1", value)
	}
	return false, errors.New("populated is missing")
}

// CgroupProcs lists the processes of a control group, in order, and with
// recursive those of the groups below it too. A process that the reader's pid
// namespace can't see is listed as 0. exists is false when there is no such
// control group; one that goes away below it during the walk had no processes
// left.
func CgroupProcs(root hostfs.Root, cgroup string, recursive bool) (pids []int, exists bool, err error) {
	dir, err := cgroupDir(root, cgroup)
	if err == nil {
		pids, err = collectProcs(root, dir, recursive)
	}
	if gone(err) {
		if _, statErr := root.Stat(dir); gone(statErr) {
			return nil, false, nil
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("list the processes of control group %s: %w", cgroup, err)
	}
	slices.Sort(pids)
	return slices.Compact(pids), true, nil
}

// collectProcs reads cgroup.procs of a folder and, with recursive, of those
// below it.
func collectProcs(root hostfs.Root, dir string, recursive bool) ([]int, error) {
	pids, err := parsed(root, dir+"/cgroup.procs", parsePIDs)
	if err != nil || !recursive {
		return pids, err
	}
	entries, err := os.ReadDir(root.Path(dir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		below, err := collectProcs(root, dir+"/"+e.Name(), true)
		// A threaded group refuses; its processes are those of the group above
		// it, which has them all.
		if gone(err) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return nil, err
		}
		pids = append(pids, below...)
	}
	return pids, nil
}

// parsePIDs reads one pid a line.
func parsePIDs(data []byte) ([]int, error) {
	var pids []int
	for line := range bytes.Lines(data) {
		text := string(bytes.TrimSuffix(line, []byte{'\n'}))
		pid, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("pid %q: %w", text, err)
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// cgroupDir is the folder of a control group, an absolute name below the root.
// A path with ".." is refused: the kernel writes it for a process outside the
// reader's cgroup namespace, and there is no folder for that.
func cgroupDir(root hostfs.Root, cgroup string) (string, error) {
	if !strings.HasPrefix(cgroup, "/") || slices.Contains(strings.Split(cgroup, "/"), "..") {
		return "", fmt.Errorf("%q: want a path from the root of the hierarchy: %w", cgroup, fs.ErrInvalid)
	}
	for _, mount := range mounts {
		// Only a folder of the unified hierarchy has this file, on a machine
		// and in a fixture.
		_, err := root.Stat(mount + "/cgroup.controllers")
		if err == nil {
			return path.Join(mount, cgroup), nil
		}
		if !hostfs.Absent(err) {
			return "", err
		}
	}
	return "", ErrNoUnified
}
