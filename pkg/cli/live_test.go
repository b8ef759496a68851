package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// words is a frame of lines.
type words []string

func (w words) Draw(e *Env) error {
	fmt.Fprintf(e.Stdout, "%d columns\n", e.Width)
	return w.Tell(e)
}

func (w words) Tell(e *Env) error {
	_, err := fmt.Fprintln(e.Stdout, strings.Join(w, "\n"))
	return err
}

// watched collects what a program writes to a terminal.
type watched struct {
	mu  sync.Mutex
	all []byte
	new chan struct{}
}

func watchTerminal(screen *os.File) *watched {
	w := &watched{new: make(chan struct{}, 1)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := screen.Read(buf)
			w.mu.Lock()
			w.all = append(w.all, buf[:n]...)
			w.mu.Unlock()
			select {
			case w.new <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return w
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.all)
}

// until waits for what is true of the text.
func (w *watched) until(t *testing.T, what string, is func(text string) bool) string {
	t.Helper()
	patience := time.After(20 * time.Second)
	for {
		text := w.text()
		if is(text) {
			return text
		}
		select {
		case <-w.new:
		case <-patience:
			t.Fatalf("no %s in %q", what, text)
		}
	}
}

// await waits until a screen of that size shows what is looked for.
func (w *watched) await(t *testing.T, rows, cols int, what string) []string {
	t.Helper()
	return render(w.until(t, what, func(text string) bool {
		return strings.Contains(strings.Join(render(text, rows, cols), "\n"), what)
	}), rows, cols)
}

// given waits until the terminal was given back, and gives what came before
// and after that.
func (w *watched) given(t *testing.T) (on, after string) {
	t.Helper()
	text := w.until(t, "end of the screen", func(text string) bool {
		_, after, found := strings.Cut(text, shutScreen)
		return found && (after == "" || strings.HasSuffix(after, "\n"))
	})
	if !strings.HasPrefix(text, openScreen) || strings.Count(text, openScreen) != 1 || strings.Count(text, shutScreen) != 1 {
		t.Errorf("the screen was not opened and shut once: %q", text)
	}
	on, after, _ = strings.Cut(text, shutScreen)
	return on, strings.ReplaceAll(after, "\r", "")
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)([0-9;]*)([A-Za-z])`)

// render plays what was written on a terminal of that size that cuts lines
// which are too long, and gives the rows with the blanks at their ends removed.
func render(text string, rows, cols int) []string {
	cells := make([][]rune, rows)
	clear := func(row, from int) {
		for c := from; c < cols; c++ {
			cells[row][c] = ' '
		}
	}
	for r := range cells {
		cells[r] = make([]rune, cols)
		clear(r, 0)
	}
	row, col := 0, 0
	for len(text) > 0 {
		if m := sequence.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			switch m[3] {
			case "H":
				row, col = 0, 0
			case "K":
				clear(row, min(col, cols-1))
			case "J":
				clear(row, min(col, cols-1))
				for r := row + 1; r < rows; r++ {
					clear(r, 0)
				}
			}
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			col = 0
		case '\n':
			if row++; row == rows {
				cells, row = append(cells[1:], []rune(strings.Repeat(" ", cols))), rows-1
			}
		default:
			cells[row][min(col, cols-1)] = r
			col++
		}
	}
	var out []string
	for _, r := range cells {
		out = append(out, strings.TrimRight(string(r), " "))
	}
	return out
}

// follow runs a program that follows a view, on a terminal of 24 rows.
func follow(t *testing.T, cols uint16, v View, getenv func(string) string) (screen *os.File, seen *watched, end func() exitcode.Code) {
	t.Helper()
	screen, terminal := openTerminal(t, cols)
	seen = watchTerminal(screen)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan exitcode.Code, 1)
	go func() {
		code <- ExecuteContext(ctx, newProgram(func(ctx context.Context, e *Env) error { return e.Follow(ctx, v) }),
			[]string{"run", "compute"}, terminal, terminal, &bytes.Buffer{}, getenv)
	}()
	return screen, seen, func() exitcode.Code {
		cancel()
		return <-code
	}
}

// looks gives a Look that takes its frames from a channel.
func looks(frames <-chan Frame) func(context.Context) (Frame, error) {
	return func(ctx context.Context) (Frame, error) {
		select {
		case f := <-frames:
			return f, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var clockTime = regexp.MustCompile(`\d\d:\d\d:\d\d`)

func TestFollowOnATerminal(t *testing.T) {
	frames := make(chan Frame)
	v := View{Title: "lamp watch", Rest: time.Millisecond, Look: looks(frames)}
	screen, seen, end := follow(t, 40, v, environment("TERM=xterm"))
	resize := func(rows, cols uint16) {
		t.Helper()
		if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
			t.Fatal(err)
		}
		// The test has no controlling terminal that would say so.
		if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
			t.Fatal(err)
		}
	}
	same := func(got []string, want ...string) {
		t.Helper()
		for len(got) > 0 && got[len(got)-1] == "" {
			got = got[:len(got)-1]
		}
		for i := range got {
			got[i] = clockTime.ReplaceAllString(got[i], "hh:mm:ss")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	head := "lamp watch           every 1ms  hh:mm:ss"
	same(seen.await(t, 24, 40, "looking"), head, "", "looking…")
	frames <- words{"desk on", "floor off, and it has been for a long, long time"}
	same(seen.await(t, 24, 40, "desk on"), head, "", "40 columns", "desk on", "floor off, and it has been for a long, e")
	frames <- words{"desk off"}
	same(seen.await(t, 24, 40, "desk off"), head, "", "40 columns", "desk off")
	resize(6, 30)
	seen.await(t, 6, 30, "30 columns")
	frames <- words{"one", "two", "three", "four", "five"}
	same(seen.await(t, 6, 30, "more lines"), "lamp wat…  every 1ms  hh:mm:ss", "", "30 columns", "one", "two", "… 3 more lines")
	resize(24, 40)
	same(seen.await(t, 24, 40, "40 columns"), head, "", "40 columns", "one", "two", "three", "four", "five")
	if code := end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	// The terminal is as it was, and the last look is on it.
	seen.until(t, "last look", func(text string) bool {
		_, after, _ := strings.Cut(text, shutScreen)
		return strings.HasSuffix(after, "five\r\n")
	})
	_, after := seen.given(t)
	same(strings.Split(after, "\n"), "\x1b[1mlamp watch\x1b[0m"+head[len("lamp watch"):], "", "40 columns", "one", "two", "three", "four", "five")
}

// TestFollowEnds holds how following ends, with the terminal given back.
func TestFollowEnds(t *testing.T) {
	broken := errors.New("the bulb is broken")
	for _, test := range []struct {
		name string
		look func(context.Context) (Frame, error)
		code exitcode.Code
		// alone is one that ends without being told to.
		alone bool
	}{
		{"before the first look", looks(nil), exitcode.Inspection, false},
		{"by an error", func(context.Context) (Frame, error) { return nil, exitcode.With(exitcode.Config, broken) }, exitcode.Config, true},
		{"by a panic", func(context.Context) (Frame, error) { panic(broken) }, exitcode.Internal, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, seen, end := follow(t, 40, View{Title: "lamp watch", Rest: time.Minute, Look: test.look}, environment("TERM=xterm"))
			seen.until(t, "look", func(text string) bool { return strings.Contains(text, "looking") })
			if test.alone {
				seen.until(t, "end", func(text string) bool { return strings.Contains(text, shutScreen) })
			}
			if code := end(); code != test.code {
				t.Errorf("exit %d, want %d", code, test.code)
			}
			if _, after := seen.given(t); after != "" {
				t.Errorf("left on the terminal: %q", after)
			}
		})
	}
}

// TestFollowIsTold holds where nothing is drawn: off a terminal, on one that
// can't, and for programs. Looks never overlap, whatever they take.
func TestFollowIsTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		format Format
		env    string
		file   bool
	}{
		{"no terminal", Plain, "TERM=xterm", true},
		{"dumb terminal", Plain, "TERM=dumb", false},
		{"JSON on a terminal", JSON, "TERM=xterm", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, out := openTerminal(t, 40)
			screen, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			if test.file {
				out = screen
			}
			ctx, cancel := context.WithCancel(t.Context())
			var told bytes.Buffer
			looks, under := 0, 0
			v := View{Rest: time.Millisecond, Format: test.format, Look: func(context.Context) (Frame, error) {
				if under++; under > 1 {
					t.Error("two looks at a time")
				}
				defer func() { under-- }()
				if looks++; looks == 4 {
					cancel()
				}
				return words{strconv.Itoa(looks)}, nil
			}}
			code := ExecuteContext(ctx, newProgram(func(ctx context.Context, e *Env) error {
				e.Stdout = &told // what is told, wherever it would go
				return e.Follow(ctx, v)
			}), []string{"run", "compute"}, out, out, &bytes.Buffer{}, environment(test.env))
			// The look during which it ended is not told.
			if diff := cmp.Diff("1\n2\n3\n", told.String()); diff != "" || code != 0 {
				t.Errorf("exit %d, %s", code, diff)
			}
		})
	}
}

func TestTableFolds(t *testing.T) {
	draw := func(width int) string {
		var b bytes.Buffer
		e := &Env{Stdout: &b, Terminal: true, Colour: true, Width: width}
		table := e.NewTable("UNIT", "STATE", "WHY")
		table.Fold(16)
		table.Row("vllm.service", "failed", "it was asked to load what is not there")
		table.Style(Bold.And(Red))
		table.Row("desktop.target", "active")
		table.Style(Style("").And(""))
		if err := table.Write(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	head := "\x1b[1mUNIT\x1b[0m            \x1b[1mSTATE\x1b[0m"
	row := "\x1b[1;31mvllm.service\x1b[0m    \x1b[1;31mfailed\x1b[0m"
	for width, want := range map[int]string{
		40: head + "   \x1b[1mWHY\x1b[0m\n" + row + "  \x1b[1;31mit was asked to…\x1b[0m\n" + "desktop.target  active  -\n",
		39: head + "\n" + row + "\n      it was asked to load what is not\n      there\n" + "desktop.target  active\n",
	} {
		if diff := cmp.Diff(want, draw(width)); diff != "" {
			t.Errorf("%d columns:\n%s", width, diff)
		}
	}
}
