package service

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// newID gives the caller's id, or a new one.
func newID(id *uuid.UUID) (uuid.UUID, error) {
	if id != nil {
		return *id, nil
	}
	return uuid.NewV7()
}

// NewSession begins a session.
func (s *Service) NewSession(ctx context.Context, n memory.NewSession) (memory.Session, error) {
	if err := n.Check(); err != nil {
		return memory.Session{}, err
	}
	var c cleaner
	c.label("scope", string(n.Scope))
	title, metadata := c.text("title", n.Title), c.object("metadata", n.Metadata)
	if err := c.err(); err != nil {
		return memory.Session{}, err
	}
	id, err := newID(n.ID)
	if err != nil {
		return memory.Session{}, err
	}
	return s.store.AddSession(ctx, n.Scope, id, clip(title), metadata)
}

// clip holds a title to its bound after placeholders took the place of shorter
// secrets.
func clip(title string) string { return clipTo(title, memory.MaxTitle) }

func clipTo(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

// Session gives one session of the scope.
func (s *Service) Session(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	if err := checkScope(scope); err != nil {
		return memory.Session{}, err
	}
	return s.store.Session(ctx, scope, id)
}

// ListSessions gives a page of the sessions of a scope.
func (s *Service) ListSessions(ctx context.Context, l memory.ScopeList) ([]memory.Session, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	return s.store.Sessions(ctx, l.Scope, after(l.After), l.Limit)
}

// EndSession ends a session; one that has ended stays as it is.
func (s *Service) EndSession(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	if err := checkScope(scope); err != nil {
		return memory.Session{}, err
	}
	return s.store.EndSession(ctx, scope, id)
}

// The turns that a window has.
const (
	defaultTurns = 20
	maxTurns     = 200
)

// Window gives the end of a session, of memories with the labels that are
// allowed (none is the default label); 0 turns is defaultTurns. What is a
// summary of turns, and says so in its metadata, is given apart.
func (s *Service) Window(ctx context.Context, scope memory.Scope, id uuid.UUID, turns int, allowed []string) (memory.Window, error) {
	if turns == 0 {
		turns = defaultTurns
	}
	if turns < 1 || turns > maxTurns {
		return memory.Window{}, memory.FieldErrorf("turns", "out-of-range", "is not between 1 and %d", maxTurns)
	}
	if len(allowed) == 0 {
		allowed = []string{memory.DefaultSensitivity}
	}
	session, err := s.Session(ctx, scope, id)
	if err != nil {
		return memory.Window{}, err
	}
	// Summaries stand among the turns.
	last, all, err := s.store.Window(ctx, scope, id, turns+maxSummaries, allowed, s.now())
	if err != nil {
		return memory.Window{}, err
	}
	w := memory.Window{Session: session, Turns: []memory.Memory{}, Summaries: []memory.Memory{}}
	for _, m := range last {
		if m.Metadata["kind"] == "summary" {
			w.Summaries = append(w.Summaries, m)
		} else {
			w.Turns = append(w.Turns, m)
		}
	}
	if more := len(w.Turns) - turns; more > 0 {
		w.Turns = w.Turns[more:]
	}
	w.Earlier = max(all-int64(len(w.Turns)+len(w.Summaries)), 0)
	return w, nil
}

// maxSummaries bounds the summaries that are looked for among the last turns.
const maxSummaries = 32

// NewTask records a task.
func (s *Service) NewTask(ctx context.Context, n memory.NewTask) (memory.Task, error) {
	if err := n.Check(); err != nil {
		return memory.Task{}, err
	}
	var c cleaner
	c.label("scope", string(n.Scope))
	title, state := c.text("title", n.Title), c.object("state", n.State)
	if err := c.err(); err != nil {
		return memory.Task{}, err
	}
	id, err := newID(n.ID)
	if err != nil {
		return memory.Task{}, err
	}
	if n.Status == "" {
		n.Status = memory.TaskQueued
	}
	return s.store.AddTask(ctx, n.Scope, memory.Task{ID: id, Scope: n.Scope, SessionID: n.SessionID, Title: clip(title), Status: n.Status, State: state})
}

// Task gives one task of the scope.
func (s *Service) Task(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Task, error) {
	if err := checkScope(scope); err != nil {
		return memory.Task{}, err
	}
	return s.store.Task(ctx, scope, id)
}

// ListTasks gives a page of the tasks of a scope.
func (s *Service) ListTasks(ctx context.Context, l memory.ScopeList) ([]memory.Task, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	return s.store.Tasks(ctx, l.Scope, only(l.Status), after(l.After), l.Limit)
}

// ChangeTask changes a task that still has the version (0 is any) and keeps
// what it was.
func (s *Service) ChangeTask(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, change memory.ChangeTask) (memory.Task, error) {
	if err := checkScope(scope); err != nil {
		return memory.Task{}, err
	}
	if err := change.Check(); err != nil {
		return memory.Task{}, err
	}
	var c cleaner
	if change.State != nil {
		change.State = c.object("state", change.State)
	}
	for range attempts {
		t, err := s.store.Task(ctx, scope, id)
		if err != nil {
			return memory.Task{}, err
		}
		if version != 0 && t.Version != version {
			return memory.Task{}, memory.ErrVersion
		}
		status, state := t.Status, t.State
		if change.Status != "" {
			status = change.Status
		}
		if change.State != nil {
			state = change.State
		}
		if t, err = s.store.UpdateTask(ctx, scope, id, t.Version, status, state, true); version != 0 || !errors.Is(err, memory.ErrVersion) {
			return t, err
		}
	}
	return memory.Task{}, memory.ErrVersion
}

// maxCheckpoints bounds the states that are listed of a task: the first ones.
const maxCheckpoints = 1000

// Checkpoints gives the earlier states of a task, oldest first.
func (s *Service) Checkpoints(ctx context.Context, scope memory.Scope, id uuid.UUID) ([]memory.Checkpoint, error) {
	if _, err := s.Task(ctx, scope, id); err != nil {
		return nil, err
	}
	return s.store.Checkpoints(ctx, scope, id, 0, maxCheckpoints)
}

// NewProvenance records lineage of exactly one subject of the scope.
func (s *Service) NewProvenance(ctx context.Context, n memory.NewProvenance) (memory.Provenance, error) {
	if err := n.Check(); err != nil {
		return memory.Provenance{}, err
	}
	var c cleaner
	c.label("source_identity", n.SourceIdentity)
	event := c.object("source_event", n.SourceEvent)
	if err := c.err(); err != nil {
		return memory.Provenance{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return memory.Provenance{}, err
	}
	return s.store.AddProvenance(ctx, n.Scope, memory.Provenance{
		ID: id, MemoryID: n.MemoryID, ArtifactID: n.ArtifactID, RetrievalEventID: n.RetrievalEventID, SourceIdentity: n.SourceIdentity, SourceEvent: event,
	})
}

// ListProvenance gives the lineage of one subject.
func (s *Service) ListProvenance(ctx context.Context, scope memory.Scope, of memory.Subject, limit int) ([]memory.Provenance, error) {
	if err := (memory.ScopeList{Scope: scope, Limit: limit}).Check(); err != nil {
		return nil, err
	}
	if err := of.Check(); err != nil {
		return nil, err
	}
	return s.store.Provenance(ctx, scope, of.MemoryID, of.ArtifactID, of.RetrievalEventID, limit)
}
