package room

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The attributes of mounts. Nothing in a room but its /dev has device nodes
// that work, and nothing at all gives anybody the rights of its owner.
const (
	inert  = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	data   = inert | unix.MOUNT_ATTR_NOEXEC
	frozen = data | unix.MOUNT_ATTR_RDONLY
)

// option is an option of a file system; one without a value is a flag.
type option struct{ key, value string }

// newFS makes a file system that is mounted nowhere yet. What it is made of is
// given by descriptors and options, so that no path is looked up twice.
func newFS(kind string, attributes int, options ...option) (*os.File, error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a %s: %w", kind, err)
	}
	defer unix.Close(context)
	for _, o := range options {
		if o.value == "" {
			err = unix.FsconfigSetFlag(context, o.key)
		} else {
			err = unix.FsconfigSetString(context, o.key, o.value)
		}
		if err != nil {
			return nil, fmt.Errorf("make a %s: option %s=%s: %w%s", kind, o.key, o.value, err, said(context))
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, fmt.Errorf("make a %s: %w%s", kind, err, said(context))
	}
	tree, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, fmt.Errorf("make a mount of a %s: %w%s", kind, err, said(context))
	}
	return os.NewFile(uintptr(tree), kind), nil
}

// said is what the kernel has to say about why it makes no file system.
func said(context int) string {
	var all []string
	for buf := make([]byte, 1024); len(all) < 8; {
		n, err := unix.Read(context, buf)
		if err != nil || n <= 0 {
			break
		}
		// "e overlay: …": the first letter is how much it matters.
		all = append(all, strings.TrimSpace(strings.TrimLeft(string(buf[:n]), "eiw ")))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}

// clone copies the mount at a name in a folder, "" for the folder itself, with
// all that is mounted below it, and takes rights away from the copy.
func clone(dir *os.File, name string, attributes int) (*os.File, error) {
	tree, err := unix.OpenTree(int(dir.Fd()), name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("copy the mount of %s: %w", dir.Name()+"/"+name, err)
	}
	f := os.NewFile(uintptr(tree), dir.Name()+"/"+name)
	attr := unix.MountAttr{Attr_set: uint64(attributes), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		f.Close()
		return nil, fmt.Errorf("take rights away from the mount of %s: %w", f.Name(), err)
	}
	return f, nil
}

// place gives what mounts a tree at a name in a folder, and closes it. A
// symbolic link at the name is an error.
func place(dir *os.File, name string) func(tree *os.File, err error) error {
	return func(tree *os.File, err error) error {
		if err != nil {
			return err
		}
		defer tree.Close()
		if err := unix.MoveMount(int(tree.Fd()), "", int(dir.Fd()), name, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount the %s at %s in %s: %w", tree.Name(), name, dir.Name(), err)
		}
		return nil
	}
}

// folder opens a folder below another, which is made where it is missing. A
// link in its place is an error.
func folder(dir *os.File, name string, mode uint32) (*os.File, error) {
	if err := unix.Mkdirat(int(dir.Fd()), name, mode); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make the folder %s in %s: %w", name, dir.Name(), err)
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, refusef("/%s of the image is no folder, and the room needs one there", name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the folder %s in %s: %w", name, dir.Name(), err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mounted gives what mounts a tree at a folder of dir, which is made where it is
// missing, and opens it.
func mounted(dir *os.File, name string) func(tree *os.File, err error) (*os.File, error) {
	return func(tree *os.File, err error) (*os.File, error) {
		if err != nil {
			return nil, err
		}
		at, err := folder(dir, name, 0o755)
		if err != nil {
			tree.Close()
			return nil, err
		}
		at.Close()
		if err := place(dir, name)(tree, nil); err != nil {
			return nil, err
		}
		return folder(dir, name, 0o755)
	}
}

// openFolder opens a folder of the machine by its path.
func openFolder(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
