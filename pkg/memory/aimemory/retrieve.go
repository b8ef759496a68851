package aimemory

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

// asking is what a retrieval and an audit have in common.
type asking struct {
	scoped         `embed:""`
	Text           string         `arg:"" optional:"" name:"text" help:"What to find, in the words of a question or of what is looked for."`
	Query          string         `name:"query" placeholder:"TEXT" help:"What to find; the same as the argument."`
	Sensitivity    []string       `name:"sensitivity" sep:"," placeholder:"LABEL" help:"The labels that may be returned (default internal)."`
	Types          []memory.Type  `name:"type" sep:"," enum:"working,episodic,semantic" placeholder:"CLASS" help:"Only these classes: working, episodic, semantic."`
	Session        *uuid.UUID     `name:"session" placeholder:"ID" help:"Only memories of the session ID."`
	Limit          int            `name:"limit" default:"8" placeholder:"N" help:"Return at most N, from 1 to 32 (default ${default})."`
	Tokens         int            `name:"token-budget" placeholder:"N" help:"Shorten the texts to about N tokens in all; no id is lost."`
	Purpose        memory.Purpose `name:"purpose" enum:",ask,plan,patch,review,test" default:"" help:"What it is for: ask, plan, patch, review or test."`
	ActorType      string         `name:"actor-type" enum:",human,agent,system" default:"" help:"What asks: human, agent or system."`
	ActorID        string         `name:"actor-id" placeholder:"NAME" help:"Who asks."`
	EnvelopeID     string         `name:"envelope-id" placeholder:"ID" help:"The execution envelope that this belongs to."`
	AsOf           string         `name:"as-of" placeholder:"TIME" help:"Answer as at TIME."`
	Explain        bool           `name:"explain" help:"Show the parts of each score."`
	ExcludeFlagged bool           `name:"exclude-flagged" help:"Leave out memories that hold residue of prompt injection."`
}

func (a asking) request(now time.Time) (memory.Retrieve, error) {
	r := memory.Retrieve{
		Query: a.Query, Scope: a.Scope, AllowedSensitivity: a.Sensitivity, MemoryTypes: a.Types, SessionID: a.Session,
		Limit: a.Limit, TokenBudget: a.Tokens, Purpose: a.Purpose, EnvelopeID: a.EnvelopeID, ExcludeFlagged: a.ExcludeFlagged,
	}
	switch {
	case a.Text != "" && a.Query != "":
		return r, exitcode.Errorf(exitcode.Usage, "give the query once: as the argument, or with --query")
	case a.Text != "":
		r.Query = a.Text
	case a.Query == "":
		return r, exitcode.Errorf(exitcode.Usage, "nothing to find: give the query")
	}
	if a.Limit == 0 { // which the request would take for none given
		return r, exit(memory.FieldErrorf("limit", "out-of-range", "is not between 1 and %d", memory.MaxLimit))
	}
	var err error
	if r.AsOf, err = instant("--as-of", a.AsOf, now); err != nil {
		return r, err
	}
	if (a.ActorType == "") != (a.ActorID == "") {
		return r, exitcode.Errorf(exitcode.Usage, "--actor-type and --actor-id say together who asks: give both")
	}
	if a.ActorType != "" {
		r.Requester = &memory.Requester{ActorType: a.ActorType, ActorID: a.ActorID}
	}
	return r, exit(r.Normal().Check())
}

type retrieveCmd struct {
	output          `embed:""`
	asking          `embed:""`
	RequireVerified bool `name:"require-verified" help:"Only memories that were reviewed."`
}

// Run retrieves.
func (c *retrieveCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	r, err := c.request(time.Now())
	if err != nil {
		return err
	}
	r.RequireVerified = c.RequireVerified
	return run(env, m, c.output, func(s *client.Client) (memory.Retrieved, error) { return s.Retrieve(ctx, r) }, c.hits(env))
}

type auditCmd struct {
	output `embed:""`
	asking `embed:""`
}

// Run finds rejected memories.
func (c *auditCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	r, err := c.request(time.Now())
	if err != nil {
		return err
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Retrieved, error) { return s.Audit(ctx, r) }, c.hits(env))
}

// hits prints candidates, each with what a reader needs to judge it.
func (a asking) hits(env *cli.Env) func(io.Writer, memory.Retrieved) error {
	return func(w io.Writer, got memory.Retrieved) error {
		for _, h := range got.Memories {
			var about []string
			if len(h.Flags) > 0 {
				about = append(about, "flagged: "+strings.Join(h.Flags, ", "))
			}
			if h.Speaker != "" {
				about = append(about, h.Speaker)
			}
			if h.OccurredAt != nil {
				about = append(about, when(*h.OccurredAt))
			}
			if n := len(h.Duplicates); n > 0 {
				about = append(about, fmt.Sprintf("and %d the same", n))
			}
			fmt.Fprintf(w, "%s  %s  %s\n", env.Paint(cli.Bold, fmt.Sprintf("%2d  %.3f", h.Rank, h.Score)), h.ID, h.ValidationStatus)
			fmt.Fprint(w, env.Paragraph(indent, line(h.Summary)))
			fmt.Fprint(w, env.Paint(cli.Dim, env.Paragraph(indent, strings.Join(append(about, "from "+h.Source), "; "))))
			if a.Explain {
				fmt.Fprint(w, env.Paint(cli.Dim, env.Paragraph(indent, parts(h.Parts))))
			}
		}
		if len(got.Memories) == 0 {
			fmt.Fprintln(w, "Nothing in this scope bears on it.")
		}
		_, err := fmt.Fprintf(w, "event %s\n", got.Event.ID)
		return err
	}
}

