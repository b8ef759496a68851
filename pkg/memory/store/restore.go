package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
// in the same place, and is not the same is [memory.ErrConflict], and what it
// refers to and is not there [memory.ErrNotFound], both a
// [memory.ReferenceError].
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
	for _, part := range []restored{
		partOf("RestoreSessions", "session", a.Sessions, func(v memory.Session) uuid.UUID { return v.ID }, nil),
		partOf("RestoreTasks", "task", a.Tasks, func(v ArchivedTask) uuid.UUID { return v.ID }, func(v ArchivedTask) []reference {
			return optional(nil, "task.session_id", "session", v.SessionID)
		}),
		partOf("RestoreArtifacts", "artifact", a.Artifacts, func(v memory.Artifact) uuid.UUID { return v.ID }, nil),
		partOf("RestoreMemories", "memory", memories, func(v archived) uuid.UUID { return v.ID }, archived.references),
		partOf("RestoreProvenance", "provenance", a.Provenance, func(v memory.Provenance) uuid.UUID { return v.ID }, func(v memory.Provenance) []reference {
			return optional(optional(nil, "provenance.memory_id", "memory", v.MemoryID), "provenance.artifact_id", "artifact", v.ArtifactID)
		}),
	} {
		if len(part.ids) == 0 {
			continue
		}
		if err := r.write(ctx, part); err != nil {
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
	var refs []reference
	for o, b := range a.Superseded {
		old, by, refs = append(old, o), append(by, b), append(refs, reference{"memory.superseded_by", "memory", b})
	}
	if err := present(ctx, r.tx, r.scope, refs); err != nil {
		return err
	}
	_, err = r.tx.Exec(ctx, query("RestoreSuperseded"), r.scope, old, by)
	return err
}

// restored is what is restored of one table.
type restored struct {
	query, thing string
	ids          []uuid.UUID
	rows         any
	refs         []reference
}

func partOf[T any](query, thing string, rows []T, id func(T) uuid.UUID, refs func(T) []reference) restored {
	p := restored{query: query, thing: thing, rows: rows}
	for _, row := range rows {
		p.ids = append(p.ids, id(row))
		if refs != nil {
			p.refs = append(p.refs, refs(row)...)
		}
	}
	return p
}

// write writes a part. Its query answers with the ids that were written, and
// those that were there, the same.
func (r *restoring) write(ctx context.Context, p restored) error {
	if err := present(ctx, r.tx, r.scope, p.refs); err != nil {
		return err
	}
	text, err := json.Marshal(p.rows)
	if err != nil {
		return err
	}
	var written, same []uuid.UUID
	if err := r.tx.QueryRow(ctx, query(p.query), r.scope, string(text)).Scan(&written, &same); err != nil {
		return err
	}
	left := map[uuid.UUID]int{}
	for _, id := range slices.Concat(written, same) {
		left[id]++
	}
	refused := &memory.ReferenceError{Err: memory.ErrConflict}
	for _, id := range p.ids {
		if left[id]--; left[id] < 0 && len(refused.Fields) < maxMissing {
			refused.Fields = append(refused.Fields, memory.FieldError{Field: p.thing + ".id", Reason: "taken", Message: fmt.Sprintf(
				"is %s, and this scope has another %s with this id%s: delete that one, or import into a database without it", id, p.thing, also[p.thing])})
		}
	}
	if len(refused.Fields) > 0 {
		return refused
	}
	r.existing += len(same)
	return nil
}

// also says what else of a thing may be there only once.
var also = map[string]string{
	"artifact": ", or with its content",
	"memory":   ", with its text, or in its place of the session or task",
}

// references are what the memory names that has to be there.
func (a archived) references() []reference {
	refs := optional(optional(nil, "memory.session_id", "session", a.SessionID), "memory.task_id", "task", a.TaskID)
	for _, id := range a.ArtifactRefs {
		refs = append(refs, reference{"memory.artifact_refs", "artifact", id})
	}
	return refs
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
	found, err := readAll(ctx, s, scope, scanProvenance, "ListLineage", after.instant(pgtype.NegativeInfinity), after.ID, limit)
	return found, failed(err, "list the lineage of %s", scope)
}
