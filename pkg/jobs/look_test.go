package jobs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

func stat(pid, ppid int, comm string, ticks, start int) string {
	return fmt.Sprintf("%d (%s) S %d %d %d 0 -1 4194560 900 0 3 0 %d 0 0 0 20 0 1 0 %d 1 1 1\n", pid, comm, ppid, pid, pid, ticks, start)
}

// machine lays the files of a machine with one busy unit below a new root.
func machine(t *testing.T, more map[string]string) hostfs.Root {
	t.Helper()
	root := hostfs.Root(t.TempDir())
	files := map[string]string{
		"/sys/fs/cgroup/cgroup.controllers":       "cpu\n",
		"/sys/fs/cgroup" + unit + "/cpu.stat":     "usage_usec 0\n",
		"/sys/fs/cgroup" + unit + "/cgroup.procs": "30\n",
		"/proc/1/stat":    stat(1, 0, "systemd", 100, 1),
		"/proc/30/stat":   stat(30, 1, "worker", 100, 50),
		"/proc/31/stat":   stat(31, 1, "make", 0, 60),
		"/proc/31/cgroup": "0::/system.slice/ci.service\n",
		"/etc/passwd":     "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
	}
	for name, content := range more {
		files[name] = content
	}
	for name, content := range files {
		if content != "" {
			write(t, root, name, content)
		}
	}
	return root
}

// write replaces a file at once, so that a reader never sees half of it.
func write(t *testing.T, root hostfs.Root, name, content string) {
	t.Helper()
	path := root.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// alone asks for no bus, and waits no longer than a test has to.
func alone() config.GuardJobs {
	p := config.Default().Guards.Jobs
	p.RemoteSessions = config.RemoteIgnored
	p.Window = config.Duration(50 * time.Millisecond)
	return p
}

// TestLookMeasuresBetweenTwoLooks lets a unit work between the looks.
func TestLookMeasuresBetweenTwoLooks(t *testing.T) {
	root := machine(t, nil)
	start := time.Now()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { // the kernel's counters, at the rate of one whole processor
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				used := time.Since(start)
				write(t, root, "/sys/fs/cgroup"+unit+"/cpu.stat", fmt.Sprintf("usage_usec %d\n", used.Microseconds()))
				write(t, root, "/proc/30/stat", stat(30, 1, "worker", 100+int(used/tick), 50))
			}
		}
	}()
	defer func() { close(done); <-ended }()
	policy := alone()
	policy.Window = config.Duration(500 * time.Millisecond)
	s, err := Look(t.Context(), root, policy)
	if err != nil {
		t.Fatal(err)
	}
	found := Find(s, policy, nil)
	// make is the service itself: its parent is process 1.
	if len(found) != 1 || found[0].Kind != Busy || found[0].PID != 30 || found[0].UserUnit != "build.service" ||
		found[0].CPUPct < 50 || found[0].CPUPct > 150 {
		t.Fatalf("found %+v", found)
	}
	for _, q := range s.Processes {
		if q.PID == 30 && (q.Ticks < 25 || q.Ticks > 75) {
			t.Errorf("process 30 used %d ticks in 500 ms", q.Ticks)
		}
	}
}

