package room

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

func code(err error) exitcode.Code {
	if coder, ok := errors.AsType[exitcode.Coder](err); ok {
		return coder.ExitCode()
	}
	return exitcode.Internal
}

func TestBinds(t *testing.T) {
	got := binds(&config.Room{VaultRead: []string{"a/b.c", "a", "c"}, VaultWrite: []string{"a/b/c", "a/b"}})
	want := []bind{{"a", false}, {"a/b.c", false}, {"a/b", true}, {"a/b/c", true}, {"c", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRoomByName(t *testing.T) {
	h := Host{Rooms: config.Rooms{Directory: "/d", Named: map[string]*config.Room{"a": {Image: "i"}, "b": {Image: "/x/i"}}}}
	for name, want := range map[string]string{
		"a": "", "b": "", "c": `no room has the name "c"; the rooms are: a, b`, "": `"" is no name of a room`,
		"a/b": `"a/b" is no name of a room`, "../a": `"../a" is no name of a room`, "-a": `"-a" is no name of a room`,
		strings.Repeat("a", 200): `"` + strings.Repeat("a", 60) + `…" is longer than the 48 bytes of a room's name`,
	} {
		_, err := h.room(name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || code(err) != exitcode.Usage) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	if a, b := h.Image(h.Rooms.Named["a"]), h.Image(h.Rooms.Named["b"]); a != "/d/i" || b != "/x/i" {
		t.Errorf("images %s, %s", a, b)
	}
}

// The longest name fits what the kernel keeps of a loop device's.
func TestLongestNameFits(t *testing.T) {
	name := strings.Repeat("a", 48)
	if config.WrongRoomName(name) != "" || config.WrongRoomName(name+"a") == "" {
		t.Fatal("48 is not the longest")
	}
	if got := len(marker(name)); got > len(unix.LoopInfo64{}.File_name)-1 || got >= 64 {
		t.Errorf("the marker has %d bytes", got)
	}
}

const someMounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
90 62 0:40 / /run/root rw,nosuid,nodev - overlay dubnium-room:demo rw,lowerdir=/run/image
91 62 0:40 / /a\040b rw,nosuid master:3 propagate_from:2 - tmpfs dubnium-room:demo rw
92 62 0:41 / /x rw - tmpfs dubnium-room:demo-2 rw
93 62 0:42 /dubnium-room:demo /y rw - tmpfs none rw
`

func TestParseMounts(t *testing.T) {
	got, err := parseMounts([]byte(someMounts), marker("demo"))
	if diff := cmp.Diff([]string{"/run/root", `/a\040b`}, got); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
	for _, bad := range []string{"22 1 254:0 / / rw\n", "22 1 254:0 / / rw - ext4\n", "x\n", "- a b c d e f\n"} {
		if _, err := parseMounts([]byte(bad), "x"); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(someMounts))
	f.Add([]byte("22 1 254:0 / / rw\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		points, err := parseMounts(data, marker("demo"))
		if err != nil && points != nil || len(points) > strings.Count(string(data), "\n")+1 {
			t.Errorf("%q, %v", points, err)
		}
		if len(points) > 0 && !strings.Contains(string(data), marker("demo")) {
			t.Errorf("%q from nothing", points)
		}
	})
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"max\n", "1024\n", "", "-1\n", "18446744073709551616\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, limited, err := parseLimit(data)
		if (err != nil || !limited) && n != 0 || err != nil && limited {
			t.Errorf("%q: %d, %v, %v", data, n, limited, err)
		}
	})
}

// tree writes files below a root.
func tree(t *testing.T, files map[string]string) hostfs.Root {
	t.Helper()
	root := hostfs.Root(t.TempDir())
	for name, text := range files {
		path := root.Path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestEffective(t *testing.T) {
	const top = "/sys/fs/cgroup/"
	for name, c := range map[string]struct {
		files   map[string]string
		group   string
		want    uint64
		limited bool
		err     string
	}{
		"its own":          {map[string]string{"a/memory.max": "max\n", "a/b/memory.max": "10\n"}, "/a/b", 10, true, ""},
		"one above":        {map[string]string{"a/memory.max": "5\n", "a/b/memory.max": "10\n"}, "/a/b", 5, true, ""},
		"none":             {map[string]string{"a/memory.max": "max\n", "a/b/memory.max": "max\n"}, "/a/b", 0, false, ""},
		"another's":        {map[string]string{"a/memory.max": "5\n"}, "/b", 0, false, ""},
		"no controller":    {map[string]string{}, "/a/b", 0, false, ""},
		"the root":         {map[string]string{}, "/", 0, false, ""},
		"no hierarchy":     {map[string]string{}, "", 0, false, ""},
		"not a limit":      {map[string]string{"a/memory.max": "lots\n"}, "/a", 0, false, `"lots" is neither a number nor max`},
		"beside version 1": {map[string]string{"unified/cgroup.controllers": "", "unified/a/memory.max": "7\n"}, "/a", 7, true, ""},
	} {
		files := map[string]string{}
		for file, text := range c.files {
			files[top+file] = text
		}
		if _, beside := files[top+"unified/cgroup.controllers"]; !beside {
			files[top+"cgroup.controllers"] = "memory pids\n"
		}
		got, limited, err := effective(tree(t, files), c.group, "memory.max")
		if got != c.want || limited != c.limited || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d, %v, %v; want %d, %v, %s", name, got, limited, err, c.want, c.limited, c.err)
		}
	}
}

// A limit that is there and not tight enough keeps a room from starting, and so
// does none.
func TestLimited(t *testing.T) {
	pid := "/proc/" + strconv.Itoa(os.Getpid()) + "/cgroup"
	r := &config.Room{MemoryMax: 1024, TasksMax: 5}
	for name, c := range map[string]struct{ memory, tasks, says string }{
		"as configured": {"1024\n", "5\n", ""},
		"tighter":       {"512\n", "1\n", ""},
		"memory looser": {"1025\n", "5\n", "memoryMax is 1KiB, and the control group /ai.slice/room@a.service of this process has 1025 in memory.max"},
		"no memory":     {"max\n", "5\n", "has no limit in memory.max"},
		"no tasks":      {"1024\n", "max\n", "tasksMax is 5, and the control group /ai.slice/room@a.service of this process has no limit in pids.max: run the room with systemctl start room@a.service"},
	} {
		root := tree(t, map[string]string{
			pid: "0::/ai.slice/room@a.service\n", "/sys/fs/cgroup/cgroup.controllers": "memory pids\n",
			"/sys/fs/cgroup/ai.slice/room@a.service/memory.max": c.memory, "/sys/fs/cgroup/ai.slice/room@a.service/pids.max": c.tasks,
		})
		err := Host{Root: root}.limited("a", r)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || code(err) != exitcode.TargetUnreachable) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if err := (Host{Root: tree(t, nil)}).limited("a", &config.Room{}); err != nil {
		t.Errorf("a room without limits: %v", err)
	}
}

// What is mounted is what was read, whatever the name leads to by then.
func TestImageIsSwapped(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "i")
	right := strings.Repeat("right...", 512)
	if err := os.WriteFile(at, []byte(right), 0o644); err != nil {
		t.Fatal(err)
	}
	digest, err := Digest(t.Context(), strings.NewReader(right))
	if err != nil {
		t.Fatal(err)
	}
	const name = "swapped-image"
	h := Host{Rooms: config.Rooms{Directory: dir, Named: map[string]*config.Room{name: {Image: "i", SHA256: digest}}}}
	f, err := h.verified(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(at+"2", []byte(strings.Repeat("wrong...", 512)), 0o644), os.Rename(at+"2", at)); err != nil {
		t.Fatal(err)
	}
	device, err := attach(h.Root, f, name)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	own, err := loopsOf(h.Root, name)
	if err != nil || len(own) != 1 || own[0].path != device.Name() || !strings.HasSuffix(own[0].backing, "(deleted)") {
		t.Errorf("%+v, %v", own, err)
	}
	data, err := io.ReadAll(io.LimitReader(device, int64(len(right))))
	if err != nil || string(data) != right {
		t.Errorf("the device has %.8q, %v", data, err)
	}
	if _, err := h.verified(t.Context(), name); code(err) != exitcode.TargetUnreachable {
		t.Errorf("the other image: %v", err)
	}
}

func TestDigestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Digest(ctx, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Only root's file, which nobody else can write to, is an image.
func TestWrongFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openImage(hostfs.Root(dir), "/fifo"); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a FIFO: %v", err)
	}
}

// The nodes of the driver are found by their names, and are devices.
func TestGPUNodes(t *testing.T) {
	root := tree(t, map[string]string{"/dev/nvidia-file": "", "/dev/nvidia-caps/nvidia-text": "", "/dev/tty0": ""})
	for name, minor := range map[string]uint32{"nvidiactl": 255, "nvidia0": 0, "nvidia-caps/nvidia-cap1": 1} {
		if err := unix.Mknod(root.Path("/dev", name), unix.S_IFCHR|0o600, int(unix.Mkdev(195, minor))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nvidia0", root.Path("/dev/nvidia1")); err != nil {
		t.Fatal(err)
	}
	got, err := gpuNodes(root)
	want := []node{{"nvidia0", unix.Mkdev(195, 0)}, {"nvidiactl", unix.Mkdev(195, 255)}, {"nvidia-caps/nvidia-cap1", unix.Mkdev(195, 1)}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
}

// A room keeps no capability that reaches beyond it.
func TestCapabilities(t *testing.T) {
	for _, c := range []uint{
		unix.CAP_SYS_ADMIN, unix.CAP_MKNOD, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_PTRACE, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME,
		unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP, unix.CAP_SYSLOG, unix.CAP_BPF,
	} {
		if slices.Contains(capabilities, c) {
			t.Errorf("capability %d is kept", c)
		}
	}
}
