package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
)

// InsideCommand is the argument with which the launcher's own program is the
// room's first process (Inside).
const InsideCommand = "inside"

// setUpBound is how long the first process may take to build the room, which is
// mounts and no reading.
const setUpBound = 2 * time.Minute

// stopGrace is how long a command that was told to end may take. systemd gives
// it less.
const stopGrace = 90 * time.Second

// Streams are the command's; in is nil for none.
type Streams struct{ In, Out, Err *os.File }

// Run runs a room until its command has ended, and gives its exit status:
// 128 and the signal where a signal ended it. When ctx ends, the command gets a
// SIGTERM. started is called once the command runs.
func (h Host) Run(ctx context.Context, name, term string, std Streams, started func() error) (int, error) {
	r, err := h.room(name)
	if err != nil {
		return 0, err
	}
	if err := h.limited(name, r); err != nil {
		return 0, err
	}
	s, err := h.specOf(name, term)
	if err != nil {
		return 0, err
	}
	// The kernel may still be taking down what ran under this name until now.
	running, err := settle(ctx, Patience, func() ([]loop, error) { return loopsOf(h.Root, name) })
	if err != nil {
		return 0, err
	}
	if len(running) > 0 {
		return 0, exitcode.Errorf(exitcode.Locked, "room %s runs already, on %s; a room runs once at a time: systemctl stop %s", name, running[0].path, Unit(name))
	}
	image, err := h.verified(ctx, name)
	if err != nil {
		return 0, err
	}
	device, err := attach(h.Root, image, name)
	image.Close() // the device holds it
	if err != nil {
		return 0, err
	}
	code, err := h.launch(ctx, s, r, device, std, started)
	if err != nil {
		return 0, err
	}
	left, err := settle(context.WithoutCancel(ctx), Patience, func() ([]loop, error) { return loopsOf(h.Root, name) })
	if err != nil {
		return 0, err
	}
	if len(left) > 0 {
		return 0, exitcode.Errorf(exitcode.Degraded, "room %s has ended, and %s is still there; room gone %s tells what holds it", name, left[0].path, name)
	}
	return code, nil
}

// child is the room's first process, as the launcher sees it.
type child struct {
	cmd    *exec.Cmd
	status *os.File // what it says of its set-up
	ended  chan struct{}
}

// launch starts the room's first process, and stays with it to its end.
func (h Host) launch(ctx context.Context, s spec, r *config.Room, device *os.File, std Streams, started func() error) (int, error) {
	// Two rooms of one name that start in the same moment see each other here.
	if twice, err := loopsOf(h.Root, s.Name); err != nil || len(twice) != 1 {
		device.Close()
		if err == nil {
			err = exitcode.Errorf(exitcode.Locked, "room %s is being started by another process as well; a room runs once at a time", s.Name)
		}
		return 0, err
	}
	c, err := first(s, r, device, std)
	device.Close()
	if err != nil {
		return 0, err
	}
	defer c.status.Close()
	forwarded := context.AfterFunc(ctx, func() {
		_ = c.cmd.Process.Signal(unix.SIGTERM) // it may have ended
		select {
		case <-time.After(stopGrace):
			_ = c.cmd.Process.Kill()
		case <-c.ended:
		}
	})
	defer forwarded()
	late := time.AfterFunc(setUpBound, func() { _ = c.cmd.Process.Kill() })
	began, setUp := c.began()
	late.Stop()
	if setUp == nil && began {
		if err := started(); err != nil {
			_ = c.cmd.Process.Kill()
			<-c.ended
			return 0, err
		}
	}
	<-c.ended
	if setUp != nil {
		return 0, setUp
	}
	return ExitStatus(c.cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// first starts the room's first process in its namespaces.
func first(s spec, r *config.Room, device *os.File, std Streams) (*child, error) {
	specRead, specWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the room's first process: %w", err)
	}
	defer specRead.Close()
	defer specWrite.Close()
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the room's first process: %w", err)
	}
	defer statusWrite.Close()
	c := &child{status: statusRead, ended: make(chan struct{})}
	c.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"room", InsideCommand}, Env: []string{"PATH=/"}, Dir: "/",
		Stdout: std.Out, Stderr: std.Err, ExtraFiles: []*os.File{specRead, statusWrite, device},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			// Without a terminal of its own it can put no words into anybody's.
			Setsid: true, Pdeathsig: unix.SIGKILL,
		},
	}
	if std.In != nil {
		c.cmd.Stdin = std.In
	}
	if r.Network == config.NetworkNone {
		c.cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	}
	if err := c.start(); err != nil {
		statusRead.Close()
		return nil, err
	}
	specRead.Close()
	// It reads all of it, or has ended and said why.
	if err := json.NewEncoder(specWrite).Encode(s); err != nil && !errors.Is(err, unix.EPIPE) {
		_ = c.cmd.Process.Kill()
		<-c.ended
		return nil, fmt.Errorf("tell the room's first process what room it is: %w", err)
	}
	return c, nil
}

// start starts the process and watches over it. The signal at the launcher's
// death is that of the thread which started it, so that thread is kept.
func (c *child) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is in its state
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		if errors.Is(err, unix.EPERM) {
			return exitcode.Errorf(exitcode.NotPermitted, "make the room's namespaces: %w; only root may", err)
		}
		return fmt.Errorf("start the room's first process in namespaces of its own: %w", err)
	}
	return nil
}

// maxStatus bounds what the first process says, in bytes.
const maxStatus = 64 << 10

// began waits until the command runs, or will not.
func (c *child) began() (bool, error) {
	var st status
	data, err := io.ReadAll(io.LimitReader(c.status, maxStatus))
	if err == nil && len(data) == 0 {
		<-c.ended
		return false, fmt.Errorf("set the room up: its first process ended before that was done: %s", c.cmd.ProcessState)
	}
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	switch {
	case err != nil:
		return false, fmt.Errorf("hear from the room's first process: %w", err)
	case st.Code != exitcode.OK:
		return false, exitcode.With(st.Code, errors.New(st.Message))
	}
	return true, nil
}

// ExitStatus is the one that shells make of a process's end.
func ExitStatus(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
