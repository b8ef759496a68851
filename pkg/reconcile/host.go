package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/pkg/siteguard"
	"github.com/ryjen/dubnium/pkg/survey"
	"github.com/ryjen/dubnium/pkg/unitctl"
)

// Machine is the host that the engine works on: systemd and logind over D-Bus,
// guards as processes.
type Machine struct {
	Root   hostfs.Root
	Config config.Config
	// ConfigPath is handed to the guards, so that they read what we read.
	ConfigPath string
	// BinDir holds the guards' programs.
	BinDir string
	// Wait lets the guards that can wait for a pass do so: a transition waits
	// until vLLM has answered its requests, a dry run says how it is now.
	Wait bool
	// PID is the controller's own, whose lock and marker don't count.
	PID int
}

var _ Host = (*Machine)(nil)

// Observe looks at the machine.
func (m *Machine) Observe(ctx context.Context) observe.Observation {
	return survey.Observe(ctx, m.Root, m.Config, m.PID)
}

// Guards runs the built-in guards of those names and the site's own for the
// target as processes, all at the same time.
func (m *Machine) Guards(ctx context.Context, names []string, target mode.Mode, cutOff bool) []guard.Result {
	site, refused := siteguard.Commands(m.Root, m.Config, target)
	commands := append(m.commands(names, target, m.Wait, cutOff), site...)
	return append(guardproc.All(ctx, commands, target, m.Config.Timeouts.Guard.Std()), refused...)
}

// Gate runs built-in guards as processes, all at the same time.
func (m *Machine) Gate(ctx context.Context, names []string, target mode.Mode) []guard.Result {
	return guardproc.All(ctx, m.commands(names, target, false, false), target, m.Config.Timeouts.Guard.Std())
}

func (m *Machine) commands(names []string, target mode.Mode, drain, cutOff bool) []guardproc.Command {
	var commands []guardproc.Command
	for _, name := range names {
		d, known := guards.Find(name)
		if !known {
			panic("reconcile: the transition table names a guard that there is not: " + name)
		}
		argv := []string{
			filepath.Join(m.BinDir, d.Binary()), "--target=" + string(target), "--timeout=" + m.Config.Timeouts.Guard.Std().String(),
		}
		if m.ConfigPath != "" {
			argv = append(argv, "--config="+m.ConfigPath)
		}
		if !m.Root.Real() {
			argv = append(argv, "--root="+string(m.Root))
		}
		c := guardproc.Command{Name: d.Binary(), Argv: argv, Code: d.Block, Hard: d.Hard}
		if d.Window != nil {
			c.Window = d.Window(m.Config)
		}
		switch {
		case d.CutOff && cutOff:
			c.Argv = append(c.Argv, "--cut-off")
		case d.Wait != nil && drain:
			c.Argv, c.Extra = append(c.Argv, "--wait"), d.Wait(m.Config)
		}
		commands = append(commands, c)
	}
	return commands
}

// Hold takes a logind inhibitor. Without one the transition goes on: an
// interrupted one leaves evidence too.
func (m *Machine) Hold(ctx context.Context, target mode.Mode) func() {
	conn, err := bus.Dial(ctx, m.Root)
	if err != nil {
		return func() {}
	}
	defer conn.Close()
	lock, err := login.Inhibit(ctx, conn, "shutdown:sleep", "Dubnium", "a transition to "+string(target)+" is under way", "block")
	if err != nil {
		return func() {}
	}
	return func() { _ = lock.Close() }
}

// Do carries one step out.
func (m *Machine) Do(ctx context.Context, s plan.Step, target mode.Mode) (string, error) {
	switch s.Action {
	case mode.StopUnit:
		return m.stop(ctx, s.Unit, jobMode(s))
	case mode.StartUnit:
		return m.start(ctx, s.Unit, jobMode(s))
	case mode.Announce:
		return m.announce(ctx, target)
	case mode.EndSessions:
		return m.endSessions(ctx)
	case mode.VerifyDesktop:
		return m.await(ctx, person, 0, "no graphical session of a person is there")
	case mode.AwaitLogin:
		return m.await(ctx, anybody, steady, "neither a session nor a greeter has come to stay")
	case mode.AwaitVLLM:
		return m.awaitVLLM(ctx)
	default:
		panic("reconcile: no action " + string(s.Action))
	}
}

