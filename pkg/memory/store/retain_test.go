package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

func TestRemoveEvents(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	id := add(t, s, entry("a fact"))[0].ID
	var events []memory.RetrievalEvent
	for range 3 {
		e, err := s.AddEvent(ctx, memory.RetrievalEvent{
			ID: uuid.New(), Type: memory.EventRetrieval, Scope: scope, Query: "q", Metadata: memory.Filters{Limit: 8}, AsOf: time.Now(),
		}, []store.Hit{{MemoryID: id, MemoryVersion: 1, Rank: 1, Score: 1}})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if n, err := s.RemoveEvents(ctx, events[0].CreatedAt.Add(-time.Hour), 10); err != nil || n != 0 {
		t.Errorf("of an hour ago, %d were removed, %v", n, err)
	}
	if n, err := s.RemoveEvents(ctx, time.Now().Add(time.Hour), 2); err != nil || n != 2 {
		t.Errorf("at most 2: %d were removed, %v", n, err)
	}
	for i, e := range events {
		if _, err := s.Event(ctx, scope, e.ID); errors.Is(err, memory.ErrNotFound) != (i < 2) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if _, err := s.Memory(ctx, scope, id); err != nil {
		t.Errorf("the memory went with its events: %v", err)
	}
}
