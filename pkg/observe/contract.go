package observe

import (
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/evidence"
)

func (c *classifier) compute() {
	t, v := c.ev.Targets.Value, c.ev.VLLM.Value
	c.require(t.Compute.IsActive(), ComputeTarget, "%s", t.Compute)
	for _, s := range c.sessions(evidence.Session.Graphical) {
		c.require(false, NoGraphical, "%s", describe(s))
		if s.Closing() {
			c.closing(s)
		} else {
			c.conflict(SessionInCompute, "%s is present in compute", describe(s))
		}
	}
	for _, p := range c.userCompositors() {
		if !c.inGraphicalSession(p) {
			c.require(false, NoGraphical, "%s (pid %d) is running", p.Comm, p.PID)
			c.conflict(CompositorCompute, "compositor %s (pid %d) of uid %d runs in compute", p.Comm, p.PID, p.UID)
		}
	}
	for _, u := range c.ev.LoginPath.Value {
		switch {
		case u.Down():
		case slices.Contains(c.p.Tolerated, u.Name):
			c.require(false, LoginPathStopped, "%s", u)
		default:
			c.conflict(LoginPathInCompute, "%s in compute: it can bring a session back at any time", u)
		}
	}
	for _, u := range []evidence.Unit{c.ev.Overlay.Value.Policy, c.ev.Overlay.Value.Priority} {
		if !u.Down() {
			c.conflict(OverlayInCompute, "%s in compute", u)
		}
	}
	c.stale()
	for _, h := range c.ev.GPU.Value.Holders {
		if !h.Display || h.Elsewhere && h.Outlived == "" {
			continue
		}
		c.require(false, GPUsReleased, "%s (pid %d) in %s holds %s", h.Comm, h.PID, h.Place, h.Devices)
		if h.Outlived == "" {
			c.conflict(DisplayInCompute, "%s (pid %d, %s) of uid %d holds %s in compute", h.Comm, h.PID, h.Class, h.UID, h.Devices)
		}
	}
	c.require(c.p.ComputeGPUs >= c.p.PlannedGPUs, GPUsPlanned, "compute has %d of %d planned GPUs", c.p.ComputeGPUs, c.p.PlannedGPUs)
	if c.p.VLLMEnabled {
		c.require(v.Unit.IsActive() && v.Health == evidence.Healthy, VLLMHealthy, "%s, health: %s", v.Unit, v.Health)
	}
}

// closing tells of a session that was graphical and has not wholly ended.
func (c *classifier) closing(s evidence.Session) {
	c.conflict(SessionClosing, "%s is closing, but processes of it are left", describe(s))
}

// stale tells of those who still hold a card and have outlived what they
// belonged to. No mode has a place for them: they keep a display from the card,
// or the card from the compute workload.
func (c *classifier) stale() {
	for _, h := range c.ev.GPU.Value.Holders {
		if h.Outlived != "" {
			c.conflict(StaleHolder, "%s (pid %d, %s) of uid %d in %s holds %s and has outlived %s", h.Comm, h.PID, h.Class, h.UID, h.Place, h.Devices, h.Outlived)
		}
	}
}

func (c *classifier) desktop() {
	c.interactive()
	t, o := c.ev.Targets.Value, c.ev.Overlay.Value
	c.require(t.Desktop.IsActive(), DesktopTarget, "%s", t.Desktop)
	why, ok := c.graphicalPath()
	c.require(ok, GraphicalPath, "%s", why)
	for _, name := range sortedKeys(c.p.StudioWeights) {
		now, seen := o.Weights[name]
		c.require(!seen || now != c.p.StudioWeights[name], BaselineWeights, "%s still has the settings of studio-local", name)
	}
}

func (c *classifier) studio() {
	c.interactive()
	o := c.ev.Overlay.Value
	c.require(c.ev.Targets.Value.Desktop.IsActive(), DesktopTarget, "%s", c.ev.Targets.Value.Desktop)
	c.require(o.Policy.IsActive(), StudioPolicy, "%s", o.Policy)
	c.require(o.Priority.IsActive(), AudioPriority, "%s", o.Priority)
	person := false
	for _, s := range c.sessions(live) {
		person = person || !s.Greeter()
	}
	c.require(person, GraphicalSession, "nobody has a graphical session")
}

// interactive holds what desktop and studio-local share.
func (c *classifier) interactive() {
	v := c.ev.VLLM.Value
	if !v.Unit.Down() {
		c.require(false, VLLMInactive, "%s", v.Unit)
		c.conflict(VLLMInDesktop, "%s while the desktop owns the GPU", v.Unit)
	}
	c.stale()
	for _, u := range c.ev.LoginPath.Value {
		c.require(u.Active != "deactivating", GraphicalPath, "%s: what it has started ends with it", u)
	}
	for _, p := range c.userCompositors() {
		if p.Session != "" && !c.inGraphicalSession(p) {
			c.conflict(CompositorOrphan, "compositor %s (pid %d) runs in session %s, which logind does not list as graphical (logind restarted, or the session lost its display)", p.Comm, p.PID, p.Session)
		}
	}
}

// graphicalPath tells whether a person has, or can get, a graphical session.
func (c *classifier) graphicalPath() (string, bool) {
	if len(c.sessions(live)) > 0 || len(c.p.LoginPath) == 0 {
		return "", true
	}
	why := []string{"neither a session nor a greeter is there"}
	for _, u := range c.ev.LoginPath.Value {
		if u.IsActive() && u.Name != DisplayManager {
			return "", true
		}
		why = append(why, u.String())
	}
	return strings.Join(why, ", "), false
}

// DisplayManager is the alias under which distributions install their display
// manager (systemd.special(7)).
const DisplayManager = "display-manager.service"

func (c *classifier) displayManagerUp() bool {
	for _, u := range c.ev.LoginPath.Value {
		if u.Name == DisplayManager && !u.Down() {
			return true
		}
	}
	return false
}

// live tells whether a person has the session's display, or can log in there.
func live(s evidence.Session) bool { return (s.Graphical() || s.Greeter()) && !s.Closing() }

// sessions lists the sessions that match and are more than a left-over entry.
func (c *classifier) sessions(match func(evidence.Session) bool) []evidence.Session {
	var out []evidence.Session
	for _, s := range c.ev.Sessions.Value {
		if match(s) && !s.Zombie() {
			out = append(out, s)
		}
	}
	return out
}

func (c *classifier) userCompositors() []evidence.Process {
	var out []evidence.Process
	for _, p := range c.ev.Compositors.Value {
		if p.OfUser() {
			out = append(out, p)
		}
	}
	return out
}

func (c *classifier) inGraphicalSession(p evidence.Process) bool {
	for _, s := range c.sessions(evidence.Session.Graphical) {
		if s.ID == p.Session || (p.Session == "" && s.UID == p.UID) {
			return true
		}
	}
	return false
}
