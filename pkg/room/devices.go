package room

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// harmless are the devices that every room has.
var harmless = []node{
	{"null", unix.Mkdev(1, 3)},
	{"zero", unix.Mkdev(1, 5)},
	{"full", unix.Mkdev(1, 7)},
	{"random", unix.Mkdev(1, 8)},
	{"urandom", unix.Mkdev(1, 9)},
	{"tty", unix.Mkdev(5, 0)},
}

// devices makes the room's /dev. Its nodes are its own: a mode that is changed
// in the room is that of no node of the machine.
func (s spec) devices(root *os.File) (*os.File, error) {
	dev, err := mounted(root, "dev")(newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, option{"mode", "0755"}, option{"size", "1m"}))
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Concat(harmless, s.Nodes) {
		if err := n.make(dev); err != nil {
			return nil, err
		}
	}
	for _, n := range s.Nodes {
		if err := n.usable(dev); err != nil {
			return nil, err
		}
	}
	pts, err := mounted(dev, "pts")(newFS("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC,
		option{"newinstance", ""}, option{"ptmxmode", "0666"}, option{"mode", "0620"}, option{"gid", "5"}))
	if err != nil {
		return nil, err
	}
	pts.Close()
	shm, err := mounted(dev, "shm")(newFS("tmpfs", data, option{"mode", "1777"}, option{"size", fmt.Sprint(s.Size)}))
	if err != nil {
		return nil, err
	}
	shm.Close()
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := unix.Symlinkat(to, int(dev.Fd()), name); err != nil {
			return nil, fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	return dev, readOnly(dev)
}

// make makes a node.
func (n node) make(dev *os.File) error {
	at := dev
	if dir := path.Dir(n.Path); dir != "." {
		f, err := folder(dev, dir, 0o755)
		if err != nil {
			return err
		}
		defer f.Close()
		at = f
	}
	name := path.Base(n.Path)
	if err := unix.Mknodat(int(at.Fd()), name, unix.S_IFCHR|0o666, int(n.Rdev)); err != nil {
		return fmt.Errorf("make /dev/%s (the control group has to allow it, as that of room@.service does): %w", n.Path, err)
	}
	return unix.Fchmodat(int(at.Fd()), name, 0o666, 0) // past the umask
}

// usable holds that the control group lets a node be opened: a node that
// nothing can be done with would be less than was asked for.
func (n node) usable(dev *os.File) error {
	fd, err := unix.Openat(int(dev.Fd()), n.Path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return refusef("/dev/%s can't be opened: %w; the driver has to be loaded, and the control group to allow it (systemctl daemon-reload gives that of room@.service what the configuration says)", n.Path, err)
	}
	return unix.Close(fd)
}

// hidden are files of /proc and folders that tell of the machine, and are
// nobody's in a room.
var hidden = []string{"acpi", "kcore", "keys", "key-users", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "sched_debug", "scsi", "timer_list"}

// kernelFiles mounts /proc and /sys. All of /proc that is of the machine, and
// not of a process, is read-only: its files are root's, and the room's root is
// the machine's without its powers.
func kernelFiles(root, dev *os.File) error {
	sys, err := mounted(root, "sys")(newFS("sysfs", frozen))
	if err != nil {
		return err
	}
	defer sys.Close()
	if err := hide(sys, "firmware", dev); err != nil {
		return err
	}
	proc, err := mounted(root, "proc")(newFS("proc", data))
	if err != nil {
		return err
	}
	defer proc.Close()
	entries, err := proc.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("list /proc: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist) || ofProcess(e.Name()):
		case err != nil:
			return fmt.Errorf("look at /proc/%s: %w", e.Name(), err)
		case slices.Contains(hidden, e.Name()):
			err = hide(proc, e.Name(), dev)
		case info.IsDir() || info.Mode().IsRegular(): // whatever its mode says, which CAP_DAC_OVERRIDE passes
			err = place(proc, e.Name())(clone(proc, e.Name(), frozen))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func ofProcess(name string) bool { return strings.Trim(name, "0123456789") == "" }

// hide puts nothing in the place of a file or folder, where there is one.
func hide(dir *os.File, name string, dev *os.File) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("look at /%s/%s: %w", dir.Name(), name, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return place(dir, name)(newFS("tmpfs", frozen, option{"size", "4k"}, option{"mode", "0555"}))
	default:
		return place(dir, name)(clone(dev, "null", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_RDONLY))
	}
}

// ownNull are the first three descriptors, with the room's own null device in
// the place of the machine's: whoever has that open can change its mode.
func ownNull() ([]uintptr, error) {
	files := []uintptr{0, 1, 2}
	for i, fd := range files {
		var st unix.Stat_t
		err := unix.Fstat(int(fd), &st)
		if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3)) {
			continue
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open the room's null device: %w", err)
		}
		files[i] = null.Fd()
		kept = append(kept, null)
	}
	return files, nil
}

// kept holds files open for as long as the process lives.
var kept []*os.File
