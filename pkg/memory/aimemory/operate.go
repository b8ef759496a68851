package aimemory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

type queueCmd struct {
	Status queueStatusCmd `cmd:"" default:"withargs" help:"Show how much waits to be embedded."`
	Dead   queueDeadCmd   `cmd:"" help:"List what could not be embedded, and why."`
	Retry  queueRetryCmd  `cmd:"" help:"Try again what could not be embedded."`
}

type queueStatusCmd struct {
	output `embed:""`
}

// Run shows the queue.
func (c *queueStatusCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Queue, error) { return s.Queue(ctx) },
		func(w io.Writer, q memory.Queue) error {
			fmt.Fprintf(w, "%d waiting, %d handed to workers, %d given up", q.Pending, q.Streamed, q.Dead)
			if q.OldestSeconds > 0 {
				fmt.Fprintf(w, "; the oldest waits for %s", time.Duration(q.OldestSeconds*float64(time.Second)).Round(time.Second))
			}
			fmt.Fprintln(w)
			return printModels(env, q.Models)
		})
}

func printModels(env *cli.Env, models []memory.Model) error {
	t := env.NewTable("MODEL", "STATE", "PROVIDER", "DIMENSIONS", "EMBEDDED", "MISSING", "WEIGHT")
	for _, m := range models {
		t.Row(m.Name, string(m.State), m.Provider, fmt.Sprint(m.Dimensions), fmt.Sprint(m.Embedded), fmt.Sprint(m.Missing), share(m.Weight))
	}
	return t.Write()
}

type queueDeadCmd struct {
	output `embed:""`
	paged  `embed:""`
}

// Run lists dead letters.
func (c *queueDeadCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.DeadLetter], error) { return s.Dead(ctx, c.list("")) },
		func(w io.Writer, page memory.Page[memory.DeadLetter]) error {
			t := env.NewTable("MEMORY", "GIVEN UP", "ATTEMPTS", "WHY")
			t.Fold(leastText)
			for _, d := range page.Items {
				t.Row(d.MemoryID.String(), when(d.FailedAt), fmt.Sprint(d.Attempts), d.Model+": "+line(d.LastError))
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "Nothing was given up.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

type queueRetryCmd struct {
	output `embed:""`
	ID     []uuid.UUID `arg:"" optional:"" name:"id" help:"The memories (default all that were given up)."`
}

// Run retries dead letters.
func (c *queueRetryCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Retried, error) { return s.Retry(ctx, c.ID...) },
		func(w io.Writer, r memory.Retried) error {
			_, err := fmt.Fprintf(w, "%d are tried again\n", r.Retried)
			return err
		})
}

type modelsCmd struct {
	List     modelsListCmd     `cmd:"" default:"withargs" help:"List the embedding models and how complete their vectors are."`
	Add      modelsAddCmd      `cmd:"" help:"Begin to build a model's vectors, while the active one serves."`
	Activate modelsActivateCmd `cmd:"" help:"Make a model the one that retrieval uses; the one before it is kept."`
}

type modelsListCmd struct {
	output `embed:""`
}

// Run lists models.
func (c *modelsListCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Model], error) { return s.Models(ctx) },
		func(_ io.Writer, page memory.Page[memory.Model]) error { return printModels(env, page.Items) })
}

type modelsAddCmd struct {
	output         `embed:""`
	Name           string  `arg:"" help:"The model's name at its provider."`
	Provider       string  `name:"provider" enum:"builtin,openai" default:"openai" help:"What embeds with it: openai (the default) or builtin."`
	Dimensions     int     `name:"dimensions" required:"" placeholder:"N" help:"The length of its vectors."`
	QueryPrefix    string  `name:"query-prefix" placeholder:"TEXT" help:"What it wants before a query."`
	DocumentPrefix string  `name:"document-prefix" placeholder:"TEXT" help:"What it wants before a stored text."`
	Weight         float64 `name:"weight" placeholder:"SHARE" help:"Its share in the score, from its measured strength."`
}

// Run adds a model.
func (c *modelsAddCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Model, error) {
		return s.NewModel(ctx, memory.NewModel{
			Name: c.Name, Provider: c.Provider, Dimensions: c.Dimensions, QueryPrefix: c.QueryPrefix, DocumentPrefix: c.DocumentPrefix, Weight: c.Weight,
		})
	}, printModel)
}

func printModel(w io.Writer, m memory.Model) error {
	_, err := fmt.Fprintf(w, "%s is %s, %d embedded, %d missing\n", cli.Visible(m.Name), m.State, m.Embedded, m.Missing)
	return err
}

