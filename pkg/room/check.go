package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// Finding is one thing that a room needs.
type Finding struct {
	What    string `json:"what"` // image, digest, vault, kernel, gpu, limits
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Check looks whether a room can start on this machine, without starting it.
func (h Host) Check(ctx context.Context, name string) ([]Finding, error) {
	r, err := h.room(name)
	if err != nil {
		return nil, err
	}
	if unix.Geteuid() != 0 {
		return nil, exitcode.Errorf(exitcode.NotPermitted, "only root may look at all that a room needs; run room check as root")
	}
	var all []Finding
	for _, look := range []func(context.Context, string, *config.Room) ([]Finding, error){h.checkImage, h.checkVault, h.checkKernel, h.checkGPU, h.checkLimits} {
		found, err := look(ctx, name, r)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// verdict is a finding of an error that a look ended with. What could not be
// looked at stays an error.
func verdict(what, good string, err error) ([]Finding, error) {
	if err == nil {
		return []Finding{{what, true, good}}, nil
	}
	if coder, ok := errors.AsType[exitcode.Coder](err); ok && coder.ExitCode() == exitcode.TargetUnreachable {
		return []Finding{{what, false, err.Error()}}, nil
	}
	return nil, err
}

func (h Host) checkImage(ctx context.Context, name string, r *config.Room) ([]Finding, error) {
	f, err := h.verified(ctx, name)
	if err == nil {
		defer f.Close()
	}
	return verdict("image", fmt.Sprintf("%s has the SHA-256 %s", h.Image(r), r.SHA256), err)
}

func (h Host) checkVault(_ context.Context, _ string, r *config.Room) ([]Finding, error) {
	list := binds(r)
	if len(list) == 0 {
		return []Finding{{"vault", true, "the room is given nothing of the vault"}}, nil
	}
	top, err := openFolder(h.Root.Path(h.Rooms.Vault))
	if err != nil {
		return []Finding{{"vault", false, fmt.Sprintf("open the vault, rooms.vault: %v", err)}}, nil
	}
	defer top.Close()
	var all []Finding
	for _, b := range list {
		f, err := beneath(top, b.Path)
		if err == nil {
			f.Close()
		}
		right := "read-only"
		if b.Write {
			right = "for writing"
		}
		found, err := verdict("vault", fmt.Sprintf("/vault/%s, %s", b.Path, right), err)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// checkKernel asks the kernel for what a room is made of, as the start does. A
// module that is not loaded is loaded by that.
func (h Host) checkKernel(context.Context, string, *config.Room) ([]Finding, error) {
	var lacks []string
	for _, kind := range []string{"squashfs", "overlay", "tmpfs", "proc", "sysfs", "devpts"} {
		fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
		switch {
		case err == nil:
			unix.Close(fd)
		case errors.Is(err, unix.ENODEV):
			lacks = append(lacks, kind)
		default:
			return nil, fmt.Errorf("ask the kernel for %s (it has to be 5.12 or newer): %w", kind, err)
		}
	}
	if _, err := h.Root.Stat("/dev/loop-control"); err != nil {
		lacks = append(lacks, "loop devices")
	}
	if len(lacks) > 0 {
		return []Finding{{"kernel", false, "the kernel has no " + strings.Join(lacks, ", ") + "; modprobe them, or use a kernel that has"}}, nil
	}
	return []Finding{{"kernel", true, "it has squashfs, overlay and loop devices"}}, nil
}

func (h Host) checkGPU(_ context.Context, name string, r *config.Room) ([]Finding, error) {
	if !r.GPU {
		return nil, nil
	}
	s, err := h.specOf(name, "")
	var paths []string
	for _, n := range s.Nodes {
		paths = append(paths, "/dev/"+n.Path)
	}
	return verdict("gpu", strings.Join(paths, ", "), err)
}

// checkLimits holds that control groups can limit what is to be limited. That
// they do is what the start looks at.
func (h Host) checkLimits(_ context.Context, name string, r *config.Room) ([]Finding, error) {
	have, err := controllers(h.Root)
	if err != nil {
		return nil, err
	}
	var all []Finding
	for _, l := range limits(name, r) {
		if slices.Contains(have, l.controller) {
			all = append(all, Finding{"limits", true, fmt.Sprintf("%s is %s, to which %s holds the room", l.key, l.said, Unit(name))})
		} else {
			all = append(all, Finding{"limits", false, fmt.Sprintf("%s is %s, and the control groups of this machine have no controller %s", l.key, l.said, l.controller)})
		}
	}
	return all, nil
}

// State is a room as room list has it.
type State struct {
	Name    string `json:"name"`
	Image   string `json:"image"`
	Network string `json:"network"`
	GPU     bool   `json:"gpu"`
	State   string `json:"state"` // running, stopped, unknown
}

// List gives every room. Whether one runs only root can see.
func (h Host) List() ([]State, error) {
	running := map[string]bool{}
	known := true
	devices, err := loops(h.Root)
	if coder, ok := errors.AsType[exitcode.Coder](err); ok && coder.ExitCode() == exitcode.NotPermitted {
		known = false
	} else if err != nil {
		return nil, err
	}
	for _, l := range devices {
		running[l.room] = true
	}
	all := []State{}
	for _, name := range h.Rooms.Names() {
		r := h.Rooms.Named[name]
		s := State{Name: name, Image: h.Image(r), Network: string(r.Network), GPU: r.GPU, State: "stopped"}
		switch {
		case !known:
			s.State = "unknown"
		case running[name]:
			s.State = "running"
		}
		all = append(all, s)
	}
	return all, nil
}
