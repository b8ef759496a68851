package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program of Postgres that runs.
type process struct {
	pid  int
	done chan struct{} // closed at its end
	err  error         // valid then; nil after a stop or a clean end

	mu      sync.Mutex
	stopped bool
	lines   []string // the last ones that it printed
}

// keep is how many lines of a program's output are kept for its error.
const keep = 20

// maxLine bounds a line of output, in bytes; longer ones are cut up.
const maxLine = 4096

// endedError is a program that ended with an error.
type endedError struct {
	program, how, said string
}

func (e *endedError) Error() string {
	if e.said == "" {
		return e.program + " ended with " + e.how
	}
	return e.program + " ended with " + e.how + "; it said: " + e.said
}

// run starts a program as the server's user. It gets SIGINT when we die, which
// Postgres takes as a fast shutdown: nothing is lost, nothing is left running.
func (c Config) run(program string, args []string, input io.Reader) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = c.Dir
	cmd.Env = environment()
	cmd.Stdin = input
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.Credential, Setpgid: true, Pdeathsig: syscall.SIGINT}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	cmd.Stdout = cmd.Stderr
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the
		// program, so that thread stays with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err != nil {
			started <- fmt.Errorf("run %s: %w", program, err)
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.read(out, c.Log)
		p.end(filepath.Base(program), cmd.Wait())
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// environment is ours without what would change what Postgres does.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG") || strings.HasPrefix(v, "NOTIFY_SOCKET=")
	})
	return append(env, "LC_ALL=C.UTF-8")
}

// read takes the output until it ends.
func (p *process) read(out io.Reader, log func(string)) {
	br := bufio.NewReaderSize(out, maxLine)
	for {
		line, _, err := br.ReadLine()
		if err != nil {
			return
		}
		text := strings.ToValidUTF8(string(bytes.TrimRight(line, "\r")), "�")
		log(text)
		p.mu.Lock()
		p.lines = append(p.lines, text)
		if len(p.lines) > keep {
			p.lines = slices.Clone(p.lines[1:])
		}
		p.mu.Unlock()
	}
}

func (p *process) end(program string, err error) {
	if err != nil && !p.wasStopped() {
		p.err = &endedError{program, err.Error(), p.tail()}
	}
	close(p.done)
}

func (p *process) wasStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// tail is the last of the output, in one line.
func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, " | ")
}

// stop sends the signal, and SIGKILL to all of its processes when that does not
// end it in time. It tells whether that was needless.
func (p *process) stop(sig syscall.Signal, timeout time.Duration) bool {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	select {
	case <-p.done:
		return true
	default:
	}
	_ = syscall.Kill(p.pid, sig) // it may have ended meanwhile
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.done
		return false
	}
}

// output runs a program for what it prints.
func output(ctx context.Context, timeout time.Duration, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environment()
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return out, nil
}
