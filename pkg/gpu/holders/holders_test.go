package holders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

func TestClassify(t *testing.T) {
	who := Who{
		Sessions: []Session{
			{"2", 1000, "user"}, {"3", 1000, "manager"}, {"c1", 980, "greeter"}, {"c2", 980, "manager-early"}, {"7", 1001, "greeter"}, {"8", 1001, "user"},
		},
		LoginUnits: []string{"display-manager.service", "greetd.service"}, Workload: "vllm.service",
		Compositors: []string{"sway"}, BenignUnits: []string{"nvidia-persistenced.service"},
		BenignPrograms: []string{"nvtop", "/opt/agent"},
	}
	const user, manager = "/user.slice/user-1000.slice/session-2.scope", "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service"
	tests := map[string]struct {
		p    Process
		want Class
	}{
		"process 1":                       {Process{PID: 1, Unit: "init.scope", Cgroup: "/init.scope"}, Broker},
		"logind":                          {Process{PID: 300, Unit: "systemd-logind.service"}, Broker},
		"seatd":                           {Process{PID: 300, Unit: "seatd.service"}, Broker},
		"a thread of the kernel":          {Process{PID: 300, Kernel: true}, Kernel},
		"a benign unit":                   {Process{PID: 300, Unit: "nvidia-persistenced.service"}, Benign},
		"a benign program of a person":    {Process{PID: 300, Exe: "/usr/bin/nvtop", Cgroup: user, Session: "2"}, Benign},
		"a benign program of NixOS":       {Process{PID: 300, Exe: "/nix/store/x/bin/.nvtop-wrapped", Cgroup: user, Session: "2"}, Benign},
		"a benign program by its path":    {Process{PID: 300, Exe: "/opt/agent", Cgroup: "/system.slice/a.service"}, Benign},
		"another of that name":            {Process{PID: 300, Exe: "/home/agent", Cgroup: "/system.slice/a.service"}, Unknown},
		"one that calls itself benign":    {Process{PID: 300, Comm: "nvtop", Exe: "/home/x", Cgroup: user, Session: "2"}, UserSession},
		"no program, no name":             {Process{PID: 300, Cgroup: "/x"}, Unknown},
		"the workload":                    {Process{PID: 300, Unit: "vllm.service", Cgroup: "/system.slice/vllm.service"}, Workload},
		"other work of ai.slice":          {Process{PID: 300, Unit: "x.service", Cgroup: "/ai.slice/x.service"}, Workload},
		"a slice of a similar name":       {Process{PID: 300, Unit: "x.service", Cgroup: "/ai.slice-like/x.service"}, Unknown},
		"a compositor of a session":       {Process{PID: 300, Comm: "sway", Cgroup: user, Session: "2", UID: 1000}, Compositor},
		"a compositor of a user manager":  {Process{PID: 300, Comm: "sway", Cgroup: manager, Unit: "user@1000.service", UID: 1000}, Compositor},
		"a compositor of nobody":          {Process{PID: 300, Comm: "sway", Cgroup: "/system.slice/kiosk.service", Unit: "kiosk.service"}, Compositor},
		"a greeter":                       {Process{PID: 300, Comm: "sway", Cgroup: "/user.slice/user-980.slice/session-c1.scope", Session: "c1", UID: 980}, Greeter},
		"a greeter's manager":             {Process{PID: 300, Comm: "x", Cgroup: "/user.slice/user-980.slice/user@980.service/a", UID: 980}, Greeter},
		"a manager of greeter and person": {Process{PID: 300, Comm: "x", Cgroup: "/user.slice/user-1001.slice/user@1001.service/a", UID: 1001}, UserSession},
		"the display manager":             {Process{PID: 300, Comm: "Xorg", Cgroup: "/system.slice/greetd.service", Unit: "greetd.service"}, DisplayManager},
		"a person's program":              {Process{PID: 300, Comm: "blender", Cgroup: user, Session: "2", UID: 1000}, UserSession},
		"a person's unit":                 {Process{PID: 300, Comm: "blender", Cgroup: manager, Unit: "user@1000.service", UID: 1000}, UserSession},
		"a service":                       {Process{PID: 300, Comm: "x", Cgroup: "/system.slice/x.service", Unit: "x.service"}, Unknown},
	}
	for name, test := range tests {
		if got := Classify(test.p, who); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

const devices = "Character devices:\n  1 mem\n195 nvidia-frontend\n226 drm\n505 nvidia-uvm\n510 nvidia-caps\n\nBlock devices:\n  8 sd\n259 nvidia-block\n"

func TestParseMajors(t *testing.T) {
	got, err := parseMajors([]byte(devices))
	want := majors{226: "drm", 195: "nvidia-frontend", 505: "nvidia-uvm", 510: "nvidia-caps"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := parseMajors([]byte("Character devices:\n  1 mem\n")); len(got) != 0 || err != nil {
		t.Errorf("no driver: %v, %v", got, err)
	}
	for _, bad := range []string{"", "rubbish", "Character devices:\nx drm\n", "Character devices:\n226\n", "Block devices:\n 8 sd\n"} {
		if got, err := parseMajors([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
	var names []string
	for _, d := range [][2]uint32{{226, 0}, {226, 64}, {226, 128}, {195, 0}, {195, 254}, {195, 255}, {505, 0}} {
		names = append(names, want.name(d[0], d[1]))
	}
	if diff := cmp.Diff([]string{"card0", "controlD64", "renderD128", "nvidia0", "nvidia-modeset", "nvidiactl", "nvidia-uvm 0"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const fdinfo = "pos:\t0\nflags:\t02\ndrm-driver:\tamdgpu\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t%d\ndrm-memory-vram:\t%d KiB\ndrm-memory-gtt:\t1 MiB\n"

func TestParseFDInfo(t *testing.T) {
	tests := map[string]struct {
		in    string
		want  client
		found bool
	}{
		"amdgpu":                {fmt.Sprintf(fdinfo, 7, 2048), client{"0000:03:00.0", 7, 3 << 20, true}, true},
		"resident over total":   {"drm-client-id: 1\ndrm-total-vram0: 9 MiB\ndrm-resident-vram0: 2 MiB\n", client{"", 1, 2 << 20, true}, true},
		"total alone":           {"drm-client-id: 1\ndrm-total-system: 100\n", client{"", 1, 100, true}, true},
		"no memory":             {"drm-client-id: 1\ndrm-pdev: x\n", client{"x", 1, 0, false}, true},
		"no client":             {"pos: 0\n", client{}, false},
		"a card, but no client": {"drm-pdev: 0\n", client{}, false},
		"a garbled client":      {"drm-client-id: -1\n", client{}, false},
		"a garbled amount":      {"drm-client-id: 1\ndrm-total-x: 1 parsec\ndrm-total-y: 18446744073709551615 KiB\n", client{"", 1, 0, false}, true},
	}
	for name, test := range tests {
		got, found := parseFDInfo([]byte(test.in))
		if got != test.want || found != test.found {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, found, test.want, test.found)
		}
	}
}

func TestParseMapping(t *testing.T) {
	const line = "7f00c000-7f00d000 rw-s 00000000 00:06 391                        /dev/dri/card0 x"
	got, ok := parseMapping([]byte(line))
	if !ok || string(got.span) != "7f00c000-7f00d000" || got.at != (inode{0, 6, 391}) || string(got.name) != "/dev/dri/card0 x" {
		t.Errorf("%+v, %v", got, ok)
	}
	if got, ok := parseMapping([]byte("7ffd-7ffe r-xp 00000000 fd:1f 0 ")); !ok || got.at != (inode{0xfd, 0x1f, 0}) {
		t.Errorf("an anonymous mapping: %+v, %v", got, ok)
	}
	for _, bad := range []string{"", "a b c", "a b c d e", "a b c 0:g 1", "a b c 0:1 x", "a b c 1ffffffff:1 1"} {
		if got, ok := parseMapping([]byte(bad)); ok {
			t.Errorf("%q gave %+v", bad, got)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte(devices))
	f.Add([]byte(fmt.Sprintf(fdinfo, 7, 2048)))
	f.Add([]byte("7f00c000-7f00d000 rw-s 00000000 00:06 391   /dev/dri/card0"))
	f.Add([]byte("/proc/1/fd/3 226:0\n/dev/dri/card0 226:0 00:06 391\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMajors(data); err == nil {
			for major := range m {
				if major > 4095 || m.name(major, 0) == "" {
					t.Errorf("major %d of %q", major, data)
				}
			}
		}
		if c, ok := parseFDInfo(data); !ok && c != (client{}) {
			t.Errorf("no client, and yet %+v", c)
		}
		if m, ok := parseMapping(data); ok && len(m.span)+len(m.name) > len(data) {
			t.Errorf("%+v is more than %q", m, data)
		}
		_, _ = parseTable(data)
		if len(data) > 0 {
			if pid, ok := pidOf(append(slices.Clone(data), 0)); ok && strconv.Itoa(pid) != string(data) {
				t.Errorf("%q is pid %d", data, pid)
			}
		}
	})
}

// fixture makes a machine with processes: the names of their files below
// /proc, and links as "-> target".
func fixture(t *testing.T, files map[string]string) hostfs.Root {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(path, []byte(content), 0o644)
		if target, link := strings.CutPrefix(content, "-> "); link {
			_ = os.Remove(path)
			err = os.Symlink(target, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return hostfs.Root(root)
}

func process(files map[string]string, pid int, comm, cgroup string, fds ...string) {
	dir := fmt.Sprintf("proc/%d/", pid)
	files[dir+"stat"] = fmt.Sprintf("%d (%s) S 1 %d %d 0 -1 4194304 0 0 0 0 10 20 0 0 20 0 1 0 %d 0 0\n", pid, comm, pid, pid, pid*10)
	files[dir+"cgroup"] = "0::" + cgroup + "\n"
	files[dir+"exe"] = "-> /usr/bin/" + comm
	for _, fd := range append([]string{"0"}, fds...) {
		files[dir+"fd/"+fd] = ""
	}
}

// desk is a machine with a desktop on an AMD card.
func desk() map[string]string {
	files := map[string]string{
		"proc/devices":                          devices,
		"sys/fs/cgroup/cgroup.controllers":      "cpu\n",
		"sys/fs/cgroup/cgroup.procs":            "",
		"sys/fs/cgroup/user.slice/cgroup.procs": "",
		"sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cgroup.procs": "1200\n1201\n",
		"sys/fs/cgroup/system.slice/systemd-logind.service/cgroup.procs":        "300\n",
		"sys/fs/cgroup/user.slice/user-1000.slice/cgroup.procs":                 "",
		TablePath[1:]: `/proc/1200/fd/17 226:0
/proc/1200/fd/18 226:0
/proc/1200/fd/19 226:128
/proc/300/fd/9 226:0
/proc/1/fd/40 226:0
/proc/900/fd/5 195:255
/proc/1300/fd/3 505:0
/proc/1201/fd/4 1:3
/dev/dri/card0 226:0 00:06 391
/proc/1201/map_files/7f00e000-7f00f000 226:129
`,
	}
	process(files, 1, "systemd", "/init.scope", "40")
	process(files, 300, "systemd-logind", "/system.slice/systemd-logind.service", "9")
	process(files, 900, "nv-hostengine", "/system.slice/dcgm.service", "5")
	process(files, 1200, "sway", "/user.slice/user-1000.slice/session-2.scope", "17", "18", "19")
	process(files, 1201, "waybar", "/user.slice/user-1000.slice/session-2.scope", "4")
	process(files, 1300, "python3", "/ai.slice/vllm.service", "3")
	files["proc/1200/fdinfo/17"] = fmt.Sprintf(fdinfo, 7, 2048)
	files["proc/1200/fdinfo/18"] = fmt.Sprintf(fdinfo, 7, 2048)
	files["proc/1200/fdinfo/19"] = fmt.Sprintf(fdinfo, 8, 4096)
	files["proc/1201/maps"] = "5500-5600 r-xp 00000000 fe:01 77  /usr/bin/waybar\n7f00c000-7f00d000 rw-s 00000000 00:06 391  /dri/card0\n" +
		"7f00e000-7f00f000 rw-s 00000000 00:4a 12  /dev/dri/renderD129 (deleted)\n7fff-8fff rw-p 00000000 00:00 0  [stack]\n"
	return files
}

func TestLook(t *testing.T) {
	who := Who{Workload: "vllm.service", Compositors: []string{"sway"}, BenignPrograms: []string{"nv-hostengine"}, Sessions: []Session{{"2", 1000, "user"}}}
	cards := []gpu.Card{{PCI: "0000:03:00.0", Nodes: []gpu.Node{{Name: "card0", Major: 226, Minor: 0}, {Name: "renderD128", Major: 226, Minor: 128}}}}
	uid := os.Getuid()
	of := func(pid int, comm, cgroup, session, unit string, class Class) Process {
		return Process{PID: pid, Comm: comm, Exe: "/usr/bin/" + comm, UID: uid, StartTicks: uint64(pid * 10), Cgroup: cgroup, Session: session, Unit: unit, Class: class}
	}
	card0 := Device{226, 0, "card0", "0000:03:00.0"}
	mib := uint64(8)
	all := []Holder{
		{Process: of(1, "systemd", "/init.scope", "", "init.scope", Broker), Devices: []Device{card0}, Descriptors: 1},
		{Process: of(300, "systemd-logind", "/system.slice/systemd-logind.service", "", "systemd-logind.service", Broker), Devices: []Device{card0}, Descriptors: 1},
		{Process: of(900, "nv-hostengine", "/system.slice/dcgm.service", "", "dcgm.service", Benign), Devices: []Device{{195, 255, "nvidiactl", ""}}, Descriptors: 1},
		{
			Process: of(1200, "sway", "/user.slice/user-1000.slice/session-2.scope", "2", "session-2.scope", Compositor),
			Devices: []Device{card0, {226, 128, "renderD128", "0000:03:00.0"}}, Descriptors: 3, MemoryMiB: &mib,
		},
		{
			Process: of(1201, "waybar", "/user.slice/user-1000.slice/session-2.scope", "2", "session-2.scope", UserSession),
			Devices: []Device{card0, {226, 129, "renderD129", ""}}, Mappings: 2,
		},
		{Process: of(1300, "python3", "/ai.slice/vllm.service", "", "vllm.service", Workload), Devices: []Device{{505, 0, "nvidia-uvm 0", ""}}, Descriptors: 1},
	}
	root := fixture(t, desk())
	got, err := Look(soon(t), root, Options{Who: who, Cards: cards})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Scan{Holders: all, Processes: 6, Descriptors: 14, All: true}, got); diff != "" {
		t.Errorf("everybody (-want +got):\n%s", diff)
	}
	if got.Gap() != nil {
		t.Errorf("the scan has a gap: %v", got.Gap())
	}
	got, err = Look(soon(t), root, Options{Who: who, Cards: cards, Candidates: Candidates([]string{"greetd.service", "x.target"}, "vllm.service")})
	if err != nil {
		t.Fatal(err)
	}
	want := Scan{Holders: []Holder{all[0], all[1], all[3], all[4]}, Processes: 4, Descriptors: 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the candidates (-want +got):\n%s", diff)
	}
	var names []string
	for _, h := range got.Of(Compositor, Broker) {
		names = append(names, h.String()+" "+h.Held())
	}
	wantNames := []string{
		fmt.Sprintf("systemd (pid 1, uid %d) in init.scope card0", uid), fmt.Sprintf("systemd-logind (pid 300, uid %d) in systemd-logind.service card0", uid),
		fmt.Sprintf("sway (pid 1200, uid %d) in session 2 card0, renderD128", uid),
	}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLookWithoutTheHierarchy(t *testing.T) {
	files := desk()
	delete(files, "sys/fs/cgroup/cgroup.controllers")
	got, err := Look(soon(t), fixture(t, files), Options{Candidates: []string{"/user.slice"}})
	if err != nil || !got.All || len(got.Holders) != 6 {
		t.Errorf("%d holders, all %v, %v: without control groups, all processes are looked at", len(got.Holders), got.All, err)
	}
}

func TestNoDriver(t *testing.T) {
	files := desk()
	files["proc/devices"] = "Character devices:\n  1 mem\n\nBlock devices:\n  8 sd\n"
	got, err := Look(soon(t), fixture(t, files), Options{})
	if diff := cmp.Diff(Scan{Holders: []Holder{}, NoDriver: true}, got); diff != "" || err != nil || got.Gap() != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestFaults is what a scan says of sources that are missing, garbled or no
// files at all.
func TestFaults(t *testing.T) {
	fifo := func(name string) func(t *testing.T, root hostfs.Root) {
		return func(t *testing.T, root hostfs.Root) {
			t.Helper()
			if err := os.RemoveAll(root.Path(name)); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(root.Path(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, root hostfs.Root) {
		return func(t *testing.T, root hostfs.Root) {
			t.Helper()
			if err := os.RemoveAll(root.Path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) func(t *testing.T, root hostfs.Root) {
		return func(t *testing.T, root hostfs.Root) {
			t.Helper()
			if err := os.WriteFile(root.Path(name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		change func(t *testing.T, root hostfs.Root)
		err    string
		gap    string
	}{
		"no /proc":                      {remove("proc"), "/proc/devices", ""},
		"no list of devices":            {remove("proc/devices"), "/proc/devices", ""},
		"a garbled list of devices":     {write("proc/devices", "rubbish\n"), "/proc/devices", ""},
		"a FIFO for the list":           {fifo("proc/devices"), "not a regular file", ""},
		"a FIFO for the descriptors":    {fifo("proc/1201/fd"), "", "pid 1201"},
		"a FIFO for the mappings":       {fifo("proc/1201/maps"), "", "pid 1201"},
		"a huge line of mappings":       {write("proc/1201/maps", strings.Repeat("x", 200<<10)), "", "pid 1201"},
		"process 1 hidden":              {remove("proc/1"), "", "hidepid"},
		"a process that has just ended": {remove("proc/1201/fd"), "", ""},
		"a holder that ends meanwhile":  {remove("proc/1200/stat"), "", ""},
		"a holder that can't be told":   {write("proc/1200/stat", "rubbish"), "", "pid 1200"},
		"a FIFO for a holder's group":   {fifo("proc/1200/cgroup"), "", "pid 1200"},
		"a garbled table":               {write(TablePath, "x\n"), TablePath, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := fixture(t, desk())
			test.change(t, root)
			scan, err := Look(soon(t), root, Options{})
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want one with %q", err, test.err)
			}
			gap := scan.Gap()
			if (gap == nil) != (test.gap == "") || gap != nil && !strings.Contains(gap.Error(), test.gap) {
				t.Errorf("gap %v, want one with %q", gap, test.gap)
			}
		})
	}
}

// stuck is a resolver that never returns for one process, as the kernel does
// for one that hangs in a driver.
type stuck struct {
	table
	pid     int
	release chan struct{}
}

func (s stuck) fd(dir, pid int, name []byte) (number, error) {
	if pid == s.pid {
		<-s.release
	}
	return s.table.fd(dir, pid, name)
}

func (s stuck) fresh() resolver { return s }

// denying is a resolver that may not follow mappings, as without
// CAP_CHECKPOINT_RESTORE.
type denying struct{ table }

func (d denying) mapped(int, string) (number, error) { return number{}, unix.EPERM }

func (d denying) fresh() resolver { return d }

// TestMappingThatCantBeFollowed holds that it is a gap, unless the process is
// known to be a holder without it.
func TestMappingThatCantBeFollowed(t *testing.T) {
	for name, test := range map[string]struct {
		fd   string
		gaps int
	}{"no descriptor": {"", 1}, "a descriptor": {"/proc/1201/fd/4 226:0\n", 0}} {
		files := desk()
		files["proc/1201/maps"] = "7f00e000-7f00f000 rw-s 00000000 00:4a 12  /dev/dri/renderD129\n"
		s := newScanner(fixture(t, files), Options{})
		if err := s.prepare(); err != nil {
			t.Fatal(err)
		}
		table, err := parseTable([]byte(test.fd))
		if err != nil {
			t.Fatal(err)
		}
		s.resolve = denying{table}
		scan, err := s.walk(soon(t))
		if err != nil || scan.Unreadable != test.gaps || len(scan.Holders) != 1-test.gaps {
			t.Errorf("%s: %d gaps, %d holders, %v; want %d gaps", name, scan.Unreadable, len(scan.Holders), err, test.gaps)
		}
	}
}

func TestHangingProcess(t *testing.T) {
	s := newScanner(fixture(t, desk()), Options{})
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := within(ctx, s, func(ctx context.Context) (Scan, error) {
		if err := s.prepare(); err != nil {
			return Scan{}, err
		}
		s.resolve = stuck{pid: 1201, release: release}
		return s.walk(ctx)
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "/proc/1201 did not answer") {
		t.Errorf("error %v, want one that names the process", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestRealProcesses finds a descriptor and a mapping that real processes have
// of a real device.
func TestRealProcesses(t *testing.T) {
	open := start(t, holdEnv+"=/dev/full")
	mapped := start(t, mapEnv+"=/dev/zero")
	s := memory(t)
	scan, err := s.walk(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	find := func(pid int) Holder {
		i := slices.IndexFunc(scan.Holders, func(h Holder) bool { return h.PID == pid })
		if i < 0 {
			t.Fatalf("process %d is not among %d holders", pid, len(scan.Holders))
		}
		return scan.Holders[i]
	}
	if h := find(open.Process.Pid); h.Descriptors < 1 || !slices.Contains(h.Devices, Device{Major: 1, Minor: 7, Name: "mem 7"}) || h.UID != os.Getuid() || h.StartTicks == 0 {
		t.Errorf("the one with a descriptor: %+v", h)
	}
	if h := find(mapped.Process.Pid); h.Mappings != 1 || !slices.Contains(h.Devices, Device{Major: 1, Minor: 5, Name: "mem 5"}) {
		t.Errorf("the one with a mapping: %+v", h)
	}
	// Without the list of nodes the name has to lead to the mapping's file.
	s.nodes = nil
	if scan, err = s.walk(soon(t)); err != nil {
		t.Fatal(err)
	}
	if h := slices.IndexFunc(scan.Holders, func(h Holder) bool { return h.PID == mapped.Process.Pid && h.Mappings > 0 }); h >= 0 {
		t.Error("a mapping of /dev/zero was asked for, whose name is not that of a card")
	}
}

// TestNobodySeesNothing holds that a user who may not look is told so, and
// never that nobody holds a card.
func TestNobodySeesNothing(t *testing.T) {
	if os.Getenv("HOLDERS_TEST_NOBODY") != "" {
		s := memory(t)
		scan, err := s.walk(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(scan); err != nil {
			t.Fatal(err)
		}
		return
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "holders-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin := filepath.Join(dir, "test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(bin, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.run=^TestNobodySeesNothing$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOLDERS_TEST_NOBODY=1")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var scan Scan
	if err := json.NewDecoder(strings.NewReader(string(out))).Decode(&scan); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if scan.Gap() == nil || scan.Unreadable == 0 && !scan.Hidden {
		t.Errorf("nobody thinks to have seen everything: %+v", scan)
	}
}

// TestManyProcesses looks at a thousand processes while some of them end.
func TestManyProcesses(t *testing.T) {
	const count = 1000
	var cmds []*exec.Cmd
	for range count {
		cmd := exec.Command("/bin/sleep", "300")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	end := func(list []*exec.Cmd) {
		for _, c := range list {
			_ = c.Process.Kill()
		}
		for _, c := range list {
			_ = c.Wait()
		}
	}
	t.Cleanup(func() { end(cmds[count/2:]) })
	s := memory(t)
	before, err := s.walk(soon(t)) // some machines keep process 1 from everybody
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		close(began)
		end(cmds[:count/2])
	}()
	<-began
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		default:
		}
		scan, err := s.walk(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if scan.Unreadable > before.Unreadable {
			t.Fatalf("processes that end are no gap: %v, and before they did %v", scan.Gap(), before.Gap())
		}
		if scan.Processes < count/2 {
			t.Fatalf("%d processes were seen, %d live", scan.Processes, count/2)
		}
	}
}
