package procinfo

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The main thread stands for the process in /proc. Tests that change a thread's
// name or user must not get it, so the main goroutine, which runs none, keeps it.
func init() { runtime.LockOSThread() }

// stat renders /proc/PID/stat with the name as the kernel would escape it.
func stat(pid int, comm string, ppid int, flags, utime, stime, start uint64) string {
	return fmt.Sprintf("%d (%s) S %d 1 1 0 -1 %d 1 2 3 4 %d %d 5 6 20 0 1 0 %d 2998272 391 18446744073709551615 0 0\n",
		pid, comm, ppid, flags, utime, stime, start)
}

func TestParseStat(t *testing.T) {
	plain := Process{PID: 42, PPID: 7, Comm: "reaper", StartTicks: 99, CPUTicks: 30, State: 'S'}
	named := func(comm string) Process { p := plain; p.Comm = comm; return p }
	line := func(comm string) string { return stat(42, comm, 7, 0x400000, 10, 20, 99) }
	for _, tt := range []struct {
		name, in string
		want     Process
		err      string
	}{
		{"plain", line("reaper"), plain, ""},
		{"spaces", line("tmux: server"), named("tmux: server"), ""},
		{"parentheses", line("(sd-pam)"), named("(sd-pam)"), ""},
		{"a name like a stat line", line("x) R 1 (y"), named("x) R 1 (y"), ""},
		{"escaped newline and backslash", line(`a\nb\\n`), named("a\nb\\n"), ""},
		{"empty name", line(""), named(""), ""},
		{
			"a kernel thread", stat(2, "kworker/0:1-events", 0, 0x208040, 0, 0, 1),
			Process{PID: 2, Comm: "kworker/0:1-events", StartTicks: 1, State: 'S', Kernel: true},
			"",
		},
		{"empty", "", Process{}, "no name in parentheses"},
		{"no end of the name", "42 (reaper S 7 1", Process{}, "no name in parentheses"},
		{"parentheses the wrong way round", "42 )reaper( S 7", Process{}, "no name in parentheses"},
		{"no pid", "x (reaper) S", Process{}, "pid"},
		{"a state of two letters", "42 (reaper) SS 7", Process{}, `state "SS"`},
		{"cut short", "42 (reaper) S 7 1 1 0 -1 0 1 2 3 4 5", Process{}, "12 fields after the name"},
		{"no parent", "42 (reaper) S x", Process{}, "field 4"},
		{"an impossible parent", stat(42, "reaper", 1<<31, 0, 0, 0, 1), Process{}, "no pid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat(42, "reaper", 7, 0, 1, 2, 3)))
	f.Add([]byte(stat(42, "x) R 1 (\\n", 7, 1<<63, 1<<63, 1<<63, 3)))
	f.Add([]byte("1 () "))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseStat(data)
		if err != nil {
			if p != (Process{}) {
				t.Errorf("an error and a value: %+v", p)
			}
			return
		}
		escaped := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(p.Comm)
		var flags uint64
		if p.Kernel {
			flags = pfKthread
		}
		text := strings.Replace(stat(p.PID, escaped, p.PPID, flags, p.CPUTicks, 0, p.StartTicks),
			") S ", ") "+string([]byte{p.State})+" ", 1)
		// A name that itself holds ") S " was changed instead of the state.
		if strings.Contains(escaped, ") S ") {
			return
		}
		if again, err := parseStat([]byte(text)); err != nil || again != p {
			t.Errorf("%+v reads back as %+v, %v", p, again, err)
		}
	})
}

func TestStatOfAnOddName(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	odd := []byte("a)\n\\b( c\x00")
	old := make([]byte, 16)
	if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&old[0])), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&odd[0])), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&old[0])), 0, 0, 0)
	data, err := os.ReadFile("/proc/thread-self/stat")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseStat(data)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(bytes.TrimRight(odd, "\x00")); p.Comm != want {
		t.Errorf("name %q, want %q", p.Comm, want)
	}
}
