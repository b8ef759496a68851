package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// playProgram makes the test binary behave as a program that uses Main: real
// signals, real pipes and a real exit can be seen from another process only.
const playProgram = "CLI_TEST_PLAY_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(playProgram) != "" {
		Main(newProgram(play))
	}
	os.Exit(m.Run())
}

// play says on stdout how far it has come.
func play(ctx context.Context, env *Env) error {
	switch os.Getenv(playProgram) {
	case "print":
		for range 1 << 16 {
			fmt.Fprintln(env.Stdout, "a line that fills the pipe")
		}
		return nil
	case "stubborn":
		fmt.Fprintln(env.Stdout, "ready")
		<-ctx.Done()
		fmt.Fprintln(env.Stdout, "cancelled")
		select {}
	case "child":
		out, err := exec.CommandContext(ctx, "/bin/sh", "-c", "kill -PIPE $$; echo survived").Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || len(out) > 0 {
			return fmt.Errorf("the child lived through SIGPIPE: %q, %w", out, err)
		}
		return nil
	default:
		fmt.Fprintln(env.Stdout, "ready")
		<-ctx.Done()
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}

// process is a running program.
type process struct {
	*exec.Cmd
	stdout *bufio.Scanner
	stderr strings.Builder
}

func start(t *testing.T, role string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], "run", "compute")}
	p.Env = append(os.Environ(), playProgram+"="+role)
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) await(t *testing.T, line string) {
	t.Helper()
	if !p.stdout.Scan() || p.stdout.Text() != line {
		t.Fatalf("the program printed %q instead of %q; stderr: %s", p.stdout.Text(), line, p.stderr.String())
	}
}

func (p *process) status() syscall.WaitStatus {
	_ = p.Wait() // its status says it better
	return p.ProcessState.Sys().(syscall.WaitStatus)
}

func TestFirstSignalCancels(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		p := start(t, "wait")
		p.await(t, "ready")
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		status := p.status()
		want := "mode: " + sig.String() + " signal received: wait: context canceled\n"
		if !status.Exited() || status.ExitStatus() != 20 || p.stderr.String() != want {
			t.Errorf("%v: status %#x, stderr %q, want %q", sig, status, p.stderr.String(), want)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := start(t, "stubborn")
	for _, line := range []string{"ready", "cancelled"} {
		p.await(t, line)
		if err := p.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if status := p.status(); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("status %#x, want death by SIGTERM", status)
	}
}

func TestReaderOfStdoutGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], "run", "compute")}
	p.Env = append(os.Environ(), playProgram+"=print")
	p.Stdout, p.Stderr = w, &p.stderr
	r.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if status := p.status(); !status.Exited() || status.ExitStatus() != 0 || p.stderr.Len() > 0 {
		t.Errorf("status %#x, stderr %q", status, p.stderr.String())
	}
}

func TestDiskFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], "run", "compute")}
	p.Env = append(os.Environ(), playProgram+"=print")
	p.Stdout, p.Stderr = full, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	status := p.status()
	if !status.Exited() || status.ExitStatus() != 20 || !strings.Contains(p.stderr.String(), "no space left on device") {
		t.Errorf("status %#x, stderr %q", status, p.stderr.String())
	}
}

func TestChildrenGetTheUsualSignals(t *testing.T) {
	p := start(t, "child")
	if status := p.status(); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("status %#x, stderr %q", status, p.stderr.String())
	}
}
