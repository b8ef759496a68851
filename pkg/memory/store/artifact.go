package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ryjen/dubnium/pkg/memory"
)

func scanArtifact(row pgx.CollectableRow) (memory.Artifact, error) {
	var v memory.Artifact
	err := row.Scan(&v.ID, &v.Scope, &v.SHA256, &v.StorageURI, &v.ArtifactType, &v.MediaType, &v.Name, &v.SizeBytes, &v.Sensitivity, &v.Provenance, &v.CreatedAt)
	v.CreatedAt = v.CreatedAt.UTC()
	return v, err
}

// AddArtifact notes an artifact of the scope. One of the same content is
// returned as it is, and then existing is true.
func (s *Store) AddArtifact(ctx context.Context, scope memory.Scope, a memory.Artifact) (added memory.Artifact, existing bool, err error) {
	if a.Provenance == nil {
		a.Provenance = memory.Object{}
	}
	if a.Sensitivity == "" {
		a.Sensitivity = memory.DefaultSensitivity
	}
	number, err := s.makeScope(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, query("AddArtifact"), number, a.ID, a.SHA256, a.StorageURI, a.ArtifactType, a.MediaType, a.Name, a.SizeBytes, a.Sensitivity, a.Provenance)
			if err != nil {
				return err
			}
			existing = tag.RowsAffected() == 0
			added, err = one(ctx, tx, scanArtifact, "ArtifactByDigest", number, a.SHA256)
			return err
		})
	}
	return added, existing, failed(err, "add artifact %s to %s", a.SHA256, scope)
}

// Artifact reads an artifact.
func (s *Store) Artifact(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Artifact, error) {
	found, err := readOne(ctx, s, scope, scanArtifact, "Artifact", id)
	return found, failed(err, "read artifact %s of %s", id, scope)
}

// ArtifactByDigest reads the artifact of a content.
func (s *Store) ArtifactByDigest(ctx context.Context, scope memory.Scope, sha256 string) (memory.Artifact, error) {
	found, err := readOne(ctx, s, scope, scanArtifact, "ArtifactByDigest", sha256)
	return found, failed(err, "read artifact %s of %s", sha256, scope)
}

// Artifacts lists a page of a scope's artifacts, the oldest first.
func (s *Store) Artifacts(ctx context.Context, scope memory.Scope, after Position, limit int) ([]memory.Artifact, error) {
	found, err := readAll(ctx, s, scope, scanArtifact, "ListArtifacts", after.instant(pgtype.NegativeInfinity), after.ID, limit)
	return found, failed(err, "list the artifacts of %s", scope)
}

// DeleteArtifact removes an artifact that no memory refers to; one that a
// memory does is [memory.ErrConflict].
func (s *Store) DeleteArtifact(ctx context.Context, scope memory.Scope, id uuid.UUID) error {
	number, err := s.scopeID(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			if _, err := one(ctx, tx, scanArtifact, "Artifact", number, id); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, query("DeleteArtifact"), number, id)
			if err == nil && tag.RowsAffected() == 0 {
				err = memory.ErrConflict
			}
			return err
		})
	}
	return failed(err, "delete artifact %s of %s", id, scope)
}

// ArtifactUsed tells whether any scope has an artifact of the content, whose
// file must then stay.
func (s *Store) ArtifactUsed(ctx context.Context, sha256 string) (bool, error) {
	var used bool
	err := s.across(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, query("ArtifactUses"), sha256).Scan(&used)
	})
	return used, failed(err, "look for uses of artifact %s", sha256)
}
