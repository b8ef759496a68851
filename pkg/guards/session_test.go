package guards

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/login"
	"github.com/ryjen/dubnium/tests/hosts"
)

const (
	userSession = `"Type": "wayland", "Class": "user", "Leader": 1520, "State": "active", "Active": true`
	sleepLock   = `{"what": "sleep", "who": "Hyprland", "why": "lock before sleep", "mode": "delay", "uid": 1000, "pid": 1604}`
)

func TestGraphicalSessionAbsent(t *testing.T) {
	d := GraphicalSessionAbsent
	holds(t, merge(deadBus(d), deadLogin(d), map[string]looking{
		"compute":       {guard: d, host: "compute", reason: "no-session"},
		"empty machine": {guard: d, host: "empty", reason: "no-session"},
		"zombie":        {guard: d, host: "closing-zombie", reason: "only-zombie"},
		"zombie without a scope": {
			guard: d, host: "closing-zombie", change: without("sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"), reason: "only-zombie",
		},
		"desktop":      {guard: d, host: "idle-desktop", reason: "session-present", message: "wayland session 2 of ada on seat0"},
		"login screen": {guard: d, host: "greeter", reason: "greeter-present", message: "greeter c1"},
		"closing, held": {
			guard: d, host: "closing-zombie",
			change: with("sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cgroup.events", "populated 1\nfrozen 0\n"),
			reason: "session-closing", message: "session 2",
		},
		"closing, and nobody knows whether it is empty": {
			guard: d, host: "closing-zombie", change: fifo("sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cgroup.events"),
			reason: "session-closing", message: "session 2",
		},
		"closing, held, and its type fell back to tty": {guard: d, host: "closing-held", reason: "session-closing", message: "session 2 of ada on seat0 (opened by greetd)"},
		"closing, opened on a console, holds a card": {
			guard: d, host: "compute-stale-holder", reason: "session-closing", message: "session 2 of ada on seat0 (render-helper (pid 1888) holds card0)",
		},
		"closing, opened on a console, holds no card": {
			guard: d, host: "compute-stale-holder", change: with("devices.table", ""), reason: "no-session",
		},
		"closing, opened on a console, and its processes can't be seen": {
			guard: d, host: "compute-stale-holder", change: func(h *hosts.Host) {
				h.Remove("proc/1888/fd/5")
				fifo("proc/1888/fd")(h)
			}, reason: "source-unreadable", message: "pid 1888",
		},
		"closing, opened over the network, holds a card": {
			guard: d, host: "compute-stale-holder", change: func(h *hosts.Host) {
				h.Login.SetSession("2", hosts.Props{"Service": "sshd", "Remote": true})
			}, reason: "no-session",
		},
		"a benign program of a closing session": {
			guard: d, host: "compute-stale-holder", change: func(h *hosts.Host) { exe(h, "1888", "/usr/bin/nvtop") }, reason: "no-session",
		},
		"a person on a console":              {guard: d, host: "compute-display-holder", reason: "no-session"},
		"logind forgot that it is graphical": {guard: d, host: "logind-restarted", reason: "compositor-running", message: "runs in session 2"},
		"compositor of the user's manager": {
			guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
				h.Login.EndSession("2")
				h.Write("proc/1604/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/session.slice/hyprland.service\n")
			}, reason: "compositor-running", message: "hyprland.service of user@1000.service",
		},
		"compositor of a container is nobody's desktop": {
			guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
				h.Login.EndSession("2")
				h.Write("proc/1604/cgroup", "0::/machine.slice/machine-x.scope\n")
			}, reason: "no-session",
		},
		"compositor that the configuration does not name": {
			guard: d, host: "idle-desktop", change: func(h *hosts.Host) { h.Login.EndSession("2") },
			config: func(c *config.Config) { c.Desktop.Compositors = []string{"sway"} }, reason: "no-session",
		},
		"processes hidden":           {guard: d, host: "compute", change: without("proc/1"), reason: "source-unreadable", message: "hidepid"},
		"no proc":                    {guard: d, host: "compute", change: without("proc"), reason: "source-unreadable", message: "proc"},
		"a name that blocks readers": {guard: d, host: "idle-desktop", change: fifo("proc/1604/stat"), reason: "source-unreadable", message: "1604"},
		"a garbled process":          {guard: d, host: "idle-desktop", change: with("proc/1604/stat", "rubbish"), reason: "source-unreadable", message: "1604"},
		"a compositor without cgroup": {
			guard: d, host: "idle-desktop", change: with("proc/1604/cgroup", "0::elsewhere\n"), reason: "source-unreadable", message: "1604",
		},
	}))
}

