package collect

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/tests/hosts"
)

func TestOutlived(t *testing.T) {
	l := Living{
		Sessions: []evidence.Session{
			{ID: "2", UID: 1000, User: "ada", State: "active", Seat: "seat0", Class: "user"},
			{ID: "3", UID: 1000, User: "ada", State: "active", Class: "manager"},
			{ID: "4", UID: 1001, User: "bob", State: "closing", Seat: "seat0", Class: "user"},
			{ID: "5", UID: 1001, User: "bob", State: "closing", Remote: true, Class: "user"},
			{ID: "6", UID: 1001, User: "bob", State: "active", Remote: true, Class: "user"},
			{ID: "c1", UID: 980, User: "greeter", State: "active", Seat: "seat0", Class: "greeter"},
		},
		LoginUnits: []evidence.Unit{
			{Name: "display-manager.service", ID: "greetd.service", Active: "inactive", Load: "loaded"},
			{Name: "getty@tty1.service", Active: "active", Load: "loaded"},
		},
	}
	const people = "/user.slice/user-"
	for cgroup, want := range map[string]struct {
		what string
		user bool
	}{
		people + "1000.slice/session-2.scope":                                    {"", false},
		people + "1000.slice/session-1.scope":                                    {"session 1, which logind does not list", false},
		people + "1001.slice/session-4.scope":                                    {"session 4 of bob, which is closing", false},
		people + "1001.slice/session-5.scope":                                    {"", false},
		people + "1001.slice/session-6.scope":                                    {"", false},
		people + "1000.slice/user@1000.service":                                  {"", false},
		people + "1001.slice/user@1001.service/app.slice":                        {"the last session of uid 1001 at a seat", true},
		people + "980.slice/user@980.service":                                    {"", false},
		people + "981.slice/user@981.service/x.service":                          {"the last session of uid 981 at a seat", true},
		people + "1001.slice/holder.service":                                     {"", false},
		"/system.slice/greetd.service":                                           {"display-manager.service (greetd.service) is inactive", false},
		"/system.slice/getty@tty1.service":                                       {"", false},
		"/system.slice/x.service":                                                {"", false},
		"/system.slice/":                                                         {"", false},
		"/ai.slice/vllm.service":                                                 {"", false},
		"/machine.slice/machine-x.scope/user.slice/user-1.slice/session-9.scope": {"", false},
		"/": {"", false},
	} {
		if what, user := l.Outlived(cgroup); what != want.what || user != want.user {
			t.Errorf("%s: %q, %v, want %q, %v", cgroup, what, user, want.what, want.user)
		}
	}
}

// living is who is there by right on a machine.
func living(t *testing.T, h *hosts.Host) (Living, Answer) {
	t.Helper()
	a := Ask(t.Context(), h.Root(), []string{"display-manager.service"})
	sessions, err := Sessions(h.Root(), a)
	if err := errors.Join(err, a.SystemdErr); err != nil {
		t.Fatal(err)
	}
	return Living{sessions, []evidence.Unit{Unit(a, "display-manager.service")}}, a
}

func TestLeftBehind(t *testing.T) {
	const ada = "/user.slice/user-1000.slice/"
	for host, want := range map[string][]string{
		"idle-desktop":           {},
		"studio":                 {},
		"logind-restarted":       {},
		"greeter":                {},
		"desktop-stale-holder":   {ada + "session-1.scope"},
		"compute-display-holder": {"/system.slice/display-manager.service", "/system.slice/greetd.service"},
		"closing-held":           {ada + "session-2.scope", ada + "user@1000.service", "/system.slice/display-manager.service", "/system.slice/greetd.service"},
	} {
		h := hosts.Start(t, host)
		l, _ := living(t, h)
		got, err := l.LeftBehind(h.Root())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", host, err, diff)
		}
	}
	h := hosts.Start(t, "idle-desktop")
	l, _ := living(t, h)
	h.Remove("sys/fs/cgroup/cgroup.controllers")
	if got, err := l.LeftBehind(h.Root()); err == nil {
		t.Errorf("without control groups: %v", got)
	}
}

