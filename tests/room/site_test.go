// Package room runs real rooms, as root, in mount and process namespaces of its
// own: what the programs promise of rooms is looked at from inside of them, and
// from outside.
package room

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// inNamespace says that this process is the one in namespaces of its own.
const inNamespace = "DUBNIUM_ROOM_TEST"

// bin holds the program room and the folder root; demo is the image of that,
// with its lines for the configuration.
var (
	bin  string
	demo struct{ data, lines []byte }
)

// TestMain goes into namespaces of its own: there, every process that the tests
// see is one of theirs.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) == "" {
		os.Exit(apart())
	}
	var err error
	if bin, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(bin)
	os.Exit(code)
}

func apart() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "rooms need root: run the tests as root")
		return 1
	}
	cmd := exec.Command("unshare", append([]string{"--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "/proc/self/exe"}, os.Args[1:]...)...)
	self, err := os.Executable()
	if err == nil {
		cmd.Args[len(cmd.Args)-len(os.Args)] = self
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = cmd.Run()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// build makes the program and an image that has the probe, a program that is
// setuid, a node of a device, and no folder at all.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "dubnium-room-")
	if err != nil {
		return "", err
	}
	root := filepath.Join(dir, "root")
	for _, b := range [][2]string{{filepath.Join(dir, "room"), "../../cmd/room"}, {filepath.Join(root, "probe"), "./probe"}} {
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", b[0], b[1])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	suid := filepath.Join(root, "suid")
	program, err := os.ReadFile(filepath.Join(root, "probe"))
	if err = errors.Join(err, os.WriteFile(suid, program, 0o755), os.Chmod(suid, 0o755|os.ModeSetuid),
		unix.Mknod(filepath.Join(root, "node"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))); err != nil {
		return "", err
	}
	image := filepath.Join(dir, demoImage)
	if demo.lines, err = exec.Command(filepath.Join(dir, "room"), "image", root, image).Output(); err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	demo.data, err = os.ReadFile(image)
	return dir, err
}

const demoImage = "demo.sqsh"

// names and this run's own part make names of rooms that no other test has, also
// of another run: loop devices are the whole machine's.
var (
	names atomic.Int32
	own   = strconv.FormatInt(time.Now().UnixNano(), 36)
)

// site is a machine's rooms: images, a vault, a configuration.
type site struct {
	t    *testing.T
	dir  string
	toml strings.Builder
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	for _, d := range []string{"rooms", "vault"} {
		if err := os.Mkdir(s.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintf(&s.toml, "[rooms]\ndirectory = %q\nvault = %q\n", s.path("rooms"), s.path("vault"))
	return s
}

func (s *site) path(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

// mkdir makes folders of the vault.
func (s *site) mkdir(subs ...string) {
	s.t.Helper()
	for _, sub := range subs {
		if err := os.MkdirAll(s.path("vault", sub), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// image packs a folder, and gives the lines for the configuration.
func (s *site) image(name, root string) string {
	s.t.Helper()
	r := s.room("image", root, s.path("rooms", name))
	if r.code != 0 || r.stderr != "" {
		s.t.Fatalf("make an image: %+v", r)
	}
	return r.stdout
}

// demo is a copy of the image with the probe, and gives the lines for the
// configuration.
func (s *site) demo() string {
	s.t.Helper()
	image := s.path("rooms", demoImage)
	if err := os.WriteFile(image, demo.data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	return strings.Replace(string(demo.lines), filepath.Join(bin, demoImage), image, 1)
}

// add adds a room of an image, "" for the probe's, and gives its name.
func (s *site) add(image string, more ...string) string {
	s.t.Helper()
	name := fmt.Sprintf("test-%s-%d", own, names.Add(1))
	if image == "" {
		image = s.demo()
	}
	fmt.Fprintf(&s.toml, "[rooms.named.%s]\n%s%s\n", name, image, strings.Join(more, "\n"))
	s.save()
	return name
}

func (s *site) save() { s.write(s.path("dubnium.toml"), s.toml.String()) }

// does is the line of a configuration for what the probe is to do.
func does(steps ...string) string {
	args := []string{"/probe"}
	for i, step := range steps {
		if i > 0 {
			args = append(args, "+")
		}
		args = append(args, strings.Fields(step)...)
	}
	for i := range args {
		args[i] = fmt.Sprintf("%q", args[i])
	}
	return "command = [" + strings.Join(args, ", ") + "]"
}

type result struct {
	code           int
	stdout, stderr string
}

// command is one of the program with the site's configuration.
func (s *site) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "room"), args...)
	cmd.WaitDelay = 5 * time.Second // a room that outlives its launcher holds the streams
	if args[0] != "image" && args[0] != "gone" {
		cmd.Args = append(cmd.Args, "--config", s.path("dubnium.toml"))
	}
	return cmd
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (s *site) room(args ...string) result {
	s.t.Helper()
	return run(s.t, s.command(args...))
}

// says runs a room that does steps, and compares what it prints.
func (s *site) says(want string, steps []string, more ...string) {
	s.t.Helper()
	name := s.add("", append([]string{does(steps...)}, more...)...)
	got := s.room("run", name)
	if diff := cmp.Diff(result{stdout: want}, got, cmp.AllowUnexported(result{})); diff != "" {
		s.t.Errorf("(-want +got):\n%s", diff)
	}
	s.gone(name)
}

// gone holds that nothing is left of a room.
func (s *site) gone(name string) {
	s.t.Helper()
	if r := s.room("gone", name); r.code != 0 || r.stderr != "" {
		s.t.Errorf("room gone %s: %+v", name, r)
	}
}

// running is a room that runs.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bytes.Buffer
	errs *bytes.Buffer
}

// start starts a room, and waits until its command says that it is ready.
func (s *site) start(name string) *running {
	s.t.Helper()
	r := &running{t: s.t, cmd: s.command("run", name), out: new(bytes.Buffer), errs: new(bytes.Buffer)}
	read, write, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = write, r.errs
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	write.Close()
	s.t.Cleanup(func() { read.Close() })
	if err := read.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	for buf := make([]byte, 4096); !strings.Contains(r.out.String(), "ready\n"); {
		n, err := read.Read(buf)
		r.out.Write(buf[:n])
		if err != nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			s.t.Fatalf("room %s is not ready: %v: %s%s", name, err, r.out, r.errs)
		}
	}
	return r
}

// end sends a signal and gives the exit status of room run, -1 for a signal's.
func (r *running) end(signal syscall.Signal) int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.t.Fatal(err)
	}
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}
