package flock

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

const locksSample = `1: POSIX  ADVISORY  WRITE 18447 fe:00:10068547 0 EOF
2: FLOCK  ADVISORY  WRITE 13989 fe:00:10043960 0 EOF
2: -> FLOCK  ADVISORY  WRITE 14001 fe:00:10043960 0 EOF
2:    -> FLOCK  ADVISORY  READ  14002 fe:00:10043960 0 EOF
3: FLOCK  ADVISORY  READ  600 00:1a:77 0 EOF
4: OFDLCK ADVISORY  READ  -1 00:05:1 0 EOF
5: LEASE  ACTIVE    READ  10 <none>:0 0 EOF
6: FLOCK  ADVISORY  WRITE 0 00:1a:18446744073709551615 0 EOF
7: NOVEL  THING
`

var compare = cmp.AllowUnexported(held{})

func TestParseLocks(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []held
		err      string
	}{
		{"empty", "", nil, ""},
		{"all kinds", locksSample, []held{
			{13989, 0xfe, 0, 10043960},
			{0, 0, 0x1a, 18446744073709551615},
		}, ""},
		{"no newline at the end", "1: FLOCK  ADVISORY  WRITE -1 103:02:9 0 EOF", []held{{-1, 0x103, 2, 9}}, ""},
		{"a flock cut short", "1: POSIX  ADVISORY  WRITE 1 fe:00:1 0 EOF\n2: FLOCK  ADV", nil, "line 2: 3 fields"},
		{"no number for a pid", "1: FLOCK  ADVISORY  WRITE x fe:00:1 0 EOF\n", nil, `pid "x"`},
		{"no file", "1: FLOCK  ADVISORY  WRITE 1 <none>:0 0 EOF\n", nil, `file "<none>:0"`},
		{"no hexadecimal device", "1: FLOCK  ADVISORY  WRITE 1 zz:00:1 0 EOF\n", nil, `file "zz:00:1"`},
		{"hexadecimal inode", "1: FLOCK  ADVISORY  WRITE 1 fe:00:1f 0 EOF\n", nil, `file "fe:00:1f"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLocks([]byte(tt.in))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseLocks(f *testing.F) {
	f.Add([]byte(locksSample))
	f.Add([]byte("1: FLOCK  ADVISORY  WRITE 1 fe:00:1 0 EOF\n2: FLOCK"))
	f.Add([]byte("\x00: FLOCK a WRITE +1 0:0:0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		locks, err := parseLocks(data)
		if err != nil {
			if locks != nil {
				t.Errorf("an error and locks: %v", locks)
			}
			return
		}
		// What was read means the same when the kernel writes it.
		var text strings.Builder
		for i, l := range locks {
			fmt.Fprintf(&text, "%d: FLOCK  ADVISORY  WRITE %d %02x:%02x:%d 0 EOF\n", i+1, l.pid, l.major, l.minor, l.ino)
		}
		again, err := parseLocks([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(locks, again, compare); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRecordPID(t *testing.T) {
	for record, want := range map[string]int{
		"":                                 0,
		"4242 compute\n":                   4242,
		"4242\n":                           4242,
		" 4242\tcompute":                   4242,
		`{"pid":4242,"target":"compute"}`:  4242,
		"{\"target\":\"x\",\n\"pid\":7}\n": 7,
		`{"target":"compute"}`:             0,
		`{"pid":"4242"}`:                   0,
		`{"pid":`:                          0,
		"-3 compute":                       0,
		"compute 4242":                     0,
		"4242compute":                      0,
		"99999999999999999999 compute":     0,
	} {
		if got := recordPID([]byte(record)); got != want {
			t.Errorf("recordPID(%q) = %d, want %d", record, got, want)
		}
	}
}

func FuzzRecordPID(f *testing.F) {
	f.Add([]byte("4242 compute\n"))
	f.Add([]byte(`{"pid":-1}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		if pid := recordPID(record); pid < 0 {
			t.Errorf("recordPID(%q) = %d", record, pid)
		}
	})
}

