package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/hosts"
)

// meminfo is a machine's memory, of which so much is available.
func meminfo(h *hosts.Host, mib int) {
	h.Write("proc/meminfo", fmt.Sprintf("MemTotal: %d kB\nMemAvailable: %d kB\n", 64<<20, mib<<10))
}

// following is a mode guards --watch that runs.
type following struct {
	*exec.Cmd
	out *bufio.Scanner
}

func watch(t *testing.T, h *hosts.Host, args ...string) *following {
	t.Helper()
	args = append([]string{"guards", "desktop", "--watch", "--interval=500ms", "--timeout=1m", "--root=" + string(h.Root())}, args...)
	f := &following{Cmd: exec.CommandContext(t.Context(), "mode", args...)}
	out, err := f.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.out, f.Stderr = bufio.NewScanner(out), os.Stderr
	f.out.Buffer(nil, 1<<20)
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

// next reads up to a line that matches.
func (f *following) next(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for f.out.Scan() {
		if re.MatchString(f.out.Text()) {
			return f.out.Text()
		}
	}
	t.Fatalf("it ended before a line like %s: %v", pattern, f.out.Err())
	return ""
}

// interrupted ends it as Ctrl-C does and gives its exit code and the rest of
// what it said.
func (f *following) interrupted(t *testing.T) (exitcode.Code, []string) {
	t.Helper()
	if err := f.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	var rest []string
	for f.out.Scan() {
		rest = append(rest, f.out.Text())
	}
	_ = f.Wait() // the status says it
	return exitcode.Code(f.ProcessState.ExitCode()), rest
}

// TestWatchTellsChanges holds that off a terminal each change is a line, that a
// figure is no change, and that the exit code is that of the last look.
func TestWatchTellsChanges(t *testing.T) {
	h := hosts.Start(t, "closing-zombie")
	meminfo(h, 8192)
	f := watch(t, h)
	f.next(t, `^\S+Z way +compute -> desktop, from `)
	f.next(t, `^\S+Z pass +check_memory_headroom enough: 8192 MiB`)
	meminfo(h, 8000) // a figure
	meminfo(h, 512)
	if line := f.next(t, `^`); !regexp.MustCompile(`^\S+Z block +check_memory_headroom memory-low: 512 MiB`).MatchString(line) {
		t.Errorf("after memory ran low it said %s", line)
	}
	h.Write("etc/dubnium/guards.d/desktop/site", "#!/bin/sh\nexit 1\n")
	if err := os.Chmod(h.Root().Path("/etc/dubnium/guards.d/desktop/site"), 0o755); err != nil {
		t.Fatal(err)
	}
	site := strings.Fields(f.next(t, `site`))
	if site[1] != string(guard.Error) {
		t.Errorf("a site guard that came was told as %q", site)
	}
	h.Remove("etc/dubnium/guards.d/desktop/site")
	f.next(t, `^\S+Z gone +`+site[2])
	code, rest := f.interrupted(t)
	if code != exitcode.MemoryLow || len(rest) > 0 {
		t.Errorf("exit %d, and then it said %q", code, rest)
	}
}

// TestWatchJSON holds that each look is a document of its own, on a line, and
// that looks don't overlap.
func TestWatchJSON(t *testing.T) {
	h := hosts.Start(t, "closing-zombie")
	meminfo(h, 8192)
	f := watch(t, h, "--json")
	var end time.Time
	for i := range 3 {
		line := f.next(t, `^`)
		var doc record.Guards
		if err := wellFormed([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		begin, err := time.Parse(time.RFC3339, doc.Timestamp)
		if err != nil || doc.Target != "desktop" || len(doc.Results) == 0 || doc.SchemaVersion != record.SchemaVersion {
			t.Fatalf("%v: %s", err, line)
		}
		if i > 0 && begin.Before(end.Add(500*time.Millisecond)) {
			t.Errorf("a look began at %v, %v after the end of the one before", begin, begin.Sub(end))
		}
		for _, r := range doc.Results {
			at, err := time.Parse(time.RFC3339, r.Timestamp)
			if err != nil || at.Before(begin) {
				t.Errorf("%v: %s of the look at %v is of %s", err, r.Guard, begin, r.Timestamp)
			}
			if took := at.Add(time.Duration(r.DurationMS * float64(time.Millisecond)).Truncate(time.Millisecond)); took.After(end) {
				end = took
			}
		}
	}
	if code, _ := f.interrupted(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestWatchOnATerminal types Ctrl-C at a terminal on which the table is kept
// current.
func TestWatchOnATerminal(t *testing.T) {
	for _, term := range []struct {
		name string
		env  []string
		want []string
	}{
		{"colours", []string{"TERM=xterm"}, []string{"\x1b[1mblocked\x1b[0m by check_memory_headroom (exit code 14)", "\x1b[1;33m* memory_headroom"}},
		{"NO_COLOR", []string{"TERM=xterm", "NO_COLOR=1"}, []string{"blocked by check_memory_headroom (exit code 14), changed at ", "* memory_headroom"}},
	} {
		t.Run(term.name, func(t *testing.T) {
			h := hosts.Start(t, "closing-zombie")
			meminfo(h, 8192)
			screen, terminal := openTerminal(t)
			cmd := exec.CommandContext(t.Context(), "mode", "guards", "desktop", "--watch", "--interval=500ms", "--timeout=1m", "--root="+string(h.Root()))
			cmd.Env = append(withoutColour(os.Environ()), term.env...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			before := settings(t, terminal)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			read := reader(t, screen)
			read("  memory_headroom   pass")
			suspend(t, cmd.Process.Pid, screen, read)
			meminfo(h, 512)
			got := ""
			for _, want := range term.want {
				got += read(want)
			}
			if term.name == "NO_COLOR" && regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(got) {
				t.Errorf("colours in spite of NO_COLOR: %q", got)
			}
			if _, err := screen.WriteString("\x03"); err != nil {
				t.Fatal(err)
			}
			read("\x1b[?25h\x1b[?1049l") // the cursor, and the screen that was there
			read("memory_headroom")      // and the last look on it
			_ = cmd.Wait()
			if code := exitcode.Code(cmd.ProcessState.ExitCode()); code != exitcode.MemoryLow {
				t.Errorf("exit %d, want 14", code)
			}
			if after := settings(t, terminal); after != before {
				t.Errorf("the terminal's settings were %+v, and are %+v", before, after)
			}
		})
	}
}

// suspend types Ctrl-Z, which gives the shell its terminal, and lets the
// program go on.
func suspend(t *testing.T, pid int, screen io.StringWriter, read func(string) string) {
	t.Helper()
	if _, err := screen.WriteString("\x1a"); err != nil {
		t.Fatal(err)
	}
	read("\x1b[?25h\x1b[?1049l")
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %#x, %v", status, err)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	read("\x1b[?1049h")
	read("  memory_headroom   pass")
}

func withoutColour(env []string) []string {
	var out []string
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); name != "TERM" && name != "NO_COLOR" && name != "COLUMNS" {
			out = append(out, e)
		}
	}
	return out
}

// openTerminal gives the two ends of a terminal of 24 rows and 120 columns.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	screen = open("/dev/ptmx")
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal = open(fmt.Sprintf("/dev/pts/%d", n))
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return screen, terminal
}

func settings(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// reader gives a function that reads up to and with a text.
func reader(t *testing.T, screen io.Reader) func(want string) string {
	chunks := make(chan string)
	go func() {
		defer close(chunks)
		for buf := make([]byte, 4096); ; {
			n, err := screen.Read(buf)
			if err != nil {
				return
			}
			chunks <- string(buf[:n])
		}
	}()
	var seen string
	return func(want string) string {
		t.Helper()
		for patience := time.After(20 * time.Second); ; {
			if i := strings.Index(seen, want); i >= 0 {
				got := seen[:i+len(want)]
				seen = seen[len(got):]
				return got
			}
			select {
			case chunk := <-chunks:
				seen += chunk
			case <-patience:
				t.Fatalf("the terminal never got %q: %q", want, seen)
			}
		}
	}
}
