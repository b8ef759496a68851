package guardproc

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is a guard that runs, in a process group of its own, so that nothing
// that it starts is left.
type process struct {
	cmd       *exec.Cmd
	out, diag capture
	ended     chan struct{} // closed when it has ended and was reaped

	mu     sync.Mutex
	reaped bool
}

// launch starts a program.
func launch(argv []string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.Env = environment()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.out.open()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := p.diag.open()
	if err != nil {
		p.out.from.Close()
		return nil, err
	}
	defer stderr.Close()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	if err := p.cmd.Start(); err != nil {
		p.out.from.Close()
		p.diag.from.Close()
		return nil, err
	}
	go p.out.fill()
	go p.diag.fill()
	go p.reap()
	return p, nil
}

// reap waits for the end of the program and ends what it left in its group.
// The program stays a zombie until that is done, because its number is that of
// the group and must not be another's by then.
func (p *process) reap() {
	pid := p.cmd.Process.Pid
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.kill()
	p.mu.Lock()
	_ = p.cmd.Wait() // ProcessState says it better
	p.reaped = true
	p.mu.Unlock()
	close(p.ended)
}

// kill ends the whole group.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // gone already is as good
	}
}

// wait tells whether the program ended before ctx did.
func (p *process) wait(ctx context.Context) bool {
	select {
	case <-p.ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// complete waits, once the program has ended, for the last of its output: on a
// busy machine that may take a moment. It is false when somebody who left the
// group still holds the output at the end of ctx.
func (p *process) complete(ctx context.Context) bool {
	for _, c := range []*capture{&p.out, &p.diag} {
		select {
		case <-c.done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// abandon ends what is left. A program that even SIGKILL does not end, because
// it hangs in the kernel, is not waited for.
func (p *process) abandon() {
	p.kill()
	p.out.from.Close()
	p.diag.from.Close()
}

// capture keeps the first maxOutput bytes of a pipe and swallows the rest.
type capture struct {
	from *os.File
	done chan struct{} // closed at the end of the pipe; only then the rest may be read
	data []byte
	full bool
}

// open makes the pipe and gives the end to write to.
func (c *capture) open() (*os.File, error) {
	from, to, err := os.Pipe()
	c.from, c.done = from, make(chan struct{})
	return to, err
}

// fill reads until nobody holds the other end.
func (c *capture) fill() {
	defer close(c.done)
	var kept bytes.Buffer
	_, _ = io.CopyN(&kept, c.from, maxOutput) // what came is what there is
	more, _ := io.Copy(io.Discard, c.from)
	c.data, c.full = kept.Bytes(), more > 0
}

// environment is what a guard gets to see: where the bus is, and nothing that
// could change what it looks at.
func environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	if bus, ok := os.LookupEnv("DBUS_SYSTEM_BUS_ADDRESS"); ok {
		env = append(env, "DBUS_SYSTEM_BUS_ADDRESS="+bus)
	}
	return env
}