// stop stops a unit and waits until its cgroup is empty: a unit that is
// inactive may have left processes behind. For vLLM it also waits until its
// GPU memory is back.
func (m *Machine) stop(ctx context.Context, unit, jobMode string) (string, error) {
	mgr, err := unitctl.NewManager(ctx, m.Root)
	if err != nil {
		return "", err
	}
	defer mgr.Close()
	cgroup := collect.Ask(ctx, m.Root, nil, unit).Systemd.Unit(unit).ControlGroup
	memory := m.vramOf(ctx, unit, cgroup)
	if _, err := mgr.Stop(ctx, unit, jobMode); err != nil {
		return "", err
	}
	if err := m.emptied(ctx, unit, cgroup); err != nil {
		return "", err
	}
	return m.awaitVRAM(ctx, memory)
}

// emptied waits until nothing is left in the cgroup that a unit had.
func (m *Machine) emptied(ctx context.Context, unit, cgroup string) error {
	if cgroup == "" {
		return nil
	}
	for {
		populated, _, err := procinfo.Populated(m.Root, cgroup)
		if err == nil && !populated {
			return nil
		}
		if pause(ctx, poll) != nil {
			return fmt.Errorf("%s is stopped, but processes of it are left: %s", unit, m.processes(cgroup))
		}
	}
}

// jobMode makes systemd refuse a job that would cancel somebody else's, which
// is not ours to decide.
func jobMode(s plan.Step) string {
	if s.Replace {
		return unitctl.ModeReplace
	}
	return unitctl.ModeFail
}

func (m *Machine) start(ctx context.Context, unit, jobMode string) (string, error) {
	mgr, err := unitctl.NewManager(ctx, m.Root)
	if err != nil {
		return "", err
	}
	defer mgr.Close()
	// What failed before must not count towards the start limit now.
	_ = mgr.ResetFailed(ctx, unit)
	if unit == string(mode.ComputeTarget) { // which wants it
		_ = mgr.ResetFailed(ctx, m.Config.VLLM.Unit)
	}
	_, err = mgr.Start(ctx, unit, jobMode)
	return "", err
}

// endSessions waits for the sessions to end with their display manager, asks
// logind to end those that stay, and waits for their processes.
func (m *Machine) endSessions(ctx context.Context) (string, error) {
	patience := time.Now().Add(gracefulEnd)
	asked := map[string]bool{}
	for {
		left, err := m.graphicalLeft(ctx)
		if err == nil && left.empty() {
			return left.told(asked), nil
		}
		if err == nil && time.Now().After(patience) {
			for _, s := range left.sessions {
				if !asked[s.ID] && !s.Closing() {
					if err := m.terminate(ctx, s.ID); err != nil {
						return "", err
					}
					asked[s.ID] = true
				}
			}
		}
		if pause(ctx, poll/2) != nil {
			if err != nil {
				return "", err
			}
			return left.told(asked), fmt.Errorf("still there: %s", left)
		}
	}
}

// gracefulEnd is what sessions get to end by themselves once their display
// manager is stopped, before logind is asked to end them.
const gracefulEnd = 2 * time.Second

func (m *Machine) terminate(ctx context.Context, id string) error {
	conn, err := bus.Dial(ctx, m.Root)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := login.TerminateSession(ctx, conn, id); err != nil && !bus.IsUnknownObject(err) {
		return err
	}
	return nil
}

// remains is what is left of the graphical sessions.
type remains struct {
	sessions    []evidence.Session
	compositors []evidence.Process
	// processes names those of a closing session, by its id.
	processes map[string]string
}

func (r remains) empty() bool { return len(r.sessions) == 0 && len(r.compositors) == 0 }

