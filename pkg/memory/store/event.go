package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Hit is what an event keeps of a memory that it returned.
type Hit struct {
	Rank          int
	MemoryID      uuid.UUID
	MemoryVersion int
	Score         float64
	Parts         map[string]float64
}

// AddEvent records a retrieval with its hits, and returns it with its time. Its
// ReturnedMemoryIDs are those of the hits.
func (s *Store) AddEvent(ctx context.Context, e memory.RetrievalEvent, hits []Hit) (memory.RetrievalEvent, error) {
	err := s.addEvent(ctx, &e, hits)
	return e, failed(err, "record a retrieval from %s", e.Scope)
}

func (s *Store) addEvent(ctx context.Context, e *memory.RetrievalEvent, hits []Hit) error {
	scope, err := s.makeScope(ctx, e.Scope)
	if err != nil {
		return err
	}
	ranks, ids, versions := make([]int, len(hits)), make([]uuid.UUID, len(hits)), make([]int, len(hits))
	scores, parts := make([]float64, len(hits)), make([]string, len(hits))
	for i, h := range hits {
		text, err := json.Marshal(h.Parts)
		if err != nil {
			return err
		}
		ranks[i], ids[i], versions[i], scores[i], parts[i] = h.Rank, h.MemoryID, h.MemoryVersion, h.Score, string(text)
	}
	e.ReturnedMemoryIDs = ids
	if e.ReturnedArtifactIDs == nil {
		e.ReturnedArtifactIDs = []uuid.UUID{}
	}
	r := recording{scope: scope, args: []any{
		scope, e.ID, string(e.Type), e.Query, e.ReturnedArtifactIDs, e.Metadata, e.Caller, e.Model,
		e.Configuration, e.AsOf, e.LatencyMS, ranks, ids, versions, scores, parts,
	}}
	err = s.recorder.write(ctx, &r, s.record)
	if err != nil {
		return err
	}
	e.CreatedAt = r.at.UTC()
	return nil
}

func scanEvent(row pgx.CollectableRow) (memory.RetrievalEvent, error) {
	var e memory.RetrievalEvent
	err := row.Scan(&e.ID, &e.Type, &e.Scope, &e.Query, &e.ReturnedMemoryIDs, &e.ReturnedArtifactIDs, &e.Metadata, &e.Caller,
		&e.Model, &e.Configuration, &e.AsOf, &e.LatencyMS, &e.CreatedAt)
	e.AsOf, e.CreatedAt = e.AsOf.UTC(), e.CreatedAt.UTC()
	return e, err
}

// Event reads a retrieval event of a scope.
func (s *Store) Event(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.RetrievalEvent, error) {
	found, err := readOne(ctx, s, scope, scanEvent, "Event", id)
	return found, failed(err, "read retrieval event %s of %s", id, scope)
}

// Hits reads the hits of a retrieval event, the first first.
func (s *Store) Hits(ctx context.Context, scope memory.Scope, event uuid.UUID) ([]Hit, error) {
	found, err := readAll(ctx, s, scope, pgx.RowToStructByPos[Hit], "Hits", event)
	return found, failed(err, "read the hits of retrieval event %s of %s", event, scope)
}

// Events lists a page of a scope's retrieval events, the newest first; the page
// continues before a position.
func (s *Store) Events(ctx context.Context, scope memory.Scope, before Position, limit int) ([]memory.RetrievalEvent, error) {
	found, err := readAll(ctx, s, scope, scanEvent, "ListEvents", before.instant(pgtype.Infinity), before.ID, limit)
	return found, failed(err, "list the retrieval events of %s", scope)
}

// AllEvents is Events across all scopes, which is for operators only.
func (s *Store) AllEvents(ctx context.Context, before Position, limit int) ([]memory.RetrievalEvent, error) {
	found := []memory.RetrievalEvent{}
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("ListAllEvents"), before.instant(pgtype.Infinity), before.ID, limit)
		if err != nil {
			return err
		}
		found, err = pgx.AppendRows(found, rows, scanEvent)
		return err
	})
	return found, failed(err, "list the retrieval events")
}

// EventScope says which scope a retrieval event is of, for operators only.
func (s *Store) EventScope(ctx context.Context, id uuid.UUID) (memory.Scope, error) {
	var scope memory.Scope
	err := s.across(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, query("EventScope"), id).Scan(&scope)
		if errors.Is(err, pgx.ErrNoRows) {
			err = memory.ErrNotFound
		}
		return err
	})
	return scope, failed(err, "look for retrieval event %s", id)
}