func TestLookCannotSee(t *testing.T) {
	fifo := func(name string) func(*testing.T, hostfs.Root) {
		return func(t *testing.T, root hostfs.Root) {
			if err := os.Remove(root.Path(name)); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(root.Path(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		files  map[string]string
		change func(*testing.T, hostfs.Root)
		want   string // in the error
	}{
		"no hierarchy":          {files: map[string]string{"/sys/fs/cgroup/cgroup.controllers": ""}, want: "no unified control group hierarchy"},
		"garbled usage":         {files: map[string]string{"/sys/fs/cgroup" + unit + "/cpu.stat": "rubbish\n"}, want: "usage_usec is missing"},
		"no usage":              {files: map[string]string{"/sys/fs/cgroup" + unit + "/cpu.stat": ""}, want: "cpu.stat"},
		"usage that blocks":     {change: fifo("/sys/fs/cgroup" + unit + "/cpu.stat"), want: "not a regular file"},
		"garbled list":          {files: map[string]string{"/sys/fs/cgroup" + unit + "/cgroup.procs": "rubbish\n"}, want: `pid "rubbish"`},
		"garbled process":       {files: map[string]string{"/proc/30/stat": "rubbish\n"}, want: "process 30"},
		"process that blocks":   {change: fifo("/proc/30/stat"), want: "process 30"},
		"hidden processes":      {change: func(t *testing.T, r hostfs.Root) { os.RemoveAll(r.Path("/proc/1")) }, want: "hidepid"},
		"no processes":          {change: func(t *testing.T, r hostfs.Root) { os.RemoveAll(r.Path("/proc")) }, want: "/proc"},
		"garbled locks":         {files: map[string]string{"/var/lib/dpkg/lock": "x", "/proc/locks": "1: POSIX ADVISORY\n"}, want: "/proc/locks: line 1"},
		"no locks":              {files: map[string]string{"/var/lib/dpkg/lock": "x"}, want: "/proc/locks"},
		"locks that block":      {files: map[string]string{"/var/lib/dpkg/lock": "x", "/proc/locks": "x"}, change: fifo("/proc/locks"), want: "not a regular file"},
		"user names that block": {change: fifo("/etc/passwd"), want: "names of users"},
		"nested without end": {files: map[string]string{
			"/sys/fs/cgroup/user.slice" + strings.Repeat("/a.slice", maxDepth+1) + "/cpu.stat": "usage_usec 0\n",
		}, want: "nested too deeply"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := machine(t, tt.files)
			if tt.change != nil {
				tt.change(t, root)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := Look(ctx, root, alone()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want …%s…", err, tt.want)
			}
		})
	}
}

// TestLookEndsWithItsContext lets the wait between the looks be cut off.
func TestLookEndsWithItsContext(t *testing.T) {
	policy := alone()
	policy.Window = config.Duration(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Look(ctx, machine(t, nil), policy); err == nil || !strings.Contains(err.Error(), "second look") {
		t.Errorf("the error is %v", err)
	}
}

// TestNoUsersNoWait looks at a machine where nobody ever logged in.
func TestNoUsersNoWait(t *testing.T) {
	root := machine(t, nil)
	if err := os.RemoveAll(root.Path("/sys/fs/cgroup/user.slice")); err != nil {
		t.Fatal(err)
	}
	policy := alone()
	policy.Window = config.Duration(time.Hour)
	s, err := Look(t.Context(), root, policy)
	if err != nil || len(s.Groups) != 0 || len(s.Processes) != 3 {
		t.Errorf("%d groups, %d processes, %v", len(s.Groups), len(s.Processes), err)
	}
}

// TestAskers starts a pipeline of a tool of ours in a group of its own.
func TestAskers(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(t.TempDir(), "check_made_up")
	data, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, data, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(group int, argv ...string) int {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd.Process.Pid
	}
	asker := run(0, tool, "60")
	reader := run(asker, sleep, "60")
	other := run(0, sleep, "60")
	root := hostfs.Root("")
	deadline := time.Now().Add(10 * time.Second)
	for comm := ""; comm != "check_made_up"; {
		l, err := lookOnce(root)
		if err != nil {
			t.Fatal(err)
		}
		got := askers(root, l.scan.Processes)
		for _, p := range l.scan.Processes {
			if p.PID == asker {
				comm = p.Comm
			}
		}
		if comm == "check_made_up" && (!got[asker] || !got[reader] || got[other]) {
			t.Errorf("asking: tool %v, its reader %v, a stranger %v", got[asker], got[reader], got[other])
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is called %q", asker, comm)
		}
	}
}

func TestParseUsers(t *testing.T) {
	got := parseUsers("root:x:0:0::/root:/bin/sh\n\n# no line\nada:x:1000:100:Ada:/home/ada:/bin/sh\nlovelace:x:1000:100::/:/bin/sh\nbad:x:-1:0:::\n:x:5:0:::\nshort:x:7\n")
	if diff := cmp.Diff(map[int]string{0: "root", 1000: "ada"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\n")
	f.Fuzz(func(t *testing.T, text string) {
		for uid, name := range parseUsers(text) {
			if uid < 0 || name == "" || !strings.Contains(text, name+":") {
				t.Errorf("%q gives user %d %q", text, uid, name)
			}
		}
	})
}

const locksText = `1: POSIX  ADVISORY  WRITE 702 00:19:1042 0 EOF
2: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 EOF
3: FLOCK  ADVISORY  READ  800 fe:00:78 0 EOF
3: -> FLOCK  ADVISORY  WRITE 801 fe:00:78 0 EOF
4: LEASE  ACTIVE    WRITE 900 fe:00:79 0 EOF
`

func TestParseLocks(t *testing.T) {
	got, err := parseLocks([]byte(locksText))
	want := []entry{{702, 0, 0x19, 1042}, {-1, 0xfe, 0, 77}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"1: POSIX ADVISORY", "1: POSIX A WRITE x 0:0:1 0 EOF", "1: FLOCK A WRITE 1 0:1 0 EOF", "1: FLOCK A WRITE 1 g:0:1 0 EOF"} {
		if got, err := parseLocks([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func FuzzParseLocks(f *testing.F) {
	f.Add([]byte(locksText))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := parseLocks(data); err != nil && got != nil {
			t.Errorf("%q gives both %v and %v", data, got, err)
		}
	})
}

// TestLocksAreReal takes locks of each kind on real files, with processes of
// their own, and finds them in the real list.
func TestLocksAreReal(t *testing.T) {
	dir := t.TempDir()
	names := map[string]string{}
	for _, kind := range []string{"posix", "ofd", "flock", "free", "read"} {
		names[kind] = filepath.Join(dir, kind)
		if err := os.WriteFile(names[kind], nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for kind, lock := range map[string]func(fd uintptr) error{
		"posix": func(fd uintptr) error { return unix.FcntlFlock(fd, unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}) },
		"ofd": func(fd uintptr) error {
			return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		},
		"flock": func(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) },
		"read":  func(fd uintptr) error { return unix.FcntlFlock(fd, unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}) },
	} {
		f, err := os.OpenFile(names[kind], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := lock(f.Fd()); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	got, err := Locks("", []string{names["posix"], names["ofd"], names["flock"], names["free"], names["read"], dir + "/none", names["free"] + "/below"})
	want := []Lock{{names["posix"], os.Getpid()}, {names["ofd"], 0}, {names["flock"], os.Getpid()}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestLockOnAnInventedDevice is a lock whose device differs from stat's, as on
// overlay and btrfs: only a holder that has the file open counts.
func TestLockOnAnInventedDevice(t *testing.T) {
	root := machine(t, map[string]string{"/var/lib/dpkg/lock": "x", "/proc/30/fd/1": "another file"})
	info, err := root.Stat("/var/lib/dpkg/lock")
	if err != nil {
		t.Fatal(err)
	}
	inode := strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
	files := []string{"/var/lib/dpkg/lock"}
	ask := func(pid int) []Lock {
		write(t, root, "/proc/locks", fmt.Sprintf("1: POSIX  ADVISORY  WRITE %d 7f:7f:%s 0 EOF\n", pid, inode))
		got, err := Locks(root, files)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, pid := range []int{30, 31, 999, -1, 0} {
		if got := ask(pid); got != nil {
			t.Errorf("process %d, which has another file open, holds %v", pid, got)
		}
	}
	if err := os.Symlink(root.Path("/var/lib/dpkg/lock"), root.Path("/proc/30/fd/2")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Lock{{files[0], 30}}, ask(30)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