// told says what it took to end the sessions.
func (r remains) told(asked map[string]bool) string {
	if len(asked) == 0 {
		return ""
	}
	var ids []string
	for id := range asked {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return "asked logind to end session " + strings.Join(ids, ", ")
}

func (r remains) String() string {
	var s []string
	for _, x := range r.sessions {
		text := fmt.Sprintf("%s session %s of %s (%s, leader pid %d)", x.Type, x.ID, x.User, x.State, x.Leader)
		if p := r.processes[x.ID]; p != "" {
			text = fmt.Sprintf("%s session %s of %s (%s) with %s", x.Type, x.ID, x.User, x.State, p)
		}
		s = append(s, text)
	}
	for _, p := range r.compositors {
		s = append(s, fmt.Sprintf("%s (pid %d) in %s", p.Comm, p.PID, collect.Describe(p.Cgroup)))
	}
	return strings.Join(s, ", ")
}

func (m *Machine) graphicalLeft(ctx context.Context) (remains, error) {
	sessions, err := collect.Sessions(m.Root, collect.Ask(ctx, m.Root, nil))
	if err != nil {
		return remains{}, err
	}
	r := remains{processes: map[string]string{}}
	for _, s := range sessions {
		if (s.Graphical() || s.Greeter()) && !s.Zombie() {
			r.sessions = append(r.sessions, s)
			if s.Closing() && s.Scope != "" {
				r.processes[s.ID] = m.processes(fmt.Sprintf("/user.slice/user-%d.slice/%s", s.UID, s.Scope))
			}
		}
	}
	compositors, err := collect.Compositors(ctx, m.Root, m.Config.Desktop.Compositors)
	for _, p := range compositors {
		if p.OfUser() {
			r.compositors = append(r.compositors, p)
		}
	}
	return r, err
}

func person(s evidence.Session) bool {
	return s.Graphical() && !s.Greeter() && !s.Closing() && s.State != "opening"
}

func anybody(s evidence.Session) bool {
	return (s.Graphical() || s.Greeter()) && !s.Closing() && s.State != "opening"
}

// steady is how long a session has to be there after a start of the login
// path. A display manager whose compositor crashes shows one for a moment.
const steady = time.Second

// await waits for a session that matches and stays for so long.
func (m *Machine) await(ctx context.Context, match func(evidence.Session) bool, stay time.Duration, otherwise string) (string, error) {
	var since time.Time
	var seen string
	for {
		sessions, err := collect.Sessions(m.Root, collect.Ask(ctx, m.Root, nil))
		switch i := slices.IndexFunc(sessions, match); {
		case i < 0:
			seen = ""
		case sessions[i].ID != seen:
			seen, since = sessions[i].ID, time.Now()
			fallthrough
		default:
			if s := sessions[i]; time.Since(since) >= stay {
				return fmt.Sprintf("%s session %s of %s", s.Type, s.ID, s.User), nil
			}
		}
		if pause(ctx, poll/2) != nil {
			if err != nil {
				return "", err
			}
			return "", errors.New(otherwise)
		}
	}
}

// awaitVLLM waits until vLLM says that it is healthy, or its unit has failed.
func (m *Machine) awaitVLLM(ctx context.Context) (string, error) {
	unit := m.Config.VLLM.Unit
	for {
		if h := survey.Health(ctx, m.Config); h == evidence.Healthy {
			return "healthy", nil
		} else if u := collect.Ask(ctx, m.Root, nil, unit).Systemd.Unit(unit); u.Loaded() && (!u.Up() || u.SubState == autoRestart) {
			return "", fmt.Errorf("%s ended while it should load: it is %s (%s, %s, exit status %d); journalctl -u %s says why", unit, u.ActiveState, u.SubState, u.Result, u.ExecMainStatus, unit)
		} else if pause(ctx, poll) != nil {
			return "", fmt.Errorf("%s is %s, but its /health at %s:%d is %s", unit, u.ActiveState, m.Config.VLLM.Host, m.Config.VLLM.Port, h)
		}
	}
}

// autoRestart is the sub-state of a service that has died and waits for its
// next start. A server that dies while it loads will die again.
const autoRestart = "auto-restart"

// processes names what runs in a cgroup.
func (m *Machine) processes(cgroup string) string {
	pids, _, err := procinfo.CgroupProcs(m.Root, cgroup, true)
	if err != nil {
		return err.Error()
	}
	var s []string
	for _, pid := range pids {
		if p, alive, err := procinfo.Stat(m.Root, pid); err == nil && alive {
			s = append(s, fmt.Sprintf("%s (pid %d)", p.Comm, pid))
		}
	}
	return strings.Join(s, ", ")
}
