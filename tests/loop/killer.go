package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/checkpoint"
	"github.com/ryjen/dubnium/tests/machine"
)

// Killer holds the controllers of a machine right before one of the files that
// they write (the lock, the marker, the history, the state files), and kills
// them there, or does something else to the machine. What a controller does is
// written down before and after, so that between two writes there is one thing
// that it does. The controller is the one that is installed.
type Killer struct {
	machine *machine.Machine
	gate    *checkpoint.Gate

	mu     sync.Mutex
	choose func(*record.Marker) bool
	act    func(pid int)
	left   int
	hit    string
}

// NewKiller watches the controllers of a machine until Close.
func NewKiller(m *machine.Machine) (*Killer, error) {
	k := &Killer{machine: m}
	var err error
	k.gate, err = checkpoint.Watch(k.stopped, m.Path(record.RunDir), m.Path(record.StateDir))
	return k, err
}

// Close leaves the controllers alone.
func (k *Killer) Close() error { return k.gate.Close() }

// Arm has act called before the n-th write of controllers that choose picks,
// from 1 on, while that one is held. choose is told the marker as it is then, nil
// where there is none; act the controller's process, as the host counts.
func (k *Killer) Arm(n int, choose func(*record.Marker) bool, act func(pid int)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left, k.choose, k.act, k.hit = n, choose, act, ""
}

// Kill kills a controller that is held.
func Kill(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }

// Disarm gives the name of the file that a controller was about to write when
// act was called; empty when it was not.
func (k *Killer) Disarm() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	hit := k.hit
	k.left, k.hit = 0, ""
	return hit
}

// EveryWrite picks them all.
func EveryWrite(*record.Marker) bool { return true }

// StepBoundary picks the writes between two steps: before the first, after each
// of them, and so before the last observation.
func StepBoundary(m *record.Marker) bool {
	if m == nil || m.Phase != record.Acting {
		return false
	}
	for _, a := range m.Steps {
		if a.Status == record.Running {
			return false
		}
	}
	return true
}

// stopped is called while a process is about to open a file of the state.
func (k *Killer) stopped(o checkpoint.Open) {
	name, isNew := strings.CutSuffix(o.Name, ".new")
	if !isNew && name != "events.jsonl" && name != "lock" {
		return // it is read
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", o.PID)); err != nil || string(comm) != "reconcile\n" {
		return
	}
	if act := k.due(name, isNew); act != nil {
		act(o.PID)
	}
}

// due gives what is to be done about a controller that is about to write a file;
// nil when nothing is.
func (k *Killer) due(name string, isNew bool) (act func(pid int)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 {
		return nil
	}
	if m, err := Marker(k.machine); err != nil || !k.choose(m) {
		return nil
	}
	if k.left--; k.left > 0 {
		return nil
	}
	if isNew { // .NAME.RANDOM.new
		name = strings.TrimPrefix(name[:strings.LastIndexByte(name, '.')], ".")
	}
	k.hit = name
	return k.act
}

// Marker reads transition.json; nil where there is none.
func Marker(m *machine.Machine) (*record.Marker, error) {
	data, err := m.ReadFile(record.RunDir + "/transition.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var marker record.Marker
	if err == nil {
		err = json.Unmarshal(data, &marker)
	}
	return &marker, err
}

// Alone looks whether nothing of a controller is left: no process, and no lock.
func Alone(m *machine.Machine) error {
	f, err := os.OpenFile(m.Path(record.LockFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("the lock is held: %w", err)
	}
	slice := m.Path("/sys/fs/cgroup/system.slice")
	groups, err := fs.Glob(os.DirFS(slice), "mode-controller@*.service/cgroup.procs")
	for _, g := range groups {
		if procs, err := os.ReadFile(slice + "/" + g); err == nil && len(procs) > 0 {
			return fmt.Errorf("in %s there are the processes %q", g, procs)
		}
	}
	return err
}
