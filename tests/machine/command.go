package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// commandTimeout bounds a command whose context has no deadline.
const commandTimeout = 30 * time.Second

// Command is a command to run in the machine.
type Command struct {
	Args  []string // found in the machine's own PATH
	User  string   // root unless set; has a group of the same name
	Env   []string // besides PATH, HOME, USER, LOGNAME, SHELL
	Stdin io.Reader
}

// Result is what a command in the machine did.
type Result struct {
	Args           []string
	Code           int // -1 if it didn't run, was killed or ran out of time: see Err
	Stdout, Stderr string
	Duration       time.Duration
	Err            error
}

// String tells the whole of it, for a failed test's message.
func (r Result) String() string {
	s := fmt.Sprintf("%s: exit status %d after %s", strings.Join(r.Args, " "), r.Code, r.Duration.Round(time.Millisecond))
	if r.Err != nil {
		s += fmt.Sprintf(" (%v)", r.Err)
	}
	for _, out := range []struct{ name, text string }{{"stdout", r.Stdout}, {"stderr", r.Stderr}} {
		if out.text != "" {
			s += fmt.Sprintf("\n%s:\n%s", out.name, strings.TrimRight(out.text, "\n"))
		}
	}
	return s
}

// Run runs a command as root.
func (m *Machine) Run(ctx context.Context, argv ...string) Result {
	return m.Exec(ctx, Command{Args: argv})
}

// RunAs runs a command as that user, with a clean environment, all of the user's groups and no session.
func (m *Machine) RunAs(ctx context.Context, user string, argv ...string) Result {
	return m.Exec(ctx, Command{Args: argv, User: user})
}

// Shell runs a bash script as root.
func (m *Machine) Shell(ctx context.Context, script string) Result {
	return m.Exec(ctx, Command{Args: []string{"bash", "-c", script}})
}

// MustRun runs a command as root, fails the test unless it exits 0, and returns its stdout.
func (m *Machine) MustRun(t testing.TB, argv ...string) string {
	t.Helper()
	r := m.Run(t.Context(), argv...)
	if r.Code != 0 {
		t.Fatalf("machine: %s", r)
	}
	return r.Stdout
}

// Exec runs a command in all of the machine's namespaces and in a cgroup of its own within
// dubnium-harness.service, a unit that isolating a target spares. It is born into that cgroup
// (clone3), so not even its first instruction belongs to the host; systemd-run would do as well,
// for ten times the time. A command that outlives its bound is killed with all of its children.
// What it leaves running on purpose goes on running.
func (m *Machine) Exec(ctx context.Context, c Command) Result {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, commandTimeout)
		defer cancel()
	}
	r := Result{Args: c.Args, Code: -1}
	// Files, not pipes: what the command leaves running can't keep us waiting for the end of its output.
	stdout, err := memfile("stdout")
	if err != nil {
		r.Err = err
		return r
	}
	defer stdout.Close()
	stderr, err := memfile("stderr")
	if err != nil {
		r.Err = err
		return r
	}
	defer stderr.Close()
	cmd := m.enter(ctx, c)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, stdout, stderr
	start := time.Now()
	r.Code, r.Err = m.exec(ctx, cmd)
	r.Duration = time.Since(start)
	r.Stdout, r.Stderr = contents(stdout), contents(stderr)
	return r
}

// Attach runs a command as root, without a bound, on this process's own input and output, and
// returns its exit status.
func (m *Machine) Attach(ctx context.Context, argv ...string) (code int, err error) {
	cmd := m.enter(ctx, Command{Args: argv, Env: []string{"TERM=" + os.Getenv("TERM")}})
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return m.exec(ctx, cmd)
}

func (m *Machine) exec(ctx context.Context, cmd *exec.Cmd) (code int, err error) {
	group := filepath.Join(m.commands, "command-"+strconv.FormatInt(count.Add(1), 10))
	if err := os.Mkdir(group, 0o755); err != nil {
		return -1, fmt.Errorf("make a cgroup for a command in %s: %w: is the machine still up?", m.name, err)
	}
	defer os.Remove(group) // stays while processes are left in it
	fd, err := unix.Open(group, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", group, err)
	}
	defer unix.Close(fd)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	cmd.Cancel = func() error {
		return errors.Join(os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0), cmd.Process.Kill())
	}
	cmd.WaitDelay = time.Second

	err = cmd.Run()
	if ctx.Err() != nil {
		return -1, fmt.Errorf("ran out of time: %w", context.Cause(ctx))
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, err
	}
	return 0, nil
}

// enter makes the host's command that becomes c in the machine. setpriv leaves nothing of the
// host's environment, and sets PATH, HOME, USER, LOGNAME and SHELL to the user's.
func (m *Machine) enter(ctx context.Context, c Command) *exec.Cmd {
	args := []string{
		"--target=" + strconv.Itoa(m.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"--root", "--wd", "--", "setpriv", "--reset-env",
	}
	if c.User != "" {
		args = append(args, "--reuid="+c.User, "--regid="+c.User, "--init-groups")
	}
	args = append(args, "--", "env", "LANG=C.UTF-8")
	args = append(args, c.Env...)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, c.Args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} // for setpriv itself
	return cmd
}

func memfile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file for a command's %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func contents(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<20))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
