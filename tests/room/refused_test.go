package room

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefused holds that a room that is not what the configuration says does
// not start, and that room check says so too, in the same words.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room func(s *site) []string // the keys beside the command, and what is done before the start
		says string
		run  bool // only the start can tell
		code int  // 18 unless set
	}{
		"one byte changed": {room: func(s *site) []string {
			keys := s.demo()
			f, err := os.OpenFile(s.path("rooms", demoImage), os.O_RDWR, 0)
			if err != nil {
				s.t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, 5000); err != nil {
				s.t.Fatal(err)
			}
			b[0] ^= 1
			if _, err := f.WriteAt(b, 5000); err != nil {
				s.t.Fatal(err)
			}
			return []string{keys}
		}, says: "nothing of it is run"},
		"no image": {room: func(*site) []string {
			return []string{`image = "none"`, `sha256 = "` + strings.Repeat("0", 64) + `"`}
		}, says: "no such file"},
		"a folder": {room: func(s *site) []string {
			return []string{`image = "` + s.path("vault") + `"`, `sha256 = "` + strings.Repeat("0", 64) + `"`}
		}, says: "is no regular file"},
		"others may write": {room: func(s *site) []string {
			keys := s.demo()
			if err := os.Chmod(s.path("rooms", demoImage), 0o664); err != nil {
				s.t.Fatal(err)
			}
			return []string{keys}
		}, says: "can be written to by others (mode 0664)"},
		"another's": {room: func(s *site) []string {
			keys := s.demo()
			if err := os.Chown(s.path("rooms", demoImage), 1000, 0); err != nil {
				s.t.Fatal(err)
			}
			return []string{keys}
		}, says: "is not root's"},
		"link out of the vault": {room: func(s *site) []string {
			if err := os.Symlink("../rooms", s.path("vault/out")); err != nil {
				s.t.Fatal(err)
			}
			return []string{s.demo(), `vaultWrite = ["out"]`}
		}, says: "leads out of the vault by a symbolic link"},
		"absolute link in the middle": {room: func(s *site) []string {
			if err := os.Symlink("/", s.path("vault/top")); err != nil {
				s.t.Fatal(err)
			}
			return []string{s.demo(), `vaultRead = ["top/etc"]`}
		}, says: "leads out of the vault by a symbolic link"},
		"not in the vault": {room: func(s *site) []string { return []string{s.demo(), `vaultRead = ["a/b"]`} }, says: "there is no folder a/b in the vault: mkdir -p "},
		"file in the vault": {room: func(s *site) []string {
			s.write(s.path("vault/f"), "")
			return []string{s.demo(), `vaultRead = ["f"]`}
		}, says: "is no folder, and a room can be given folders alone"},
		"no GPU":    {room: func(s *site) []string { return []string{s.demo(), "gpu = true"} }, says: ".gpu is true, and this machine has no /dev/nvidiactl"},
		"no limits": {room: func(s *site) []string { return []string{s.demo(), `memoryMax = "64MiB"`} }, says: ".memoryMax is 64MiB, and the control group /", run: true},
		"no program": {room: func(s *site) []string {
			root := s.t.TempDir()
			return []string{s.image("empty.sqsh", root)}
		}, says: "run /probe, the command of room ", run: true},
		"a link for a folder": {room: func(s *site) []string {
			root := s.t.TempDir()
			if err := os.Symlink("/tmp", filepath.Join(root, "proc")); err != nil {
				s.t.Fatal(err)
			}
			return []string{s.image("link.sqsh", root)}
		}, says: "/proc of the image is no folder", run: true},
		"no squashfs": {room: func(s *site) []string {
			s.write(s.path("rooms/text"), strings.Repeat("\n", 8192))
			return []string{`image = "text"`, `sha256 = "40635a3f422766433bd3aeaa1e45c2b2bb87ac423c92cc0682069a27408eeef2"`}
		}, says: "mount the image: make a squashfs", run: true, code: 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			room := s.add(strings.Join(c.room(s), "\n")+"\n", does("exit 0"))
			code := c.code
			if code == 0 {
				code = 18
			}
			r := s.room("run", room)
			if r.code != code || r.stdout != "" || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("room run: %+v, want code %d and %q", r, code, c.says)
			}
			if !c.run {
				if r := s.room("check", room); r.code != 18 || r.stderr != "" || !strings.Contains(r.stdout, "refused  ") || !strings.Contains(r.stdout, c.says) {
					t.Errorf("room check: %+v, want code 18 and %q", r, c.says)
				}
			}
			s.gone(room)
		})
	}
}

