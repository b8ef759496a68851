// Package aimemory is the program ai-memory: what a person, or a script, does
// with the memory service.
package aimemory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

type model struct {
	cli.Flags `embed:""`
	URL       string `name:"url" placeholder:"URL" help:"Ask the service at URL, such as http://127.0.0.1:8090 or unix:///PATH (default: the socket of the configuration, else its port)."`

	Store     storeCmd     `cmd:"" help:"Store a memory, or those of a file." group:"Memories"`
	Retrieve  retrieveCmd  `cmd:"" help:"Find the memories of a scope that bear on a query." group:"Memories"`
	Get       getCmd       `cmd:"" help:"Show one memory." group:"Memories"`
	List      listCmd      `cmd:"" help:"List the memories of a scope, in the order in which they were stored." group:"Memories"`
	Verify    verifyCmd    `cmd:"" help:"Record that a memory was reviewed and is true." group:"Review"`
	Reject    rejectCmd    `cmd:"" help:"Take a memory out of all normal retrievals, and say why." group:"Review"`
	Promote   promoteCmd   `cmd:"" help:"Make a memory one of the next class: working, episodic, semantic." group:"Review"`
	Audit     auditCmd     `cmd:"" help:"Find rejected memories, for a review; they must not be used in a prompt." group:"Review"`
	Supersede supersedeCmd `cmd:"" help:"Store a memory in the place of one that is no longer true; its class, label, place and weight stay unless they are given." group:"Review"`
	Delete    deleteCmd    `cmd:"" help:"Remove a memory with its text, its vectors and its index entries." group:"Memories"`
	Expire    expireCmd    `cmd:"" help:"Remove the memories that have outlived their time." group:"Memories"`
	Events    eventsCmd    `cmd:"" help:"List what was retrieved, by whom and for what." group:"Evidence"`
	Replay    replayCmd    `cmd:"" help:"Carry out a retrieval again and say what is different, and why." group:"Evidence"`
	Sessions  sessionsCmd  `cmd:"" help:"Work with sessions, which group memories of one conversation." group:"Work"`
	Tasks     tasksCmd     `cmd:"" help:"Work with tasks, the state of work under way." group:"Work"`
	Artifacts artifactCmd  `cmd:"" help:"Work with artifacts, the evidence that memories refer to." group:"Work"`
	Export    exportCmd    `cmd:"" help:"Write all of a scope as JSON lines." group:"Transfer"`
	Import    importCmd    `cmd:"" help:"Read what export wrote." group:"Transfer"`
	Health    healthCmd    `cmd:"" help:"Ask whether the service answers." group:"Operate"`
	Queue     queueCmd     `cmd:"" help:"Look at the embedding work, and try again what failed." group:"Operate"`
	Models    modelsCmd    `cmd:"" help:"List the embedding models, add one, or switch to one." group:"Operate"`
	Doctor    doctorCmd    `cmd:"" help:"Look at everything that the memory service needs, and say what to do about what is wrong." group:"Operate"`
}

// Program is ai-memory.
func Program() cli.Program {
	m := &model{}
	return cli.Program{
		Name:    "ai-memory",
		Summary: "store, find, review and audit memories for AI agents",
		Manual: `The memory service keeps short statements that an agent or a person may later be given as evidence. Each belongs to one scope, such as project:dubnium, and is seen by nobody who asks for another scope. What is returned are candidates with their provenance: never a prompt, and never an instruction to follow.

A scope is one of these kinds and a name:

- personal:NAME, what concerns one person
- project:NAME, a repository or a system
- session:ID, one conversation
- agent:NAME, what one agent keeps for itself
- workflow:NAME, what several agents share for one piece of work

Secrets are taken out of everything before it is stored, and so are they from queries. A memory that nobody has reviewed is returned, and marked as untrusted; with --require-verified it is not.

Every retrieval leaves an event that says what was asked for, by whom, and what was returned. ai-memory replay carries it out again.

A request that is not answered within a minute is given up. What is transferred, by import, export and artifacts, may take as long as it does, unless --timeout says otherwise.`,
		Model: m,
		Codes: []exitcode.Code{exitcode.Inspection},
		Examples: []cli.Example{
			{Command: `ai-memory store --scope project:dubnium "Desktop mode is the default at boot."`, Help: "Store a memory."},
			{Command: `ai-memory retrieve --scope project:dubnium "Which mode is on at boot?"`, Help: "Find it again."},
			{Command: `ai-memory verify --scope project:dubnium 0198c7f0-5d5e-7c0e-8f3a-3d2b8a1e9f10`, Help: "Say that it is true."},
			{Command: `ai-memory events --scope project:dubnium --json | jq .items[0]`, Help: "The last retrieval, and what it returned."},
			{Command: `ai-memory export --scope project:dubnium > dubnium.jsonl`, Help: "Take a scope to another machine."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration; [memory.api] says where the service is."},
			{Path: config.Default().Memory.API.Socket, Help: "The socket of the service."},
		},
		SeeAlso: []string{"memory-api(8)", "embed-worker(8)", "memory-mcp(1)"},
	}
}

// Exit is what the program ends with: 30 for what the service refused, 20 for
// a service that could not be asked or could not answer.
func exit(err error) error {
	var unreachable *client.UnreachableError
	var status *client.StatusError
	var invalid memory.Invalid
	var unread *inputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unread):
		return exitcode.With(exitcode.Usage, unread)
	case errors.As(err, &unreachable), errors.Is(err, memory.ErrUnavailable):
		return exitcode.With(exitcode.Inspection, err)
	case errors.As(err, &status) && status.Status >= 500:
		return exitcode.With(exitcode.Inspection, err)
	case errors.As(err, &status), errors.As(err, &invalid),
		errors.Is(err, memory.ErrNotFound), errors.Is(err, memory.ErrVersion), errors.Is(err, memory.ErrConflict), errors.Is(err, memory.ErrIncomplete):
		return exitcode.With(exitcode.Usage, err)
	}
	return err
}

