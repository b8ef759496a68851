// Package holders finds the processes that hold a graphics card: those with an
// open descriptor of, or a mapping from, a DRM or NVIDIA device node.
//
// Devices are told by their numbers, which the kernel gives for the file that
// a descriptor leads to. Names are not looked at: after a restart of logind a
// compositor's descriptors read "/dri/card0", and in containers a node may be
// called anything.
package holders

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// Scan is one look at the descriptors and mappings of processes. A process
// that ends meanwhile is not in it.
type Scan struct {
	// Holders are ordered by pid.
	Holders []Holder `json:"holders"`
	// Processes and Descriptors count what was looked at.
	Processes   int `json:"processes"`
	Descriptors int `json:"descriptors"`
	// Unreadable counts living processes that could not be looked at, or not
	// wholly, and FirstUnreadable is the pid of one.
	Unreadable      int `json:"unreadable,omitempty"`
	FirstUnreadable int `json:"first_unreadable_pid,omitempty"`
	// Hidden tells that /proc shows a user its own processes only (hidepid).
	Hidden bool `json:"hidden,omitempty"`
	// All tells that every process was looked at, and not only those of the
	// candidate control groups.
	All bool `json:"all_processes"`
	// NoDriver tells that no driver of a graphics card is registered with the
	// kernel. Nobody can hold a card then, and no process was looked at.
	NoDriver bool `json:"no_driver,omitempty"`
}

// Gap says what was not seen, for messages; nil when the scan is complete.
func (s Scan) Gap() error {
	switch {
	case s.Hidden:
		return fmt.Errorf("look for holders of the GPU: /proc hides the processes of others (hidepid); run this as root")
	case s.Unreadable > 0:
		return fmt.Errorf("look for holders of the GPU: %d processes could not be read, the first is pid %d; run this as root", s.Unreadable, s.FirstUnreadable)
	}
	return nil
}

// Of lists the holders of some classes.
func (s Scan) Of(classes ...Class) []Holder {
	return slices.DeleteFunc(slices.Clone(s.Holders), func(h Holder) bool { return !slices.Contains(classes, h.Class) })
}

// Process is who a process is.
type Process struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm"`
	// Exe is the path of the program, "" where it can't be read.
	Exe        string `json:"exe,omitempty"`
	UID        int    `json:"uid"`
	StartTicks uint64 `json:"start_ticks"`
	Cgroup     string `json:"cgroup,omitempty"`
	Session    string `json:"session,omitempty"`
	Unit       string `json:"unit,omitempty"`
	// UserUnit is the unit of the user's own manager, below user@UID.service.
	UserUnit string `json:"user_unit,omitempty"`
	Kernel   bool   `json:"kernel,omitempty"`
	Class    Class  `json:"class"`
}

// Holder is a process that holds a card.
type Holder struct {
	Process
	// Devices are what it holds, each once.
	Devices []Device `json:"devices"`
	// Descriptors and Mappings count by which it does.
	Descriptors int `json:"descriptors,omitempty"`
	Mappings    int `json:"mappings,omitempty"`
	// MemoryMiB is what its DRM clients hold of the card's memory, where the
	// driver tells (fdinfo). Descriptors that share a client count once.
	MemoryMiB *uint64 `json:"memory_mib,omitempty"`
}

// String names the process with its place, for messages.
func (p Process) String() string {
	s := fmt.Sprintf("%s (pid %d, uid %d)", p.Comm, p.PID, p.UID)
	switch {
	case p.Session != "":
		return s + " in session " + p.Session
	case p.UserUnit != "":
		return s + " in " + p.UserUnit + " of " + p.Unit
	case p.Unit != "":
		return s + " in " + p.Unit
	case p.Cgroup != "":
		return s + " in " + p.Cgroup
	}
	return s
}

// Held lists the names of what a process holds, for messages.
func (h Holder) Held() string {
	var names []string
	for _, d := range h.Devices {
		names = append(names, d.Name)
	}
	return strings.Join(names, ", ")
}

// Device is a device node by its numbers.
type Device struct {
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
	// Name is what the node of these numbers is called as a rule.
	Name string `json:"name"`
	// PCI is the card's address, where it is known.
	PCI string `json:"pci,omitempty"`
}

// Options say where to look and how to judge.
type Options struct {
	// Candidates are the control groups whose processes are looked at, besides
	// process 1; nil stands for every process.
	Candidates []string
	// Cards are the machine's, to tell which one a DRM node is.
	Cards []gpu.Card
	Who   Who
}

// Candidates lists the control groups in which a holder is to be expected:
// people's, the login path's, the compute workload's and logind's.
func Candidates(loginUnits []string, workload string) []string {
	groups := []string{"/user.slice", "/ai.slice", "/system.slice/systemd-logind.service"}
	for _, u := range append(slices.Clone(loginUnits), workload) {
		if strings.HasSuffix(u, ".service") {
			groups = append(groups, "/system.slice/"+u)
		}
	}
	return groups
}

// Look finds the holders. It gives up when ctx ends, and says at which process
// it was: the kernel lets nobody read the mappings of a process that changes
// them, which takes for ever if it hangs in a driver.
func Look(ctx context.Context, root hostfs.Root, o Options) (Scan, error) {
	s := newScanner(root, o)
	scan, err := within(ctx, s, s.scan)
	if err != nil {
		return Scan{}, fmt.Errorf("look for holders of the GPU: %w", err)
	}
	return scan, nil
}

// within runs a scan, and leaves it behind when ctx ends.
func within(ctx context.Context, s *scanner, run func(context.Context) (Scan, error)) (Scan, error) {
	type result struct {
		scan Scan
		err  error
	}
	done := make(chan result, 1)
	go func() {
		scan, err := run(ctx)
		done <- result{scan, err}
	}()
	select {
	case r := <-done:
		return r.scan, r.err
	case <-ctx.Done():
		return Scan{}, fmt.Errorf("%s did not answer: %w", s.stuck(), ctx.Err())
	}
}

// Identify tells who a process is; false says that there is none.
func Identify(root hostfs.Root, pid int, who Who) (Process, bool, error) {
	stat, alive, err := procinfo.Stat(root, pid)
	if err != nil || !alive {
		return Process{}, false, err
	}
	cgroup, alive, err := procinfo.Cgroup(root, pid)
	if err != nil || !alive {
		return Process{}, false, err
	}
	p := Process{
		PID: pid, Comm: stat.Comm, UID: stat.UID, StartTicks: stat.StartTicks, Kernel: stat.Kernel,
		Cgroup: cgroup, Session: procinfo.Session(cgroup),
	}
	p.Unit, p.UserUnit = procinfo.Unit(cgroup)
	if exe, err := root.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err == nil {
		p.Exe = strings.TrimSuffix(exe, " (deleted)")
	}
	p.Class = Classify(p, who)
	return p, true, nil
}
