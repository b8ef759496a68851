package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ryjen/dubnium/pkg/memory"
)

// scanMemory reads a row of the view memory_rows.
func scanMemory(row pgx.CollectableRow) (memory.Memory, error) {
	var m memory.Memory
	var scope int32
	err := row.Scan(&scope, &m.ID, &m.Version, &m.MemoryType, &m.Summary, &m.Scope, &m.SessionID, &m.TaskID, &m.Ordinal,
		&m.Source, &m.Speaker, &m.OccurredAt, &m.Importance, &m.Confidence, &m.Sensitivity, &m.ValidationStatus,
		&m.Status, &m.StatusReason, &m.SupersededBy, &m.TTL, &m.Flags, &m.Redactions, &m.Provenance, &m.Metadata,
		&m.Artifacts, &m.CreatedAt, &m.UpdatedAt)
	m.OccurredAt, m.TTL = utc(m.OccurredAt), utc(m.TTL)
	m.CreatedAt, m.UpdatedAt = m.CreatedAt.UTC(), m.UpdatedAt.UTC()
	for i := range m.Artifacts {
		m.Artifacts[i].CreatedAt = m.Artifacts[i].CreatedAt.UTC()
	}
	return m, err
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// Memory reads one memory of the scope, whatever its status.
func (s *Store) Memory(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Memory, error) {
	found, err := s.memories(ctx, scope, "Memory", wholeScope, id)
	if err == nil && len(found) == 0 {
		err = memory.ErrNotFound
	}
	if err != nil {
		return memory.Memory{}, failed(err, "read memory %s of %s", id, scope)
	}
	return found[0], nil
}

// Memories reads those of the named memories that the scope has, in the order
// of ids.
func (s *Store) Memories(ctx context.Context, scope memory.Scope, ids []uuid.UUID) ([]memory.Memory, error) {
	found, err := s.memories(ctx, scope, "Memories", wholeScope, ids)
	if err != nil {
		return nil, failed(err, "read %d memories of %s", len(ids), scope)
	}
	byID := make(map[uuid.UUID]memory.Memory, len(found))
	for _, m := range found {
		byID[m.ID] = m
	}
	ordered := found[:0]
	for _, id := range ids {
		if m, ok := byID[id]; ok {
			ordered = append(ordered, m)
		}
	}
	return ordered, nil
}

func (s *Store) memories(ctx context.Context, scope memory.Scope, name string, of portion, args ...any) ([]memory.Memory, error) {
	all := []memory.Memory{}
	id, err := s.scopeID(ctx, scope)
	if err != nil || id == 0 {
		return all, err
	}
	var b pgx.Batch
	enter(&b, id)
	b.Queue(queryOfPart(name, 0, of), append([]any{id}, args...)...).Query(scanAll(&all, scanMemory))
	err = s.pool.SendBatch(ctx, &b).Close()
	return all, err
}

// Position is a place in a list that is ordered by the time of creation: what
// follows it is the next page. The zero value is the beginning.
type Position struct {
	CreatedAt time.Time
	ID        uuid.UUID
}

// instant is the position's, or where it is the beginning, what is before or
// after all. Behind row security only a bare parameter bounds an index.
func (p Position) instant(beginning pgtype.InfinityModifier) pgtype.Timestamptz {
	if p.CreatedAt.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: beginning, Valid: true}
	}
	return pgtype.Timestamptz{Time: p.CreatedAt, Valid: true}
}

// List says which memories of a scope are wanted; what is empty excludes none.
type List struct {
	Types       []memory.Type
	Validations []memory.Validation
	Statuses    []memory.Status
	Sensitivity []string
	SessionID   *uuid.UUID
	TaskID      *uuid.UUID
	// After is the last memory of the page before.
	After Position
	Limit int
}

// List lists a page of a scope's memories, the oldest first.
func (s *Store) List(ctx context.Context, scope memory.Scope, list List) ([]memory.Memory, error) {
	of := wholeScope
	switch {
	case list.SessionID != nil:
		of = sessionPart
	case list.TaskID != nil:
		of = taskPart
	}
	found, err := s.memories(ctx, scope, "ListMemories", of, list.Types, list.Validations, list.Statuses, list.Sensitivity,
		list.SessionID, list.TaskID, list.After.instant(pgtype.NegativeInfinity), list.After.ID, list.Limit)
	return found, failed(err, "list the memories of %s", scope)
}

// Window reads the last n memories of a session that a normal retrieval may
// return at an instant, the oldest first, and how many there are in all.
func (s *Store) Window(ctx context.Context, scope memory.Scope, session uuid.UUID, n int, allowed []string, at time.Time) (last []memory.Memory, all int64, err error) {
	last = []memory.Memory{}
	id, err := s.scopeID(ctx, scope)
	if err == nil && id != 0 {
		var b pgx.Batch
		enter(&b, id)
		b.Queue(query("Window"), id, session, n, at, allowed).Query(scanAll(&last, scanMemory))
		b.Queue(query("CountWindow"), id, session, at, allowed).Query(scanOne(&all))
		err = s.pool.SendBatch(ctx, &b).Close()
	}
	return last, all, failed(err, "read the end of session %s of %s", session, scope)
}
