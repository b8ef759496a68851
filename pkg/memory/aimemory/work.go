package aimemory

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

type sessionsCmd struct {
	New    sessionNewCmd    `cmd:"" help:"Begin a session."`
	List   sessionListCmd   `cmd:"" help:"List the sessions of a scope, in the order in which they began."`
	Get    sessionGetCmd    `cmd:"" help:"Show a session."`
	Window sessionWindowCmd `cmd:"" help:"Show the last turns of a session, and the summaries of earlier ones."`
	End    sessionEndCmd    `cmd:"" help:"End a session."`
}

type sessionNewCmd struct {
	output `embed:""`
	scoped `embed:""`
	Title  string     `name:"title" placeholder:"TEXT" help:"What it is about."`
	ID     *uuid.UUID `name:"id" placeholder:"ID" help:"Its id (default a new one)."`
}

// Run begins a session and prints its id.
func (c *sessionNewCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Session, error) {
		return s.NewSession(ctx, memory.NewSession{ID: c.ID, Scope: c.Scope, Title: c.Title})
	}, func(w io.Writer, s memory.Session) error {
		_, err := fmt.Fprintln(w, s.ID)
		return err
	})
}

type sessionListCmd struct {
	output `embed:""`
	scoped `embed:""`
	paged  `embed:""`
}

// Run lists sessions.
func (c *sessionListCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Session], error) { return s.Sessions(ctx, c.list(c.Scope)) },
		func(w io.Writer, page memory.Page[memory.Session]) error {
			t := env.NewTable("ID", "BEGAN", "ENDED", "TITLE")
			t.Fold(leastText)
			for _, s := range page.Items {
				t.Row(s.ID.String(), when(s.CreatedAt), optional(s.EndedAt), strings.TrimSpace(fmt.Sprintf("%s (%d memories)", line(s.Title), s.Memories)))
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No session here.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

type sessionGetCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run shows a session.
func (c *sessionGetCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Session, error) { return s.Session(ctx, c.Scope, c.ID) },
		func(w io.Writer, s memory.Session) error {
			ended := ""
			if s.EndedAt != nil {
				ended = ", ended " + when(*s.EndedAt)
			}
			fmt.Fprintf(w, "%s began %s%s, %d memories\n", s.ID, when(s.CreatedAt), ended, s.Memories)
			if s.Title == "" {
				return nil
			}
			_, err := fmt.Fprintln(w, cli.Visible(s.Title))
			return err
		})
}

type sessionWindowCmd struct {
	output     `embed:""`
	identified `embed:""`
	Turns      int `name:"turns" default:"20" placeholder:"N" help:"Show the last N turns (default ${default})."`
}

// Run shows the end of a session.
func (c *sessionWindowCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Window, error) { return s.Window(ctx, c.Scope, c.ID, c.Turns) },
		func(w io.Writer, win memory.Window) error {
			if win.Earlier > 0 {
				fmt.Fprintf(w, "%d earlier turns\n", win.Earlier)
			}
			for _, s := range win.Summaries {
				fmt.Fprintf(w, "summary: %s\n", cli.Visible(line(s.Summary)))
			}
			t := env.NewTable("TURN", "AT", "WHO", "TEXT")
			t.Fold(leastText)
			for _, turn := range win.Turns {
				t.Row(fmt.Sprint(turn.Ordinal), optional(turn.OccurredAt), turn.Speaker, line(turn.Summary))
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No turn yet.")
			}
			return t.Write()
		})
}

type sessionEndCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run ends a session.
func (c *sessionEndCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Session, error) { return s.EndSession(ctx, c.Scope, c.ID) },
		func(w io.Writer, s memory.Session) error {
			_, err := fmt.Fprintf(w, "%s ended %s\n", s.ID, optional(s.EndedAt))
			return err
		})
}

type tasksCmd struct {
	New         taskNewCmd         `cmd:"" help:"Record a task."`
	List        taskListCmd        `cmd:"" help:"List the tasks of a scope."`
	Get         taskGetCmd         `cmd:"" help:"Show a task with its state."`
	Update      taskUpdateCmd      `cmd:"" help:"Change a task; what it was becomes a checkpoint."`
	Checkpoints taskCheckpointsCmd `cmd:"" help:"List the earlier states of a task."`
}

// state is what a task may be given.
type state struct {
	Status memory.TaskStatus `name:"status" enum:",queued,running,blocked,done,failed,cancelled" default:"" help:"Where it is: queued, running, blocked, done, failed or cancelled."`
	State  string            `name:"state" placeholder:"JSON" help:"Its state, an object."`
}

type taskNewCmd struct {
	output  `embed:""`
	scoped  `embed:""`
	state   `embed:""`
	Title   string     `name:"title" placeholder:"TEXT" help:"What it is."`
	Session *uuid.UUID `name:"session" placeholder:"ID" help:"It belongs to the session ID."`
}

// Run records a task and prints its id.
func (c *taskNewCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	o, err := object("--state", c.State)
	if err != nil {
		return err
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Task, error) {
		return s.NewTask(ctx, memory.NewTask{Scope: c.Scope, SessionID: c.Session, Title: c.Title, Status: c.Status, State: o})
	}, func(w io.Writer, t memory.Task) error {
		_, err := fmt.Fprintln(w, t.ID)
		return err
	})
}

type taskListCmd struct {
	output `embed:""`
	scoped `embed:""`
	paged  `embed:""`
	Status memory.TaskStatus `name:"status" enum:",queued,running,blocked,done,failed,cancelled" default:"" help:"Only those that are queued, running, blocked, done, failed or cancelled."`
}

