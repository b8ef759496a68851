package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openTerminal gives the two ends of a terminal with so many columns: what a
// person sees can be read from the first.
func openTerminal(t *testing.T, cols uint16) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: cols}); err != nil {
		t.Fatal(err)
	}
	return screen, terminal
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
}

func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		name   string
		cols   uint16
		getenv func(string) string
		width  int
		colour bool
	}{
		{"usual", 132, environment("TERM=xterm"), 132, true},
		{"size unknown", 0, environment("TERM=xterm"), 80, true},
		{"COLUMNS wins", 132, environment("TERM=xterm", "COLUMNS=66"), 66, true},
		{"COLUMNS is nonsense", 132, environment("TERM=xterm", "COLUMNS=wide"), 132, true},
		{"COLUMNS is zero", 132, environment("TERM=xterm", "COLUMNS=0"), 80, true},
		{"COLUMNS is tiny", 132, environment("TERM=xterm", "COLUMNS=3"), 20, true},
		{"NO_COLOR", 132, environment("TERM=xterm", "NO_COLOR=1"), 132, false},
		{"dumb", 132, environment("TERM=dumb"), 132, false},
		{"no TERM", 132, environment(), 132, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, terminal := openTerminal(t, test.cols)
			var env *Env
			code := ExecuteContext(t.Context(), newProgram(func(_ context.Context, e *Env) error {
				env = e
				return nil
			}), []string{"run", "compute"}, terminal, terminal, &bytes.Buffer{}, test.getenv)
			if code != 0 {
				t.Fatalf("exit %d", code)
			}
			if !env.Terminal || env.Interactive || env.Width != test.width || env.Colour != test.colour {
				t.Errorf("got %+v", env)
			}
		})
	}
}

func TestProgressNeedsAnErrorTerminal(t *testing.T) {
	_, terminal := openTerminal(t, 80)
	var env *Env
	code := ExecuteContext(t.Context(), newProgram(func(_ context.Context, e *Env) error {
		env = e
		return nil
	}), []string{"run", "compute"}, strings.NewReader(""), &bytes.Buffer{}, terminal, environment("TERM=xterm"))
	if code != 0 || !env.Interactive || env.Terminal || env.Colour {
		t.Errorf("exit %d, %+v", code, env)
	}
}

// A file, a pipe and a device that is no terminal must not be taken for one.
func TestNoTerminal(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) || isTerminal(&bytes.Buffer{}) || isTerminal(nil) {
		t.Error("taken for a terminal")
	}
	if got := width(null, noEnv); got != 80 {
		t.Errorf("width %d", got)
	}
}

func TestTable(t *testing.T) {
	fill := func(e *Env) *Table {
		table := e.NewTable("UNIT", "STATE", "WHY")
		table.Row("desktop.target", "active", "the desktop contract begins when nothing else is left")
		table.Row("vllm.service", "", "名前\x1b[2J\nnext")
		table.Row("x")
		return table
	}
	for _, test := range []struct {
		name string
		env  Env
		want string
	}{
		{"in a pipe", Env{Width: 30}, "" +
			"UNIT            STATE   WHY\n" +
			"desktop.target  active  the desktop contract begins when nothing else is left\n" +
			"vllm.service    -       名前\\x1b[2J\\x0anext\n" +
			"x               -       -\n"},
		{"terminal", Env{Terminal: true, Width: 48}, "" +
			"UNIT            STATE   WHY\n" +
			"desktop.target  active  the desktop contract be…\n" +
			"vllm.service    -       名前\\x1b[2J\\x0anext\n" +
			"x               -       -\n"},
		{"colours", Env{Terminal: true, Colour: true, Width: 48}, "" +
			"\x1b[1mUNIT\x1b[0m            \x1b[1mSTATE\x1b[0m   \x1b[1mWHY\x1b[0m\n" +
			"desktop.target  active  the desktop contract be…\n" +
			"vllm.service    -       名前\\x1b[2J\\x0anext\n" +
			"x               -       -\n"},
		{"narrow terminal", Env{Terminal: true, Width: 20}, "" +
			"UNIT      STATE   WHY\n" +
			"desktop…  active  the des…\n" +
			"vllm.se…  -       名前\\x1…\n" +
			"x         -       -\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			test.env.Stdout = &b
			table := fill(&test.env)
			if err := table.Write(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Error(diff)
			}
			if table.Len() != 3 {
				t.Errorf("%d rows", table.Len())
			}
		})
	}
	var b bytes.Buffer
	if err := (&Env{Stdout: &b}).NewTable("UNIT").Write(); err != nil || b.Len() > 0 {
		t.Errorf("an empty table wrote %q, %v", b.String(), err)
	}
}

func TestJSON(t *testing.T) {
	doc := map[string]any{"pid": 7, "exe": "a<b&c>"}
	var pretty, line, nothing bytes.Buffer
	if err := WriteJSON(&pretty, doc); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSONLine(&line, doc); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("{\n  \"exe\": \"a<b&c>\",\n  \"pid\": 7\n}\n", pretty.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("{\"exe\":\"a<b&c>\",\"pid\":7}\n", line.String()); diff != "" {
		t.Error(diff)
	}
	if err := WriteJSON(&nothing, []any{1, make(chan int)}); err == nil || nothing.Len() > 0 {
		t.Errorf("a channel was encoded: %q, %v", nothing.String(), err)
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("the quick brown fox", 7)
	f.Add("名前 \x1b[2J é", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		lines := wrap(text, width)
		if got, want := strings.Fields(strings.Join(lines, " ")), strings.Fields(text); !cmp.Equal(got, want) {
			t.Errorf("words changed: %q, want %q", got, want)
		}
		for _, line := range lines {
			if columns(line) > width && strings.Contains(line, " ") && len(strings.Fields(line)) > 1 {
				t.Errorf("%q is wider than %d", line, width)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add("desktop.target", "名前\x1b[2J", 20)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		var out bytes.Buffer
		env := &Env{Stdout: &out, Terminal: true, Width: width}
		table := env.NewTable("A", "B")
		table.Row(a, b)
		if err := table.Write(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 3 || strings.ContainsAny(out.String(), "\x1b\t\r") {
			t.Fatalf("%q", out.String())
		}
		for _, line := range lines {
			if columns(line) > max(width, 2*minColumn+len(columnGap)) {
				t.Errorf("%q takes %d columns, the terminal has %d", line, columns(line), width)
			}
		}
	})
}