type modelsActivateCmd struct {
	output `embed:""`
	Name   string `arg:"" help:"The model's name."`
	Early  bool   `name:"early" help:"Switch although some memories have no vector of it yet; retrieval finds those by their words alone."`
}

// Run activates a model.
func (c *modelsActivateCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Model, error) { return s.ActivateModel(ctx, c.Name, c.Early) }, printModel)
}

type doctorCmd struct {
	output `embed:""`
}

// diagnosis is the document of the doctor.
type diagnosis struct {
	SchemaVersion int            `json:"schema_version"`
	OK            bool           `json:"ok"`
	Checks        []memory.Check `json:"checks"`
}

// stale is the age from which waiting work is a finding.
const stale = 10 * time.Minute

// Run looks at everything from the outside in, and ends with 20 when something
// is wrong.
func (c *doctorCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	doc := diagnosis{SchemaVersion: 1, OK: true, Checks: m.examine(ctx, env)}
	for _, check := range doc.Checks {
		doc.OK = doc.OK && check.OK
	}
	err := env.Print(c.format(), doc, func(w io.Writer) error {
		for _, check := range doc.Checks {
			mark := env.Paint(cli.Green, "ok   ")
			if !check.OK {
				mark = env.Paint(cli.Red, "wrong")
			}
			fmt.Fprintf(w, "%s  %-14s %s\n", mark, check.Name, cli.Visible(check.Message))
			if !check.OK && check.Remedy != "" {
				fmt.Fprintf(w, "       %-14s %s\n", "", cli.Visible(check.Remedy))
			}
		}
		return nil
	})
	if err == nil && !doc.OK {
		return exitcode.Errorf(exitcode.Inspection, "something is wrong with the memory service")
	}
	return err
}

func (m *model) examine(ctx context.Context, env *cli.Env) []memory.Check {
	var all []memory.Check
	note := func(name string, ok bool, remedy, format string, args ...any) {
		all = append(all, memory.Check{Name: name, OK: ok, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	cfg, err := config.Load(env.Root, env.Config)
	if err != nil {
		note("configuration", false, "mend the file, or take the key out", "%v", err)
		return all
	}
	if _, err := os.Stat(env.Root.Path(env.Config)); errors.Is(err, fs.ErrNotExist) {
		note("configuration", true, "", "%s is not there: the defaults hold", env.Config)
	} else {
		note("configuration", true, "", "%s", env.Config)
	}
	if m.URL == "" {
		examineSocket(env.Root.Path(cfg.Memory.API.Socket), note)
	}
	c, err := m.connect(env)
	if err == nil {
		_, err = c.Health(ctx)
	}
	if err != nil {
		note("service", false, "systemctl start dubnium-memory-api, and read journalctl -u dubnium-memory-api", "%v", err)
		return all
	}
	note("service", true, "", "answers at %s", c.Where())
	ready, err := c.Ready(ctx)
	if err != nil {
		note("readiness", false, "journalctl -u dubnium-memory-api tells more", "%v", err)
		return all
	}
	all = append(all, ready.Checks...)
	queue, err := c.Queue(ctx)
	switch {
	case err != nil:
		note("embedding", false, "journalctl -u dubnium-memory-api tells more", "%v", err)
	case queue.Dead > 0:
		note("embedding", false, "ai-memory queue dead tells why; ai-memory queue retry tries again", "%d memories could not be embedded", queue.Dead)
	case queue.OldestSeconds > stale.Seconds():
		note("embedding", false, "systemctl status dubnium-embed-worker, and journalctl -u dubnium-embed-worker", "%d memories wait to be embedded, one of them for %.0f minutes", queue.Pending+queue.Streamed, queue.OldestSeconds/60)
	default:
		note("embedding", true, "", "%d memories wait", queue.Pending+queue.Streamed)
	}
	return all
}

// examineSocket looks at the socket as this user.
func examineSocket(path string, note func(string, bool, string, string, ...any)) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		note("socket", false, "systemctl enable --now dubnium-memory-api.socket", "%s is not there", path)
	case err != nil:
		note("socket", false, "look at the permissions of its folder", "%v", err)
	case info.Mode()&fs.ModeSocket == 0:
		note("socket", false, "remove it, and restart dubnium-memory-api.socket", "%s is no socket", path)
	default:
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			note("socket", false, "join the group dubnium (usermod -aG dubnium NAME) and log in again", "%v", err)
			return
		}
		_ = conn.Close()
		note("socket", true, "", "%s can be used", path)
	}
}
