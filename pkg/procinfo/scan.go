package procinfo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Scan is the result of one walk over /proc. A process that ends meanwhile is
// not in it, one that begins meanwhile may be.
type Scan struct {
	// Processes are ordered by pid.
	Processes []Process
	// Seen counts the processes that were looked at, whether they matched or
	// not.
	Seen int
	// Unreadable counts the living processes that this user may not look at.
	Unreadable int
	// Hidden tells that process 1 is not in /proc: it is mounted so that it
	// shows a user its own processes only (hidepid=invisible).
	Hidden bool
}

// Complete tells whether the scan saw every process. Where it is false, that
// something wasn't found proves nothing.
func (s Scan) Complete() bool { return s.Unreadable == 0 && !s.Hidden }

// Processes looks at every process.
func Processes(root hostfs.Root) (Scan, error) {
	var scan Scan
	w := newWalker(root)
	err := w.walk(&scan, func(pid int) error {
		p, err := w.process(pid)
		if err == nil {
			scan.Processes = append(scan.Processes, p)
		}
		return err
	})
	return finish(scan, err)
}

// commLen is how much of a name the kernel keeps, in bytes.
const commLen = 15

// Find looks for processes by name. It reads the name of every process and
// everything else only of those that match, which makes it about twice as fast
// as Processes.
//
// The kernel cuts names after 15 bytes, so longer wanted names match by their
// first 15. A wanted name also matches the wrapped program ".NAME-wrapped",
// under which NixOS runs many programs.
func Find(root hostfs.Root, names []string) (Scan, error) {
	wanted := make(map[string]string, 2*len(names))
	for _, name := range names {
		for _, comm := range []string{name, "." + name + "-wrapped"} {
			comm = comm[:min(len(comm), commLen)]
			if _, taken := wanted[comm]; !taken && name != "" {
				wanted[comm] = name
			}
		}
	}
	var scan Scan
	w := newWalker(root)
	err := w.walk(&scan, func(pid int) error {
		comm, err := w.read(pid, "/comm")
		if err != nil {
			return err
		}
		comm = bytes.TrimSuffix(comm, []byte{'\n'})
		// The names of kernel threads are not cut.
		name, ok := wanted[string(comm)]
		if !ok {
			return nil
		}
		p, err := w.process(pid)
		if err != nil {
			return err
		}
		p.Name = name
		var alive bool
		if p.Cgroup, alive, err = Cgroup(root, pid); err != nil || !alive {
			return err
		}
		scan.Processes = append(scan.Processes, p)
		return nil
	})
	return finish(scan, err)
}

// finish puts a scan in order or drops it for an error.
func finish(scan Scan, err error) (Scan, error) {
	if err != nil {
		return Scan{}, fmt.Errorf("look through the processes: %w", err)
	}
	slices.SortFunc(scan.Processes, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return scan, nil
}

// walker reads many small files below one folder with three system calls a
// file and one buffer for all. The files are opened non-blocking, so that
// nothing in a fixture can hold it up.
type walker struct {
	root hostfs.Root
	dir  int // the open /proc
	path []byte
	buf  []byte
}

func newWalker(root hostfs.Root) *walker {
	return &walker{root: root, dir: -1, path: make([]byte, 0, 32), buf: make([]byte, 8<<10)}
}

// walk calls visit with each pid in /proc and counts in scan. An error of visit
// that says that the process is gone is dropped, one that says that this user
// may not look is counted.
func (w *walker) walk(scan *Scan, visit func(pid int) error) error {
	path := w.root.Path("/proc")
	dir, err := ignoringEINTR(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	w.dir = dir
	scan.Hidden = true
	entries := make([]byte, 32<<10)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Getdents(dir, entries) })
		if err != nil {
			return &fs.PathError{Op: "list", Path: path, Err: err}
		}
		if n == 0 {
			return nil
		}
		for name := range direntNames(entries[:n]) {
			pid, ok := pidOf(name)
			if !ok {
				continue
			}
			if pid == 1 {
				scan.Hidden = false
			}
			switch err := visit(pid); {
			case err == nil:
				scan.Seen++
			case denied(err):
				scan.Unreadable++
			case !gone(err):
				return fmt.Errorf("process %d: %w", pid, err)
			}
		}
	}
}

// process reads the stat file and the owner of a process.
func (w *walker) process(pid int) (Process, error) {
	data, err := w.read(pid, "/stat")
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(data)
	if err != nil {
		return Process{}, fmt.Errorf("parse stat: %w", err)
	}
	p.PID = pid
	var stat unix.Stat_t
	if err := unix.Fstatat(w.dir, strconv.Itoa(pid), &stat, 0); err != nil {
		return Process{}, err
	}
	p.UID = int(stat.Uid)
	return p, nil
}

// read reads a file of a process, whole: the kernel gives a file that is
// smaller than the buffer in one piece. The bytes are valid until the next
// read.
func (w *walker) read(pid int, file string) ([]byte, error) {
	w.path = append(strconv.AppendInt(w.path[:0], int64(pid), 10), file...)
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat(w.dir, string(w.path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, w.buf) })
	unix.Close(fd)
	if err != nil {
		return nil, err
	}
	if n == len(w.buf) {
		return nil, fmt.Errorf("%s: %w: over %d bytes", w.path, hostfs.ErrTooLarge, n-1)
	}
	return w.buf[:n], nil
}

// direntNames gives the names in a buffer of getdents64: records of an inode
// number (8 bytes), an offset (8), the record's length (2), a type (1) and a
// name that ends in a zero byte. It stops at a record that makes no sense.
func direntNames(buf []byte) func(yield func(name []byte) bool) {
	const lengthAt, nameAt = 16, 19
	return func(yield func([]byte) bool) {
		for len(buf) >= nameAt {
			length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
			if length < nameAt || length > len(buf) {
				return
			}
			name, _, _ := bytes.Cut(buf[nameAt:length], []byte{0})
			if !yield(name) {
				return
			}
			buf = buf[length:]
		}
	}
}

// pidOf tells whether a name in /proc is that of a process, and of which.
func pidOf(name []byte) (int, bool) {
	if len(name) == 0 || len(name) > 9 || name[0] == '0' {
		return 0, false
	}
	pid := 0
	for _, c := range name {
		if c < '0' || c > '9' {
			return 0, false
		}
		pid = pid*10 + int(c-'0')
	}
	return pid, true
}

// ignoringEINTR repeats a system call that a signal cut off, such as those with
// which the Go runtime interrupts goroutines.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
