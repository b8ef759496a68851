package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// The descriptors that the launcher leaves to the room's first process.
const (
	specFD   = 3 // a spec, as JSON
	statusFD = 4 // takes a status, as JSON, once the command runs or will not
	loopFD   = 5 // the device of the image
)

// maxSpec bounds a spec, in bytes; the configuration that it comes from is no
// larger.
const maxSpec = 4 * config.MaxFile

// status is how the set-up ended.
type status struct {
	Code    exitcode.Code `json:"code"` // OK: the command runs
	Message string        `json:"message,omitempty"`
}

// ErrNotInside says that a process is no room's first one.
var ErrNotInside = errors.New("only room run starts this: it is the first process of a room, in namespaces of its own")

// Inside is the room's first process. It builds the room around itself, starts
// the command, passes SIGTERM on to it, reaps, and gives the wait status of the
// command. The end of stop is a SIGTERM.
func Inside(stop <-chan struct{}) (unix.WaitStatus, error) {
	if unix.Getpid() != 1 {
		return 0, ErrNotInside
	}
	// Whoever is in the room has the same user and must not get at this process,
	// its memory or its program, which is the machine's.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("shut others out of the room's first process: %w", err)
	}
	runtime.LockOSThread() // what follows is of the process, but for the thread that starts the command
	report := os.NewFile(statusFD, "status")
	command, err := begin()
	end := status{}
	if err != nil {
		end = status{Code: exitcode.Inspection, Message: err.Error()}
		if coder, ok := errors.AsType[exitcode.Coder](err); ok {
			end.Code = coder.ExitCode()
		}
	}
	if told := errors.Join(json.NewEncoder(report).Encode(end), report.Close()); told != nil && err == nil {
		return 0, fmt.Errorf("tell the launcher that the room has begun: %w", told)
	}
	if err != nil {
		return 0, exitcode.With(end.Code, err)
	}
	go func() {
		<-stop
		_ = unix.Kill(command, unix.SIGTERM) // it may have ended
	}()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the room's command: %w", err)
		case pid == command:
			return ws, nil // all others end with this process
		}
	}
}

// begin builds the room and starts its command.
func begin() (pid int, err error) {
	in := os.NewFile(specFD, "spec")
	data, err := io.ReadAll(io.LimitReader(in, maxSpec))
	if err = errors.Join(err, in.Close()); err != nil {
		return 0, fmt.Errorf("read what room this is: %w", err)
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("read what room this is: %w", err)
	}
	if err := s.names(); err != nil {
		return 0, err
	}
	if err := s.build(); err != nil {
		return 0, err
	}
	files, err := ownNull()
	if err != nil {
		return 0, err
	}
	// What the launcher was started with stays with it.
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, fmt.Errorf("keep open files out of the room: %w", err)
	}
	if err := confine(); err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(s.Command[0], s.Command, &syscall.ProcAttr{Dir: "/", Env: s.Env, Files: files})
	if err != nil {
		return 0, refusef("run %s, the command of room %s, in its image: %w", s.Command[0], s.Name, err)
	}
	return pid, nil
}

// names gives the namespaces of the process what they need: a host name, and a
// loopback interface that is up.
func (s spec) names() error {
	// Nothing that is mounted here shows on the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part the room's mounts from the machine's: %w", err)
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("name the room's host: %w", err)
	}
	if s.Network != string(config.NetworkNone) {
		return nil
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start the room's loopback interface: %w", err)
	}
	defer unix.Close(sock)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("start the room's loopback interface: %w", err)
	}
	return nil
}

// build makes the room's root and moves into it.
func (s spec) build() error {
	shares, err := s.openVault()
	if err != nil {
		return err
	}
	root, err := s.root()
	if err != nil {
		return err
	}
	defer root.Close()
	dev, err := s.devices(root)
	if err != nil {
		return err
	}
	defer dev.Close()
	if err := kernelFiles(root, dev); err != nil {
		return err
	}
	if err := vault(root, shares); err != nil {
		return err
	}
	for name, mode := range map[string]uint32{"tmp": 0o1777, "run": 0o755} {
		if err := unix.Mkdirat(int(root.Fd()), name, mode); err == nil {
			err = unix.Fchmodat(int(root.Fd()), name, mode, 0) // past the umask
			if err != nil {
				return fmt.Errorf("make /%s: %w", name, err)
			}
		}
	}
	if err := enter(root); err != nil {
		return err
	}
	return s.resolver()
}

// enter makes root the root of everything, and lets go of the machine's.
func enter(root *os.File) error {
	err := root.Chdir()
	if err == nil {
		err = unix.PivotRoot(".", ".")
	}
	if err == nil {
		err = unix.Unmount(".", unix.MNT_DETACH) // the old root, which lies over the new one
	}
	if err == nil {
		err = unix.Chdir("/")
	}
	if err != nil {
		return fmt.Errorf("make the image the root: %w", err)
	}
	return nil
}

