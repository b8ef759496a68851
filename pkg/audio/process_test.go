package audio

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string { return strconv.Itoa(n) }

// process are the files of a process of the test's own user.
func process(pid int, comm, cgroup string) map[string]string {
	dir := "/proc/" + itoa(pid)
	return map[string]string{
		dir + "/stat":   itoa(pid) + " (" + comm + ") S 1 1 1 0 -1 4194560 900 0 3 0 40 20 0 0 20 0 3 0 1440 36900000 4100\n",
		dir + "/comm":   comm + "\n",
		dir + "/cgroup": "0::" + cgroup + "\n",
		dir + "/status": "Name:\t" + comm + "\nTgid:\t" + itoa(pid) + "\n",
	}
}

func TestUndress(t *testing.T) {
	for comm, want := range map[string]string{
		"pipewire": "pipewire", ".reaper-wrapped": "reaper", ".pipewire-wrapp": "pipewire", ".pipewire-pulse": ".pipewire-pulse",
		".ardour8-wrappe": "ardour8", ".x-wrap": ".x-wrap", ".-wrapped": ".-wrapped", ".": ".", "": "", "a\x1b[31m": "a?[31m",
		".pipewire-pulse-wrapped": "pipewire-pulse", ".pipewire-media": ".pipewire-media", ".wireplumber-wr": "wireplumber",
	} {
		if got := undress(comm); got != want {
			t.Errorf("undress(%q) = %q, want %q", comm, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, comm string
		want          bool
	}{
		{"reaper", "reaper", true},
		{"reaper", "reaper2", false},
		{"ardour*", "ardour-8.12.0", true},
		{"ardour*", "ardour", true},
		{"ardour*", "xardour", false},
		{"*", "anything", false},
		{"", "", true}, // the configuration refuses it
	} {
		if got := matches(test.pattern, test.comm); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.comm, got)
		}
	}
}

func TestFindProcesses(t *testing.T) {
	uid := os.Getuid()
	const user = "/user.slice/user-1000.slice/user@1000.service/session.slice/"
	mine := "/user.slice/user-" + itoa(uid) + ".slice/user@" + itoa(uid) + ".service/session.slice/"
	root := tree(t, process(1, "systemd", "/init.scope"))
	for pid, p := range map[int][2]string{
		100: {"pipewire", mine + "pipewire.service"},
		101: {"pipewire-pulse", mine + "pipewire-pulse.service"},
		102: {"pulseaudio", "/system.slice/pulseaudio.service"},
		103: {"pipewire-pulse", "/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope"},
		104: {"pulseaudio", "/machine.slice/systemd-nspawn@x.service/payload/app.service"},
		105: {"pulseaudio", user + "app.service"}, // another user's slice, and no folder of ours
		106: {"jackdbus", mine + "jackdbus.service"},
		107: {".reaper-wrapped", mine + "app-reaper.scope"},
		108: {"ardour-8.12.0", mine + "app.scope"},
		109: {"bash", mine + "app.scope"},
		110: {"pulseaudio", "/docker/0123"},
		111: {"pipewire", "/"},
	} {
		add(t, root, process(pid, p[0], p[1]))
	}
	f, err := findProcesses(root, []string{"reaper", "ardour*"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]int{}
	for name, list := range map[string][]Process{
		"pulse": f.pulse, "core": f.core, "jack": f.jack, "workstations": f.workstations, "foreign": f.foreign,
	} {
		for _, p := range list {
			got[name] = append(got[name], p.PID)
		}
	}
	want := map[string][]int{"pulse": {101, 102}, "core": {100, 111}, "jack": {106}, "workstations": {107, 108}, "foreign": {103, 104, 105, 110}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (Process{PID: 107, Comm: "reaper", UID: uid}); f.byPID[107] != got {
		t.Errorf("process 107 is %+v", f.byPID[107])
	}
}

// A /proc that may hide processes proves nothing about servers.
func TestHiddenProcesses(t *testing.T) {
	_, err := findProcesses(tree(t, process(7, "bash", "/")), nil)
	e, ok := err.(*SourceError)
	if !ok || e.Trouble != Hidden {
		t.Errorf("got %v", err)
	}
}

func TestOwner(t *testing.T) {
	root := tree(t, process(50, "reaper", "/"))
	// A thread of 50, which /proc has and does not list.
	add(t, root, map[string]string{"/proc/51/status": "Name:\tdata-loop\nUmask:\t0022\nTgid:\t50\nPid:\t51\n"})
	f := found{byPID: map[int]Process{50: {PID: 50, Comm: "reaper", UID: 1000}}}
	for tid, want := range map[int]Process{0: {}, 50: f.byPID[50], 51: f.byPID[50], 52: {PID: 52}} {
		if got := owner(root, f, tid); got != want {
			t.Errorf("thread %d belongs to %+v, want %+v", tid, got, want)
		}
	}
}

func TestJackClients(t *testing.T) {
	names := []string{
		"jack_sem.1000_default_system", "jack_sem.1000_default_freewheel", "jack_sem.1000_default_ardour",
		"jack_sem.1000_default_a_b", "sem.jack_sem.1000_default_ardour", "jack_sem.1001_default_other",
		"jack-shm-registry", "jack_default_1000_0", "pulse-shm-1", "jack_sem.1000_default", "jack_sem.1000_default_",
	}
	if diff := cmp.Diff([]string{"a_b", "ardour"}, parseJackClients(names, 1000)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := parseJackClients(nil, 1000); got == nil || len(got) != 0 {
		t.Errorf("without any: %#v", got)
	}
}

func TestUserName(t *testing.T) {
	root := tree(t, map[string]string{"/run/systemd/users/1000": "# private\nNAME=ada\nSTATE=active\n", "/run/systemd/users/1001": "STATE=active\n"})
	for uid, want := range map[int]string{1000: "ada", 1001: "", 1002: ""} {
		if got := userName(root, uid); got != want {
			t.Errorf("user %d is %q", uid, got)
		}
	}
}
