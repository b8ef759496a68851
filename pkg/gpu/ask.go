package gpu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Binary is the name of the program that links NVML.
const Binary = "observe-gpu"

// lastWords is what observe-gpu gets beyond its own deadline, to start and to
// say that NVML hangs, before it is killed.
const lastWords = 200 * time.Millisecond

// askGrace is how long a program that was killed may take to be gone.
const askGrace = 50 * time.Millisecond

// defaultWait bounds Ask when its context has no deadline.
const defaultWait = 5 * time.Second

// Program is the path of observe-gpu, which is installed beside the program
// that runs.
func Program() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the folder of %s: %w", Binary, err)
	}
	return filepath.Join(filepath.Dir(self), Binary), nil
}

// Ask runs observe-gpu, given by its absolute path, and reads its report. An
// error says that there is none: the program is missing, crashed, printed
// something else, or did not end in time. A report may itself say that the
// driver could not be asked (see Report.Reason).
//
// Library is the NVML library to load; "" lets observe-gpu search. The program
// is told to end shortly before ctx does. It runs in a process group of its
// own, which is killed afterwards, and it is killed when this process dies.
// One that even SIGKILL can't end, because it is stuck in the driver, is left
// behind.
func Ask(ctx context.Context, root hostfs.Root, binary, library string) (Report, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultWait)
	}
	limit := time.Until(deadline)
	limit = max(limit-min(lastWords, limit/3), time.Millisecond)
	argv := []string{"--format=json", "--timeout=" + limit.String()}
	if !root.Real() {
		argv = append(argv, "--root="+string(root))
	}
	if library != "" {
		argv = append(argv, "--library="+library)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	out, err := output(ctx, binary, argv)
	if err != nil {
		return Report{}, fmt.Errorf("run %s: %w", binary, err)
	}
	r, err := Decode(out.stdout)
	if err == nil {
		return r, nil
	}
	err = fmt.Errorf("read the report of %s (%s): %w", binary, out.state, err)
	if line, _, _ := strings.Cut(strings.TrimSpace(string(out.stderr)), "\n"); line != "" {
		err = fmt.Errorf("%w; it said: %.200s", err, line)
	}
	return Report{}, err
}

// ended is what a program left behind.
type ended struct {
	stdout, stderr []byte
	state          *os.ProcessState
}

// output runs a program to its end, or to that of ctx. It does not wait for a
// process that can't be killed.
func output(ctx context.Context, binary string, args []string) (ended, error) {
	type result struct {
		ended
		err error
	}
	done := make(chan result, 1)
	go func() {
		// The kernel sends the parent-death signal when the thread that started
		// the process ends, so this goroutine keeps its thread until the wait is
		// over.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var stdout, stderr limited
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, environment()
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
		cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
		cmd.WaitDelay = askGrace
		err := cmd.Run()
		if cmd.Process != nil {
			_ = killGroup(cmd.Process.Pid) // what it may have started
		}
		var exit *exec.ExitError
		switch {
		case stdout.full:
			err = errTooMuch
		case ctx.Err() != nil:
			err = fmt.Errorf("no answer in time: %w", ctx.Err())
		case errors.As(err, &exit), errors.Is(err, exec.ErrWaitDelay):
			// The report says more, and a busy machine may be late to pass on its end.
			err = nil
		}
		done <- result{ended{stdout.buf.Bytes(), stderr.buf.Bytes(), cmd.ProcessState}, err}
	}()
	select {
	case r := <-done:
		return r.ended, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.ended, r.err
	case <-time.After(2 * askGrace):
		return ended{}, fmt.Errorf("it hangs and can't be killed, which a process stuck in a driver can't: %w", ctx.Err())
	}
}

// environment is what observe-gpu gets to see. The library is given by its
// path, never by a variable.
func environment() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
}

func killGroup(pid int) error {
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// errTooMuch says that a program printed more than a report can be.
var errTooMuch = fmt.Errorf("printed more than %d bytes", maxReport)

// limited keeps the first maxReport bytes. A write beyond ends the copy, which
// closes the pipe, which ends the program. The buffer is a field with a name:
// embedded, its ReadFrom would be taken in the place of Write, without limit.
type limited struct {
	buf  bytes.Buffer
	full bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.full = l.full || l.buf.Len()+len(p) > maxReport; l.full {
		return 0, errTooMuch
	}
	return l.buf.Write(p)
}