func TestGraphicalSessionPresent(t *testing.T) {
	d := GraphicalSessionPresent
	holds(t, merge(deadBus(d), deadLogin(d), map[string]looking{
		"desktop":           {guard: d, host: "idle-desktop", reason: "session-present", message: "session 2 of ada"},
		"studio":            {guard: d, host: "studio", reason: "session-present"},
		"login screen":      {guard: d, host: "greeter", reason: "only-greeter", message: "greeter c1"},
		"compute":           {guard: d, host: "compute", reason: "no-session"},
		"closing":           {guard: d, host: "closing-zombie", reason: "no-session"},
		"closing, type tty": {guard: d, host: "closing-held", reason: "no-session"},
		"text session":      {guard: d, host: "logind-restarted", reason: "no-session"},
		"needs no process":  {guard: d, host: "idle-desktop", change: without("proc"), reason: "session-present"},
	}))
}

func TestGraphicalSessionTerminable(t *testing.T) {
	d := GraphicalSessionTerminable
	block := `{"what": "shutdown:sleep", "who": "apt", "why": "an upgrade", "mode": "block", "uid": 0, "pid": 99}`
	weak := `{"what": "shutdown", "who": "editor", "why": "unsaved work", "mode": "block-weak", "uid": 1000, "pid": 98}`
	idle := `{"what": "idle", "who": "player", "why": "a film", "mode": "block", "uid": 1000, "pid": 97}`
	delay := `{"what": "shutdown", "who": "chat", "why": "say goodbye", "mode": "delay", "uid": 1000, "pid": 96}`
	holds(t, merge(deadBus(d), deadLogin(d), map[string]looking{
		"desktop":                            {guard: d, host: "idle-desktop", reason: "terminable"},
		"login screen":                       {guard: d, host: "greeter", reason: "terminable"},
		"compute":                            {guard: d, host: "compute", reason: "no-session"},
		"logind forgot that it is graphical": {guard: d, host: "logind-restarted", reason: "terminable", message: "no inhibitor protects Hyprland (pid 1604) of uid 0"},
		"logind forgot, block":               {guard: d, host: "logind-restarted", edit: []string{sleepLock, block}, reason: "inhibited", message: "apt (pid 99"},
		"logind forgot, processes hidden":    {guard: d, host: "logind-restarted", change: without("proc/1"), reason: "source-unreadable", message: "hidepid"},
		"zombie":                             {guard: d, host: "closing-zombie", reason: "terminable"},
		"block":                              {guard: d, host: "idle-desktop", edit: []string{sleepLock, block}, reason: "inhibited", message: `apt (pid 99, uid 0) blocks shutdown:sleep: "an upgrade"`},
		"weak block":                         {guard: d, host: "idle-desktop", edit: []string{sleepLock, weak}, reason: "inhibited", message: "editor (pid 98"},
		"two blocks":                         {guard: d, host: "idle-desktop", edit: []string{sleepLock, block + "," + weak}, reason: "inhibited", message: "and 1 more"},
		"another kind":                       {guard: d, host: "idle-desktop", edit: []string{sleepLock, idle}, reason: "terminable"},
		"only a delay":                       {guard: d, host: "idle-desktop", edit: []string{sleepLock, delay}, reason: "terminable"},
		"a kind that the configuration names": {
			guard: d, host: "idle-desktop", edit: []string{sleepLock, idle},
			config: func(c *config.Config) { c.Guards.Session.Inhibitors = []string{"idle"} }, reason: "inhibited", message: "player",
		},
		"no kind": {
			guard: d, host: "idle-desktop", edit: []string{sleepLock, block},
			config: func(c *config.Config) { c.Guards.Session.Inhibitors = nil }, reason: "terminable",
		},
		"nobody there to be protected": {guard: d, host: "compute", edit: []string{`"inhibitors": []`, `"inhibitors": [` + block + `]`}, reason: "no-session"},
		"closing, held": {
			guard: d, host: "closing-zombie",
			change: with("sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cgroup.events", "populated 1\nfrozen 0\n"),
			reason: "session-closing", message: "session 2",
		},
		"closing, held, and its type fell back to tty": {guard: d, host: "closing-held", reason: "session-closing", message: "opened by greetd"},
		"closing, opened on a console, holds a card":   {guard: d, host: "compute-stale-holder", reason: "session-closing", message: "holds card0"},
		"shutting down":  {guard: d, host: "idle-desktop", edit: []string{`"manager": {}`, `"manager": {"PreparingForShutdown": true}`}, reason: "going-down"},
		"going to sleep": {guard: d, host: "compute", edit: []string{`"manager": {}`, `"manager": {"PreparingForSleep": true}`}, reason: "going-down"},
		"inhibitors refused": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Login.Refuse("ListInhibitors", "org.freedesktop.DBus.Error.AccessDenied")
		}, reason: "source-unreadable", message: "inhibitors"},
		"a manager of other types": {
			guard: d, host: "idle-desktop", edit: []string{`"manager": {}`, `"manager": {"raw": {"PreparingForShutdown": "'yes'"}}`},
			reason: "source-unreadable", message: "PreparingForShutdown",
		},
	}))
}

