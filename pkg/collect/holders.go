package collect

import (
	"context"
	"fmt"
	"slices"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// Living is who is there by right: what a holder of a graphics card is compared
// with.
type Living struct {
	Sessions   []evidence.Session
	LoginUnits []evidence.Unit
}

// Outlived says what the processes of a control group have outlived, "" when
// they are where they belong. User tells that they are units of a user's own
// manager, and that the user has no session at a seat: a service that lingers
// runs on by right, so that it takes more to call one left behind.
func (l Living) Outlived(cgroup string) (what string, user bool) {
	if id := procinfo.Session(cgroup); id != "" {
		i := slices.IndexFunc(l.Sessions, func(s evidence.Session) bool { return s.ID == id })
		switch {
		case i < 0:
			return "session " + id + ", which logind does not list", false
		case l.Sessions[i].Closing() && !l.Sessions[i].Remote: // what runs on after an ssh session never had a display
			return fmt.Sprintf("session %s of %s, which is closing", id, l.Sessions[i].User), false
		}
		return "", false
	}
	unit, _ := procinfo.Unit(cgroup)
	for _, u := range l.LoginUnits {
		if unit != "" && (unit == u.Name || unit == u.ID) && u.Down() {
			return u.String(), false
		}
	}
	uid, ok := procinfo.UID(cgroup)
	if !ok || unit != fmt.Sprintf("user@%d.service", uid) || slices.ContainsFunc(l.Sessions, func(s evidence.Session) bool {
		return s.UID == uid && s.Seat != "" && !s.Closing()
	}) {
		return "", false
	}
	return fmt.Sprintf("the last session of uid %d at a seat", uid), true
}

// LeftBehind lists the control groups whose processes have outlived something.
// On a healthy desktop there is none, or those of users who linger.
func (l Living) LeftBehind(root hostfs.Root) ([]string, error) {
	const people = "/user.slice"
	groups := []string{}
	users, _, err := procinfo.Subgroups(root, people)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		below, _, err := procinfo.Subgroups(root, people+"/"+user)
		if err != nil {
			return nil, err
		}
		for _, name := range below {
			group := people + "/" + user + "/" + name
			if what, _ := l.Outlived(group); what != "" {
				groups = append(groups, group)
			}
		}
	}
	for _, u := range l.LoginUnits {
		for _, name := range []string{u.Name, u.ID} {
			group := "/system.slice/" + name
			if what, _ := l.Outlived(group); what != "" {
				groups = append(groups, group)
			}
		}
	}
	return groups, nil
}

// display are the classes of processes that belong to a desktop.
var display = []holders.Class{holders.Compositor, holders.UserSession, holders.Greeter, holders.DisplayManager}

// Holders is the evidence of the holders in a scan.
func (l Living) Holders(scan holders.Scan) []evidence.Holder {
	var out []evidence.Holder
	for _, h := range scan.Holders {
		e := evidence.Holder{
			PID: h.PID, Comm: h.Comm, UID: h.UID, Class: string(h.Class), Place: Describe(h.Cgroup), Session: h.Session,
			Devices: h.Held(), Display: slices.Contains(display, h.Class),
		}
		if what, user := l.Outlived(h.Cgroup); e.Display && (!user || drawing(h)) {
			e.Outlived = what
		}
		out = append(out, e)
	}
	return out
}

// drawing tells whether a process holds a card's own node, by which alone a
// screen can be driven. To compute, and to draw for nobody to see, takes a
// render node.
func drawing(h holders.Holder) bool {
	const drm, firstOther = 226, 64
	return slices.ContainsFunc(h.Devices, func(d holders.Device) bool { return d.Major == drm && d.Minor < firstOther })
}

// ByRecord is sessions, where the closing ones are told to have been graphical
// that a display manager opened.
func ByRecord(sessions []evidence.Session) []evidence.Session {
	sessions = slices.Clone(sessions)
	for i := range sessions {
		if s := &sessions[i]; s.Closing() && login.ByDisplayManager(s.Service) {
			s.WasGraphical = "opened by " + s.Service
		}
	}
	return sessions
}

// WithCards is [ByRecord], where the closing sessions at a seat that still look
// like text are looked into: one whose processes hold a graphics card was
// graphical. Beside an error, which says that not all of their processes could
// be seen, it is what could be told all the same.
func WithCards(ctx context.Context, root hostfs.Root, cfg config.Config, a Answer, sessions []evidence.Session) ([]evidence.Session, error) {
	sessions = ByRecord(sessions)
	groups := []string{}
	for _, s := range a.Login.Sessions {
		i := slices.IndexFunc(sessions, func(e evidence.Session) bool { return e.ID == s.ID })
		if i >= 0 && unclear(sessions[i]) && s.ScopePath() != "" {
			groups = append(groups, "/"+s.ScopePath())
		}
	}
	if len(groups) == 0 {
		return sessions, nil
	}
	who, err := Who(root, cfg, a)
	if err != nil {
		return sessions, err
	}
	scan, err := holders.Look(ctx, root, holders.Options{Candidates: groups, Who: who})
	if err != nil {
		return sessions, err
	}
	return Unveil(sessions, Living{Sessions: sessions}.Holders(scan)), Gap(scan)
}

// unclear tells whether a session may have been graphical, which only its
// processes can tell.
func unclear(s evidence.Session) bool {
	return s.Closing() && !s.Zombie() && !s.Graphical() && !s.Remote && s.Seat != "" && (s.Class == "user" || s.Class == "greeter")
}

// Unveil is sessions, where those are told to have been graphical of which a
// process holds a graphics card.
func Unveil(sessions []evidence.Session, found []evidence.Holder) []evidence.Session {
	sessions = slices.Clone(sessions)
	for _, h := range found {
		for i := range sessions {
			if s := &sessions[i]; h.Display && h.Session == s.ID && unclear(*s) {
				s.WasGraphical = fmt.Sprintf("%s (pid %d) holds %s", h.Comm, h.PID, h.Devices)
			}
		}
	}
	return sessions
}

// Gap says what a scan of candidates did not see; nil when it is complete. That
// process 1, which is looked at besides, can't be read is no gap.
func Gap(scan holders.Scan) error {
	if !scan.Hidden && scan.Unreadable == 1 && scan.FirstUnreadable == 1 {
		return nil
	}
	return scan.Gap()
}
