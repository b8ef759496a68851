package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

func scanProvenance(row pgx.CollectableRow) (memory.Provenance, error) {
	var v memory.Provenance
	err := row.Scan(&v.ID, &v.MemoryID, &v.ArtifactID, &v.RetrievalEventID, &v.SourceIdentity, &v.SourceEvent, &v.CreatedAt)
	v.CreatedAt = v.CreatedAt.UTC()
	return v, err
}

// AddProvenance ties lineage to the one subject that p names. A subject that
// the scope doesn't have is [memory.ErrNotFound], a [memory.ReferenceError].
func (s *Store) AddProvenance(ctx context.Context, scope memory.Scope, p memory.Provenance) (memory.Provenance, error) {
	var added memory.Provenance
	if p.SourceEvent == nil {
		p.SourceEvent = memory.Object{}
	}
	number, err := s.makeScope(ctx, scope)
	if err == nil {
		refs := optional(nil, "memory_id", "memory", p.MemoryID)
		refs = optional(refs, "artifact_id", "artifact", p.ArtifactID)
		refs = optional(refs, "retrieval_event_id", "retrieval event", p.RetrievalEventID)
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			if err := present(ctx, tx, number, refs); err != nil {
				return err
			}
			added, err = one(ctx, tx, scanProvenance, "AddProvenance", number, p.ID, p.MemoryID, p.ArtifactID, p.RetrievalEventID, p.SourceIdentity, p.SourceEvent)
			return err
		})
	}
	return added, failed(err, "add provenance in %s", scope)
}

// Provenance lists the lineage of one subject: a memory, an artifact or a
// retrieval event, whichever is not nil.
func (s *Store) Provenance(ctx context.Context, scope memory.Scope, memoryID, artifactID, eventID *uuid.UUID, limit int) ([]memory.Provenance, error) {
	found, err := readAll(ctx, s, scope, scanProvenance, "ListProvenance", memoryID, artifactID, eventID, limit)
	return found, failed(err, "list provenance in %s", scope)
}
