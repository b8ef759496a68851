package caller

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

const (
	// everybody is a group that root is in on any machine.
	everybody = "root"
	stranger  = 65533 // a uid that nobody has
)

// asking says that this test asks for a mode, for as long as it runs.
func asking(t *testing.T, target string, cutOff bool) {
	t.Helper()
	s, err := Announce("", target, cutOff)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
}

// target is a mode that nobody else on this machine asks for.
func target(t *testing.T) string { return fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name()) }

func TestFind(t *testing.T) {
	mode := target(t)
	list, err := Find("", mode, everybody)
	if err != nil || len(list) != 0 {
		t.Fatalf("where nobody asks: %+v, %v", list, err)
	}
	asking(t, mode, false)
	asking(t, mode+"-other", true)
	list, err = Find("", mode, everybody)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	self := Self("")
	if diff := cmp.Diff(self, list[0]); diff != "" || self.PID != os.Getpid() || self.UID != os.Getuid() || self.User == "" {
		t.Errorf("%+v: %s", self, diff)
	}
	asking(t, mode, true)
	list, err = Find("", mode, everybody)
	if err != nil || len(list) != 2 || list[0].CutOff == list[1].CutOff {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestEnds holds that who has ended, or no longer asks, is not told.
func TestEnds(t *testing.T) {
	mode := target(t)
	s, err := Announce("", mode, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := Find("", mode, everybody); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestStranger holds that nothing is made of the word of somebody who is
// neither root nor in the group. This test runs itself as such a user.
func TestStranger(t *testing.T) {
	mode := os.Getenv("DUBNIUM_ASKS_FOR")
	if mode != "" {
		asking(t, mode, true)
		fmt.Println("asking")
		time.Sleep(time.Minute) // its parent ends it
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("this test needs root, to be somebody else")
	}
	mode = target(t)
	// The file of the test lies where only root may look.
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^TestStranger$")
	cmd.Dir, cmd.ExtraFiles = "/", []*os.File{self}
	cmd.Env = append(os.Environ(), "DUBNIUM_ASKS_FOR="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()         //nolint:errcheck // it was killed
	defer cmd.Process.Kill() //nolint:errcheck // as above
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "asking") {
		t.Fatalf("it says %q, %v", buf[:n], err)
	}
	begin, err := name("", mode)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	names := listening(table, begin)
	if len(names) != 1 {
		t.Fatalf("the kernel lists %q", names)
	}
	if c, there := look("", names[0]); !there || c.UID != stranger || c.PID != cmd.Process.Pid {
		t.Errorf("the kernel says %+v, %v", c, there)
	}
	if list, err := Find("", mode, everybody); err != nil || len(list) != 0 {
		t.Errorf("a stranger is heard: %+v, %v", list, err)
	}
}

func TestMany(t *testing.T) {
	mode := target(t)
	for range maxCallers + 1 {
		asking(t, mode, false)
	}
	if list, err := Find("", mode, everybody); err != ErrMany {
		t.Errorf("%d callers, %v", len(list), err)
	}
}

// TestOtherNamespace holds that a socket of another namespace's processes is
// none of ours: here of a root whose link says so.
func TestOtherNamespace(t *testing.T) {
	mode := target(t)
	asking(t, mode, false)
	root := hostfs.Root(t.TempDir())
	if err := os.MkdirAll(root.Path("/proc/self/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(root.Path("/proc/net"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pid:[1]", root.Path("/proc/self/ns/pid")); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path("/proc/net/unix"), table, 0o644); err != nil {
		t.Fatal(err)
	}
	if list, err := Find(root, mode, everybody); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 15 @dubnium/request/1/desktop/wait/aa
0000000000000000: 00000003 00000000 00000000 0001 03 16 @dubnium/request/1/desktop/wait/bb
0000000000000000: 00000002 00000000 00010000 0001 01 17 @dubnium/request/1/compute/wait/cc
0000000000000000: 00000002 00000000 00010000 0001 01 18 /run/@dubnium/request/1/desktop/wait/dd
0000000000000000: 00000002 00000000 00010000 0001 01 19 @dubnium/request/1/desktop/cut-off/ee
0000000000000000: 00000002 00000000 0001000x 0001 01 20 @dubnium/request/1/desktop/wait/ff
0000000000000000: 00000002 00000000 00010000 0001 01 21 @dubnium/request/1/desktop/wait/a b
0000000000000000: 00000002 00000000 00010000 0001 01 22
`

func TestListening(t *testing.T) {
	want := []string{"@dubnium/request/1/desktop/wait/aa", "@dubnium/request/1/desktop/cut-off/ee"}
	if diff := cmp.Diff(want, listening([]byte(table), "@dubnium/request/1/desktop/")); diff != "" {
		t.Error(diff)
	}
}

func FuzzListening(f *testing.F) {
	f.Add([]byte(table))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range listening(data, "@dubnium/request/1/desktop/") {
			if !strings.HasPrefix(name, "@dubnium/request/1/desktop/") || strings.ContainsAny(name, " \n") {
				t.Errorf("%q", name)
			}
		}
	})
}
