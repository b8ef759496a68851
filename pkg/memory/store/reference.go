package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// reference is a field that names a thing which has to be there.
type reference struct {
	field string
	thing string // of MissingReferences.sql, and for people
	id    uuid.UUID
}

// maxMissing bounds the references that an error lists.
const maxMissing = 50

// remedies say what to do about a thing that is not there.
var remedies = map[string]string{
	"session":  "POST " + memory.PathSessions + " makes one",
	"task":     "POST " + memory.PathTasks + " makes one",
	"artifact": "POST " + memory.PathArtifacts + " stores one",
}

// present refuses references to what the scope does not have, before the
// database would, with all of their fields.
func present(ctx context.Context, tx pgx.Tx, scope int32, refs []reference) error {
	if len(refs) == 0 {
		return nil
	}
	things, ids := make([]string, len(refs)), make([]uuid.UUID, len(refs))
	for i, r := range refs {
		things[i], ids[i] = r.thing, r.id
	}
	rows, err := tx.Query(ctx, query("MissingReferences"), scope, things, ids)
	if err != nil {
		return err
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(missing) == 0 {
		return err
	}
	refused := &memory.ReferenceError{Err: memory.ErrNotFound}
	for _, n := range missing[:min(len(missing), maxMissing)] {
		r := refs[n-1]
		refused.Fields = append(refused.Fields, memory.NotFound(r.field, r.thing, r.id, remedies[r.thing]))
	}
	return refused
}

// optional adds a reference where there is an id.
func optional(refs []reference, field, thing string, id *uuid.UUID) []reference {
	if id == nil {
		return refs
	}
	return append(refs, reference{field, thing, *id})
}

// references are what the record names that has to be there; its session is
// made.
func (r record) references() []reference {
	refs := optional(nil, r.path+"task_id", "task", r.TaskID)
	for i, id := range r.ArtifactRefs {
		refs = append(refs, reference{fmt.Sprintf("%sartifact_refs[%d]", r.path, i), "artifact", id})
	}
	return refs
}

// taken refuses an id that another thing of the scope has.
func taken(thing string, id uuid.UUID, remedy string) error {
	return &memory.ReferenceError{Err: memory.ErrConflict, Fields: memory.Invalid{memory.Taken("id", thing, id, remedy)}}
}

// distinct refuses a change of a memory that would leave two that are the same:
// to is the class that it is to have, or empty for its own.
func distinct(ctx context.Context, tx pgx.Tx, scope int32, id uuid.UUID, to string) error {
	rows, err := tx.Query(ctx, query("FindTwin"), scope, id, to)
	if err != nil {
		return err
	}
	twins, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(twins) == 0 {
		return err
	}
	return &memory.ReferenceError{Err: memory.ErrConflict, Fields: memory.Invalid{{
		Field: "id", Reason: "duplicate", Message: fmt.Sprintf("is %s, and would then be the same as %s, which is there: reject or delete one of them", id, twins[0]),
	}}}
}

// unlinked names the artifacts of entries that were there already and do not
// refer to them.
func (a *adding) unlinked(ctx context.Context) error {
	var ids []uuid.UUID
	for i, r := range a.records {
		if a.answers[i].Existing && len(r.ArtifactRefs) > 0 {
			ids = append(ids, a.answers[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := a.tx.Query(ctx, query("LinkedArtifacts"), a.scope, ids)
	if err != nil {
		return err
	}
	type link struct{ Memory, Artifact uuid.UUID }
	linked := map[link]bool{}
	var l link
	if _, err := pgx.ForEachRow(rows, []any{&l.Memory, &l.Artifact}, func() error { linked[l] = true; return nil }); err != nil {
		return err
	}
	for i, r := range a.records {
		for _, ref := range r.ArtifactRefs {
			if a.answers[i].Existing && !linked[link{a.answers[i].ID, ref}] {
				a.answers[i].UnlinkedArtifacts = append(a.answers[i].UnlinkedArtifacts, ref)
			}
		}
	}
	return nil
}
