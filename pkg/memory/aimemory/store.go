package aimemory

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

// maxFile bounds a file of memories; export and import have no bound.
const maxFile = 64 << 20

// said are the flags that say something of a memory besides its text.
type said struct {
	Type        memory.Type `name:"type" enum:",working,episodic,semantic" default:"" help:"Its class: working, episodic or semantic (default episodic, or that of the memory that it supersedes)."`
	Source      string      `name:"source" placeholder:"LABEL" help:"Where it comes from (default operator)."`
	Session     *uuid.UUID  `name:"session" placeholder:"ID" help:"It belongs to the session ID."`
	Task        *uuid.UUID  `name:"task" placeholder:"ID" help:"It belongs to the task ID."`
	Speaker     string      `name:"speaker" placeholder:"NAME" help:"NAME said or wrote it."`
	At          string      `name:"at" placeholder:"TIME" help:"It happened at TIME, such as 2026-05-28."`
	TTL         string      `name:"ttl" placeholder:"TIME" help:"It expires at TIME, or after a distance such as 30d."`
	Importance  float64     `name:"importance" placeholder:"SHARE" help:"How much it matters, from 0 to 1."`
	Confidence  float64     `name:"confidence" placeholder:"SHARE" help:"How sure it is, from 0 to 1."`
	Sensitivity string      `name:"sensitivity" placeholder:"LABEL" help:"Its label (default internal, or that of the memory that it supersedes); a retrieval names the labels that it may see."`
	Provenance  string      `name:"provenance" placeholder:"JSON" help:"An object that says where it comes from."`
	Metadata    string      `name:"metadata" placeholder:"JSON" help:"An object of your own."`
	Artifact    []uuid.UUID `name:"artifact" sep:"none" placeholder:"ID" help:"It rests on the artifact ID; may be given again."`
}

type storeCmd struct {
	output `embed:""`
	said   `embed:""`
	Text   string       `arg:"" optional:"" help:"The text of the memory, one statement."`
	File   string       `name:"file" placeholder:"FILE" help:"Store the JSON object, or the list of objects, in FILE; - is stdin. Further flags fill in what an object leaves out."`
	Scope  memory.Scope `name:"scope" placeholder:"SCOPE" help:"Store it in SCOPE, such as project:dubnium."`
	Key    string       `name:"idempotency-key" placeholder:"KEY" help:"Names the request, so that it can be sent again and is carried out once."`
}

// Run stores.
func (c *storeCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	drafts, many, err := c.drafts(env)
	if err != nil {
		return err
	}
	var options []client.Option
	if c.Key != "" {
		options = append(options, client.Idempotent(c.Key))
	}
	if !many {
		if err := drafts[0].Check(); err != nil { // without a round trip, and without the text having left
			return exit(err)
		}
		return run(env, m, c.output, func(s *client.Client) (memory.Stored, error) { return s.Store(ctx, drafts[0], options...) }, printStored)
	}
	return run(env, m, c.output, func(s *client.Client) (memory.StoredBatch, error) { return s.StoreBatch(ctx, drafts, options...) },
		func(w io.Writer, got memory.StoredBatch) error {
			for _, one := range got.Results {
				if err := printStored(w, one); err != nil {
					return err
				}
			}
			return nil
		})
}

func printStored(w io.Writer, s memory.Stored) error {
	var notes []string
	if s.Existing {
		notes = append(notes, "was there already")
	}
	if len(s.Redactions) > 0 {
		rules := map[string]bool{}
		var names []string
		for _, r := range s.Redactions {
			if !rules[r.Rule] {
				rules[r.Rule] = true
				names = append(names, r.Rule)
			}
		}
		notes = append(notes, "secrets taken out: "+strings.Join(names, ", "))
	}
	if len(s.Flags) > 0 {
		notes = append(notes, "flagged: "+strings.Join(s.Flags, ", "))
	}
	if len(s.SimilarTo) > 0 {
		notes = append(notes, fmt.Sprintf("like %s (%.0f %%)", s.SimilarTo[0].ID, 100*s.SimilarTo[0].Similarity))
	}
	if n := len(s.UnlinkedArtifacts); n > 0 {
		all := make([]string, n)
		for i, id := range s.UnlinkedArtifacts {
			all[i] = id.String()
		}
		notes = append(notes, "it stays as it was, without "+strings.Join(all, ", "))
	}
	text := s.ID.String()
	if len(notes) > 0 {
		text += "  (" + strings.Join(notes, "; ") + ")"
	}
	_, err := fmt.Fprintln(w, cli.Visible(text))
	return err
}

