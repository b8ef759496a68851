package guards

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// gpuNeed is the memory that a target needs of each of some GPUs, and the key
// that says so.
type gpuNeed struct {
	gpus []int
	size config.Size
	key  string
}

func gpuNeedOf(cfg config.Config, target mode.Mode) gpuNeed {
	h := cfg.Hardware
	switch {
	case target == mode.Compute && len(h.ComputeGPUs) > 0:
		return gpuNeed{h.ComputeGPUs, cfg.Guards.Memory.ComputeGPU, "guards.memory.computeGpu"}
	case target == mode.Compute: // vLLM then sees them all
		return gpuNeed{h.PresentGPUs, cfg.Guards.Memory.ComputeGPU, "guards.memory.computeGpu"}
	case h.DisplayGPU != nil:
		return gpuNeed{[]int{*h.DisplayGPU}, cfg.Guards.Memory.DisplayGPU, "guards.memory.displayGpu"}
	}
	return gpuNeed{}
}

// gpuMemory is the memory of one GPU, and what of it the target can have.
type gpuMemory struct {
	Index   int        `json:"index"`
	Reason  gpu.Reason `json:"reason"`
	Message string     `json:"message,omitempty"`
	// UsableMiB leaves out what driver and firmware keep.
	UsableMiB uint64 `json:"usable_mib"`
	FreeMiB   uint64 `json:"free_mib"`
	// CountedMiB is held by named processes and counts as available.
	CountedMiB   uint64 `json:"counted_mib"`
	AvailableMiB uint64 `json:"available_mib"`
	// Processes are the first of ProcessCount, the largest first.
	Processes    []gpuUser `json:"processes"`
	ProcessCount int       `json:"process_count"`
}

// gpuUser is a process that NVML names.
type gpuUser struct {
	gpu.Use
	UID   int           `json:"uid"`
	Place string        `json:"place,omitempty"` // session, unit or cgroup
	Class holders.Class `json:"class,omitempty"` // empty: nobody needed to know
	// Counted says why its memory counts as available, "" where it does not.
	Counted string `json:"counted_because,omitempty"`
}

// String names the process with its place, for messages.
func (u gpuUser) String() string {
	s := fmt.Sprintf("%s (pid %d)", u.Comm, u.PID)
	if u.Place != "" {
		s += " in " + u.Place
	}
	return s
}

// checkGPUMemory asks the driver, and who the processes are that it names
// where that matters.
func checkGPUMemory(ctx context.Context, env guard.Env, need gpuNeed, program func() (string, error), ev memoryEvidence) guard.Verdict {
	binary, err := program()
	if err != nil {
		return guard.CannotSee(err, ev)
	}
	limit, cancel := context.WithTimeout(ctx, remaining(ctx, 0, 1))
	defer cancel()
	r, err := gpu.Ask(limit, env.Root, binary, env.Config.GPU.NVMLLibrary)
	if err != nil {
		return guard.Say("driver-unreadable", ev, "ask the NVIDIA driver: %v", err)
	}
	ev.DriverVersion = r.DriverVersion
	v := readGPUMemory(r, need.gpus, &ev)
	if v.Reason != "" {
		v.Evidence = ev
		return v
	}
	if slices.ContainsFunc(ev.GPUs, func(g gpuMemory) bool { return g.lacks(need.size) && g.ProcessCount > 0 }) {
		end, err := lookWhatEnds(limit, env)
		if err == nil {
			err = end.count(env.Root, ev.GPUs)
		}
		if err != nil {
			return guard.CannotSee(fmt.Errorf("look who uses the GPU: %w", err), ev)
		}
	}
	v = judgeGPUMemory(ev, need, env.Target)
	for i := range ev.GPUs { // its line has a limit
		g := &ev.GPUs[i]
		g.Processes = g.Processes[:min(len(g.Processes), shown, max(1, 4*shown/len(ev.GPUs)))]
	}
	v.Evidence = ev
	return v
}

// readGPUMemory takes the GPUs of a need out of a report; no reason means that
// all was read.
func readGPUMemory(r gpu.Report, gpus []int, ev *memoryEvidence) guard.Verdict {
	switch r.Reason {
	case gpu.OK, gpu.Partial, gpu.NoDevice:
	default:
		return guard.Say("driver-unreadable", nil, "ask the NVIDIA driver: %s: %s", r.Reason, r.Message)
	}
	for _, index := range gpus {
		g, found := r.Find(index)
		if !found {
			return guard.Say("gpu-missing", nil, "GPU %d was not found; the driver knows %d (observe-gpu lists them)%s", index, len(r.GPUs), because(r.Message))
		}
		m := gpuMemory{Index: index, Reason: g.Reason, Message: g.Message, Processes: []gpuUser{}}
		if g.Reason != gpu.Suspended {
			var read bool
			if m.FreeMiB, m.UsableMiB, read = g.FreeMiB(); !read {
				return guard.Say("driver-unreadable", nil, "the memory of GPU %d: %s: %s", index, g.Reason, g.Message)
			}
		}
		m.AvailableMiB = m.FreeMiB
		for _, u := range g.Uses() {
			m.Processes = append(m.Processes, gpuUser{Use: u})
		}
		m.ProcessCount = len(m.Processes)
		slices.SortStableFunc(m.Processes, func(a, b gpuUser) int { return -compareUse(a.Use, b.Use) })
		ev.GPUs = append(ev.GPUs, m)
	}
	return guard.Verdict{}
}