// root mounts the image, with memory over it that takes all that is written.
func (s spec) root() (*os.File, error) {
	const blocks = 4096 // bytes; each file takes one at least, so that the count of files is bounded too
	memory, err := newFS("tmpfs", data, option{"source", marker(s.Name)}, option{"mode", "0755"},
		option{"size", fmt.Sprint(s.Size)}, option{"nr_inodes", fmt.Sprint(s.Size/blocks + 64)})
	if err != nil {
		return nil, err
	}
	scratch, err := openFolder(s.Scratch)
	if err != nil {
		return nil, fmt.Errorf("find a place to build the room: %w", err)
	}
	defer scratch.Close()
	if err := place(scratch, "")(memory, nil); err != nil {
		return nil, err
	}
	base, err := openFolder(s.Scratch)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	for _, name := range []string{"upper", "work"} {
		f, err := folder(base, name, 0o755)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	image, err := mounted(base, "image")(newFS("squashfs", inert|unix.MOUNT_ATTR_RDONLY,
		option{"source", fmt.Sprintf("/proc/self/fd/%d", loopFD)}, option{"ro", ""}))
	if err != nil {
		return nil, fmt.Errorf("mount the image: %w", err)
	}
	image.Close()
	unix.Close(loopFD) // the mount holds the device from here on
	return mounted(base, "root")(newFS("overlay", inert, option{"source", marker(s.Name)},
		option{"lowerdir", path.Join(s.Scratch, "image")}, option{"upperdir", path.Join(s.Scratch, "upper")}, option{"workdir", path.Join(s.Scratch, "work")}))
}

// openVault opens the room's folders of the vault, and nothing that is
// elsewhere.
func (s spec) openVault() (map[string]*os.File, error) {
	if len(s.Binds) == 0 {
		return nil, nil
	}
	top, err := openFolder(s.Vault)
	if err != nil {
		return nil, refusef("open the vault, rooms.vault: %w", err)
	}
	defer top.Close()
	all := map[string]*os.File{}
	for _, b := range s.Binds {
		f, err := beneath(top, b.Path)
		if err != nil {
			return nil, err
		}
		attributes := data
		if !b.Write {
			attributes |= unix.MOUNT_ATTR_RDONLY
		}
		tree, err := clone(f, "", attributes)
		f.Close()
		if err != nil {
			return nil, err
		}
		all[b.Path] = tree
	}
	return all, nil
}

// beneath opens a folder of the vault by its path. Links on the way that stay
// in the vault are followed; the kernel refuses all others.
func beneath(vault *os.File, sub string) (*os.File, error) {
	fd, err := unix.Openat2(int(vault.Fd()), sub, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	at := path.Join(vault.Name(), sub)
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, refusef("%s leads out of the vault by a symbolic link: the room would see what is not the vault's", at)
	case errors.Is(err, unix.ENOENT):
		return nil, refusef("there is no folder %s in the vault: mkdir -p %s", sub, at)
	case errors.Is(err, unix.ENOTDIR):
		return nil, refusef("%s is no folder, and a room can be given folders alone", at)
	case err != nil:
		return nil, refusef("open %s for the room: %w", at, err)
	}
	return os.NewFile(uintptr(fd), at), nil
}

// vault mounts the room's folders of the vault, and nothing else of it.
func vault(root *os.File, shares map[string]*os.File) error {
	top, err := mounted(root, "vault")(newFS("tmpfs", data, option{"mode", "0755"}, option{"size", "1m"}))
	if err != nil {
		return err
	}
	defer top.Close()
	paths := make([]string, 0, len(shares))
	for p := range shares {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
	for _, sub := range paths {
		if err := below(top, sub, shares[sub]); err != nil {
			return fmt.Errorf("mount %s of the vault: %w", sub, err)
		}
	}
	return readOnly(top)
}

// below mounts a tree at a path below a folder. The folders on the way are made
// where they are missing.
func below(top *os.File, sub string, tree *os.File) error {
	parts := strings.Split(sub, "/")
	at := top
	for _, name := range parts[:len(parts)-1] {
		next, err := folder(at, name, 0o755)
		if at != top {
			at.Close()
		}
		if err != nil {
			return err
		}
		at = next
	}
	f, err := mounted(at, parts[len(parts)-1])(tree, nil)
	if at != top {
		at.Close()
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// readOnly takes the right to write away from a mount, once all is in place.
func readOnly(at *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(at.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("make /%s read-only: %w", at.Name(), err)
	}
	return nil
}

// resolver gives a room with the machine's network the machine's resolver. It
// is called in the room's root.
func (s spec) resolver() error {
	if s.Resolv == "" {
		return nil
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	const file = "etc/resolv.conf"
	if err := root.MkdirAll(path.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write the room's %s: %w", file, err)
	}
	if err := root.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write the room's %s: %w", file, err)
	}
	if err := root.WriteFile(file, []byte(s.Resolv), 0o644); err != nil {
		return fmt.Errorf("write the room's %s: %w", file, err)
	}
	return nil
}