// parts writes how the parts of a score make it, such as
// (lexical 0.800 + vector 0.150) * recency 1.050 + answer 0.100.
func parts(p map[string]float64) string {
	part := func(name string) string { return fmt.Sprintf("%s %.3f", name, p[name]) }
	var added, factors []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		switch {
		case slices.Contains(memory.Summands, name):
		case name != memory.PartAnswer:
			factors = append(factors, part(name))
		}
	}
	for _, name := range memory.Summands {
		if _, ok := p[name]; ok {
			added = append(added, part(name))
		}
	}
	text := strings.Join(added, " + ")
	if len(added) > 1 && len(factors) > 0 {
		text = "(" + text + ")"
	}
	if len(added) == 0 {
		text = "0"
	}
	text = strings.Join(append([]string{text}, factors...), " * ")
	if _, ok := p[memory.PartAnswer]; ok {
		text += " + " + part(memory.PartAnswer)
	}
	return text
}

type eventsCmd struct {
	output `embed:""`
	paged  `embed:""`
	Scope  memory.Scope `name:"scope" placeholder:"SCOPE" help:"Only events of SCOPE (default all)."`
	ID     *uuid.UUID   `arg:"" optional:"" name:"id" help:"Show this event with all that it returned; needs --scope."`
}

// Run lists events, or shows one.
func (c *eventsCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	if c.ID != nil {
		if c.Scope == "" {
			return exitcode.Errorf(exitcode.Usage, "an event is found in its scope: give --scope too")
		}
		return run(env, m, c.output, func(s *client.Client) (memory.EventHits, error) { return s.Event(ctx, c.Scope, *c.ID) },
			func(w io.Writer, e memory.EventHits) error { return printEvent(env, w, e) })
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.RetrievalEvent], error) {
		return s.Events(ctx, c.list(c.Scope))
	},
		func(w io.Writer, page memory.Page[memory.RetrievalEvent]) error {
			t := env.NewTable("WHEN", "EVENT", "TYPE", "FOUND", "QUERY")
			t.Fold(leastText)
			for _, e := range page.Items {
				about := []string{string(e.Scope)}
				if by := who(e); by != "" {
					about = append(about, by)
				}
				t.Row(when(e.CreatedAt), e.ID.String(), string(e.Type), fmt.Sprint(len(e.ReturnedMemoryIDs)),
					fmt.Sprintf("%s (%s, %.1f ms)", line(e.Query), strings.Join(about, ", "), e.LatencyMS))
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No retrieval yet.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

// who is who asked: what the kernel knows, and what was said.
func who(e memory.RetrievalEvent) string {
	var all []string
	if r := e.Metadata.Requester; r != nil {
		all = append(all, r.ActorType+" "+r.ActorID)
	}
	if e.Caller.Known {
		all = append(all, fmt.Sprintf("uid %d", e.Caller.UID))
	}
	return strings.Join(all, ", ")
}

func printEvent(env *cli.Env, w io.Writer, e memory.EventHits) error {
	fmt.Fprintf(w, "%s %s in %s at %s", e.Type, e.ID, e.Scope, when(e.CreatedAt))
	if by := who(e.RetrievalEvent); by != "" {
		fmt.Fprintf(w, " by %s", cli.Visible(by))
	}
	fmt.Fprintf(w, "\n%s\n", cli.Visible(line(e.Query)))
	t := env.NewTable("RANK", "MEMORY", "VERSION", "SCORE", "PARTS")
	t.Fold(leastText)
	for _, h := range e.Hits {
		t.Row(fmt.Sprint(h.Rank), h.MemoryID.String(), fmt.Sprint(h.MemoryVersion), fmt.Sprintf("%.3f", h.Score), parts(h.Parts))
	}
	return t.Write()
}

type replayCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run replays a retrieval.
func (c *replayCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Replay, error) { return s.Replay(ctx, c.Scope, c.ID) },
		func(w io.Writer, r memory.Replay) error {
			if r.Same {
				fmt.Fprintln(w, "The same memories in the same order.")
			}
			t := env.NewTable("MEMORY", "WAS", "IS", "WHY")
			t.Fold(leastText)
			for _, d := range r.Differences {
				t.Row(d.MemoryID.String(), place(d.Was), place(d.Is), d.Why+": "+d.Message)
			}
			if err := t.Write(); err != nil {
				return err
			}
			for _, n := range r.Notes {
				if _, err := fmt.Fprintln(w, cli.Visible(n)); err != nil {
					return err
				}
			}
			return nil
		})
}

// place is a rank, where there is one.
func place(rank int) string {
	if rank == 0 {
		return ""
	}
	return fmt.Sprint(rank)
}