// TestHolders holds who of those that hold a card has outlived something.
func TestHolders(t *testing.T) {
	l := Living{Sessions: []evidence.Session{{ID: "2", UID: 1000, State: "active", Seat: "seat0"}, {ID: "4", UID: 1001, User: "bob", State: "closing"}}}
	card, render := holders.Device{Major: 226, Minor: 1, Name: "card1"}, holders.Device{Major: 226, Minor: 128, Name: "renderD128"}
	nvidia := holders.Device{Major: 195, Minor: 0, Name: "nvidia0"}
	const closing, lingers = "/user.slice/user-1001.slice/session-4.scope", "/user.slice/user-1001.slice/user@1001.service/app.slice/x.service"
	for name, tt := range map[string]struct {
		cgroup   string
		class    holders.Class
		device   holders.Device
		display  bool
		outlived string
	}{
		"where it belongs":           {"/user.slice/user-1000.slice/session-2.scope", holders.Compositor, card, true, ""},
		"of a closing session":       {closing, holders.UserSession, nvidia, true, "session 4 of bob, which is closing"},
		"a monitor of one":           {closing, holders.Benign, nvidia, false, ""},
		"a service draws on":         {lingers, holders.Compositor, card, true, "the last session of uid 1001 at a seat"},
		"a service computes":         {lingers, holders.UserSession, render, true, ""},
		"a service computes, NVIDIA": {lingers, holders.UserSession, nvidia, true, ""},
		"the compute workload":       {"/ai.slice/vllm.service", holders.Workload, nvidia, false, ""},
		"logind":                     {"/system.slice/systemd-logind.service", holders.Broker, card, false, ""},
	} {
		scan := holders.Scan{Holders: []holders.Holder{{Process: holders.Process{PID: 7, Comm: "x", Cgroup: tt.cgroup, Class: tt.class}, Devices: []holders.Device{tt.device}}}}
		got := l.Holders(scan)
		want := []evidence.Holder{{PID: 7, Comm: "x", Class: string(tt.class), Place: Describe(tt.cgroup), Devices: tt.device.Name, Display: tt.display, Outlived: tt.outlived}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestWithCards holds which closing sessions are told to have been graphical by
// what their processes hold, and that nobody else's are looked at.
func TestWithCards(t *testing.T) {
	blind := func(h *hosts.Host) {
		h.Remove("proc/1888/fd")
		if err := unix.Mkfifo(h.Root().Path("proc/1888/fd"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := func(p hosts.Props) func(*hosts.Host) { return func(h *hosts.Host) { h.Login.SetSession("2", p) } }
	for name, tt := range map[string]struct {
		host   string
		change func(h *hosts.Host)
		want   string // of session 2
		err    string
	}{
		"holds a card":               {host: "compute-stale-holder", want: "render-helper (pid 1888) holds card0"},
		"holds none":                 {host: "compute-stale-holder", change: func(h *hosts.Host) { h.Write("devices.table", "") }},
		"no driver":                  {host: "compute-stale-holder", change: func(h *hosts.Host) { blind(h); h.Write("proc/devices", "Character devices:\n  1 mem\n") }},
		"can't be seen":              {host: "compute-stale-holder", change: blind, err: "pid 1888"},
		"remote: nobody looks":       {host: "compute-stale-holder", change: func(h *hosts.Host) { set(hosts.Props{"Remote": true})(h); blind(h) }},
		"a cron job's: nobody looks": {host: "compute-stale-holder", change: func(h *hosts.Host) { set(hosts.Props{"Class": "background"})(h); blind(h) }},
		"active: nobody looks":       {host: "compute-stale-holder", change: func(h *hosts.Host) { set(hosts.Props{"State": "active"})(h); blind(h) }},
		"wayland: nobody looks":      {host: "compute-stale-holder", change: func(h *hosts.Host) { set(hosts.Props{"Type": "wayland"})(h); blind(h) }},
		"a display manager's":        {host: "compute-session-closing", want: "opened by greetd"},
		"an empty scope":             {host: "closing-zombie", want: "opened by greetd"},
		"process 1 alone can't be seen": {host: "compute-stale-holder", change: func(h *hosts.Host) {
			h.Remove("proc/1/fd")
			if err := unix.Mkfifo(h.Root().Path("proc/1/fd"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "render-helper (pid 1888) holds card0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, tt.host)
			if tt.change != nil {
				tt.change(h)
			}
			l, a := living(t, h)
			got, err := WithCards(t.Context(), h.Root(), config.Default(), a, l.Sessions)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want one with %q", err, tt.err)
			}
			i := slices.IndexFunc(got, func(s evidence.Session) bool { return s.ID == "2" })
			if i < 0 || got[i].WasGraphical != tt.want {
				t.Fatalf("%+v, want %q", got, tt.want)
			}
			if s := got[i]; s.Closing() && s.Graphical() != (tt.want != "" || s.Type == "wayland") {
				t.Errorf("graphical: %v", s.Graphical())
			}
		})
	}
}

func TestUnveil(t *testing.T) {
	closing := evidence.Session{ID: "2", Type: "tty", Class: "user", Seat: "seat0", State: "closing"}
	active := closing
	active.State = "active"
	sway := evidence.Holder{PID: 8, Comm: "sway", Session: "2", Devices: "card0", Display: true}
	elsewhere, workload := sway, sway
	elsewhere.Session, workload.Display = "3", false
	for name, tt := range map[string]struct {
		session evidence.Session
		holder  evidence.Holder
		want    string
	}{
		"it holds a card":        {closing, sway, "sway (pid 8) holds card0"},
		"another session's":      {closing, elsewhere, ""},
		"not of a desktop":       {closing, workload, ""},
		"a session that goes on": {active, sway, ""},
	} {
		if got := Unveil([]evidence.Session{tt.session}, []evidence.Holder{tt.holder})[0].WasGraphical; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestGap(t *testing.T) {
	for name, tt := range map[string]struct {
		scan holders.Scan
		gap  bool
	}{
		"whole":               {holders.Scan{}, false},
		"process 1 alone":     {holders.Scan{Unreadable: 1, FirstUnreadable: 1}, false},
		"process 1 and more":  {holders.Scan{Unreadable: 2, FirstUnreadable: 1}, true},
		"another one":         {holders.Scan{Unreadable: 1, FirstUnreadable: 7}, true},
		"process 1 is hidden": {holders.Scan{Hidden: true}, true},
		"both":                {holders.Scan{Hidden: true, Unreadable: 1, FirstUnreadable: 1}, true},
	} {
		if err := Gap(tt.scan); (err != nil) != tt.gap {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWithCardsFails holds that a source that is missing is an error, and never
// a session that was none.
func TestWithCardsFails(t *testing.T) {
	h := hosts.Start(t, "compute-stale-holder")
	l, a := living(t, h)
	h.Remove("proc/devices")
	if _, err := WithCards(t.Context(), h.Root(), config.Default(), a, l.Sessions); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no list of drivers: %v", err)
	}
	a.SystemdErr = errors.New("gone")
	if _, err := WithCards(t.Context(), hostfs.Root(""), config.Default(), a, l.Sessions); !errors.Is(err, a.SystemdErr) {
		t.Errorf("no systemd: %v", err)
	}
}