// Run lists tasks.
func (c *taskListCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	l := c.list(c.Scope)
	if c.Status != "" {
		l.Also = url.Values{"status": {string(c.Status)}}
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Task], error) { return s.Tasks(ctx, l) },
		func(w io.Writer, page memory.Page[memory.Task]) error {
			t := env.NewTable("ID", "STATUS", "CHANGED", "VERSION", "TITLE")
			t.Fold(leastText)
			for _, task := range page.Items {
				t.Row(task.ID.String(), string(task.Status), when(task.UpdatedAt), fmt.Sprint(task.Version), line(task.Title))
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No task here.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

type taskGetCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run shows a task.
func (c *taskGetCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Task, error) { return s.Task(ctx, c.Scope, c.ID) }, printTask)
}

func printTask(w io.Writer, t memory.Task) error {
	text, err := json.MarshalIndent(t.State, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s is %s, version %d, changed %s\n%s\n%s\n", t.ID, t.Status, t.Version, when(t.UpdatedAt), cli.Visible(t.Title), cli.Visible(string(text)))
	return err
}

type taskUpdateCmd struct {
	output     `embed:""`
	identified `embed:""`
	version    `embed:""`
	state      `embed:""`
}

// Run changes a task. Without --if-version the version is read first, so that
// two who change it at a time are told.
func (c *taskUpdateCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	o, err := object("--state", c.State)
	if err != nil {
		return err
	}
	if c.Status == "" && o == nil {
		return exitcode.Errorf(exitcode.Usage, "nothing to change: give --status or --state")
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Task, error) {
		if c.IfVersion == nil {
			now, err := s.Task(ctx, c.Scope, c.ID)
			if err != nil {
				return now, err
			}
			read := number(now.Version)
			c.IfVersion = &read
		}
		return s.ChangeTask(ctx, c.Scope, c.ID, memory.ChangeTask{Status: c.Status, State: o}, c.options()...)
	}, printTask)
}

type taskCheckpointsCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run lists checkpoints.
func (c *taskCheckpointsCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Checkpoint], error) {
		return s.Checkpoints(ctx, c.Scope, c.ID)
	}, func(_ io.Writer, page memory.Page[memory.Checkpoint]) error {
		t := env.NewTable("SEQUENCE", "UNTIL", "STATUS", "STATE")
		t.Fold(leastText)
		for _, p := range page.Items {
			text, err := json.Marshal(p.State)
			if err != nil {
				return err
			}
			t.Row(fmt.Sprint(p.Sequence), when(p.CreatedAt), string(p.Status), string(text))
		}
		return t.Write()
	})
}

type artifactCmd struct {
	Add  artifactAddCmd  `cmd:"" help:"Store a file as an artifact."`
	List artifactListCmd `cmd:"" help:"List the artifacts of a scope."`
	Get  artifactGetCmd  `cmd:"" help:"Write the content of an artifact to stdout, or to a file."`
}

type artifactAddCmd struct {
	output      `embed:""`
	scoped      `embed:""`
	File        string `arg:"" help:"The file; - is stdin."`
	Type        string `name:"type" default:"document" placeholder:"TYPE" help:"What it is, such as image, document or log (default ${default})."`
	MediaType   string `name:"media-type" placeholder:"TYPE" help:"Its media type, such as text/plain."`
	Name        string `name:"name" placeholder:"NAME" help:"Its name (default that of the file)."`
	Sensitivity string `name:"sensitivity" placeholder:"LABEL" help:"Its label (default internal)."`
}

// Run stores a file.
func (c *artifactAddCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	f, err := file(env, c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	name := c.Name
	if name == "" && c.File != "-" {
		name = filepath.Base(c.File)
	}
	body := progress(env, f, "sent")
	defer body.done()
	return run(env, m, c.output, func(s *client.Client) (memory.Artifact, error) {
		return s.Upload(ctx, client.NewArtifact{Scope: c.Scope, Type: c.Type, MediaType: c.MediaType, Name: name, Sensitivity: c.Sensitivity}, body)
	}, func(w io.Writer, a memory.Artifact) error {
		body.done()
		_, err := fmt.Fprintf(w, "%s  sha256 %s, %d bytes\n", a.ID, a.SHA256, a.SizeBytes)
		return err
	})
}

type artifactListCmd struct {
	output `embed:""`
	scoped `embed:""`
	paged  `embed:""`
}

// Run lists artifacts.
func (c *artifactListCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Artifact], error) { return s.Artifacts(ctx, c.list(c.Scope)) },
		func(w io.Writer, page memory.Page[memory.Artifact]) error {
			t := env.NewTable("ID", "STORED", "BYTES", "WHAT")
			t.Fold(leastText)
			for _, a := range page.Items {
				what := a.ArtifactType
				if a.Name != "" {
					what += " " + line(a.Name)
				}
				t.Row(a.ID.String(), when(a.CreatedAt), fmt.Sprint(a.SizeBytes), what+", sha256 "+a.SHA256)
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No artifact here.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

type artifactGetCmd struct {
	identified `embed:""`
	Output     string `name:"output" placeholder:"FILE" help:"Write to FILE, which must not be there yet (default stdout)."`
}

// Run writes the content of an artifact.
func (c *artifactGetCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	s, err := m.connect(env)
	if err != nil {
		return err
	}
	content, err := s.Content(ctx, c.Scope, c.ID)
	if err != nil {
		return exit(err)
	}
	defer content.Close()
	return save(env, content, c.Output)
}