// drafts are what the command line and the file say; many tells that the file
// held a list.
func (c *storeCmd) drafts(env *cli.Env) (drafts []memory.Draft, many bool, err error) {
	given, err := c.draft(time.Now())
	if err != nil {
		return nil, false, err
	}
	given.Scope = c.Scope
	switch {
	case c.File == "" && c.Text == "":
		return nil, false, exitcode.Errorf(exitcode.Usage, "nothing to store: give the text, or --file")
	case c.File == "":
		given.Summary = c.Text
		return []memory.Draft{fill(memory.Draft{}, given)}, false, nil
	case c.Text != "":
		return nil, false, exitcode.Errorf(exitcode.Usage, "a text and --file are two things to store: give one of them")
	}
	f, err := file(env, c.File)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, false, exitcode.With(exitcode.Usage, err)
	}
	if len(text) > maxFile {
		return nil, false, exitcode.Errorf(exitcode.Usage, "%s is longer than %d MiB: use ai-memory import, which has no bound", called(c.File), maxFile>>20)
	}
	drafts, many, err = decode(text)
	if err != nil {
		return nil, false, exitcode.Errorf(exitcode.Usage, "%s: %w", called(c.File), err)
	}
	for i := range drafts {
		drafts[i] = fill(drafts[i], given)
	}
	return drafts, many, nil
}

// draft is what the flags say.
func (c *said) draft(now time.Time) (memory.Draft, error) {
	d := memory.Draft{
		MemoryType: c.Type, Source: c.Source, SessionID: c.Session, TaskID: c.Task, Speaker: c.Speaker,
		Importance: c.Importance, Confidence: c.Confidence, Sensitivity: c.Sensitivity, ArtifactRefs: c.Artifact,
	}
	var err error
	if d.OccurredAt, err = instant("--at", c.At, now); err != nil {
		return d, err
	}
	if d.TTL, err = instant("--ttl", c.TTL, now); err != nil {
		return d, err
	}
	if d.Provenance, err = object("--provenance", c.Provenance); err != nil {
		return d, err
	}
	d.Metadata, err = object("--metadata", c.Metadata)
	return d, err
}

// fill takes from the flags what a draft leaves out, and then the defaults.
func fill(d, given memory.Draft) memory.Draft {
	d.MemoryType = cmp.Or(d.MemoryType, given.MemoryType, memory.Episodic)
	d.Summary = cmp.Or(d.Summary, given.Summary)
	d.Scope = cmp.Or(d.Scope, given.Scope)
	d.Source = cmp.Or(d.Source, given.Source, "operator")
	d.SessionID = cmp.Or(d.SessionID, given.SessionID)
	d.TaskID = cmp.Or(d.TaskID, given.TaskID)
	d.Speaker = cmp.Or(d.Speaker, given.Speaker)
	d.OccurredAt = cmp.Or(d.OccurredAt, given.OccurredAt)
	d.TTL = cmp.Or(d.TTL, given.TTL)
	d.Importance = cmp.Or(d.Importance, given.Importance)
	d.Confidence = cmp.Or(d.Confidence, given.Confidence)
	d.Sensitivity = cmp.Or(d.Sensitivity, given.Sensitivity)
	if d.Provenance == nil {
		d.Provenance = given.Provenance
	}
	if d.Metadata == nil {
		d.Metadata = given.Metadata
	}
	if d.ArtifactRefs == nil {
		d.ArtifactRefs = given.ArtifactRefs
	}
	return d
}

type supersedeCmd struct {
	output     `embed:""`
	identified `embed:""`
	Text       string `arg:"" help:"The text of the new memory, one statement."`
	said       `embed:""`
	version    `embed:""`
}

// Run stores a memory in the place of another. What the flags leave out of its
// place, its label and its weight is as it was there: what was secret stays so.
func (c *supersedeCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	d, err := c.draft(time.Now())
	if err != nil {
		return err
	}
	d.Summary, d.Scope = c.Text, c.Scope
	return run(env, m, c.output, func(s *client.Client) (memory.Superseding, error) {
		was, err := s.Memory(ctx, c.Scope, c.ID)
		if err != nil {
			return memory.Superseding{}, err
		}
		options := c.options()
		if options == nil { // what is taken over is of this version
			options = []client.Option{client.IfMatch(was.Version)}
		}
		return s.Supersede(ctx, c.Scope, c.ID, fill(d, memory.Draft{
			MemoryType: was.MemoryType, SessionID: was.SessionID, TaskID: was.TaskID, Speaker: was.Speaker,
			Importance: was.Importance, Sensitivity: was.Sensitivity, TTL: was.TTL,
		}), options...)
	}, func(w io.Writer, got memory.Superseding) error { return printStored(w, got.Stored) })
}
