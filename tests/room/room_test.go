package room

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What a room writes is gone with it, but for what it writes to the vault. Of
// the vault it sees what it is given.
func TestOnlyTheVaultSurvives(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mkdir("models", "out/a", "secret")
	s.write(s.path("vault/models/m"), "weights")
	program, err := os.ReadFile(filepath.Join(bin, "root/probe"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("vault/out/a/program"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	steps := []string{
		"write /x 1", "read /vault/models/m", "write /vault/models/x 1", "list /vault", "read /vault/out/a/kept", "write /vault/out/a/kept 1",
		"exec /vault/out/a/program ids", "write /vault/x 1", "list /vault/out",
	}
	first := `write /x 1: ok
read /vault/models/m: weights
write /vault/models/x 1: EROFS
list /vault: models out
read /vault/out/a/kept: ENOENT
write /vault/out/a/kept 1: ok
exec /vault/out/a/program ids: EACCES
write /vault/x 1: EROFS
list /vault/out: a
`
	steps[0] = "list /"
	first = strings.Replace(first, "write /x 1: ok\n", "list /: dev node probe proc run suid sys tmp vault\n", 1)
	steps, first = append(steps, "write /x 1"), first+"write /x 1: ok\n"
	name := s.add("", does(steps...), `vaultRead = ["models"]`, `vaultWrite = ["out/a"]`)
	for _, want := range []string{first, strings.Replace(first, "kept: ENOENT", "kept: 1", 1)} {
		if diff := cmp.Diff(result{stdout: want}, s.room("run", name), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if data, err := os.ReadFile(s.path("vault/out/a/kept")); err != nil || string(data) != "1" {
		t.Errorf("the vault has %q, %v", data, err)
	}
	s.gone(name)
}

// A folder for writing may lie in one for reading, and links that stay in the
// vault are followed.
func TestFoldersInFolders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mkdir("a/b/c", "a/b.c")
	if err := os.Symlink("a/b", s.path("vault/link")); err != nil {
		t.Fatal(err)
	}
	s.says("write /vault/a/b/c/x 1: ok\nwrite /vault/a/b/x 1: EROFS\nwrite /vault/a/b.c/x 1: EROFS\nlist /vault/link: c\n",
		[]string{"write /vault/a/b/c/x 1", "write /vault/a/b/x 1", "write /vault/a/b.c/x 1", "list /vault/link"},
		`vaultRead = ["a", "link"]`, `vaultWrite = ["a/b/c"]`)
}

// What a room's root user can't do, and does not see.
func TestConfined(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	name := s.add("", does(
		"status self CapEff", "status self CapPrm", "status self CapBnd", "status self CapInh", "status self CapAmb", "status self NoNewPrivs",
		"status 1 CapBnd", "list /dev", "rdev /dev/null", "open /dev/null", "open /dev/full", "open /dev/ptmx", "open /node",
		"mknod /x", "mknod /dev/x", "write /dev/x 1", "chmod /dev/null", "chmod /proc/self/fd/0", "mount /tmp", "remount /sys", "remount /vault",
		"writable /proc", "writable /sys", "read /proc/keys", "list /proc/acpi", "list /sys/firmware",
		"list /proc/1/root", "read /proc/1/environ", "open /proc/1/exe", "files", "interfaces", "listen", "orphans",
		"exec /suid effective", "setuid 1000", "exec /suid effective",
	))
	cmd := s.command("run", name)
	// What is open when it starts is not open in the room.
	secret, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	cmd.ExtraFiles = []*os.File{secret, secret}
	got := run(t, cmd)
	const caps = "00000000000004fb" // chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service
	want := `status self CapEff: ` + caps + `
status self CapPrm: ` + caps + `
status self CapBnd: ` + caps + `
status self CapInh: 0000000000000000
status self CapAmb: 0000000000000000
status self NoNewPrivs: 1
status 1 CapBnd: ` + caps + `
list /dev: fd full null ptmx pts random shm stderr stdin stdout tty urandom zero
rdev /dev/null: 1:3
open /dev/null: ok
open /dev/full: ok
open /dev/ptmx: ok
open /node: EACCES
mknod /x: EPERM
mknod /dev/x: EROFS
write /dev/x 1: EROFS
chmod /dev/null: EROFS
chmod /proc/self/fd/0: EROFS
mount /tmp: EPERM
remount /sys: EPERM
remount /vault: EPERM
writable /proc: 
writable /sys: 
read /proc/keys: 
list /proc/acpi: 
list /sys/firmware: 
list /proc/1/root: EACCES
read /proc/1/environ: EACCES
open /proc/1/exe: EACCES
files: 0 1 2
interfaces: lo true
listen: ok
orphans: 0 left
exec /suid effective: effective: 0
setuid 1000: ok
exec /suid effective: effective: 1000
`
	if diff := cmp.Diff(result{stdout: want}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the machine's null device: %v, %v", info.Mode(), err)
	}
}

// The room's name is its host's, its environment is its own, and its processes
// are all that it sees.
func TestOwnNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	name := s.add("", does("ids", "environ"))
	cmd := s.command("run", name)
	cmd.Env = append(os.Environ(), "SECRET=1", "TERM=vt100")
	r := run(t, cmd)
	if here, err := os.Hostname(); err != nil || here == name {
		t.Errorf("the machine's name is now %s, %v", here, err)
	}
	var pid int
	var host string
	ids, env, _ := strings.Cut(r.stdout, "\n")
	if n, err := fmt.Sscanf(ids, "ids: pid %d parent 1 host %s", &pid, &host); n != 2 || pid > 100 || host != name {
		t.Errorf("%v: %+v", err, r)
	}
	const want = "environ: PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 container=dubnium-room ROOM="
	if env != want+name+" TERM=vt100\n" {
		t.Errorf("the environment is %q", env)
	}
}

// The network of the machine is had only by a room that asks for it, and with
// it the machine's resolver.
func TestNetworkHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	resolver, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	data, err := os.ReadFile(filepath.Join(bin, "root/probe"))
	if err = errors.Join(err, os.Mkdir(filepath.Join(root, "etc"), 0o755), os.Symlink("/vault/elsewhere", filepath.Join(root, "etc/resolv.conf")),
		os.WriteFile(filepath.Join(root, "probe"), data, 0o755)); err != nil {
		t.Fatal(err)
	}
	name := s.add(s.image("net.sqsh", root), does("interfaces", "read /etc/resolv.conf"), `network = "host"`)
	here, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	r := s.room("run", name)
	for _, i := range here {
		if !strings.Contains(r.stdout, i.Name()+" ") {
			t.Errorf("the room does not have the interface %s", i.Name())
		}
	}
	if r.code != 0 || !strings.HasSuffix(r.stdout, "read /etc/resolv.conf: "+strings.TrimSpace(string(resolver))+"\n") {
		t.Errorf("%+v", r)
	}
}

// The room ends as its command does.
func TestExitStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for step, want := range map[string]int{"exit 0": 0, "exit 1": 1, "exit 7": 7, "exit 255": 255, "kill": 137} {
		name := s.add("", does(step))
		if r := s.room("run", name); r.code != want || r.stdout+r.stderr != "" {
			t.Errorf("%s: %+v, want %d and silence", step, r, want)
		}
	}
}

// The file system in memory ends where the configuration says, inside the room.
func TestOverlayIsFull(t *testing.T) {
	t.Parallel()
	newSite(t).says("fill /big: ENOSPC\nwrite /x 1: ENOSPC\nfill /dev/shm/big: ENOSPC\n",
		[]string{"fill /big", "write /x 1", "fill /dev/shm/big"}, `overlaySize = "3MiB"`)
}

// document reads JSON of the program.
func (s *site) document(code int, args ...string) map[string]any {
	s.t.Helper()
	r := s.room(append(args, "--json")...)
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || r.code != code || r.stderr != "" {
		s.t.Fatalf("%q: %v: %+v, want code %d", args, err, r, code)
	}
	return doc
}

// kinds are those of what is left of a room.
func (s *site) kinds(name string) (kinds []string, messages string) {
	s.t.Helper()
	for _, l := range s.document(42, "gone", "--wait=0s", name)["left"].([]any) {
		left := l.(map[string]any)
		if kind := left["kind"].(string); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		messages += left["message"].(string) + "\n"
	}
	return kinds, messages
}

// Two rooms of one image run side by side; one room runs once. While it runs
// there is something of it, also when its image is deleted; then nothing.
func TestRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.add("", does("write /x a", "term 5"))
	b := s.add("", does("read /x", "term 6"))
	first, second := s.start(a), s.start(b)
	if got := second.out.String(); got != "read /x: ENOENT\nready\n" {
		t.Errorf("the second room sees %q", got)
	}
	if r := s.room("run", a); r.code != 44 || !strings.Contains(r.stderr, "room "+a+" runs already, on /dev/loop") {
		t.Errorf("a second time: %+v", r)
	}
	states := map[string]any{}
	for _, r := range s.document(0, "list")["rooms"].([]any) {
		room := r.(map[string]any)
		states[room["name"].(string)] = room["state"]
	}
	if diff := cmp.Diff(map[string]any{a: "running", b: "running"}, states); diff != "" {
		t.Error(diff)
	}
	image := s.path("rooms", "demo.sqsh")
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	kinds, said := s.kinds(a)
	if !slices.Equal(kinds, []string{"mount", "loop-device"}) || !strings.Contains(said, " is a device over "+image+" (deleted)\n") {
		t.Errorf("of a room that runs there are %v: %s", kinds, said)
	}
	if code := first.end(unix.SIGTERM); code != 5 {
		t.Errorf("SIGTERM: exit status %d: %s", code, first.errs)
	}
	s.gone(a)
	if kinds, _ := s.kinds(b); len(kinds) != 2 {
		t.Errorf("the other room is gone too: %v", kinds)
	}
	if code := second.end(unix.SIGINT); code != 6 {
		t.Errorf("SIGINT: exit status %d: %s", code, second.errs)
	}
	s.gone(b)
}

// The launcher's death is the room's, and nothing of it stays.
func TestLauncherIsKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 3 {
		name := s.add("", does("wait"))
		r := s.start(name)
		if kinds, _ := s.kinds(name); len(kinds) != 2 {
			t.Errorf("there is no room to kill: %v", kinds)
		}
		if code := r.end(unix.SIGKILL); code != -1 {
			t.Errorf("exit status %d", code)
		}
		s.gone(name)
		// Its processes are gone as well.
		all, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		for _, file := range all {
			if data, _ := os.ReadFile(file); bytes.Contains(data, []byte("ROOM="+name)) {
				t.Errorf("%s is still there", file)
			}
		}
	}
}
