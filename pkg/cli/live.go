package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// View is something that is looked at again and again.
type View struct {
	Title  string        // of the screen, on one line
	Rest   time.Duration // between the end of a look and the beginning of the next
	Format Format        // JSON is told, never drawn
	// Look looks once, within ctx. The next look begins after its end.
	Look func(ctx context.Context) (Frame, error)
}

// Frame is what one look saw. It doesn't change: it is drawn again when the
// terminal changes its size.
type Frame interface {
	// Draw prints all of it to env.Stdout, for a screen of env.Width columns.
	Draw(env *Env) error
	// Tell prints what is new in it, where there is no screen to draw on.
	Tell(env *Env) error
}

// Follow looks until ctx ends, which is no error once there was a whole look.
// On a terminal it shows the last look in the place of the one before, on a
// screen of its own, and leaves the terminal as it was, with the last look
// below what was there. Elsewhere each look is told.
func (e *Env) Follow(ctx context.Context, v View) error {
	show, done := Frame.Tell, func() error { return nil }
	if e.drawable() && v.Format != JSON {
		s := &screen{env: e, view: v}
		s.open()
		defer s.shut()
		show, done = s.show, s.leave
	}
	looked := false
	for {
		frame, err := v.Look(ctx)
		switch {
		case ctx.Err() != nil && looked:
			return done()
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		}
		looked = true
		if err := show(frame, e); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return done()
		case <-time.After(v.Rest):
		}
	}
}

// drawable tells whether stdout is a terminal on which the cursor can be moved.
func (e *Env) drawable() bool {
	term := e.Getenv("TERM")
	return e.Terminal && term != "" && term != "dumb"
}

// What makes a terminal a screen of ours and back: the alternate screen, no
// cursor, and lines that are too long cut instead of wrapped.
const (
	openScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	// A terminal that has no alternate screen is cleared.
	shutScreen = "\x1b[H\x1b[J\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// clearLine comes before a line: after one that fills its row, it would take
// the last character with it.
const clearLine = "\x1b[K"

// screen is a terminal that shows a view.
type screen struct {
	env  *Env
	view View

	resized chan os.Signal
	stopped chan os.Signal // and continued
	quit    chan struct{}
	closed  sync.WaitGroup

	mu     sync.Mutex // of what follows, and of writing to the terminal
	on     bool
	paused bool  // between a Ctrl-Z and what makes the program go on
	frame  Frame // nil before the end of the first look
	at     time.Time
}

// open takes the terminal.
func (s *screen) open() {
	s.resized, s.stopped, s.quit = make(chan os.Signal, 1), make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(s.resized, unix.SIGWINCH)
	signal.Notify(s.stopped, unix.SIGTSTP, unix.SIGCONT)
	s.at = time.Now()
	_ = s.draw() // the first look will notice
	s.closed.Go(s.obey)
}

// obey draws again when the terminal changes its size, and lends it to the
// shell between a Ctrl-Z and what makes the program go on.
func (s *screen) obey() {
	for {
		select {
		case <-s.resized:
		case sig := <-s.stopped:
			s.pause(sig == unix.SIGTSTP)
			if sig == unix.SIGTSTP {
				_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
				continue
			}
		case <-s.quit:
			return
		}
		_ = s.draw()
	}
}

func (s *screen) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused = paused; paused {
		s.restore()
	}
}

// show draws a look.
func (s *screen) show(frame Frame, _ *Env) error {
	s.mu.Lock()
	s.frame, s.at = frame, time.Now()
	s.mu.Unlock()
	return s.draw()
}

// leave gives the terminal back and leaves the last look on it.
func (s *screen) leave() error {
	s.shut()
	text, err := s.text(s.env.measured())
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.env.Stdout, text)
	return err
}

// shut gives the terminal back. It may be called again.
func (s *screen) shut() {
	signal.Stop(s.resized)
	signal.Stop(s.stopped)
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.closed.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restore()
}

// restore is called with the lock held.
func (s *screen) restore() {
	if s.on {
		s.on = false
		_, _ = io.WriteString(s.env.Stdout, shutScreen)
	}
}

// draw writes the whole screen at once, line over line, so that it doesn't
// flicker.
func (s *screen) draw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused {
		return nil
	}
	env := s.env.measured()
	text, err := s.text(env)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	rows := height(s.env.terminal)
	if len(lines) > rows {
		hidden := len(lines) - rows + 1
		lines = append(lines[:rows-1], env.Paint(Dim, fmt.Sprintf("… %d more lines", hidden)))
	}
	out := "\x1b[H" + clearLine + strings.Join(lines, "\r\n"+clearLine)
	if len(lines) < rows {
		out += "\r\n\x1b[J"
	}
	if !s.on {
		s.on, out = true, openScreen+out
	}
	_, err = io.WriteString(s.env.Stdout, out)
	return err
}

// text is the view with its heading: what is looked at, how often, and when it
// was looked at last.
func (s *screen) text(env *Env) (string, error) {
	var b bytes.Buffer
	head := fmt.Sprintf("every %v  %s", s.view.Rest, s.at.Format(time.TimeOnly))
	title := truncate(visible(s.view.Title, ""), max(0, env.Width-columns(head)-len(columnGap)))
	gap := max(len(columnGap), env.Width-columns(title)-columns(head))
	fmt.Fprintf(&b, "%s%s%s\n\n", env.Paint(Bold, title), strings.Repeat(" ", gap), head)
	if s.frame == nil {
		b.WriteString("looking…\n")
		return b.String(), nil
	}
	env.Stdout = &b
	err := s.frame.Draw(env)
	return b.String(), err
}

// measured is a copy of e with the width that the terminal has now.
func (e *Env) measured() *Env {
	now := *e
	now.Width = width(e.terminal, e.Getenv)
	return &now
}
