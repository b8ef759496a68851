// Package hosts holds fixture machines: text archives that are each a whole
// state of a workstation, and what is needed to let a tool look at one as if
// it were the machine.
//
// An archive's files land below a root of their own (proc, sys, run, etc). Its
// dbus/login1.json and dbus/systemd1.json become services on a real
// dbus-daemon whose socket is where that root has the system bus; the services
// answer with the types that the real ones use, unless a "raw" entry says
// otherwise.
//
// A file may hold @INODE:path@, which becomes the device and inode of that
// file of the fixture as /proc/locks spells them; the file is then really
// locked with flock(2) until the test ends.
package hosts

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"golang.org/x/sys/unix"
)

//go:embed *.txtar
var archives embed.FS

// Names lists the fixture machines, in order.
func Names() []string {
	entries, err := archives.ReadDir(".")
	if err != nil {
		panic(err) // the files are in the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".txtar"))
	}
	slices.Sort(names)
	return names
}

// Load reads a fixture machine's archive, for tests that change it first.
func Load(t testing.TB, name string) *txtar.Archive {
	t.Helper()
	data, err := archives.ReadFile(name + ".txtar")
	if err != nil {
		t.Fatalf("no fixture machine %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return txtar.Parse(data)
}

// Host is a fixture machine that runs.
type Host struct {
	// Login and Systemd are the machine's services.
	Login   *Login
	Systemd *Systemd

	t    testing.TB
	root string
	bus  *daemon
}

// Start unpacks a fixture machine and starts its bus and services; all end
// with the test.
func Start(t testing.TB, name string) *Host {
	t.Helper()
	return StartArchive(t, Load(t, name))
}

// StartArchive is Start for an archive that the test made or changed.
func StartArchive(t testing.TB, archive *txtar.Archive) *Host {
	t.Helper()
	h := Unpack(t, archive)
	h.bus = startDaemon(t, h.root)
	h.Login = startLogin(t, h.bus.address, member(archive, "dbus/login1.json"))
	h.Systemd = startSystemd(t, h.bus.address, member(archive, "dbus/systemd1.json"))
	return h
}

// Unpack makes only the files of a fixture machine: one without a bus.
func Unpack(t testing.TB, archive *txtar.Archive) *Host {
	t.Helper()
	// Not t.TempDir: a socket's path may have 107 bytes only.
	root, err := os.MkdirTemp("", "host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Errorf("remove the fixture machine: %v", err)
		}
	})
	h := &Host{t: t, root: root}
	for _, f := range archive.Files {
		if !strings.HasPrefix(f.Name, "dbus/") {
			h.Write(f.Name, string(f.Data))
		}
	}
	// Only now does every file have its inode.
	for _, f := range archive.Files {
		h.resolve(f.Name, string(f.Data))
	}
	return h
}

func member(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return []byte("{}")
}

// Root is the folder that stands for the machine's "/".
func (h *Host) Root() hostfs.Root { return hostfs.Root(h.root) }

// Write makes or replaces a file of the machine.
func (h *Host) Write(name, content string) {
	h.t.Helper()
	path := h.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// Remove takes a file or a whole folder off the machine: a process, a cgroup.
func (h *Host) Remove(name string) {
	h.t.Helper()
	if _, err := os.Lstat(h.path(name)); err != nil {
		h.t.Fatalf("nothing to remove: %v", err)
	}
	if err := os.RemoveAll(h.path(name)); err != nil {
		h.t.Fatal(err)
	}
}

// path keeps an archive from naming files outside the machine.
func (h *Host) path(name string) string {
	if !filepath.IsLocal(name) {
		h.t.Fatalf("%q is no path inside the machine", name)
	}
	return filepath.Join(h.root, name)
}

var inodeMark = regexp.MustCompile(`@INODE:([^@]+)@`)

// resolve replaces the inode marks of a file and locks what they name.
func (h *Host) resolve(name, content string) {
	h.t.Helper()
	if !inodeMark.MatchString(content) {
		return
	}
	h.Write(name, inodeMark.ReplaceAllStringFunc(content, func(mark string) string {
		return h.lock(inodeMark.FindStringSubmatch(mark)[1])
	}))
}

// lock locks a file and gives its device and inode as /proc/locks has them.
func (h *Host) lock(name string) string {
	h.t.Helper()
	f, err := os.Open(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		h.t.Fatalf("lock %s: %v", name, err)
	}
	info, err := f.Stat()
	if err != nil {
		h.t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
}

// Hang lets both services take calls and never answer, until Resume.
func (h *Host) Hang() { h.Login.setHang(true); h.Systemd.setHang(true) }

// HangLogin lets logind alone take calls and never answer.
func (h *Host) HangLogin() { h.Login.setHang(true) }

// HangSystemd lets systemd alone take calls and never answer.
func (h *Host) HangSystemd() { h.Systemd.setHang(true) }

// Resume ends Hang for the calls that come from now on; those taken before
// stay unanswered.
func (h *Host) Resume() { h.Login.setHang(false); h.Systemd.setHang(false) }

// StopBus stops the bus itself with SIGSTOP: connections are taken by the
// kernel, and nothing answers.
func (h *Host) StopBus() { h.t.Helper(); h.bus.signal(h.t, syscall.SIGSTOP) }

// ContinueBus ends StopBus.
func (h *Host) ContinueBus() { h.t.Helper(); h.bus.signal(h.t, syscall.SIGCONT) }

// KillBus kills the bus and waits until it is gone. Its socket file stays, as
// it does after a crash.
func (h *Host) KillBus() { h.t.Helper(); h.bus.kill(h.t) }

// Calls lists the method calls that both services took which may change
// something, in order: the member and its arguments.
func (h *Host) Calls() []string {
	return slices.Concat(h.Login.Changes(), h.Systemd.Changes())
}

// Taken counts the method calls that both services took.
func (h *Host) Taken() int { return h.Login.Taken() + h.Systemd.Taken() }