// compareUse orders by memory; what is not told may be the most.
func compareUse(a, b gpu.Use) int {
	size := func(u gpu.Use) uint64 {
		if u.UsedMiB == nil {
			return ^uint64(0)
		}
		return *u.UsedMiB
	}
	switch x, y := size(a), size(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// lacks tells whether a GPU that is awake has less than is needed.
func (g gpuMemory) lacks(need config.Size) bool {
	return g.Reason != gpu.Suspended && g.AvailableMiB < need.MiB()
}

// judgeGPUMemory decides by the first GPU that lacks memory.
func judgeGPUMemory(ev memoryEvidence, need gpuNeed, target mode.Mode) guard.Verdict {
	said := []string{fmt.Sprintf("%d MiB are available, %s needs %d MiB", ev.AvailableMiB, target, ev.RequiredMiB)}
	for _, g := range ev.GPUs {
		if g.lacks(need.size) {
			return guard.Say("gpu-memory-low", nil, "GPU %d has %s, %s needs %d MiB (%s)%s", g.Index, g.have(), target, need.size.MiB(), need.key, g.blame())
		}
		if g.Reason == gpu.Suspended {
			said = append(said, fmt.Sprintf("GPU %d is asleep and unused", g.Index))
		} else {
			said = append(said, fmt.Sprintf("GPU %d has %s of %d MiB needed", g.Index, g.have(), need.size.MiB()))
		}
	}
	return guard.Say("enough", nil, "%s", strings.Join(said, "; "))
}

func (g gpuMemory) have() string {
	s := fmt.Sprintf("%d MiB free", g.FreeMiB)
	if g.CountedMiB > 0 {
		s += fmt.Sprintf(" and %d MiB that the transition frees or vLLM already holds", g.CountedMiB)
	}
	return s
}

// blame names who holds what is missing.
func (g gpuMemory) blame() string {
	i := slices.IndexFunc(g.Processes, func(u gpuUser) bool { return u.UsedMiB == nil || u.Counted == "" })
	switch {
	case i < 0 && g.AvailableMiB < g.UsableMiB:
		return "; the driver names nobody who holds the rest"
	case i < 0:
		return "; it has no more"
	}
	u := g.Processes[i]
	if u.UsedMiB == nil {
		return fmt.Sprintf("; the driver does not tell how much %s holds", u)
	}
	return fmt.Sprintf("; %s holds %d MiB", u, *u.UsedMiB)
}

// ending is what a transition to a target ends, by where processes live.
type ending struct {
	target   mode.Mode
	who      holders.Who
	sessions []evidence.Session
	lingers  map[uint32]bool // users whose manager outlives their sessions
}

// lookWhatEnds asks logind and systemd. Without their answers nobody can say
// whose a process is.
func lookWhatEnds(ctx context.Context, env guard.Env) (ending, error) {
	a := collect.Ask(ctx, env.Root, env.Config.Desktop.LoginUnits)
	e := ending{target: env.Target, lingers: map[uint32]bool{}}
	var err, sessionsErr error
	e.who, err = collect.Who(env.Root, env.Config, a)
	if e.sessions, sessionsErr = collect.Sessions(env.Root, a); err != nil || sessionsErr != nil {
		return e, errors.Join(err, sessionsErr)
	}
	for _, s := range e.sessions {
		_, err := env.Root.Stat(path.Join("/var/lib/systemd/linger", path.Base(s.User)))
		if err != nil && !hostfs.Absent(err) {
			return e, fmt.Errorf("look whether %s lingers: %w", s.User, err)
		}
		e.lingers[s.UID] = err == nil
	}
	return e, nil
}

// count says of each process who it is and whether its memory counts.
func (e ending) count(root hostfs.Root, gpus []gpuMemory) error {
	for i := range gpus {
		g := &gpus[i]
		for j := range g.Processes {
			u := &g.Processes[j]
			p, alive, err := holders.Identify(root, u.PID, e.who)
			if err != nil {
				return err
			}
			if !alive {
				continue // it ended since; what it held is not free before the driver says so
			}
			u.Comm, u.UID, u.Place, u.Class, u.Counted = p.Comm, p.UID, collect.Describe(p.Cgroup), p.Class, e.why(p)
			if u.Counted != "" && u.UsedMiB != nil {
				g.CountedMiB += *u.UsedMiB
			}
		}
		g.CountedMiB = min(g.CountedMiB, g.UsableMiB-g.FreeMiB)
		g.AvailableMiB = g.FreeMiB + g.CountedMiB
	}
	return nil
}

// why says why the memory of a process is there for the target; "" if it is
// not.
func (e ending) why(p holders.Process) string {
	if p.Unit != "" && p.Unit == e.who.Workload {
		if e.target == mode.Compute {
			return "the need is that of " + p.Unit
		}
		return p.Unit + " is stopped"
	}
	if e.target != mode.Compute {
		return ""
	}
	ends := func(s evidence.Session) bool { return s.Graphical() || s.Greeter() }
	if slices.ContainsFunc(e.sessions, func(s evidence.Session) bool { return s.ID == p.Session && ends(s) }) {
		return "session " + p.Session + " is ended"
	}
	if slices.Contains(e.who.LoginUnits, p.Unit) {
		return p.Unit + " is stopped"
	}
	uid, _ := procinfo.UID(p.Cgroup)
	if p.UserUnit == "" || e.lingers[uid] {
		return ""
	}
	last := false
	for _, s := range e.sessions {
		if s.UID != uid || strings.HasPrefix(s.Class, "manager") {
			continue
		}
		if !ends(s) {
			return ""
		}
		last = true
	}
	if !last {
		return ""
	}
	return p.Unit + " ends with the last session of its user"
}