// TestCheck holds what is said of a room that can start.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mkdir("a")
	name := s.add("", does("exit 0"), `vaultWrite = ["a"]`)
	doc := s.document(0, "check", name)
	if doc["ready"] != true || doc["room"] != name || len(doc["findings"].([]any)) != 3 {
		t.Errorf("%v", doc)
	}
}

// Of the NVIDIA driver's devices a room has the nodes that there are, and only
// when it is to have them. The nodes of this test are of a harmless device, in
// a /dev of its own.
func TestGPU(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	with := s.add("", does("list /dev", "list /dev/nvidia-caps", "rdev /dev/nvidiactl", "open /dev/nvidiactl", "open /dev/nvidia-caps/nvidia-cap1"), "gpu = true")
	without := s.add("", does("list /dev"))
	broken := s.add("", does("exit 0"), "gpu = true")
	const dev = `set -e
mkdir "$1/u" "$1/w"
mount -t tmpfs none "$1/u"
mkdir "$1/u/u" "$1/u/w"
mount -t overlay -o "lowerdir=/dev,upperdir=$1/u/u,workdir=$1/u/w" none /dev
mknod -m 600 /dev/nvidiactl c 1 3
mknod /dev/nvidia0 c 1 3
mkdir /dev/nvidia-caps
mknod /dev/nvidia-caps/nvidia-cap1 c 1 3
touch /dev/nvidia-no-device
shift
"$3" run "$2" --config "$1"
"$3" run "$4" --config "$1"
rm /dev/nvidia0
mknod /dev/nvidia0 c 195 0
"$3" run "$5" --config "$1"
`
	cmd := s.command("run")
	cmd.Args = []string{"unshare", "--mount", "sh", "-c", dev, "sh", t.TempDir(), s.path("dubnium.toml"), with, filepath.Join(bin, "room"), without, broken}
	cmd.Path = "/usr/bin/unshare"
	r := run(t, cmd)
	const want = `list /dev: fd full null nvidia-caps nvidia0 nvidiactl ptmx pts random shm stderr stdin stdout tty urandom zero
list /dev/nvidia-caps: nvidia-cap1
rdev /dev/nvidiactl: 1:3
open /dev/nvidiactl: ok
open /dev/nvidia-caps/nvidia-cap1: ok
list /dev: fd full null ptmx pts random shm stderr stdin stdout tty urandom zero
`
	if r.stdout != want || r.code != 18 || !strings.Contains(r.stderr, "room: /dev/nvidia0 can't be opened: ") {
		t.Errorf("%+v, want code 18 and\n%s", r, want)
	}
}

// TestImage holds that one folder gives one image, whoever owns it, and however
// its files are linked; and that nothing is overwritten.
func TestImage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		s.write(filepath.Join(dir, "one"), "text")
	}
	if err := os.Link(filepath.Join(a, "one"), filepath.Join(a, "two")); err != nil {
		t.Fatal(err)
	}
	s.write(filepath.Join(b, "two"), "text")
	if err := os.Chown(filepath.Join(b, "one"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	first, second := s.image("a.sqsh", a), s.image("b.sqsh", b)
	if strings.Replace(first, "a.sqsh", "b.sqsh", 1) != second {
		t.Errorf("two images of the same files:\n%s%s", first, second)
	}
	if r := s.room("image", a, s.path("rooms/a.sqsh")); r.code != 30 || !strings.Contains(r.stderr, "is there already") {
		t.Errorf("over another image: %+v", r)
	}
	if left, _ := filepath.Glob(s.path("rooms/*.part")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
