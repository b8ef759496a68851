package service

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// Store is the database as the service needs it, in parts; see package store,
// which is the one there is. What is given a scope sees and touches that scope
// alone: an id of another one is memory.ErrNotFound.
type Store interface {
	Memories
	Recaller
	Groups
	Artifacts
	Queue
	Archive
	Ping(ctx context.Context) error
}

// Memories keeps memories. A version is the one that a change is meant for:
// another is memory.ErrVersion, and 0 takes any.
type Memories interface {
	Add(ctx context.Context, scope memory.Scope, entries []store.Entry, key *store.Key) ([]memory.Stored, error)
	Memory(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Memory, error)
	Memories(ctx context.Context, scope memory.Scope, ids []uuid.UUID) ([]memory.Memory, error)
	Found(ctx context.Context, scope memory.Scope, c store.Candidates, ids []uuid.UUID) ([]memory.Memory, error)
	List(ctx context.Context, scope memory.Scope, list store.List) ([]memory.Memory, error)
	Verify(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) (memory.Memory, error)
	Reject(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, reason memory.Reason) (memory.Memory, error)
	Promote(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, to memory.Type) (memory.Memory, error)
	Supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, e store.Entry) (memory.Stored, error)
	Delete(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) error
	// Expire marks in all scopes what has outlived its TTL, ExpireIn in one.
	Expire(ctx context.Context, at time.Time) (int64, error)
	ExpireIn(ctx context.Context, scope memory.Scope, at time.Time) (int64, error)
}

// Recaller finds candidates and keeps retrieval events.
type Recaller interface {
	Candidates(ctx context.Context, q store.Question) (store.Candidates, error)
	AddEvent(ctx context.Context, e memory.RetrievalEvent, hits []store.Hit) (memory.RetrievalEvent, error)
	Event(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.RetrievalEvent, error)
	Hits(ctx context.Context, scope memory.Scope, event uuid.UUID) ([]store.Hit, error)
	Events(ctx context.Context, scope memory.Scope, before store.Position, limit int) ([]memory.RetrievalEvent, error)
	AllEvents(ctx context.Context, before store.Position, limit int) ([]memory.RetrievalEvent, error)
}

// Groups are what memories belong to, and their lineage.
type Groups interface {
	AddSession(ctx context.Context, scope memory.Scope, id uuid.UUID, title string, metadata memory.Object) (memory.Session, error)
	Session(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error)
	Sessions(ctx context.Context, scope memory.Scope, after store.Position, limit int) ([]memory.Session, error)
	EndSession(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error)
	Window(ctx context.Context, scope memory.Scope, session uuid.UUID, n int, allowed []string, at time.Time) (last []memory.Memory, all int64, err error)

	AddTask(ctx context.Context, scope memory.Scope, task memory.Task) (memory.Task, error)
	Task(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Task, error)
	Tasks(ctx context.Context, scope memory.Scope, statuses []memory.TaskStatus, after store.Position, limit int) ([]memory.Task, error)
	UpdateTask(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, status memory.TaskStatus, state memory.Object, checkpoint bool) (memory.Task, error)
	Checkpoints(ctx context.Context, scope memory.Scope, id uuid.UUID, after, limit int) ([]memory.Checkpoint, error)

	AddProvenance(ctx context.Context, scope memory.Scope, p memory.Provenance) (memory.Provenance, error)
	Provenance(ctx context.Context, scope memory.Scope, memoryID, artifactID, eventID *uuid.UUID, limit int) ([]memory.Provenance, error)
}

// Artifacts keeps what is known of artifacts.
type Artifacts interface {
	AddArtifact(ctx context.Context, scope memory.Scope, a memory.Artifact) (added memory.Artifact, existing bool, err error)
	Artifact(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Artifact, error)
	Artifacts(ctx context.Context, scope memory.Scope, after store.Position, limit int) ([]memory.Artifact, error)
}

// Queue is the embedding work and its models.
type Queue interface {
	QueueStats(ctx context.Context) ([]outbox.Stats, error)
	DeadJobs(ctx context.Context, after int64, limit int) ([]outbox.Dead, error)
	RetryDead(ctx context.Context, ids []int64) (int, error)
	Models(ctx context.Context) ([]outbox.Model, error)
	EnsureModel(ctx context.Context, model outbox.Model) (outbox.Model, error)
	ActivateModel(ctx context.Context, id int32) error
}

// Archive is what exports and imports need beside the lists.
type Archive interface {
	Lineage(ctx context.Context, scope memory.Scope, after store.Position, limit int) ([]memory.Provenance, error)
	Restore(ctx context.Context, scope memory.Scope, a store.Archive) (existing int, err error)
}

// Contents keeps the bytes of artifacts, by digest.
type Contents interface {
	// Put stores the content and gives its digest and size; one that is longer
	// than the bound is memory.ErrTooLarge.
	Put(r io.Reader) (sha256 string, size int64, err error)
	// Open gives the content; memory.ErrNotFound when it is not there, and
	// memory.ErrDamaged when it is not what was put there.
	Open(sha256 string) (io.ReadCloser, error)
	// Check says why contents can't be written, or nil.
	Check() error
}

// after is a position as the store has it.
func after(p *memory.Position) store.Position {
	if p == nil {
		return store.Position{}
	}
	return store.Position{CreatedAt: p.At, ID: p.ID}
}