func TestChoose(t *testing.T) {
	dev := unix.Mkdev(0, 0x1a)
	const ino = 77
	free := Holder{UID: -1}
	by := func(pid int) Holder { return Holder{Held: true, PID: pid, UID: -1} }
	for _, tt := range []struct {
		name     string
		locks    []held
		recorded int
		alive    bool
		want     Holder
	}{
		{"no locks at all", nil, 5, true, free},
		{"another file", []held{{5, 0, 0x1a, 78}}, 5, true, free},
		{"this file", []held{{9, 0, 0x1a, ino}}, 0, false, by(9)},
		{"the kernel's pid wins", []held{{9, 0, 0x1a, ino}}, 5, true, by(9)},
		{"no pid from the kernel", []held{{0, 0, 0x1a, ino}}, 5, true, by(5)},
		{"nor from the record", []held{{-1, 0, 0x1a, ino}}, 0, false, by(0)},
		{"other device, recorded process", []held{{5, 0, 0x27, ino}}, 5, true, by(5)},
		{"other device, holder gone but its child has the file", []held{{5, 0, 0x27, ino}}, 5, false, by(5)},
		{"other device, other process", []held{{6, 0, 0x27, ino}}, 5, true, free},
		{"other device, no record", []held{{6, 0, 0x27, ino}}, 0, true, free},
		{"other device, no pid, recorded process alive", []held{{-1, 0, 0x27, ino}}, 5, true, by(5)},
		{"other device, no pid, recorded process dead", []held{{-1, 0, 0x27, ino}}, 5, false, free},
		{"exact beats the other device", []held{{5, 0, 0x27, ino}, {9, 0, 0x1a, ino}}, 5, true, by(9)},
		{"minor numbers matter", []held{{9, 0x1a, 0, ino}}, 0, true, free},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := choose(tt.locks, dev, ino, tt.recorded, func(int) bool { return tt.alive })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fixture is a root with a lock file, and a /proc/locks that says what locks
// says with %s as the device and inode of that file.
func fixture(t *testing.T, record, locks string) hostfs.Root {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"run", "proc/4242"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "run/lock")
	if err := os.WriteFile(path, []byte(record), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)), stat.Ino)
	if err := os.WriteFile(filepath.Join(dir, "proc/locks"), []byte(strings.ReplaceAll(locks, "%s", id)), 0o444); err != nil {
		t.Fatal(err)
	}
	return hostfs.Root(dir)
}

func TestReadHolderBelowARoot(t *testing.T) {
	for _, tt := range []struct {
		name, record, locks string
		want                Holder
		err                 string
	}{
		{
			"held", "4242 compute\n", "1: FLOCK  ADVISORY  WRITE 4242 %s 0 EOF\n",
			Holder{Held: true, PID: 4242, UID: os.Geteuid(), Record: []byte("4242 compute\n")},
			"",
		},
		{
			"held by a process that is gone", "4243 compute\n", "1: FLOCK  ADVISORY  WRITE 4243 %s 0 EOF\n",
			Holder{Held: true, PID: 4243, UID: -1, Record: []byte("4243 compute\n")},
			"",
		},
		{
			"held, at the end of a long list", "4242 compute\n",
			strings.Repeat("1: POSIX  ADVISORY  WRITE 1 fe:00:1 0 EOF\n", 400) + "2: FLOCK  ADVISORY  WRITE 4242 %s 0 EOF\n",
			Holder{Held: true, PID: 4242, UID: os.Geteuid(), Record: []byte("4242 compute\n")},
			"",
		},
		{
			"free, after a long list", "",
			strings.Repeat("1: POSIX  ADVISORY  WRITE 1 fe:00:1 0 EOF\n", 400),
			Holder{UID: -1, Record: []byte{}},
			"",
		},
		{
			"a waiter alone", "", "1: -> FLOCK  ADVISORY  WRITE 4242 %s 0 EOF\n",
			Holder{UID: -1, Record: []byte{}},
			"",
		},
		{"garbled", "4242\n", "1: FLOCK  ADVISORY\n", Holder{}, "parse /proc/locks: line 1"},
		{"too long a record", strings.Repeat("x", recordLimit+1), "", Holder{}, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadHolder(fixture(t, tt.record, tt.locks), "/run/lock")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadHolderWithoutTheList(t *testing.T) {
	root := fixture(t, "4242\n", "")
	if err := os.Remove(root.Path("/proc/locks")); err != nil {
		t.Fatal(err)
	}
	if h, err := ReadHolder(root, "/run/lock"); err == nil {
		t.Errorf("without a list of locks the lock counts as %+v", h)
	}
}
