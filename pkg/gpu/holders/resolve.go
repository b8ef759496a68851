package holders

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// inode is a file by its place: what /proc/PID/maps tells of a mapping.
type inode struct {
	major, minor uint32 // of the file system
	number       uint64
}

// number is a device's numbers; ok is false for what is no character device.
type number struct {
	major, minor uint32
	ok           bool
}

// resolver tells which device a file of a process is.
type resolver interface {
	// fd asks for a descriptor: an entry of the open folder dir, whose name ends
	// in a zero byte.
	fd(dir, pid int, name []byte) (number, error)
	// mapped asks for a mapping by the name of its range, "START-END".
	mapped(pid int, span string) (number, error)
	// nodes lists the device nodes in /dev that could be mapped.
	nodes(wanted majors) (map[inode]number, error)
	// fresh gives one that another goroutine may use at the same time.
	fresh() resolver
}

// resolverFor gives the kernel's answers, or those of a fixture's table.
func resolverFor(root hostfs.Root) (resolver, error) {
	if root.Real() {
		return &kernel{root: root}, nil
	}
	data, err := root.ReadFile(TablePath)
	if hostfs.Absent(err) {
		return table{}, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := parseTable(data)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", TablePath, err)
	}
	return t, nil
}

// kernel asks the kernel. A file system that must ask a server, and could hang
// in that, is not made to: what it knows already has a device's numbers.
type kernel struct {
	root hostfs.Root
	stat unix.Statx_t
}

const statFlags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT

func (k *kernel) fd(dir, _ int, name []byte) (number, error) {
	// unix.Statx would copy the name of each of thousands of descriptors.
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), statFlags,
			unix.STATX_TYPE, uintptr(unsafe.Pointer(&k.stat)), 0)
		switch errno {
		case 0:
			return k.number(), nil
		case unix.EINTR:
		default:
			return number{}, errno
		}
	}
}

func (k *kernel) mapped(pid int, span string) (number, error) {
	err := unix.Statx(unix.AT_FDCWD, k.root.Path("/proc", strconv.Itoa(pid), "map_files", span), statFlags, unix.STATX_TYPE, &k.stat)
	return k.number(), err
}

func (k *kernel) fresh() resolver { return &kernel{root: k.root} }

func (k *kernel) number() number {
	return number{k.stat.Rdev_major, k.stat.Rdev_minor, k.stat.Mode&unix.S_IFMT == unix.S_IFCHR}
}

func (k *kernel) nodes(wanted majors) (map[inode]number, error) {
	nodes := map[inode]number{}
	for _, dir := range []string{"/dev", "/dev/dri", "/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels"} {
		names, err := k.root.ReadDirNames(dir)
		if hostfs.Absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if dir == "/dev" && !strings.HasPrefix(name, "nvidia") {
				continue
			}
			err := unix.Statx(unix.AT_FDCWD, k.root.Path(dir, name), statFlags|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE|unix.STATX_INO, &k.stat)
			if hostfs.Absent(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("stat %s/%s: %w", dir, name, err)
			}
			if n := k.number(); n.ok && wanted[n.major] != "" {
				nodes[inode{k.stat.Dev_major, k.stat.Dev_minor, k.stat.Ino}] = n
			}
		}
	}
	return nodes, nil
}

// TablePath is where a fixture tree says which of its files stand for devices,
// since a tree of files can hold none. A line is a name and a device's
// numbers, and for a node that is mapped also the device and inode that maps
// shows for it:
//
//	/proc/1200/fd/17 226:0
//	/dev/dri/card0 226:0 00:06 391
const TablePath = "/devices.table"

// table is a fixture's answers.
type table struct {
	files  map[string]number
	inodes map[inode]number
}

func parseTable(data []byte) (table, error) {
	t := table{files: map[string]number{}, inodes: map[inode]number{}}
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		var n number
		if len(fields) < 2 || !scanPair(fields[1], 10, &n.major, &n.minor) {
			return table{}, fmt.Errorf("line %q: want a name and a device's numbers", bytes.TrimSpace(line))
		}
		n.ok = true
		t.files[fields[0]] = n
		if len(fields) == 4 {
			var at inode
			var err error
			if at.number, err = strconv.ParseUint(fields[3], 10, 64); err != nil || !scanPair(fields[2], 16, &at.major, &at.minor) {
				return table{}, fmt.Errorf("line %q: want a device and an inode", bytes.TrimSpace(line))
			}
			t.inodes[at] = n
		}
	}
	return t, nil
}

func scanPair(text string, base int, major, minor *uint32) bool {
	a, b, ok := strings.Cut(text, ":")
	ma, errA := strconv.ParseUint(a, base, 12)
	mi, errB := strconv.ParseUint(b, base, 20)
	*major, *minor = uint32(ma), uint32(mi)
	return ok && errA == nil && errB == nil
}

func (t table) fd(_, pid int, name []byte) (number, error) {
	return t.files[fmt.Sprintf("/proc/%d/fd/%s", pid, name[:len(name)-1])], nil
}

func (t table) mapped(pid int, span string) (number, error) {
	return t.files[fmt.Sprintf("/proc/%d/map_files/%s", pid, span)], nil
}

func (t table) fresh() resolver { return t }

func (t table) nodes(majors) (map[inode]number, error) { return t.inodes, nil }
