package holders

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// scanner is one scan of many processes.
type scanner struct {
	root    hostfs.Root
	options Options
	workers []*worker

	wanted  majors
	resolve resolver
	nodes   map[inode]number
	proc    int // the open /proc
}

// worker looks at one process after the other, with two system calls a process
// and one a descriptor, and with one buffer for all.
type worker struct {
	*scanner
	resolve resolver
	current atomic.Int64 // the process that is looked at, 0 between two
	path    []byte
	entries []byte
	text    []byte
	out     Scan
}

// maxWorkers is how many processes are looked at at the same time at most. The
// kernel does nearly all of the work, each process by itself.
const maxWorkers = 8

func newScanner(root hostfs.Root, o Options) *scanner {
	s := &scanner{root: root, options: o, proc: -1}
	for range min(runtime.GOMAXPROCS(0), maxWorkers) {
		s.workers = append(s.workers, &worker{
			scanner: s, path: make([]byte, 0, 32), entries: make([]byte, 32<<10), text: make([]byte, 32<<10),
		})
	}
	return s
}

// stuck names the processes that are being looked at.
func (s *scanner) stuck() string {
	var names []string
	for _, w := range s.workers {
		if pid := w.current.Load(); pid != 0 {
			names = append(names, fmt.Sprintf("/proc/%d", pid))
		}
	}
	if names == nil {
		return "/proc"
	}
	return strings.Join(names, ", ")
}

// errVanished says that a process ended while it was looked at.
var errVanished = errors.New("the process has ended")

func (s *scanner) scan(ctx context.Context) (Scan, error) {
	if err := s.prepare(); err != nil {
		return Scan{}, err
	}
	if len(s.wanted) == 0 {
		return Scan{Holders: []Holder{}, NoDriver: true}, nil
	}
	return s.walk(ctx)
}

// prepare finds out which devices are meant.
func (s *scanner) prepare() error {
	data, err := s.root.ReadFile("/proc/devices")
	if err == nil {
		s.wanted, err = parseMajors(data)
	}
	if err != nil {
		return fmt.Errorf("read /proc/devices: %w", err)
	}
	if s.resolve, err = resolverFor(s.root); err != nil {
		return err
	}
	s.nodes, err = s.resolve.nodes(s.wanted)
	return err
}

// walk looks at the processes, several at a time.
func (s *scanner) walk(ctx context.Context) (Scan, error) {
	var err error
	if s.proc, err = open(unix.AT_FDCWD, s.root.Path("/proc")); err != nil {
		return Scan{}, err
	}
	defer unix.Close(s.proc)
	out := Scan{Holders: []Holder{}}
	pids, all, err := s.pids()
	if err != nil {
		return Scan{}, err
	}
	out.All, out.Hidden = all, !slices.Contains(pids, 1)
	var next atomic.Int64
	var group sync.WaitGroup
	for _, w := range s.workers {
		w.resolve, w.out = s.resolve.fresh(), Scan{}
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(pids) {
					return
				}
				w.look(pids[i])
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return Scan{}, fmt.Errorf("stopped at %d of %d processes: %w", next.Load(), len(pids), err)
	}
	for _, w := range s.workers {
		out.Holders = append(out.Holders, w.out.Holders...)
		out.Processes += w.out.Processes
		out.Descriptors += w.out.Descriptors
		if out.Unreadable == 0 || w.out.FirstUnreadable != 0 && w.out.FirstUnreadable < out.FirstUnreadable {
			out.FirstUnreadable = w.out.FirstUnreadable
		}
		out.Unreadable += w.out.Unreadable
	}
	slices.SortFunc(out.Holders, func(a, b Holder) int { return cmp.Compare(a.PID, b.PID) })
	return out, nil
}

// look looks at one process and counts it.
func (w *worker) look(pid int) {
	w.current.Store(int64(pid))
	defer w.current.Store(0)
	switch err := w.process(pid); {
	case err == nil:
		w.out.Processes++
	case errors.Is(err, errVanished):
	default:
		if w.out.Unreadable == 0 || pid < w.out.FirstUnreadable {
			w.out.FirstUnreadable = pid
		}
		w.out.Unreadable++
	}
}

// pids lists the processes to look at: all, or those of the candidate control
// groups and process 1. On a machine without the unified hierarchy, where the
// groups can't be listed, all are looked at.
func (s *scanner) pids() (pids []int, all bool, err error) {
	if s.options.Candidates != nil {
		pids, err := s.candidates()
		if !errors.Is(err, procinfo.ErrNoUnified) {
			return pids, false, err
		}
	}
	err = s.workers[0].list(s.proc, func(name []byte) error {
		if pid, ok := pidOf(name); ok {
			pids = append(pids, pid)
		}
		return nil
	})
	return pids, true, err
}

