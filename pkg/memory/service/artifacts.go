package service

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// NewArtifact stores content under its digest and records what is known of it.
// A digest in a says what the content must have.
func (s *Service) NewArtifact(ctx context.Context, a memory.Artifact, content io.Reader) (memory.Artifact, error) {
	if a.Sensitivity == "" {
		a.Sensitivity = memory.DefaultSensitivity
	}
	if a.ArtifactType == "" {
		a.ArtifactType = "document"
	}
	if err := a.Check(); err != nil {
		return memory.Artifact{}, err
	}
	var c cleaner
	c.label("scope", string(a.Scope))
	c.label("sensitivity", a.Sensitivity)
	c.label("artifact_type", a.ArtifactType)
	c.label("media_type", a.MediaType)
	a.Name = clip(c.text("name", a.Name))
	a.Provenance = c.object("provenance", a.Provenance)
	if err := c.err(); err != nil {
		return memory.Artifact{}, err
	}
	digest, size, err := s.contents.Put(content)
	if err != nil {
		return memory.Artifact{}, err
	}
	if a.SHA256 != "" && a.SHA256 != digest {
		return memory.Artifact{}, memory.FieldErrorf("sha256", "mismatch", "is not the digest of the content that came: send it again")
	}
	if a.ID, err = uuid.NewV7(); err != nil {
		return memory.Artifact{}, err
	}
	a.SHA256, a.SizeBytes, a.StorageURI = digest, size, storageURI(digest)
	added, _, err := s.store.AddArtifact(ctx, a.Scope, a)
	return added, err
}

// storageURI names content by its digest.
func storageURI(sha256 string) string { return "sha256:" + sha256 }

// Artifact gives what is known of one artifact of the scope.
func (s *Service) Artifact(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Artifact, error) {
	if err := checkScope(scope); err != nil {
		return memory.Artifact{}, err
	}
	return s.store.Artifact(ctx, scope, id)
}

// ListArtifacts gives a page of the artifacts of a scope.
func (s *Service) ListArtifacts(ctx context.Context, l memory.ScopeList) ([]memory.Artifact, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	return s.store.Artifacts(ctx, l.Scope, after(l.After), l.Limit)
}

// Content gives an artifact of the scope with what is in it, which has to be
// closed. Content is found through the scope's own artifact only: knowing a
// digest opens nothing.
func (s *Service) Content(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Artifact, io.ReadCloser, error) {
	a, err := s.Artifact(ctx, scope, id)
	if err != nil {
		return a, nil, err
	}
	r, err := s.contentOf(a)
	return a, r, err
}

// contentOf opens the content of an artifact, which is to be there when the
// artifact is.
func (s *Service) contentOf(a memory.Artifact) (io.ReadCloser, error) {
	r, err := s.contents.Open(a.SHA256)
	if errors.Is(err, memory.ErrNotFound) {
		err = fmt.Errorf("%w: %w", memory.ErrDamaged, err)
	}
	return r, err
}
