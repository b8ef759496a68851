package procinfo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// child starts a program that waits for the end of its input.
func child(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// longName is a copy of cat under a name longer than the kernel keeps.
func longName(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindRealProcesses(t *testing.T) {
	root := hostfs.Root("")
	plain := child(t, longName(t, "procinfo-plain-and-long"), "-u")
	wrapped := child(t, longName(t, ".pinf-wrapped"))
	scan, err := Find(root, []string{"procinfo-plain-and-long", "pinf", "no-such-program", ""})
	if err != nil {
		t.Fatal(err)
	}
	if !scan.Complete() || scan.Seen < 3 {
		t.Errorf("seen %d, unreadable %d, hidden %v", scan.Seen, scan.Unreadable, scan.Hidden)
	}
	own, _, err := Cgroup(root, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	type hit struct {
		PID, PPID, UID     int
		Comm, Name, Cgroup string
	}
	var got []hit
	for _, p := range scan.Processes {
		got = append(got, hit{p.PID, p.PPID, p.UID, p.Comm, p.Name, p.Cgroup})
		one, alive, err := Stat(root, p.PID)
		if err != nil || !alive || one.Comm != p.Comm || one.UID != p.UID || one.StartTicks != p.StartTicks || p.StartTicks == 0 {
			t.Errorf("Stat of %d: %+v, %v, %v", p.PID, one, alive, err)
		}
	}
	want := []hit{
		{plain.Process.Pid, os.Getpid(), os.Geteuid(), "procinfo-plain-", "procinfo-plain-and-long", own},
		{wrapped.Process.Pid, os.Getpid(), os.Geteuid(), ".pinf-wrapped", "pinf", own},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	pid := plain.Process.Pid
	open, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	plain.Process.Kill()
	plain.Wait()
	if _, err := open.Read(make([]byte, 1)); !gone(err) {
		t.Errorf("a process that dies between open and read: %v", err)
	}
	if _, alive, err := Stat(root, pid); alive || err != nil {
		t.Errorf("Stat of a dead process: alive %v, %v", alive, err)
	}
	if _, alive, err := Cgroup(root, pid); alive || err != nil {
		t.Errorf("Cgroup of a dead process: alive %v, %v", alive, err)
	}
}

func TestProcessesOfThisMachine(t *testing.T) {
	scan, err := Processes(hostfs.Root(""))
	if err != nil {
		t.Fatal(err)
	}
	if !scan.Complete() || scan.Seen != len(scan.Processes) {
		t.Errorf("seen %d, listed %d, unreadable %d, hidden %v", scan.Seen, len(scan.Processes), scan.Unreadable, scan.Hidden)
	}
	found := false
	for _, p := range scan.Processes {
		if p.PID == os.Getpid() {
			found = p.PPID == os.Getppid() && p.UID == os.Geteuid() && strings.HasPrefix("procinfo.test", p.Comm)
		}
	}
	if !found {
		t.Error("this process is not listed as it is")
	}
}

func TestScanOfATree(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/1/comm":      "systemd\n",
		"proc/1/stat":      stat(1, "systemd", 0, 0, 1, 1, 1),
		"proc/1/cgroup":    "0::/init.scope\n",
		"proc/42/comm":     "reaper\n",
		"proc/42/stat":     stat(42, "reaper", 1, 0, 3, 4, 50),
		"proc/42/cgroup":   "1:name=systemd:/\n0::/user.slice/user-1000.slice/session-2.scope\n",
		"proc/7/environ":   "a process that ended between two reads has no comm and no stat",
		"proc/meminfo":     meminfoSample,
		"proc/self/comm":   "reaper\n",
		"proc/042/comm":    "reaper\n",
		"proc/42x/comm":    "reaper\n",
		"proc/irq/42/comm": "reaper\n",
	})
	reaper := Process{
		PID: 42, PPID: 1, Comm: "reaper", UID: os.Geteuid(), StartTicks: 50, CPUTicks: 7, State: 'S',
		Name: "reaper", Cgroup: "/user.slice/user-1000.slice/session-2.scope",
	}
	got, err := Find(root, []string{"reaper"})
	check(t, got, err, Scan{Processes: []Process{reaper}, Seen: 2}, "")

	bare := reaper
	bare.Name, bare.Cgroup = "", ""
	init := Process{PID: 1, Comm: "systemd", UID: os.Geteuid(), StartTicks: 1, CPUTicks: 2, State: 'S'}
	got, err = Processes(root)
	check(t, got, err, Scan{Processes: []Process{init, bare}, Seen: 2}, "")

	// Garbled files are errors that name the process, and never a miss.
	for file, content := range map[string]string{
		"stat":   "42 (reaper) S",
		"cgroup": "0::relative\n",
		"comm":   strings.Repeat("x", 20000),
	} {
		path := root.Path("proc/42", file)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(root, []string{"reaper"}); err == nil || !strings.Contains(err.Error(), "process 42: ") {
			t.Errorf("garbled %s: %v", file, err)
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.RemoveAll(root.Path("proc/1")); err != nil {
		t.Fatal(err)
	}
	got, err = Find(root, []string{"systemd"})
	check(t, got, err, Scan{Seen: 1, Hidden: true}, "")
	if got.Complete() {
		t.Error("a scan without process 1 passes for complete")
	}
}

// A FIFO in the place of a process's file holds nobody up.
func TestFIFOInTheTree(t *testing.T) {
	root := tree(t, map[string]string{"proc/1/comm": "systemd\n"})
	if err := os.Mkdir(root.Path("proc/42"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"comm", "stat"} {
		if err := unix.Mkfifo(root.Path("proc/42", file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Find(root, []string{"x"}); err != nil || got.Seen != 2 {
		t.Errorf("Find: %+v, %v", got, err)
	}
	if _, _, err := Stat(root, 42); !errors.Is(err, hostfs.ErrNotRegular) {
		t.Errorf("Stat: %v", err)
	}
}

// asNobody runs look on a thread of its own that has no privileges left. The
// thread ends with it.
func asNobody(t *testing.T, look func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		for _, call := range [][2]uintptr{
			{unix.SYS_SETGROUPS, 0},
			{unix.SYS_SETRESGID, 65534},
			{unix.SYS_SETRESUID, 65534},
		} {
			// The plain calls change this thread alone; the syscall package would
			// change all.
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[1], call[1]); errno != 0 {
				failed <- errno
				return
			}
		}
		look()
		failed <- nil
	}()
	if err := <-failed; err != nil {
		t.Fatalf("this test needs root to become somebody else: %v", err)
	}
}

// What a /proc hides from its reader is told, not taken for absence.
func TestHiddenProcesses(t *testing.T) {
	for _, tt := range []struct {
		option                 string
		hidden, complete, some bool
	}{
		{"hidepid=0", false, true, false},
		{"hidepid=1", false, false, true},
		{"hidepid=2", true, false, false},
	} {
		t.Run(tt.option, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "procinfo-test-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			proc := filepath.Join(dir, "proc")
			if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(proc, 0o755)); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("procinfo-test", proc, "proc", 0, tt.option); err != nil {
				t.Fatalf("this test needs root and a /proc of its own: %v", err)
			}
			defer func() {
				if err := unix.Unmount(proc, 0); err != nil {
					t.Errorf("unmount: %v", err)
				}
			}()
			asNobody(t, func() {
				for name, look := range map[string]func() (Scan, error){
					"Find":      func() (Scan, error) { return Find(hostfs.Root(dir), []string{"systemd"}) },
					"Processes": func() (Scan, error) { return Processes(hostfs.Root(dir)) },
				} {
					scan, err := look()
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if scan.Hidden != tt.hidden || scan.Complete() != tt.complete || (scan.Unreadable > 0) != tt.some {
						t.Errorf("%s: hidden %v, complete %v, unreadable %d", name, scan.Hidden, scan.Complete(), scan.Unreadable)
					}
				}
			})
		})
	}
}

// Processes come and go while others look; no scan fails over it.
func TestScanDuringChurn(t *testing.T) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
				if err := exec.Command("/bin/true").Run(); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 60 {
		if _, err := Processes(hostfs.Root("")); err != nil {
			t.Error(err)
		}
		if _, err := Find(hostfs.Root(""), []string{"true"}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzDirentNames(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x0442\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name := range direntNames(data) {
			if pid, ok := pidOf(name); ok && fmt.Sprint(pid) != string(name) {
				t.Errorf("%q is pid %d", name, pid)
			}
		}
	})
}
