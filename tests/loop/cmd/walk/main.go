// Command walk boots a private machine with Dubnium on it and walks the loop
// in it for a person to watch: desktop, studio-local, desktop, compute,
// desktop, and then what an agent remembers. It touches nothing of the host's
// own.
//
//	walk            walk the loop
//	walk --shell    boot, and open a shell instead
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	shell := len(os.Args) == 2 && os.Args[1] == "--shell"
	if len(os.Args) > 1 && !shell {
		fmt.Fprintln(os.Stderr, "walk: usage: walk [--shell]")
		os.Exit(30)
	}
	if err := run(ctx, shell); err != nil {
		fmt.Fprintln(os.Stderr, "walk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, shell bool) (err error) {
	title("Booting a private machine (systemd as PID 1, logind, a headless compositor, a stand-in for vLLM)")
	start := time.Now()
	m, err := machine.Boot(ctx, loop.Options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if _, err := m.WaitSession(ctx); err != nil {
		return err
	}
	fmt.Printf("Up in %.1f s, with a person's session on seat0.\n", time.Since(start).Seconds())
	if shell {
		fmt.Print("\nTry: mode status, mode dry-run compute, mode request compute, journalctl -u 'mode-controller@*';\nsystemctl start dubnium-memory-api, ai-memory store --scope project:x 'It is so.', ai-memory doctor.\nThe machine is gone when you leave the shell.\n\n")
		_, err := m.Attach(ctx, "bash", "--login")
		return err
	}
	return walker{ctx, m}.walk()
}

type walker struct {
	ctx context.Context
	m   *machine.Machine
}

// step is a command that a person would type. Each has the exit status that is
// expected of it, so that a walk which ends well has shown what it says.
type step struct {
	title string
	code  int
	argv  []string
}

// walk shows the loop, and the memory.
func (w walker) walk() error {
	err := w.show(
		step{"What the machine is", 0, words("mode status")},
		step{"What going to compute would do, with the guards evaluated; nothing is touched", 0, words("mode dry-run compute")},
		step{"desktop -> studio-local: an overlay, the session stays", 0, words("mode request studio-local")},
		step{"", 0, words("mode current")},
		step{"studio-local -> desktop", 0, words("mode request desktop")},
		step{"A program that must not be interrupted: the guard blocks, names it, and nothing is touched", 17, []string{
			"systemd-inhibit", "--what=shutdown", "--who=editor", "--why=unsaved work", "--mode=block", "mode", "request", "compute",
		}},
		step{"The status names what was in the way", 0, words("mode status")},
		step{"desktop -> compute: the session ends, vLLM loads until it is healthy", 0, words("mode request compute")},
		step{"", 0, words("mode status")},
		step{"compute -> desktop", 0, words("mode request desktop")},
		step{"How the last transition went", 0, words("mode last-transition")},
		step{"One guard by hand: one line of JSON, a documented exit code", 0, words("check_graphical_session_terminable")},
		step{"The history", 0, words("mode history")},
	)
	if err != nil {
		return err
	}
	if err := w.remember(); err != nil {
		return err
	}
	title("Done: every step ended as it should")
	fmt.Print(`Look around:   sudo make shell       a shell in such a machine
Test it all:   sudo make test
Install here:  sudo make install     (and sudo make uninstall); nothing is started
`)
	return nil
}

// show types commands, and lets their output through.
func (w walker) show(steps ...step) error {
	for _, s := range steps {
		if s.title != "" {
			title(s.title)
		}
		line := typed(s.argv)
		fmt.Printf("%s %s\n", paint("1;36", "#"), paint("1", line))
		code, err := w.m.Attach(w.ctx, s.argv...)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if code != s.code {
			return fmt.Errorf("%s ended with %d, not with %d", line, code, s.code)
		}
		if code != 0 {
			fmt.Printf("%s\n", paint("2", fmt.Sprintf("(exit status %d)", code)))
		}
	}
	return nil
}

// typed is a command as it would be typed: quoted where a shell needs it.
func typed(argv []string) string {
	out := make([]string, len(argv))
	for i, word := range argv {
		out[i] = word
		if strings.ContainsAny(word, "' ?*;&|<>()") {
			out[i] = strconv.Quote(word)
		}
	}
	return strings.Join(out, " ")
}

func words(s string) []string { return strings.Fields(s) }

func title(s string) { fmt.Printf("\n%s\n", paint("1;32", "== "+s)) }

// paint sets text off on a terminal.
func paint(style, text string) string {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}
