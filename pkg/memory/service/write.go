package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// entry checks a draft, takes its secrets out, flags it, and fills in what it
// leaves to the service.
func (s *Service) entry(d memory.Draft) (store.Entry, error) {
	if err := d.Check(); err != nil {
		return store.Entry{}, err
	}
	var c cleaner
	c.label("scope", string(d.Scope))
	c.label("sensitivity", d.Sensitivity)
	d.Summary = c.content("summary", d.Summary)
	d.Source = c.content("source", d.Source)
	d.Speaker = c.content("speaker", d.Speaker)
	d.Provenance = c.object("provenance", d.Provenance)
	d.Metadata = c.object("metadata", d.Metadata)
	if err := c.err(); err != nil {
		return store.Entry{}, err
	}
	// A placeholder can be longer than the secret that it stands for.
	if err := d.Check(); err != nil {
		return store.Entry{}, err
	}
	if d.Sensitivity == "" {
		d.Sensitivity = memory.DefaultSensitivity
	}
	if d.ValidationStatus == "" {
		d.ValidationStatus = memory.Unverified
	}
	if d.TTL == nil {
		d.TTL = s.ttl(d.MemoryType)
	}
	d.TTL, d.OccurredAt, d.ArtifactRefs = kept(d.TTL), kept(d.OccurredAt), distinct(d.ArtifactRefs)
	return store.Entry{Draft: d, Flags: c.list(), Redactions: c.done()}, nil
}

// ttl is the expiry of a memory that was stored without one.
func (s *Service) ttl(t memory.Type) *time.Time {
	days := s.options.DefaultTTL
	if t == memory.Working && s.options.WorkingTTL != 0 {
		days = s.options.WorkingTTL
	}
	if days == 0 {
		return nil
	}
	at := s.now().Add(days)
	return &at
}

// kept is an instant as Postgres keeps it.
func kept(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := instant(*t)
	return &at
}

func distinct(ids []uuid.UUID) []uuid.UUID {
	seen := make(map[uuid.UUID]bool, len(ids))
	var all []uuid.UUID
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	return all
}

// Store stores one memory. With a key, a request that was carried out before
// gets its answer again.
func (s *Service) Store(ctx context.Context, d memory.Draft, key *memory.Idempotency) (memory.Stored, error) {
	e, err := s.entry(d)
	if err != nil {
		return memory.Stored{}, err
	}
	stored, err := s.store.Add(ctx, d.Scope, []store.Entry{e}, keyOf(key))
	if err != nil {
		return memory.Stored{}, err
	}
	return stored[0], nil
}

func keyOf(i *memory.Idempotency) *store.Key {
	if i == nil {
		return nil
	}
	return &store.Key{Caller: i.Caller, Key: i.Key, Request: i.Fingerprint}
}

// StoreBatch stores many memories of one scope, all or none; what is wrong is
// named by its place.
func (s *Service) StoreBatch(ctx context.Context, b memory.StoreBatch, key *memory.Idempotency) (memory.StoredBatch, error) {
	switch n := len(b.Memories); {
	case n == 0:
		return memory.StoredBatch{}, memory.FieldErrorf("memories", "empty", "is empty: name at least one memory")
	case n > memory.MaxBatch:
		return memory.StoredBatch{}, memory.FieldErrorf("memories", "too-many", "has more than %d memories", memory.MaxBatch)
	}
	entries := make([]store.Entry, len(b.Memories))
	var wrong memory.Invalid
	for i, d := range b.Memories {
		e, err := s.entry(d)
		var fields memory.Invalid
		switch {
		case errors.As(err, &fields):
			for _, f := range fields {
				f.Field = fmt.Sprintf("memories[%d].%s", i, f.Field)
				wrong = append(wrong, f)
			}
		case err != nil:
			return memory.StoredBatch{}, err
		case d.Scope != b.Memories[0].Scope:
			wrong = append(wrong, memory.FieldError{Field: fmt.Sprintf("memories[%d].scope", i), Reason: "not-one-of", Message: "is another scope than that of the first: a batch is of one scope"})
		}
		e.Path = fmt.Sprintf("memories[%d].", i)
		entries[i] = e
		if len(wrong) >= maxReported {
			break
		}
	}
	if len(wrong) > 0 {
		return memory.StoredBatch{}, wrong
	}
	results, err := s.store.Add(ctx, b.Memories[0].Scope, entries, keyOf(key))
	return memory.StoredBatch{Results: results}, err
}

// maxReported bounds the fields that an answer about a batch lists.
const maxReported = 100
