// Package checkpoint stops a program at each file that it opens below some
// folders, and leaves it to a test whether it goes on.
//
// The kernel does the stopping (fanotify's permission events): the program is
// the one that is installed, unchanged and confined as it always is, and it is
// held before the file is its, for as long as the test needs. A program that
// writes each of its steps down before it goes on is thereby stopped between
// any two of them, without a race.
package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open is a file that a process is about to open.
type Open struct {
	PID  int    // as the test counts
	Name string // the file's, without its folder
}

// Gate stops whoever opens a file in its folders.
type Gate struct {
	events *os.File
	done   chan struct{}
}

// Watch stops every process but this one at each file that it opens in the
// folders, and calls at, for several processes at the same time. A process goes
// on when at returns, unless at has killed it. What is opened in folders further
// down goes by.
//
// It needs root and a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, as all
// distributions have it.
func Watch(at func(Open), folders ...string) (*Gate, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err != nil {
		return nil, fmt.Errorf("watch what is opened: %w: this needs root and a kernel with fanotify's permission events", err)
	}
	g := &Gate{os.NewFile(uintptr(fd), "fanotify"), make(chan struct{})}
	for _, folder := range folders {
		if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, folder); err != nil {
			return nil, errors.Join(fmt.Errorf("watch what is opened in %s: %w", folder, err), g.events.Close())
		}
	}
	go g.serve(at)
	return g, nil
}

// Close lets everybody go on.
func (g *Gate) Close() error {
	err := g.events.Close()
	<-g.done
	return err
}

// serve answers until the gate is closed.
func (g *Gate) serve(at func(Open)) {
	defer close(g.done)
	const size = int(unsafe.Sizeof(unix.FanotifyEventMetadata{}))
	buf := make([]byte, 64*size)
	for {
		n, err := g.events.Read(buf)
		if err != nil {
			return
		}
		for rest := buf[:n]; len(rest) >= size; {
			var e unix.FanotifyEventMetadata
			if _, err := binary.Decode(rest, binary.NativeEndian, &e); err != nil || int(e.Event_len) < size {
				return
			}
			rest = rest[e.Event_len:]
			if e.Mask&unix.FAN_OPEN_PERM == 0 || e.Fd < 0 {
				continue
			}
			if int(e.Pid) == os.Getpid() {
				g.allow(e.Fd)
				continue
			}
			go func() {
				at(Open{PID: int(e.Pid), Name: nameOf(int(e.Fd))})
				g.allow(e.Fd)
			}()
		}
	}
}

// allow lets the process go on that waits for an answer about fd. One that was
// killed waits no more.
func (g *Gate) allow(fd int32) {
	answer := make([]byte, 0, 8)
	answer = binary.NativeEndian.AppendUint32(answer, uint32(fd))
	answer = binary.NativeEndian.AppendUint32(answer, unix.FAN_ALLOW)
	_, _ = g.events.Write(answer)
	_ = unix.Close(int(fd))
}

func nameOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return err.Error()
	}
	return filepath.Base(strings.TrimSuffix(path, " (deleted)"))
}
