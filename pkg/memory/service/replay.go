package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// ListEvents gives a page of retrieval events, newest first: of a scope, or of
// all where none is named.
func (s *Service) ListEvents(ctx context.Context, scope memory.Scope, before *memory.Position, limit int) ([]memory.RetrievalEvent, error) {
	if scope == "" {
		return s.store.AllEvents(ctx, after(before), limit)
	}
	if err := (memory.ScopeList{Scope: scope, Limit: limit}).Check(); err != nil {
		return nil, err
	}
	return s.store.Events(ctx, scope, after(before), limit)
}

// Event gives a retrieval event with its hits.
func (s *Service) Event(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.EventHits, error) {
	if err := checkScope(scope); err != nil {
		return memory.EventHits{}, err
	}
	event, err := s.store.Event(ctx, scope, id)
	if err != nil {
		return memory.EventHits{}, err
	}
	hits, err := s.store.Hits(ctx, scope, id)
	out := memory.EventHits{RetrievalEvent: event, Hits: make([]memory.EventHit, len(hits))}
	for i, h := range hits {
		out.Hits[i] = memory.EventHit(h)
	}
	return out, err
}

// Replay carries out a recorded retrieval again, with its query, filters, model
// and instant, and says what comes out otherwise, and why. It records nothing.
func (s *Service) Replay(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Replay, error) {
	event, err := s.Event(ctx, scope, id)
	if err != nil {
		return memory.Replay{}, err
	}
	q := store.Question{Scope: event.Scope, Text: event.Query, Filters: event.Metadata, AsOf: event.AsOf, Rejected: event.Type == memory.EventAudit}
	notes := []string{}
	model, err := s.embed(ctx, &q, func(m outbox.Model) bool { return m.Name == event.Model })
	if err != nil {
		return memory.Replay{}, err
	}
	if model.Name != event.Model {
		notes = append(notes, "the embedding model of the event could not be asked: words alone decided")
	}
	if event.Configuration != s.digest {
		notes = append(notes, "the settings of the ranking are others than those of the event")
	}
	_, hits, err := s.rank(ctx, q, model, new(Stages))
	if err != nil {
		return memory.Replay{}, err
	}
	is := make([]uuid.UUID, len(hits))
	vectors := make(map[uuid.UUID]bool)
	for i, h := range hits {
		is[i] = h.id
		vectors[h.id] = h.hit.Vector != 0
	}
	replay := memory.Replay{EventID: id, Notes: notes, Differences: []memory.Difference{}}
	if moved := compareRanks(event.ReturnedMemoryIDs, is); len(moved) > 0 {
		ids := make([]uuid.UUID, len(moved))
		for i, m := range moved {
			ids[i] = m.MemoryID
		}
		now, err := s.store.Memories(ctx, event.Scope, ids)
		if err != nil {
			return memory.Replay{}, err
		}
		replay.Differences = explain(event, moved, now, vectors)
	}
	replay.Same = len(replay.Differences) == 0
	return replay, nil
}

// compareRanks lists the ids whose rank is another one, in the order of what
// they were and then of what they are.
func compareRanks(was, is []uuid.UUID) []memory.Difference {
	rank := make(map[uuid.UUID]int, len(is))
	for i, id := range is {
		rank[id] = i + 1
	}
	var moved []memory.Difference
	for i, id := range was {
		if rank[id] != i+1 {
			moved = append(moved, memory.Difference{MemoryID: id, Was: i + 1, Is: rank[id]})
		}
		delete(rank, id)
	}
	came := len(moved)
	for id, r := range rank {
		moved = append(moved, memory.Difference{MemoryID: id, Is: r})
	}
	slices.SortFunc(moved[came:], func(a, b memory.Difference) int { return cmp.Compare(a.Is, b.Is) })
	return moved
}

// explain says of each difference why it is one. now are the memories as they
// are, and vectors says which of them have one in the replay.
func explain(event memory.EventHits, moved []memory.Difference, now []memory.Memory, vectors map[uuid.UUID]bool) []memory.Difference {
	byID := make(map[uuid.UUID]memory.Memory, len(now))
	for _, m := range now {
		byID[m.ID] = m
	}
	hits := make(map[uuid.UUID]memory.EventHit, len(event.Hits))
	for _, h := range event.Hits {
		hits[h.MemoryID] = h
	}
	for i := range moved {
		d := &moved[i]
		m, there := byID[d.MemoryID]
		hit, was := hits[d.MemoryID]
		_, embedded := hit.Parts["vector"]
		switch {
		case !there:
			d.Why, d.Message = "deleted", "it is not there any more"
		case d.Is == 0:
			d.Why, d.Message = gone(event, m)
		default:
			d.Why, d.Message = why(event, m, hit.MemoryVersion, was)
		}
		if d.Why == reranked && was && !embedded && vectors[d.MemoryID] {
			d.Why, d.Message = "newly-embedded", "it got its vector after the event"
		}
	}
	return moved
}

const reranked = "reranked"

// gone says why a memory is not returned any more.
func gone(event memory.EventHits, m memory.Memory) (word, message string) {
	f := event.Metadata
	audit := event.Type == memory.EventAudit
	switch {
	case !audit && m.ValidationStatus == memory.Rejected:
		return "rejected", "it was rejected after the event"
	case audit && m.ValidationStatus != memory.Rejected:
		return "relabelled", "it is not rejected any more"
	case m.Status == memory.Superseded:
		return "superseded", "a newer memory took its place"
	case m.Status == memory.Expired || expired(m.TTL, event.AsOf):
		return "expired", "it outlived its TTL"
	case !slices.Contains(f.AllowedSensitivity, m.Sensitivity):
		return "relabelled", "its sensitivity is none that the event allowed"
	case f.RequireVerified && m.ValidationStatus != memory.Verified:
		return "relabelled", "it is not verified any more"
	case len(f.MemoryTypes) > 0 && !slices.Contains(f.MemoryTypes, m.MemoryType):
		return "relabelled", "it is of another class now"
	}
	return reranked, "others came before it"
}

// why says why a memory has another rank, or is returned now.
func why(event memory.EventHits, m memory.Memory, version int, was bool) (word, message string) {
	switch {
	case !was && m.CreatedAt.After(event.AsOf.Add(-commitWindow)):
		return "stored-later", "it was stored after the event, or was not to be seen yet"
	case was && m.Version != version:
		return "changed", fmt.Sprintf("it was version %d and is version %d", version, m.Version)
	case !was && m.UpdatedAt.After(event.CreatedAt):
		return "changed", "it was changed after the event"
	}
	return reranked, "others came, went or changed, or the scope's word counts did"
}

func expired(ttl *time.Time, at time.Time) bool { return ttl != nil && !ttl.After(at) }

// commitWindow is how long a write may take from its instant to being seen.
const commitWindow = time.Second
