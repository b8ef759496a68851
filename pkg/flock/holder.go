package flock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// recordLimit bounds the record that an observer reads, in bytes.
const recordLimit = 64 << 10

// locksFile lists the locks of all processes that the reader's pid namespace
// can see.
const locksFile = "/proc/locks"

// The kernel hands the list out a page at a time, and a lock that is given back
// between two pages makes the next page begin one line late. A list of more
// than a page in which the lock is missing is therefore read again.
const (
	locksPage = 4 << 10
	looks     = 3
)

// Holder is what an observer learns about a lock without touching it.
type Holder struct {
	// Held tells whether a process holds the exclusive lock.
	Held bool
	// PID is the holder, as the kernel names it; where the kernel doesn't, the
	// one that the record names. 0 when the lock is free, or held by a process
	// that neither names.
	PID int
	// UID is the user of the holder; -1 when the lock is free or its holder
	// can't be looked at. Whoever may read the file can hold the lock, so a
	// holder that isn't root is no transition.
	UID int
	// Record is the content of the file: what the holder wrote or, when the
	// lock is free, what a holder left that was killed. For a moment after the
	// lock was taken it is empty or the record of the holder before.
	Record []byte
}

// ReadHolder tells who holds the lock on the file path, an absolute path on the
// machine below root. It takes no lock of any kind, because a lock for probing
// could be in a controller's way. A file that doesn't exist is a lock that
// nobody holds.
//
// It looks for the file in /proc/locks. The kernel names a file there by its
// inode number and the device of its file system, and that device is not what
// stat gives on overlay and btrfs, which invent devices for their layers and
// subvolumes. So a lock on the same inode number of another device also
// counts, if the kernel names its holder as the record does, or names none and
// the process of the record is alive. That is hardly ever another file's lock:
// the same process would have to hold two on files of the same number.
//
// The kernel hides holders outside the reader's pid namespace. An observer in a
// container therefore must not be asked about a lock of the machine.
func ReadHolder(root hostfs.Root, path string) (Holder, error) {
	free := Holder{UID: -1}
	info, err := root.Stat(path)
	if hostfs.Absent(err) {
		return free, nil
	}
	if err != nil {
		return free, fmt.Errorf("look for the holder of %s: %w", path, err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	record, err := root.ReadLimited(path, recordLimit)
	if hostfs.Absent(err) {
		return free, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		record, err = nil, nil // the record is its owner's; the lock is not
	}
	if err != nil {
		return free, fmt.Errorf("look for the holder of %s: %w", path, err)
	}
	alive := func(pid int) bool {
		_, err := root.Stat("/proc/" + strconv.Itoa(pid))
		return err == nil
	}
	h := free
	for range looks {
		data, err := root.ReadFile(locksFile)
		if err != nil {
			return free, fmt.Errorf("look for the holder of %s: %w", path, err)
		}
		locks, err := parseLocks(data)
		if err != nil {
			return free, fmt.Errorf("look for the holder of %s: parse %s: %w", path, locksFile, err)
		}
		h = choose(locks, uint64(stat.Dev), stat.Ino, recordPID(record), alive)
		if h.Held || len(data) <= locksPage {
			break
		}
	}
	h.Record = record
	if h.PID > 0 {
		if info, err := root.Stat("/proc/" + strconv.Itoa(h.PID)); err == nil {
			h.UID = int(info.Sys().(*syscall.Stat_t).Uid)
		}
	}
	return h, nil
}

// choose finds the lock on a file among those of the machine. recorded is the
// pid that the file's record names, 0 when it names none.
func choose(locks []held, dev, ino uint64, recorded int, alive func(pid int) bool) Holder {
	h := Holder{UID: -1}
	for _, l := range locks {
		if l.ino != ino {
			continue
		}
		exact := l.major == unix.Major(dev) && l.minor == unix.Minor(dev)
		switch {
		case exact && l.pid > 0:
			return Holder{Held: true, PID: l.pid, UID: -1}
		case exact:
			h = Holder{Held: true, PID: recorded, UID: -1}
		case !h.Held && recorded > 0 && (l.pid == recorded || l.pid <= 0 && alive(recorded)):
			h = Holder{Held: true, PID: recorded, UID: -1}
		}
	}
	return h
}

// held is one exclusive flock of /proc/locks.
type held struct {
	pid          int // 0 or less: the kernel can't name it to this reader
	major, minor uint32
	ino          uint64
}

// parseLocks gives the exclusive flock locks that are held, not those waited
// for ("->"), nor POSIX locks and leases. Kinds of locks that it doesn't know
// are none of its business, but a flock line that it can't read is an error: it
// could be the one.
//
//	4: FLOCK  ADVISORY  WRITE 13989 fe:00:10043960 0 EOF
//	4: -> FLOCK  ADVISORY  WRITE 14001 fe:00:10043960 0 EOF
func parseLocks(data []byte) ([]held, error) {
	var locks []held
	number := 0
	for line := range bytes.Lines(data) {
		number++
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[1]) != "FLOCK" {
			continue
		}
		if len(fields) < 6 {
			return nil, fmt.Errorf("line %d: %d fields, want at least 6", number, len(fields))
		}
		if string(fields[3]) != "WRITE" {
			continue
		}
		l, err := parseLock(fields[4], fields[5])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		locks = append(locks, l)
	}
	return locks, nil
}

// parseLock reads the pid and the file, hexadecimal major and minor number of
// the device and decimal inode number, of a line.
func parseLock(pid, file []byte) (held, error) {
	var l held
	var err error
	if l.pid, err = strconv.Atoi(string(pid)); err != nil {
		return l, fmt.Errorf("pid %q: %w", pid, err)
	}
	parts := bytes.Split(file, []byte(":"))
	if len(parts) != 3 {
		return l, fmt.Errorf("file %q: want MAJOR:MINOR:INODE", file)
	}
	var numbers [3]uint64
	for i, format := range []struct{ base, bits int }{{16, 32}, {16, 32}, {10, 64}} {
		if numbers[i], err = strconv.ParseUint(string(parts[i]), format.base, format.bits); err != nil {
			return l, fmt.Errorf("file %q: %w", file, err)
		}
	}
	l.major, l.minor, l.ino = uint32(numbers[0]), uint32(numbers[1]), numbers[2]
	return l, nil
}

// recordPID is the pid that a record names, 0 when it names none.
func recordPID(record []byte) int {
	pid := 0
	if trimmed := bytes.TrimSpace(record); bytes.HasPrefix(trimmed, []byte("{")) {
		var object struct {
			PID int `json:"pid"`
		}
		if json.Unmarshal(trimmed, &object) == nil {
			pid = object.PID
		}
	} else if words := bytes.Fields(trimmed); len(words) > 0 {
		if n, err := strconv.Atoi(string(words[0])); err == nil {
			pid = n
		}
	}
	return max(pid, 0)
}
