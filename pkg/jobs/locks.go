package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// locksFile lists the file locks that the reader's pid namespace can see.
const locksFile = "/proc/locks"

// The kernel hands the list out a page at a time, and a lock given back between
// two pages makes the next one begin a line late: a longer list in which
// nothing was found is read again.
const (
	locksPage = 4 << 10
	readings  = 3
)

// Lock is a lock that some process holds on a file.
type Lock struct {
	File string
	PID  int // 0 where the kernel does not tell it
}

// Locks tells which of the files are locked for writing, with fcntl (POSIX or
// of an open file) or flock. It takes no lock itself. A file that does not
// exist is not locked.
//
// The kernel names a file by its inode number and the device of its file
// system, which on overlay and btrfs is not the device that stat gives. Where
// only the inode number agrees, the holder has to have the file open.
func Locks(root hostfs.Root, files []string) ([]Lock, error) {
	wanted := map[string]fs.FileInfo{}
	for _, name := range files {
		info, err := root.Stat(name)
		switch {
		case hostfs.Absent(err), errors.Is(err, unix.ENOTDIR):
		case err != nil:
			return nil, fmt.Errorf("look whether %s is locked: %w", name, err)
		default:
			wanted[name] = info
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	for range readings {
		data, err := root.ReadFile(locksFile)
		if err != nil {
			return nil, fmt.Errorf("look for file locks: %w", err)
		}
		table, err := parseLocks(data)
		if err != nil {
			return nil, fmt.Errorf("look for file locks: parse %s: %w", locksFile, err)
		}
		var found []Lock
		for _, name := range files {
			if info := wanted[name]; info != nil {
				if pid, locked := holder(root, table, info); locked {
					found = append(found, Lock{name, pid})
				}
			}
		}
		if len(found) > 0 || len(data) <= locksPage {
			return found, nil
		}
	}
	return nil, nil
}

// holder finds who has locked a file. One that the kernel names is preferred.
func holder(root hostfs.Root, table []entry, info fs.FileInfo) (pid int, locked bool) {
	stat := info.Sys().(*syscall.Stat_t)
	for _, e := range table {
		if e.inode != stat.Ino {
			continue
		}
		exact := e.major == unix.Major(uint64(stat.Dev)) && e.minor == unix.Minor(uint64(stat.Dev))
		if !exact && !hasOpen(root, e.pid, info) {
			continue
		}
		if e.pid > 0 {
			return e.pid, true
		}
		locked = true
	}
	return 0, locked
}

// hasOpen tells whether a process has a file open. One that may not be looked
// at may have: not known is not free.
func hasOpen(root hostfs.Root, pid int, info fs.FileInfo) bool {
	if pid <= 0 {
		return false
	}
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	names, err := root.ReadDirNames(dir)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	for _, name := range names {
		if open, err := root.Stat(dir + "/" + name); err == nil && os.SameFile(open, info) {
			return true
		}
	}
	return false
}

// entry is one lock for writing of /proc/locks.
type entry struct {
	pid          int // 0 or less: not told
	major, minor uint32
	inode        uint64
}

// parseLocks gives the locks for writing that are held; those waited for have
// an arrow. Leases and kinds that a later kernel adds are none of them.
//
//	1: POSIX  ADVISORY  WRITE 702 00:19:1042 0 EOF
//	2: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 EOF
//	3: -> FLOCK  ADVISORY  WRITE 14001 fe:00:10043960 0 EOF
func parseLocks(data []byte) ([]entry, error) {
	var table []entry
	number := 0
	for line := range bytes.Lines(data) {
		number++
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch string(fields[1]) {
		case "POSIX", "OFDLCK", "FLOCK":
		default:
			continue
		}
		if len(fields) < 6 {
			return nil, fmt.Errorf("line %d: %d fields, want at least 6", number, len(fields))
		}
		if string(fields[3]) != "WRITE" {
			continue
		}
		e, err := parseEntry(string(fields[4]), string(fields[5]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		table = append(table, e)
	}
	return table, nil
}

// parseEntry reads a pid and MAJOR:MINOR:INODE, the first two hexadecimal.
func parseEntry(pid, file string) (entry, error) {
	var e entry
	n, err := strconv.ParseInt(pid, 10, 32)
	if err != nil {
		return e, fmt.Errorf("pid %q: %w", pid, err)
	}
	e.pid = int(n)
	parts := bytes.Split([]byte(file), []byte(":"))
	if len(parts) != 3 {
		return e, fmt.Errorf("file %q: want MAJOR:MINOR:INODE", file)
	}
	major, err1 := strconv.ParseUint(string(parts[0]), 16, 32)
	minor, err2 := strconv.ParseUint(string(parts[1]), 16, 32)
	inode, err3 := strconv.ParseUint(string(parts[2]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return e, fmt.Errorf("file %q: %w", file, err)
	}
	e.major, e.minor, e.inode = uint32(major), uint32(minor), inode
	return e, nil
}
