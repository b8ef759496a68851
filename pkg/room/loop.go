package room

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// attempts bounds how often another process may take the loop device that the
// kernel has just called free.
const attempts = 64

// attach gives a loop device over an open image. It goes away by itself when it
// is neither open nor mounted any more, and carries the room's marker until
// then.
func attach(root hostfs.Root, image *os.File, name string) (*os.File, error) {
	control, err := os.OpenFile(root.Path("/dev/loop-control"), os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refusef("open the control of loop devices, which a room's image needs (modprobe loop): %w", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], marker(name))
	for range attempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("ask for a free loop device: %w", err)
		}
		device, err := os.OpenFile(root.Path("/dev", "loop"+strconv.Itoa(n)), os.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open the free loop device: %w", err)
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("make %s a device over the image: %w", device.Name(), err)
		}
	}
	return nil, fmt.Errorf("find a free loop device: other processes took %d of them first", attempts)
}

// loop is a loop device that a room has.
type loop struct {
	path    string
	backing string // its file, with " (deleted)" behind one that is gone
	room    string
}

// loops lists the loop devices of rooms.
func loops(root hostfs.Root) ([]loop, error) {
	names, err := root.ReadDirNames("/dev")
	if err != nil {
		return nil, fmt.Errorf("list the loop devices: %w", err)
	}
	var all []loop
	for _, dev := range names {
		n, isLoop := strings.CutPrefix(dev, "loop")
		if _, err := strconv.Atoi(n); !isLoop || err != nil {
			continue
		}
		l, err := lookAt(root, dev)
		if err != nil {
			return nil, err
		}
		if l.room != "" {
			all = append(all, l)
		}
	}
	return all, nil
}

// lookAt reads one loop device; what is no room's has no room.
func lookAt(root hostfs.Root, dev string) (loop, error) {
	l := loop{path: path.Join("/dev", dev)}
	f, err := os.OpenFile(root.Path(l.path), os.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENXIO) || hostfs.Absent(err): // a node without a device, or one that has just gone
		return loop{}, nil
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return loop{}, exitcode.Errorf(exitcode.NotPermitted, "look at the loop devices, of which rooms have one each: %w; only root may", err)
	case err != nil:
		return loop{}, fmt.Errorf("look at the loop devices: %w", err)
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if errors.Is(err, unix.ENXIO) { // free
		return loop{}, nil
	}
	if err != nil {
		return loop{}, fmt.Errorf("ask %s what it is a device over: %w", l.path, err)
	}
	mark, _, _ := bytes.Cut(info.File_name[:], []byte{0})
	l.room, _ = strings.CutPrefix(string(mark), marker(""))
	if l.room == string(mark) {
		return loop{}, nil
	}
	if data, err := root.ReadFile("/sys/block/" + dev + "/loop/backing_file"); err == nil {
		l.backing = strings.TrimSpace(string(data))
	}
	return l, nil
}

// loopsOf lists the loop devices of one room.
func loopsOf(root hostfs.Root, name string) ([]loop, error) {
	all, err := loops(root)
	var own []loop
	for _, l := range all {
		if l.room == name {
			own = append(own, l)
		}
	}
	return own, err
}

// Patience bounds how long the kernel is given to take down what nobody uses
// any more; it takes milliseconds where nothing else is going on.
const Patience = 3 * time.Second

// settle looks until look finds nothing, for as long as the kernel may take to
// clean up behind processes that have ended, and gives what it found last.
func settle[T any](ctx context.Context, patience time.Duration, look func() ([]T, error)) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := look()
		if err != nil || len(found) == 0 {
			return found, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return found, nil
		}
	}
}
