package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/ryjen/dubnium/pkg/memory"
	embedder "github.com/ryjen/dubnium/pkg/memory/embed"
)

//go:embed queries/*.sql
var queries embed.FS

func query(name string) string {
	text, err := queries.ReadFile(path.Join("queries", name+".sql"))
	if err != nil {
		panic(err) // embedded
	}
	return string(text)
}

// narrowRows is how many memories a narrow scope has, and sessionRows a session.
const (
	narrowRows  = 500
	sessionRows = 20
)

// wide is the scope that holds half of all memories; the others are narrow ones.
const wide = memory.Scope("project:wide")

func narrow(n int) memory.Scope { return memory.Scope(fmt.Sprintf("project:narrow-%d", n)) }

// loader fills a database by COPY, which stores some ten times as fast as the
// API: as the owner of the tables, whom row security does not bind, past the
// service's rules. Texts are made up and hold nothing that those would take
// out. The generated columns are Postgres's own; neighbours, bands and vectors
// are written as the service writes them, but no job is left in the outbox. The
// index of words is dropped before and made anew after.
type loader struct {
	dsn string
	// model is the one whose vectors are written; 0 is none.
	model    int32
	embedder embedder.Embedder
	workers  int
}

// part is what one COPY writes: memories of one scope.
type part struct {
	scope memory.Scope
	id    int32
	rows  int
	seed  uint64
}

// partRows bounds a COPY.
const partRows = 10000

// load writes rows memories.
func (l *loader) load(ctx context.Context, rows int) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var terms string
	if err := conn.QueryRow(ctx, query("TermsIndex")).Scan(&terms); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, query("DropTerms")); err != nil {
		return err
	}
	var parts []part
	scope := func(path memory.Scope, rows int) error {
		p := part{scope: path}
		if err := conn.QueryRow(ctx, query("AddScope"), string(path)).Scan(&p.id); err != nil {
			return err
		}
		for ; rows > 0; rows -= p.rows {
			p.rows, p.seed = min(rows, partRows), uint64(len(parts)+1)
			parts = append(parts, p)
		}
		return nil
	}
	if err := scope(wide, rows/2); err != nil {
		return err
	}
	narrows := 0
	for left := rows - rows/2; left > 0; left -= narrowRows {
		if err := scope(narrow(narrows), min(left, narrowRows)); err != nil {
			return err
		}
		narrows++
	}
	if err := l.copyAll(ctx, parts); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, terms); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, query("Vacuum"))
	return err
}

// copyAll writes the parts, some at a time, until one fails.
func (l *loader) copyAll(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan part, len(parts))
	for _, p := range parts {
		todo <- p
	}
	close(todo)
	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() {
			for p := range todo {
				if err := l.copy(ctx, p); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (l *loader) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, l.dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

// made is one memory.
type made struct {
	id, session            uuid.UUID
	ordinal                int
	text, speaker          string
	at                     time.Time
	previous, next, around string
}

// make writes the texts of a part, which are always the same.
func (p part) make() []made {
	w := newWriter(p.seed)
	all := make([]made, p.rows)
	begin := time.Date(2024, 1, 1, 9, 0, 0, 0, time.UTC)
	var session uuid.UUID
	for i := range all {
		if i%sessionRows == 0 {
			session = p.uuid("session", i)
		}
		all[i] = made{
			id: p.uuid("memory", i), session: session, ordinal: i%sessionRows + 1, text: w.sentence(),
			speaker: []string{"Ann", "Bob"}[i%2], at: begin.Add(time.Duration(i/sessionRows) * 26 * time.Hour),
		}
	}
	text := func(i, session int) string {
		if i < 0 || i >= len(all) || i/sessionRows != session {
			return ""
		}
		return all[i].text
	}
	for i := range all {
		s := i / sessionRows
		all[i].previous, all[i].next = text(i-1, s), text(i+1, s)
		all[i].around = text(i-2, s) + "\n" + text(i+2, s)
	}
	return all
}

// uuid is the same in every run.
func (p part) uuid(kind string, n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s/%s/%d/%d", kind, p.scope, p.seed, n))
}

func (l *loader) copy(ctx context.Context, p part) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	all := p.make()
	sessions := make([]uuid.UUID, 0, len(all)/sessionRows+1)
	for i := 0; i < len(all); i += sessionRows {
		sessions = append(sessions, all[i].session)
	}
	if _, err := conn.Exec(ctx, query("AddSessions"), p.id, sessions); err != nil {
		return fmt.Errorf("make the sessions of %s: %w", p.scope, err)
	}
	columns := []string{
		"scope_id", "id", "memory_type", "summary", "content_sha256", "session_id", "ordinal", "source", "speaker", "occurred_at",
		"importance", "confidence", "previous_text", "next_text", "around_text",
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"memories"}, columns, pgx.CopyFromSlice(len(all), func(i int) ([]any, error) {
		m := all[i]
		hash := memory.Draft{Summary: m.text, SessionID: &m.session, Speaker: m.speaker, OccurredAt: &m.at}.ContentHash()
		return []any{
			p.id, m.id, "episodic", m.text, hash[:], m.session, m.ordinal, "conversation", m.speaker, m.at,
			0.5, 0.5, m.previous, m.next, m.around,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("copy the memories of %s: %w", p.scope, err)
	}
	// As many bands as the service writes; which ones, only its own texts know.
	const bands = 4
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"memory_bands"}, []string{"scope_id", "band", "memory_id"}, pgx.CopyFromSlice(bands*len(all), func(i int) ([]any, error) {
		m := all[i/bands]
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", i%bands, m.text))
		return []any{p.id, int32(binary.LittleEndian.Uint32(sum[:])), m.id}, nil
	}))
	if err != nil {
		return fmt.Errorf("copy the bands of %s: %w", p.scope, err)
	}
	if l.model == 0 {
		return nil
	}
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = m.text
	}
	vectors, err := l.embedder.Embed(ctx, texts, embedder.Document)
	if err != nil {
		return fmt.Errorf("embed the memories of %s: %w", p.scope, err)
	}
	var lines bytes.Buffer
	for i, m := range all {
		fmt.Fprintf(&lines, "%d\t%s\t1\t%s\n", p.id, m.id, pgvector.NewHalfVector(vectors[i]))
	}
	_, err = conn.PgConn().CopyFrom(ctx, &lines, strings.ReplaceAll(query("CopyVectors"), "embedding_0", fmt.Sprintf("embedding_%d", l.model)))
	if err != nil {
		return fmt.Errorf("copy the vectors of %s: %w", p.scope, err)
	}
	return nil
}
