package aimemory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

// redraw is how often progress is drawn.
const redraw = 200 * time.Millisecond

// counted is a reader that tells a person how much went through it.
type counted struct {
	io.Reader
	env   *cli.Env
	word  string
	n     int64
	last  time.Time
	drawn bool
}

// progress counts what is read, on a terminal.
func progress(env *cli.Env, r io.Reader, word string) *counted {
	return &counted{Reader: r, env: env, word: word, last: time.Now()}
}

// Read reads and, now and then, draws.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	if c.env.Interactive && time.Since(c.last) > redraw {
		c.last, c.drawn = time.Now(), true
		fmt.Fprintf(c.env.Stderr, "\r%s: %.1f MiB %s", c.env.Name, float64(c.n)/(1<<20), c.word)
	}
	return n, err
}

// done takes what was drawn off the terminal.
func (c *counted) done() {
	if c.drawn {
		c.drawn = false
		fmt.Fprint(c.env.Stderr, "\r\x1b[K")
	}
}

type exportCmd struct {
	scoped `embed:""`
	Output string `name:"output" placeholder:"FILE" help:"Write to FILE, which must not be there yet (default stdout)."`
}

// Run exports.
func (c *exportCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	s, err := m.connect(env)
	if err != nil {
		return err
	}
	lines, err := s.Export(ctx, c.Scope)
	if err != nil {
		return exit(err)
	}
	defer lines.Close()
	return save(env, lines, c.Output)
}

type importCmd struct {
	output `embed:""`
	File   string `arg:"" default:"-" help:"What export wrote (default stdin)."`
}

// Run imports.
func (c *importCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	f, err := file(env, c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	body := progress(env, f, "sent")
	defer body.done()
	return run(env, m, c.output, func(s *client.Client) (memory.Imported, error) { return s.Import(ctx, body) },
		func(w io.Writer, got memory.Imported) error {
			body.done()
			_, err := fmt.Fprintf(w, "%d memories, %d sessions, %d tasks, %d artifacts; %d were there already\n",
				got.Memories, got.Sessions, got.Tasks, got.Artifacts, got.Existing)
			return err
		})
}

// remembering is a reader that remembers why it ended, unless that was its end.
type remembering struct {
	io.Reader
	err error
}

// Read reads.
func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// save copies to stdout, or to a file that is there when all of it is.
func save(env *cli.Env, from io.Reader, name string) error {
	if name == "" {
		source := &remembering{Reader: from}
		_, err := io.Copy(env.Stdout, source)
		if source.err != nil {
			return exitcode.Errorf(exitcode.Inspection, "copy to stdout: %w", source.err)
		}
		return err // of stdout, which the runner judges
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	body := progress(env, from, "received")
	_, err = io.Copy(f, body)
	body.done()
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(name) // a part of it would pass for the whole
		return exitcode.Errorf(exitcode.Inspection, "write %s: %w", name, err)
	}
	return nil
}
