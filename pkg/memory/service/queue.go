package service

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/worker"
)

// Queue says how the embedding work stands.
func (s *Service) Queue(ctx context.Context) (memory.Queue, error) {
	stats, err := s.store.QueueStats(ctx)
	if err != nil {
		return memory.Queue{}, err
	}
	q := memory.Queue{Models: make([]memory.Model, 0, len(stats))}
	for _, st := range stats {
		q.Pending += st.Waiting
		q.Streamed += st.Claimed
		q.Dead += st.Dead
		q.OldestSeconds = max(q.OldestSeconds, st.Oldest.Seconds())
		q.Models = append(q.Models, modelOf(st))
	}
	return q, nil
}

func modelOf(st outbox.Stats) memory.Model {
	m := st.Model
	return memory.Model{
		Name: m.Name, Provider: m.Provider, Dimensions: m.Dimensions, QueryPrefix: m.QueryPrefix, DocumentPrefix: m.DocumentPrefix,
		Weight: m.Weight, State: memory.ModelState(m.State), Embedded: st.Embedded, Missing: st.Missing,
		CreatedAt: st.Registered.UTC(),
	}
}

// Ready says whether requests can be carried out.
func (s *Service) Ready(ctx context.Context) memory.Readiness {
	r := memory.Readiness{Ready: true}
	add := func(name string, err error, right, remedy string) {
		c := memory.Check{Name: name, OK: err == nil, Message: right}
		if err != nil {
			c.Message, c.Remedy = clean(err), remedy
		}
		r.Ready = r.Ready && c.OK
		r.Checks = append(r.Checks, c)
	}
	add("database", s.store.Ping(ctx), "it answers", "look at systemctl status postgresql and at memory.database.dsn")
	add("artifacts", s.contents.Check(), "their folder can be written", "look at memory.artifacts.directory, its owner and the room on its disk")
	embedder := memory.Check{Name: "embedder", OK: true, Message: "words alone decide: no embedding model is active that this service can ask"}
	if m, e, err := s.model(ctx, func(m outbox.Model) bool { return m.State == outbox.Active }); err == nil && e != nil {
		embedder.Message = m.Name + " takes part"
	}
	r.Checks = append(r.Checks, embedder)
	return r
}

// clean is the text of an error without what it may quote.
func clean(err error) string {
	var c cleaner
	return c.text("", err.Error())
}

// DeadLetters gives what could not be embedded, after a row, and the row after
// which it goes on.
func (s *Service) DeadLetters(ctx context.Context, after int64, limit int) (letters []memory.DeadLetter, last int64, err error) {
	if limit < 1 || limit > memory.MaxPage {
		return nil, 0, memory.FieldErrorf("limit", "out-of-range", "is not between 1 and %d", memory.MaxPage)
	}
	dead, err := s.store.DeadJobs(ctx, after, limit)
	letters = make([]memory.DeadLetter, len(dead))
	for i, d := range dead {
		letters[i] = memory.DeadLetter{MemoryID: d.MemoryID, Model: d.Model, Attempts: d.Attempts, LastError: d.LastError, FailedAt: d.StoredAt}
		last = d.ID
	}
	if len(dead) < limit {
		last = 0
	}
	return letters, last, err
}

// RetryDead tries dead letters again: those of the named memories, or all.
func (s *Service) RetryDead(ctx context.Context, r memory.Retry) (memory.Retried, error) {
	if len(r.MemoryIDs) > memory.MaxBatch {
		return memory.Retried{}, memory.FieldErrorf("memory_ids", "too-many", "names more than %d memories", memory.MaxBatch)
	}
	rows, err := s.deadRows(ctx, r.MemoryIDs)
	if err != nil || (len(r.MemoryIDs) > 0 && len(rows) == 0) {
		return memory.Retried{}, err
	}
	n, err := s.store.RetryDead(ctx, rows)
	return memory.Retried{Retried: n}, err
}

// deadRows finds the dead rows of memories; nil, which is all, for none named.
func (s *Service) deadRows(ctx context.Context, memories []uuid.UUID) ([]int64, error) {
	if len(memories) == 0 {
		return nil, nil
	}
	rows, at := []int64{}, int64(0)
	for {
		dead, err := s.store.DeadJobs(ctx, at, memory.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, d := range dead {
			if slices.Contains(memories, d.MemoryID) {
				rows = append(rows, d.ID)
			}
			at = d.ID
		}
		if len(dead) < memory.MaxPage {
			return rows, nil
		}
	}
}

// Models lists the embedding models.
func (s *Service) Models(ctx context.Context) ([]memory.Model, error) {
	q, err := s.Queue(ctx)
	return q.Models, err
}

// defaultWeight is what a model counts that nobody has measured.
const defaultWeight = 0.2

// NewModel begins to build a model's vectors beside the active one's.
func (s *Service) NewModel(ctx context.Context, n memory.NewModel) (memory.Model, error) {
	if err := n.Check(); err != nil {
		return memory.Model{}, err
	}
	var c cleaner
	c.label("name", n.Name)
	c.label("query_prefix", n.QueryPrefix)
	c.label("document_prefix", n.DocumentPrefix)
	if err := c.err(); err != nil {
		return memory.Model{}, err
	}
	if n.Weight == 0 {
		n.Weight = defaultWeight
	}
	m, err := s.store.EnsureModel(ctx, outbox.Model{
		Name: n.Name, Provider: n.Provider, Dimensions: n.Dimensions, QueryPrefix: n.QueryPrefix, DocumentPrefix: n.DocumentPrefix,
		Weight: n.Weight, State: outbox.Building,
	})
	if err != nil {
		return memory.Model{}, err
	}
	return s.registered(ctx, m.Name)
}

// ActivateModel makes it the one that retrieval uses. One that lacks vectors is
// [memory.ErrIncomplete], unless early is true.
func (s *Service) ActivateModel(ctx context.Context, name string, early bool) (memory.Model, error) {
	err := worker.Switch(ctx, s.store, name, early)
	if errors.Is(err, memory.ErrNotFound) {
		err = &memory.ReferenceError{Err: err, Fields: memory.FieldErrorf("name", "not-found", "is that of no model here: GET %s lists them", memory.PathModels)}
	}
	if err != nil {
		return memory.Model{}, err
	}
	return s.registered(ctx, name)
}

// registered gives a model as it now is.
func (s *Service) registered(ctx context.Context, name string) (memory.Model, error) {
	models, err := s.Models(ctx)
	if err != nil {
		return memory.Model{}, err
	}
	for _, m := range models {
		if m.Name == name {
			return m, nil
		}
	}
	return memory.Model{}, memory.ErrNotFound
}
