// Package room runs disposable sandboxes. A room's root is a squashfs image
// that never changes, with a file system in memory laid over it, in mount,
// process, IPC, host name, control group and, as a rule, network namespaces of
// its own. Of the machine it sees the folders of the vault that it was given,
// and what it writes there is all that survives it.
//
// Three processes make a room: the launcher (Run), which stays outside; the
// room's first process (Inside), which builds the room around itself, gives up
// its powers, starts the command and reaps; and the command. The kernel ties
// them together: the first process dies with the launcher, all others with the
// first process, the mounts and the loop device with the namespaces. So nothing
// has to be cleaned up, however they end, and nothing is written outside of the
// vault.
//
// A room whose policy can't be enforced does not start.
package room

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Host is the machine and the rooms that it has.
type Host struct {
	Root  hostfs.Root
	Rooms config.Rooms
}

// Unit is the service that runs a room.
func Unit(name string) string { return "room@" + name + ".service" }

// marker is what a room's mounts and its loop device have as their source. The
// kernel keeps 63 bytes of a loop device's.
func marker(name string) string { return "dubnium-room:" + name }

// room gives a room by its name.
func (h Host) room(name string) (*config.Room, error) {
	if wrong := config.WrongRoomName(name); wrong != "" {
		return nil, exitcode.Errorf(exitcode.Usage, "%q %s", cut(name), wrong)
	}
	r := h.Rooms.Named[name]
	if r == nil {
		names := strings.Join(h.Rooms.Names(), ", ")
		if names == "" {
			names = "there is none: write [rooms.named." + name + "] into the configuration"
		}
		return nil, exitcode.Errorf(exitcode.Usage, "no room has the name %q; the rooms are: %s", name, names)
	}
	return r, nil
}

// Image is the path of a room's image.
func (h Host) Image(r *config.Room) string {
	if path.IsAbs(r.Image) {
		return r.Image
	}
	return path.Join(h.Rooms.Directory, r.Image)
}

// binds lists the folders of the vault that a room has, those further up first,
// so that one may lie in another.
func binds(r *config.Room) []bind {
	var all []bind
	for _, sub := range r.VaultRead {
		all = append(all, bind{Path: sub})
	}
	for _, sub := range r.VaultWrite {
		all = append(all, bind{Path: sub, Write: true})
	}
	slices.SortFunc(all, func(a, b bind) int { return strings.Compare(a.Path+"/", b.Path+"/") })
	return all
}

// refusef is why a room does not start.
func refusef(format string, args ...any) error {
	return exitcode.Errorf(exitcode.TargetUnreachable, format, args...)
}

// key names a key of a room in a message.
func key(name, leaf string) string { return fmt.Sprintf("rooms.named.%s.%s", name, leaf) }

// cut keeps a name that somebody made up from filling the terminal.
func cut(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