func TestJudgeSessions(t *testing.T) {
	yes, no := true, false
	person := evidence.Session{ID: "2", User: "ada", Type: "wayland", Class: "user", State: "active", Seat: "seat0"}
	greeter := evidence.Session{ID: "c1", User: "greeter", Type: "wayland", Class: "greeter", State: "active"}
	with := func(s evidence.Session, state string, populated *bool) evidence.Session {
		s.State, s.Populated = state, populated
		return s
	}
	zombie, held, blind := with(person, "closing", &no), with(person, "closing", &yes), with(person, "closing", nil)
	sway := evidence.Process{PID: 7, Comm: "sway", UID: 1000, Cgroup: "/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope"}
	tests := map[string]struct {
		sessions                    []evidence.Session
		compositors                 []evidence.Process
		absent, present, terminable string
	}{
		"nobody":                   {nil, nil, "no-session", "no-session", "no-session"},
		"person":                   {[]evidence.Session{person}, nil, "session-present", "session-present", "terminable"},
		"online in the background": {[]evidence.Session{with(person, "online", nil)}, nil, "session-present", "session-present", "terminable"},
		"greeter":                  {[]evidence.Session{greeter}, nil, "greeter-present", "only-greeter", "terminable"},
		"greeter and person":       {[]evidence.Session{greeter, person}, nil, "greeter-present", "session-present", "terminable"},
		"zombie":                   {[]evidence.Session{zombie}, nil, "only-zombie", "no-session", "terminable"},
		"zombie and compositor":    {[]evidence.Session{zombie}, []evidence.Process{sway}, "compositor-running", "no-session", "terminable"},
		"zombie and person":        {[]evidence.Session{zombie, person}, nil, "session-present", "session-present", "terminable"},
		"held":                     {[]evidence.Session{held}, nil, "session-closing", "no-session", "session-closing"},
		"closing, nobody looked":   {[]evidence.Session{blind}, nil, "session-closing", "no-session", "session-closing"},
		"closing greeter":          {[]evidence.Session{with(greeter, "closing", &yes)}, nil, "session-closing", "no-session", "session-closing"},
		"compositor alone":         {nil, []evidence.Process{sway}, "compositor-running", "no-session", "no-session"},
		"a state of the future":    {[]evidence.Session{with(person, "hibernated", nil)}, nil, "session-present", "session-present", "terminable"},
	}
	for name, tt := range tests {
		ev := sessionEvidence{Sessions: tt.sessions, Compositors: tt.compositors}
		got := []string{judgeAbsent(ev).Reason, judgePresent(ev).Reason, judgeTerminable(sessionEvidence{Sessions: tt.sessions}, login.State{}, []string{"shutdown"}).Reason}
		for i, d := range []guard.Descriptor{GraphicalSessionAbsent, GraphicalSessionPresent, GraphicalSessionTerminable} {
			witness(t, d, got[i])
		}
		if diff := cmp.Diff([]string{tt.absent, tt.present, tt.terminable}, got); diff != "" {
			t.Errorf("%s: absent, present, terminable (-want +got):\n%s", name, diff)
		}
	}
}

func TestGraphicalSessionsAreTold(t *testing.T) {
	for _, tt := range []struct {
		typ, class string
		want       bool
	}{
		{"wayland", "user", true},
		{"x11", "user", true},
		{"mir", "user", true},
		{"wayland", "greeter", true},
		{"tty", "greeter", true}, // a login screen in text mode
		{"tty", "user", false},
		{"unspecified", "manager", false},
		{"wayland", "manager-early", false},
		{"wayland", "lock-screen", false},
		{"wayland", "background", false},
		{"web", "user", false},
	} {
		got := graphical([]evidence.Session{{ID: "1", Type: tt.typ, Class: tt.class}})
		if (len(got) == 1) != tt.want {
			t.Errorf("type %s, class %s: counted %v, want %v", tt.typ, tt.class, len(got) == 1, tt.want)
		}
	}
}
