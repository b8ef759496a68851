package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// Memory gives one memory of the scope.
func (s *Service) Memory(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Memory, error) {
	if err := checkScope(scope); err != nil {
		return memory.Memory{}, err
	}
	return s.store.Memory(ctx, scope, id)
}

// ListMemories gives a page of the memories of a scope.
func (s *Service) ListMemories(ctx context.Context, l memory.MemoryList) ([]memory.Memory, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	return s.store.List(ctx, l.Scope, store.List{
		Types: only(l.MemoryType), Validations: only(l.ValidationStatus), Statuses: only(l.Status), Sensitivity: only(l.Sensitivity),
		SessionID: l.SessionID, TaskID: l.TaskID, After: after(l.After), Limit: l.Limit,
	})
}

// only is a list of one word, or nil for none.
func only[T ~string](word T) []T {
	if word == "" {
		return nil
	}
	return []T{word}
}

// Verify records that a reviewer found a memory true. A rejected one may be
// taken back this way: who reviews it has the last word.
func (s *Service) Verify(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) (memory.Memory, error) {
	return s.decided(ctx, scope, id, version,
		func(m memory.Memory) error { return live(m, "verified") },
		func(version int) (memory.Memory, error) { return s.store.Verify(ctx, scope, id, version) })
}

// Reject takes a memory out of every normal retrieval.
func (s *Service) Reject(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, r memory.Reject) (memory.Memory, error) {
	if err := checkScope(scope); err != nil {
		return memory.Memory{}, err
	}
	if err := checkReject(r); err != nil {
		return memory.Memory{}, err
	}
	reason := r.Reason
	var c cleaner
	if note := strings.TrimSpace(c.text("note", r.Note)); note != "" {
		reason += memory.Reason(": " + clipTo(note, maxNote))
	}
	return s.store.Reject(ctx, scope, id, version, reason)
}

// maxNote bounds the note of a rejection, in characters: it stands behind the
// reason in a column of 128.
const maxNote = 96

func checkReject(r memory.Reject) error {
	var wrong memory.Invalid
	switch {
	case r.Reason == "":
		wrong = append(wrong, memory.FieldError{Field: "reason", Reason: "required", Message: "is empty: name one of " + list(memory.Reasons)})
	case !slices.Contains(memory.Reasons, r.Reason):
		wrong = append(wrong, memory.FieldError{Field: "reason", Reason: "not-one-of", Message: "is none of " + list(memory.Reasons)})
	}
	switch {
	case !utf8.ValidString(r.Note):
		wrong = append(wrong, memory.FieldError{Field: "note", Reason: "not-utf8", Message: "is not valid UTF-8"})
	case strings.ContainsRune(r.Note, 0):
		wrong = append(wrong, memory.FieldError{Field: "note", Reason: "nul-byte", Message: "holds a NUL byte, which Postgres cannot store"})
	case utf8.RuneCountInString(r.Note) > maxNote:
		wrong = append(wrong, memory.FieldError{Field: "note", Reason: "too-long", Message: fmt.Sprintf("is longer than %d characters", maxNote)})
	}
	if wrong == nil {
		return nil
	}
	return wrong
}

func list[T ~string](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return strings.Join(all, ", ")
}

// Promote makes a memory one of the next class, by the rules of
// [memory.CheckPromotion].
func (s *Service) Promote(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, to memory.Type) (memory.Memory, error) {
	return s.decided(ctx, scope, id, version,
		func(m memory.Memory) error { return memory.CheckPromotion(m, to) },
		func(version int) (memory.Memory, error) { return s.store.Promote(ctx, scope, id, version, to) })
}

// Supersede stores a draft in the place of a live memory of the same scope: both
// happen, or neither.
func (s *Service) Supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, d memory.Draft) (memory.Superseding, error) {
	if d.Scope != scope {
		return memory.Superseding{}, memory.FieldErrorf("scope", "not-one-of", "is another scope than that of the memory: nothing moves from one to another")
	}
	e, err := s.entry(d)
	if err != nil {
		return memory.Superseding{}, err
	}
	var stored memory.Stored
	_, err = s.decided(ctx, scope, id, version,
		func(m memory.Memory) error { return live(m, "superseded") },
		func(version int) (_ memory.Memory, err error) {
			stored, err = s.store.Supersede(ctx, scope, id, version, e)
			return memory.Memory{}, err
		})
	if errors.Is(err, memory.ErrSame) {
		err = memory.FieldErrorf("summary", "not-another", "is what the memory says already")
	}
	if err != nil {
		return memory.Superseding{}, err
	}
	return memory.Superseding{Stored: stored, Superseded: id}, nil
}

// Delete removes a memory with its text, vectors and index entries. Version 0
// is any.
func (s *Service) Delete(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) error {
	if err := checkScope(scope); err != nil {
		return err
	}
	return s.store.Delete(ctx, scope, id, version)
}

// Expire marks what has outlived its TTL, in one scope or in all.
func (s *Service) Expire(ctx context.Context, e memory.Expire) (memory.Expiry, error) {
	now := s.now()
	if e.Now != nil {
		if e.Now.Before(memory.Earliest) || e.Now.After(memory.Latest) {
			return memory.Expiry{}, memory.FieldErrorf("now", "out-of-range", "is not a year from 1 to 9999")
		}
		now = instant(*e.Now)
	}
	var n int64
	var err error
	if e.Scope == "" {
		n, err = s.store.Expire(ctx, now)
	} else if err = checkScope(e.Scope); err == nil {
		n, err = s.store.ExpireIn(ctx, e.Scope, now)
	}
	return memory.Expiry{Expired: int(n), Now: now}, err
}
