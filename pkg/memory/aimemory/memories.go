package aimemory

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

type getCmd struct {
	output     `embed:""`
	identified `embed:""`
}

// Run shows a memory.
func (c *getCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Memory, error) { return s.Memory(ctx, c.Scope, c.ID) }, show)
}

// show prints all of a memory for a person.
func show(w io.Writer, m memory.Memory) error {
	rows := [][2]string{
		{"id", m.ID.String()},
		{"version", fmt.Sprint(m.Version)},
		{"scope", string(m.Scope)},
		{"class", string(m.MemoryType)},
		{"review", string(m.ValidationStatus)},
		{"status", string(m.Status)},
		{"because", m.StatusReason},
		{"flags", strings.Join(m.Flags, ", ")},
		{"sensitivity", m.Sensitivity},
		{"source", m.Source},
		{"speaker", m.Speaker},
		{"at", optional(m.OccurredAt)},
		{"importance", share(m.Importance)},
		{"confidence", share(m.Confidence)},
		{"expires", optional(m.TTL)},
		{"stored", when(m.CreatedAt)},
	}
	if m.SessionID != nil {
		rows = append(rows, [2]string{"session", fmt.Sprintf("%s, turn %d", m.SessionID, m.Ordinal)})
	}
	if m.TaskID != nil {
		rows = append(rows, [2]string{"task", m.TaskID.String()})
	}
	if m.SupersededBy != nil {
		rows = append(rows, [2]string{"superseded by", m.SupersededBy.String()})
	}
	for _, r := range m.Redactions {
		rows = append(rows, [2]string{"taken out", fmt.Sprintf("%s in %s at byte %d", r.Rule, r.Field, r.Offset)})
	}
	for _, a := range m.Artifacts {
		rows = append(rows, [2]string{"artifact", fmt.Sprintf("%s (%s, sha256 %s)", a.ID, a.ArtifactType, a.SHA256)})
	}
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(w, "%-14s %s\n", row[0], cli.Visible(row[1]))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", cli.Visible(m.Summary))
	return err
}

type listCmd struct {
	output `embed:""`
	scoped `embed:""`
	paged  `embed:""`
	Type   memory.Type       `name:"type" enum:",working,episodic,semantic" default:"" help:"Only this class: working, episodic or semantic."`
	Review memory.Validation `name:"review" enum:",unverified,verified,rejected" default:"" help:"Only what was reviewed so: unverified, verified or rejected."`
	Status memory.Status     `name:"status" enum:",live,superseded,expired" default:"" help:"Only this status: live, superseded or expired."`
}

// Run lists memories.
func (c *listCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	l := c.list(c.Scope)
	l.Also = url.Values{}
	for name, value := range map[string]string{"memory_type": string(c.Type), "validation_status": string(c.Review), "status": string(c.Status)} {
		if value != "" {
			l.Also.Set(name, value)
		}
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Page[memory.Memory], error) { return s.Memories(ctx, l) },
		func(w io.Writer, page memory.Page[memory.Memory]) error {
			t := env.NewTable("ID", "STORED", "CLASS", "REVIEW", "TEXT")
			t.Fold(leastText)
			for _, m := range page.Items {
				text := line(m.Summary)
				if m.Status != memory.Live {
					text = string(m.Status) + ": " + text
				}
				t.Row(m.ID.String(), when(m.CreatedAt), string(m.MemoryType), string(m.ValidationStatus), text)
			}
			if t.Len() == 0 {
				fmt.Fprintln(w, "No memory here.")
			}
			if err := t.Write(); err != nil {
				return err
			}
			return more(w, page.Next)
		})
}

type verifyCmd struct {
	output     `embed:""`
	identified `embed:""`
	version    `embed:""`
}

// Run verifies.
func (c *verifyCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Memory, error) {
		return s.Verify(ctx, c.Scope, c.ID, c.options()...)
	}, changed)
}

// changed says what a memory is now.
func changed(w io.Writer, m memory.Memory) error {
	_, err := fmt.Fprintf(w, "%s is %s, %s, version %d\n", m.ID, m.MemoryType, m.ValidationStatus, m.Version)
	return err
}

type rejectCmd struct {
	output     `embed:""`
	identified `embed:""`
	version    `embed:""`
	Reason     memory.Reason `name:"reason" required:"" enum:"secret-content,cross-scope-contamination,unsupported-claim,stale-fact,prompt-injection-residue,unsupported-provenance" help:"Why: secret-content, cross-scope-contamination, unsupported-claim, stale-fact, prompt-injection-residue or unsupported-provenance."`
	Note       string        `name:"note" placeholder:"TEXT" help:"What else a later reader should know."`
}

// Run rejects.
func (c *rejectCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Memory, error) {
		return s.Reject(ctx, c.Scope, c.ID, memory.Reject{Reason: c.Reason, Note: c.Note}, c.options()...)
	}, changed)
}

type promoteCmd struct {
	output     `embed:""`
	identified `embed:""`
	version    `embed:""`
	To         memory.Type `name:"to" required:"" enum:"episodic,semantic" help:"The class that it becomes: episodic, or semantic, which needs provenance, confidence and a review."`
}

// Run promotes.
func (c *promoteCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	return run(env, m, c.output, func(s *client.Client) (memory.Memory, error) {
		return s.Promote(ctx, c.Scope, c.ID, c.To, c.options()...)
	}, changed)
}

type deleteCmd struct {
	identified `embed:""`
	version    `embed:""`
}

// Run deletes.
func (c *deleteCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	s, err := m.connect(env)
	if err != nil {
		return err
	}
	options := c.options()
	if options == nil { // the id is enough for a person
		options = []client.Option{client.Header("If-Match", "*")}
	}
	return exit(s.Delete(ctx, c.Scope, c.ID, options...))
}

type expireCmd struct {
	output `embed:""`
	Now    string       `name:"now" placeholder:"TIME" help:"Mark what has expired by TIME (default the present)."`
	Scope  memory.Scope `name:"scope" placeholder:"SCOPE" help:"Only in SCOPE (default all)."`
}

// Run expires.
func (c *expireCmd) Run(ctx context.Context, env *cli.Env, m *model) error {
	now, err := instant("--now", c.Now, time.Now())
	if err != nil {
		return err
	}
	return run(env, m, c.output, func(s *client.Client) (memory.Expiry, error) {
		return s.Expire(ctx, memory.Expire{Now: now, Scope: c.Scope})
	}, func(w io.Writer, e memory.Expiry) error {
		_, err := fmt.Fprintf(w, "%d marked as expired by %s\n", e.Expired, when(e.Now))
		return err
	})
}