// askWithin bounds a request that transfers nothing, where --timeout does not.
const askWithin = time.Minute

// connect finds the service, and bounds what is asked of it.
func (m *model) connect(env *cli.Env) (*client.Client, error) {
	c, err := m.find(env)
	if err == nil && m.Timeout == 0 {
		c.Within(askWithin)
	}
	return c, err
}

// find finds the service: at --url, at the configured socket, or, where the
// socket can't be used by us, at the configured port.
func (m *model) find(env *cli.Env) (*client.Client, error) {
	if m.URL != "" {
		c, err := client.URL(m.URL)
		if err != nil {
			return nil, exitcode.Errorf(exitcode.Usage, "--url: %w", err)
		}
		return c, nil
	}
	cfg, err := config.Load(env.Root, env.Config)
	if err != nil {
		return nil, err
	}
	c, why := client.Configured(env.Root, cfg.Memory.API)
	if why != nil {
		env.Logf("%v: asking over TCP, where the service does not learn who asks", why)
	}
	return c, nil
}

// output is how a command prints.
type output struct {
	cli.FormatFlag `embed:""`
	JSON           bool `name:"json" help:"Print the result as JSON; short for --format=json."`
}

func (o output) format() cli.Format {
	if o.JSON {
		return cli.JSON
	}
	return o.Format
}

// run connects, asks and prints.
func run[T any](env *cli.Env, m *model, o output, ask func(*client.Client) (T, error), plain func(io.Writer, T) error) error {
	c, err := m.connect(env)
	if err != nil {
		return err
	}
	got, err := ask(c)
	if err != nil {
		return exit(err)
	}
	return env.Print(o.format(), got, func(w io.Writer) error { return plain(w, got) })
}

// scoped is the scope that a command works in.
type scoped struct {
	Scope memory.Scope `name:"scope" required:"" placeholder:"SCOPE" help:"Work in SCOPE, such as project:dubnium."`
}

// AfterApply refuses a scope that is none before anything is asked.
func (s scoped) AfterApply() error {
	if err := s.Scope.Check(); err != nil {
		return fmt.Errorf("--scope: %q %w", string(s.Scope), err)
	}
	return nil
}

// identified is one thing of a scope.
type identified struct {
	scoped `embed:""`
	ID     uuid.UUID `arg:"" name:"id" help:"Its id, a UUID."`
}

// paged is which part of a list to show.
type paged struct {
	Limit  pageSize `name:"limit" default:"50" placeholder:"N" help:"Show at most N (default ${default})."`
	Cursor string   `name:"cursor" placeholder:"CURSOR" help:"Go on after an earlier page, whose next_cursor was CURSOR."`
}

// pageSize is the length of a page. 0, which a request would take for none
// given, is refused.
type pageSize int

// UnmarshalText reads one.
func (p *pageSize) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > memory.MaxPage {
		return fmt.Errorf("%q is not between 1 and %d", text, memory.MaxPage)
	}
	*p = pageSize(n)
	return nil
}

func (p paged) list(scope memory.Scope) client.List {
	return client.List{Scope: scope, Limit: int(p.Limit), Cursor: p.Cursor}
}

// more tells a person how to go on.
func more(w io.Writer, cursor string) error {
	if cursor == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "There is more: --cursor %s\n", cursor)
	return err
}

// version limits a change to what was read.
type version struct {
	IfVersion *number `name:"if-version" placeholder:"N" help:"Change it only while its version is N."`
}

// number is a version. 0, which a request would take for any, is refused.
type number int

// UnmarshalText reads one.
func (v *number) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no version: they count from 1", text)
	}
	*v = number(n)
	return nil
}

func (v version) options() []client.Option {
	if v.IfVersion != nil {
		return []client.Option{client.IfMatch(int(*v.IfVersion))}
	}
	return nil
}

// instant reads a time from a flag: RFC 3339, a date, or a distance from now,
// such as 30d or 12h.
func instant(flag, text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return &t, nil
		}
	}
	d, err := distance(text)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Usage, "%s: %q is neither a time (2026-05-28T00:00:00Z), a date (2026-05-28) nor a distance from now (30d, 12h)", flag, text)
	}
	t := now.Add(d).UTC()
	return &t, nil
}

func distance(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, errors.New("is no number of days")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

// when writes an instant for a table.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// optional writes an instant that may not be.
func optional(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

// share writes a score.
func share(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// leastText is how many columns a text is worth beside an id that must not be
// cut; where there are fewer it goes below. indent is what then comes before it.
const (
	leastText = 40
	indent    = "      "
)

// line is text on one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// healthCmd asks whether the service answers.
type healthCmd struct {
	output `embed:""`
}

// Run prints what the service says of itself.
func (c *healthCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (map[string]any, error) { return s.Health(ctx) },
		func(w io.Writer, got map[string]any) error {
			_, err := fmt.Fprintln(w, got["status"])
			return err
		})
}
