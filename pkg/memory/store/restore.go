package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Archive is a part of a scope that was exported: each thing with its id, its
// version and its instants. What memories belong to comes before them, in the
// same part or an earlier one.
type Archive struct {
	Sessions   []memory.Session
	Tasks      []ArchivedTask
	Artifacts  []memory.Artifact
	Memories   []memory.Memory
	Provenance []memory.Provenance
	// Superseded are memories by the one that took their place; both are there
	// by now.
	Superseded map[uuid.UUID]uuid.UUID
}

// ArchivedTask is a task with its earlier states.
type ArchivedTask struct {
	memory.Task
	Checkpoints []memory.Checkpoint `json:"checkpoints"`
}

// archived is a memory as RestoreMemories.sql takes it.
type archived struct {
	record
	Version      int           `json:"version"`
	Ordinal      int64         `json:"ordinal"`
	Status       memory.Status `json:"status"`
	StatusReason string        `json:"status_reason"`
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
}

// Restore writes a part of an export into a scope, all or none, and says how
// much of it was there already, the same. What is there under the same id, or
// in the same place, and is not the same is [memory.ErrConflict].
func (s *Store) Restore(ctx context.Context, scope memory.Scope, a Archive) (existing int, err error) {
	number, err := s.makeScope(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			existing = 0
			r := restoring{tx: tx, scope: number}
			err := r.all(ctx, a)
			existing = r.existing
			return err
		})
	}
	if err != nil {
		return 0, failed(err, "restore a part of %s", scope)
	}
	s.learn(ctx, number, len(a.Memories))
	s.wake.now()
	return existing, nil
}

type restoring struct {
	tx       pgx.Tx
	scope    int32
	existing int
}

func (r *restoring) all(ctx context.Context, a Archive) error {
	memories, err := archivedOf(a.Memories)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		n    int
		rows any
	}{
		{"RestoreSessions", len(a.Sessions), a.Sessions},
		{"RestoreTasks", len(a.Tasks), a.Tasks},
		{"RestoreArtifacts", len(a.Artifacts), a.Artifacts},
		{"RestoreMemories", len(memories), memories},
		{"RestoreProvenance", len(a.Provenance), a.Provenance},
	} {
		if part.n == 0 {
			continue
		}
		if err := r.part(ctx, part.name, part.n, part.rows); err != nil {
			return err
		}
	}
	var places []place
	for _, m := range a.Memories {
		if m.Ordinal != 0 {
			context := m.SessionID
			if context == nil {
				context = m.TaskID
			}
			places = append(places, place{context, m.Ordinal})
		}
	}
	if err := rebuild(ctx, r.tx, r.scope, places); err != nil || len(a.Superseded) == 0 {
		return err
	}
	var old, by []uuid.UUID
	for o, b := range a.Superseded {
		old, by = append(old, o), append(by, b)
	}
	_, err = r.tx.Exec(ctx, query("RestoreSuperseded"), r.scope, old, by)
	return err
}

// part writes rows of one table. The query answers with how many were written
// and how many were there, the same.
func (r *restoring) part(ctx context.Context, name string, n int, rows any) error {
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	var written, same int
	if err := r.tx.QueryRow(ctx, query(name), r.scope, string(text)).Scan(&written, &same); err != nil {
		return err
	}
	if written+same != n {
		return fmt.Errorf("%d of %d rows are there and are others: %w", n-written-same, n, memory.ErrConflict)
	}
	r.existing += same
	return nil
}

func archivedOf(memories []memory.Memory) ([]archived, error) {
	all := make([]archived, len(memories))
	for i, m := range memories {
		refs := make([]uuid.UUID, len(m.Artifacts))
		for n, a := range m.Artifacts {
			refs[n] = a.ID
		}
		rec, err := newRecord(i, Entry{Draft: memory.Draft{
			ID: &m.ID, MemoryType: m.MemoryType, Summary: m.Summary, Scope: m.Scope, Source: m.Source, SessionID: m.SessionID, TaskID: m.TaskID,
			Speaker: m.Speaker, OccurredAt: m.OccurredAt, Importance: m.Importance, Confidence: m.Confidence, Sensitivity: m.Sensitivity,
			ValidationStatus: m.ValidationStatus, TTL: m.TTL, Provenance: m.Provenance, Metadata: m.Metadata, ArtifactRefs: refs,
		}, Flags: m.Flags, Redactions: m.Redactions})
		if err != nil {
			return nil, err
		}
		all[i] = archived{rec, m.Version, m.Ordinal, m.Status, m.StatusReason, m.CreatedAt, m.UpdatedAt}
	}
	return all, nil
}

// Lineage lists a page of the lineage of a scope's memories and artifacts, the
// oldest first.
func (s *Store) Lineage(ctx context.Context, scope memory.Scope, after Position, limit int) ([]memory.Provenance, error) {
	found, err := readAll(ctx, s, scope, scanProvenance, "ListLineage", zero(after.CreatedAt), after.ID, limit)
	return found, failed(err, "list the lineage of %s", scope)
}
