package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// prefix starts the name of everything that a machine has on the host; the process that booted it
// follows, so that what a killed test left can be told from what runs.
const prefix = "dubnium-machine-"

var count atomic.Int64

func newName() string {
	return fmt.Sprintf("%s%d-%04d", prefix, os.Getpid(), count.Add(1))
}

// findTree returns the built tree's folder; it never builds, a test must not take a minute by surprise.
func findTree(ctx context.Context) (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("booting a machine needs root: run the tests as root; `make setup` prepares a host")
	}
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		return "", fmt.Errorf("find systemd-nspawn: %w: run `make setup`", err)
	}
	return built(ctx, "build-rootfs")
}

// Build builds the tree and the kernel, where they aren't yet, and reports its progress.
func Build(ctx context.Context, progress io.Writer) error {
	for _, script := range []string{"build-rootfs", "build-kernel"} {
		cmd := exec.CommandContext(ctx, filepath.Join(repository(), "scripts", "machine", script))
		cmd.Stderr = progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run %s: %w", cmd.Path, err)
		}
	}
	return nil
}

// built asks a build script where its result is.
func built(ctx context.Context, script string) (string, error) {
	path := filepath.Join(repository(), "scripts", "machine", script)
	out, err := exec.CommandContext(ctx, path, "--path").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("look for the test machine in %s (%s --path): %w: run `make setup` to build it", dir, path, err)
	}
	return dir, nil
}

// repository is the checkout that this package was compiled from, or, when the compiler hid that
// (-trimpath), the one around the working directory.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if !filepath.IsAbs(file) {
		dir, _ = os.Getwd()
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "machine", "build-rootfs")); err == nil {
			break
		}
	}
	return dir
}

// shareLock keeps the tree from being removed by a newer build while the machine runs.
func shareLock(tree string) (unlock func(), err error) {
	f, err := os.Open(filepath.Join(tree, "in-use"))
	if err != nil {
		return nil, fmt.Errorf("lock the tree: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}

func newScratch(name string) (string, error) {
	dir := filepath.Join(os.TempDir(), name)
	for _, d := range []string{dir, filepath.Join(dir, "mnt"), filepath.Join(dir, "stage")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", fmt.Errorf("make a scratch folder: %w", err)
		}
	}
	return dir, nil
}

// hierarchies are the cgroup file systems in which a container has a folder, where they are mounted.
var hierarchies = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"}

// newGroups makes the machine's own cgroups. Without a host systemd, nspawn makes its two below
// the group that it was started in: in the same one, two machines would share them.
func newGroups(name string) (groups []string, err error) {
	for _, root := range hierarchies {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		group := filepath.Join(root, name)
		if err := os.Mkdir(group, 0o755); err != nil {
			removeGroups(groups)
			return nil, fmt.Errorf("make a cgroup: %w", err)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// commandGroup finds the cgroup of the unit that commands run in.
func commandGroup(leader int) (string, error) {
	group := fmt.Sprintf("/proc/%d/root/sys/fs/cgroup/system.slice/dubnium-harness.service", leader)
	if _, err := os.Stat(group); err != nil {
		return "", fmt.Errorf("find the place for commands, dubnium-harness.service: %w", err)
	}
	return group, nil
}

// removeGroups removes cgroups. A group can outlive its last process for a moment.
func removeGroups(groups []string) error {
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := tryRemoveGroups(groups); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// tryRemoveGroups removes cgroups from the leaves up. A group with processes in it stays.
func tryRemoveGroups(groups []string) error {
	var errs []error
	for _, group := range groups {
		var dirs []string
		filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove a cgroup: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// sweep removes what machines of killed test processes have left. One that is still shutting down
// keeps its groups, and then its folder too: removing a mount point pulls the root from under it.
func sweep() {
	left := map[string][]string{}
	for _, root := range append([]string{os.TempDir()}, hierarchies...) {
		found, _ := filepath.Glob(filepath.Join(root, prefix+"*"))
		for _, path := range found {
			name := filepath.Base(path)
			left[name] = append(left[name], path)
		}
	}
	for name, paths := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || !errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			continue
		}
		var groups []string
		for _, path := range paths {
			if filepath.Dir(path) != os.TempDir() {
				groups = append(groups, path)
			}
		}
		if !supervised(groups) {
			killGroups(groups)
		}
		if tryRemoveGroups(groups) == nil {
			os.RemoveAll(filepath.Join(os.TempDir(), name))
		}
	}
}

// supervised reports whether the nspawn of a machine still runs. The machine can outlive it.
func supervised(groups []string) bool {
	for _, group := range groups {
		if procs, err := os.ReadFile(filepath.Join(group, "supervisor", "cgroup.procs")); err == nil && len(procs) > 0 {
			return true
		}
	}
	return false
}

// killGroups ends all processes of cgroups at once; only those of cgroup v2 have the means.
func killGroups(groups []string) {
	for _, group := range groups {
		os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	}
}

// owner returns who owns a file.
func owner(info os.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}

func loopNode(n int) string { return "/dev/loop" + strconv.Itoa(n) }

// loopNodes lists the host's loop devices.
func loopNodes() (nodes []int) {
	for n := range 16 {
		if _, err := os.Stat(loopNode(n)); err == nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// restoreLoopNodes brings the host's loop devices back. They are shared with the container, whose
// systemd removes those that it has used; opening a node with the number makes the device anew.
func restoreLoopNodes(scratch string, nodes []int) {
	for _, n := range nodes {
		if _, err := os.Stat(loopNode(n)); err == nil {
			continue
		}
		node := filepath.Join(scratch, "loop"+strconv.Itoa(n))
		if unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))) != nil {
			continue
		}
		if f, err := os.Open(node); err == nil {
			f.Close()
		}
	}
}