func (s *scanner) candidates() ([]int, error) {
	var pids []int
	var st unix.Stat_t
	switch err := unix.Fstatat(s.proc, "1", &st, 0); {
	case err == nil:
		pids = []int{1}
	case !hostfs.Absent(err):
		return nil, err
	}
	for _, group := range s.options.Candidates {
		in, _, err := procinfo.CgroupProcs(s.root, group, true)
		if err != nil {
			return nil, err
		}
		pids = append(pids, slices.DeleteFunc(in, func(pid int) bool { return pid <= 0 })...)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// held collects what one process holds.
type held struct {
	devices     []number
	descriptors int
	mappings    int
	drm         []string // the names of the descriptors of DRM nodes
}

func (h *held) add(n number) {
	if !slices.Contains(h.devices, n) {
		h.devices = append(h.devices, n)
	}
}

// errUnreadable says that this user may not look at a process, or not wholly.
var errUnreadable = errors.New("not readable")

// process looks at one process, and adds it to the holders if it is one. One
// that is seen in part only may be a holder, and counts as unreadable too.
func (w *worker) process(pid int) error {
	var h held
	err := w.descriptors(pid, &h)
	if err == nil || errors.Is(err, errUnreadable) {
		if mapErr := w.mappings(pid, &h); err == nil {
			err = mapErr
		}
	}
	if len(h.devices) == 0 || errors.Is(err, errVanished) {
		return err
	}
	who, alive, identErr := Identify(w.root, pid, w.options.Who)
	switch {
	case identErr != nil && err == nil:
		err = classify(identErr)
	case identErr == nil && !alive:
		return errVanished
	}
	who.PID = pid
	out := Holder{Process: who, Descriptors: h.descriptors, Mappings: h.mappings, MemoryMiB: w.memory(pid, h.drm)}
	if out.Class == "" {
		out.Class = Unknown
	}
	for _, n := range h.devices {
		out.Devices = append(out.Devices, Device{Major: n.major, Minor: n.minor, Name: w.wanted.name(n.major, n.minor), PCI: w.card(n)})
	}
	slices.SortFunc(out.Devices, func(a, b Device) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
	})
	w.out.Holders = append(w.out.Holders, out)
	return err
}

// card is the address of the card that a DRM node belongs to.
func (w *worker) card(n number) string {
	for _, c := range w.options.Cards {
		for _, node := range c.Nodes {
			if node.Major == n.major && node.Minor == n.minor {
				return c.PCI
			}
		}
	}
	return ""
}

// descriptors looks at a process's open files.
func (w *worker) descriptors(pid int, h *held) error {
	dir, err := open(w.proc, w.file(pid, "/fd"))
	if err != nil {
		return classify(err)
	}
	defer unix.Close(dir)
	var unreadable error
	err = w.list(dir, func(name []byte) error {
		if name[0] == '.' {
			return nil
		}
		w.out.Descriptors++
		n, err := w.resolve.fd(dir, pid, name)
		if err != nil {
			if err = classify(err); !errors.Is(err, errVanished) { // a closed descriptor is none
				unreadable = err
			}
			return nil
		}
		if !n.ok || w.wanted[n.major] == "" {
			return nil
		}
		h.add(n)
		h.descriptors++
		if n.major == majorDRM {
			h.drm = append(h.drm, string(name[:len(name)-1]))
		}
		return nil
	})
	if err != nil {
		return classify(err)
	}
	return unreadable
}

// memory sums what the DRM clients behind some descriptors hold. What can't be
// read, or is not told by the driver, is not known.
func (w *worker) memory(pid int, fds []string) *uint64 {
	var total uint64
	known := false
	type key struct {
		pdev string
		id   uint64
	}
	seen := map[key]bool{}
	for _, fd := range fds {
		data, err := w.root.ReadLimited("/proc/"+strconv.Itoa(pid)+"/fdinfo/"+fd, 64<<10)
		if err != nil {
			continue
		}
		c, ok := parseFDInfo(data)
		if !ok || !c.known || seen[key{c.pdev, c.id}] || total+c.bytes < total {
			continue
		}
		seen[key{c.pdev, c.id}] = true
		total += c.bytes
		known = true
	}
	if !known {
		return nil
	}
	total >>= 20
	return &total
}

// list calls visit with each name of an open folder, with the zero byte at its
// end.
func (w *worker) list(dir int, visit func(name []byte) error) error {
	const lengthAt, nameAt = 16, 19 // of a record of getdents64
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Getdents(dir, w.entries) })
		if err != nil || n == 0 {
			return err
		}
		for buf := w.entries[:n]; len(buf) >= nameAt; {
			length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
			if length < nameAt || length > len(buf) {
				return fmt.Errorf("a folder's record of %d bytes makes no sense", length)
			}
			end := bytes.IndexByte(buf[nameAt:length], 0)
			if end < 1 {
				return fmt.Errorf("a folder's record has no name")
			}
			if err := visit(buf[nameAt : nameAt+end+1]); err != nil {
				return err
			}
			buf = buf[length:]
		}
	}
}

// file is the name of a process's file below /proc.
func (w *worker) file(pid int, name string) string {
	w.path = append(strconv.AppendInt(w.path[:0], int64(pid), 10), name...)
	return string(w.path)
}

// open opens a file or folder without waiting for what is behind it.
func open(dir int, name string) (int, error) {
	return ignoringEINTR(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
}

// classify turns the error of a read about a process into what it means.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case hostfs.Absent(err), errors.Is(err, unix.ESRCH):
		return errVanished
	case errors.Is(err, fs.ErrPermission):
		return errUnreadable
	default:
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
}

// pidOf tells whether a name in /proc, with its zero byte, is a process'w.
func pidOf(name []byte) (int, bool) {
	n, ok := digits(name[:len(name)-1], 10)
	return int(n), ok && n > 0 && n < 1<<31 && name[0] != '0'
}

// ignoringEINTR repeats a system call that a signal cut off.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
