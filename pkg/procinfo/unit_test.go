package procinfo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnitSessionUID(t *testing.T) {
	type owner struct {
		System, User, Session string
		UID                   uint32
		HasUID                bool
	}
	user := func(o owner) owner { o.UID, o.HasUID = 1000, true; return o }
	const (
		slice   = "/user.slice/user-1000.slice"
		manager = slice + "/user@1000.service"
	)
	for cgroup, want := range map[string]owner{
		"":                                {},
		"/":                               {},
		"/init.scope":                     {System: "init.scope"},
		"/system.slice":                   {},
		"/system.slice/sshd.service":      {System: "sshd.service"},
		"/system.slice/greetd.service":    {System: "greetd.service"},
		"/ai.slice/vllm.service":          {System: "vllm.service"},
		"/ai.slice/vllm.service/worker/0": {System: "vllm.service"},
		"/system.slice/system-getty.slice/getty@tty1.service":                                                  {System: "getty@tty1.service"},
		"/system.slice/system-mode\\x2dcontroller.slice/mode-controller@compute.service":                       {System: "mode-controller@compute.service"},
		"/system.slice/systemd-udevd.service/udev":                                                             {System: "systemd-udevd.service"},
		"/system.slice/docker-0123456789abcdef.scope":                                                          {System: "docker-0123456789abcdef.scope"},
		"/system.slice/dev-disk-by\\x2duuid-1234.swap":                                                         {System: "dev-disk-by\\x2duuid-1234.swap"},
		"/system.slice/run-user-1000.mount":                                                                    {System: "run-user-1000.mount"},
		"/system.slice/dbus.socket":                                                                            {System: "dbus.socket"},
		"/machine.slice/systemd-nspawn@test.service/payload/system.slice/inner.service":                        {System: "systemd-nspawn@test.service"},
		"/machine.slice/libpod-0123.scope/container":                                                           {System: "libpod-0123.scope"},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/cri-containerd-beef.scope": {System: "cri-containerd-beef.scope"},
		"/kubepods/burstable/pod1234/beef":                                                                     {},
		"/system.slice/k3s.service":                                                                            {System: "k3s.service"},
		"/system.slice/_cpu.service":                                                                           {System: "cpu.service"},
		"/user.slice":                                                                                          {},
		slice:                                                                                                  user(owner{}),
		slice + "/session-2.scope":                                                                             user(owner{System: "session-2.scope", Session: "2"}),
		slice + "/session-c1.scope":                                                                            user(owner{System: "session-c1.scope", Session: "c1"}),
		slice + "/session-2.scope/child":                                                                       user(owner{System: "session-2.scope", Session: "2"}),
		slice + "/session-.scope":                                                                              user(owner{System: "session-.scope"}),
		slice + "/session-a-b.scope":                                                                           user(owner{System: "session-a-b.scope"}),
		manager:                                                                                                user(owner{System: "user@1000.service"}),
		manager + "/init.scope":                                                                                user(owner{System: "user@1000.service", User: "init.scope"}),
		manager + "/session.slice":                                                                             user(owner{System: "user@1000.service"}),
		manager + "/session.slice/wayland-wm@Hyprland.service":                                                 user(owner{System: "user@1000.service", User: "wayland-wm@Hyprland.service"}),
		manager + "/session.slice/pipewire.service":                                                            user(owner{System: "user@1000.service", User: "pipewire.service"}),
		manager + "/app.slice/app-reaper-4242.scope":                                                           user(owner{System: "user@1000.service", User: "app-reaper-4242.scope"}),
		manager + "/app.slice/app-dbus\\x2d:1.2\\x2dorg.foo.slice/dbus-:1.2-org.foo@0.service": user(owner{System: "user@1000.service", User: "dbus-:1.2-org.foo@0.service"}),
		manager + "/app.slice/app-graphical.slice/uwsm-app.scope/below":                        user(owner{System: "user@1000.service", User: "uwsm-app.scope"}),
		manager + "/run-u12.service":                                            user(owner{System: "user@1000.service", User: "run-u12.service"}),
		manager + "/app.slice/session-9.scope":                                  user(owner{System: "user@1000.service", User: "session-9.scope"}),
		"/user.slice/user-0.slice/session-1.scope":                              {System: "session-1.scope", Session: "1", HasUID: true},
		"/user.slice/user-1000.slice/user-1000-studio.slice/a.scope":            user(owner{System: "a.scope"}),
		"/other.slice/user@1000.service/app.slice/a.service":                    user(owner{System: "user@1000.service", User: "a.service"}),
		"/user.slice/user-65535.slice/session-3.scope":                          {System: "session-3.scope", Session: "3"},
		"/user.slice/user-4294967295.slice":                                     {},
		"/user.slice/user-01000.slice":                                          {},
		"/user.slice/user-+1.slice":                                             {},
		"/user.slice/user-alice.slice/user@alice.service/app.slice/a.service":   {System: "user@alice.service"},
		"/system.slice/getty@.service":                                          {},
		"/system.slice/.service":                                                {},
		"/system.slice/@a.service":                                              {},
		"/system.slice/a b.service":                                             {},
		"/system.slice/multi-user.target":                                       {},
		"/system.slice/" + strings.Repeat("a", maxUnitName) + ".service":        {},
		"/../../system.slice/a.service":                                         {},
		"//system.slice//a.service/":                                            {System: "a.service"},
		"/system.slice/dubnium-embed-worker.service/user.slice/user-1000.slice": {System: "dubnium-embed-worker.service"},
	} {
		var got owner
		got.System, got.User = Unit(cgroup)
		got.Session = Session(cgroup)
		got.UID, got.HasUID = UID(cgroup)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", cgroup, diff)
		}
	}
}

func FuzzUnit(f *testing.F) {
	f.Add("/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope")
	f.Add("/_x.slice/_y.service")
	f.Fuzz(func(t *testing.T, cgroup string) {
		system, user := Unit(cgroup)
		if user != "" && !strings.HasPrefix(system, "user@") {
			t.Errorf("%q: user unit %q without a user manager in %q", cgroup, user, system)
		}
		if id := Session(cgroup); id != "" && system != "session-"+id+".scope" {
			t.Errorf("%q: session %q in unit %q", cgroup, id, system)
		}
		for _, unit := range []string{system, user} {
			if unit != "" && !strings.Contains(cgroup, "/"+unit) && !strings.Contains(cgroup, "_"+unit) && !strings.HasPrefix(cgroup, unit) {
				t.Errorf("%q: unit %q stands nowhere in it", cgroup, unit)
			}
		}
	})
}
