// Package memory is the vocabulary of the memory service: what a memory is,
// what may be asked of the service, and which of it is refused. It is data in
// and data out: no clock, no database, no network. The JSON of its types is
// the wire format of memory-api.
//
// A memory is a short statement that an agent or a person may later be given
// as evidence. It is never a transcript and never a prompt, and everything in
// it is untrusted text: when it is stored and when it is returned.
package memory

import (
	"time"

	"github.com/google/uuid"
)

// Type is the class of a memory, which says how long it may be believed.
type Type string

const (
	// Working is transient context of one task or session.
	Working Type = "working"
	// Episodic is a meaningful event: something happened, or was said.
	Episodic Type = "episodic"
	// Semantic is a stable fact, decision or convention. It needs provenance,
	// confidence and review; see [CheckPromotion].
	Semantic Type = "semantic"
)

// Types lists the classes in the order in which a memory is promoted.
var Types = []Type{Working, Episodic, Semantic}

// Validation is what a reviewer has said about a memory.
type Validation string

const (
	// Unverified is a memory that nobody has reviewed.
	Unverified Validation = "unverified"
	// Verified is a memory that a reviewer found true.
	Verified Validation = "verified"
	// Rejected is a memory that no normal retrieval returns.
	Rejected Validation = "rejected"
)

// Validations lists them all.
var Validations = []Validation{Unverified, Verified, Rejected}

// Status is where a memory is in its life.
type Status string

const (
	// Live memories can be retrieved.
	Live Status = "live"
	// Superseded memories were replaced by a newer one, which they name.
	Superseded Status = "superseded"
	// Expired memories outlived their TTL and wait for their removal.
	Expired Status = "expired"
)

// Statuses lists them all.
var Statuses = []Status{Live, Superseded, Expired}

// Reason says why a memory was rejected: a closed list.
type Reason string

// The reasons for a rejection.
const (
	SecretContent         Reason = "secret-content"
	CrossScope            Reason = "cross-scope-contamination"
	UnsupportedClaim      Reason = "unsupported-claim"
	StaleFact             Reason = "stale-fact"
	InjectionResidue      Reason = "prompt-injection-residue"
	UnsupportedProvenance Reason = "unsupported-provenance"
)

// Reasons lists them all.
var Reasons = []Reason{SecretContent, CrossScope, UnsupportedClaim, StaleFact, InjectionResidue, UnsupportedProvenance}

// DefaultSensitivity is the label of a memory that was stored without one, and
// the only label that a retrieval without a list of labels may see.
const DefaultSensitivity = "internal"

// Memory is one stored memory, as the service returns it.
type Memory struct {
	// ID is a UUID of version 7 unless the caller chose one.
	ID uuid.UUID `json:"id"`
	// Version starts at 1 and grows with every change; it is the ETag.
	Version    int        `json:"version"`
	MemoryType Type       `json:"memory_type"`
	Summary    string     `json:"summary"`
	Scope      Scope      `json:"scope"`
	SessionID  *uuid.UUID `json:"session_id,omitempty"`
	TaskID     *uuid.UUID `json:"task_id,omitempty"`
	// Ordinal is the position in the session or the task, from 1.
	Ordinal int64 `json:"ordinal,omitempty"`
	// Source labels where the memory came from, such as conversation.
	Source string `json:"source"`
	// Speaker is who said or wrote it, where that is known.
	Speaker string `json:"speaker,omitempty"`
	// OccurredAt is when it happened or was said, where that is known.
	OccurredAt *time.Time `json:"occurred_at,omitempty"`
	// Importance and Confidence are in [0, 1].
	Importance       float64    `json:"importance"`
	Confidence       float64    `json:"confidence"`
	Sensitivity      string     `json:"sensitivity"`
	ValidationStatus Validation `json:"validation_status"`
	Status           Status     `json:"status"`
	// StatusReason says why it was rejected, superseded or expired.
	StatusReason string     `json:"status_reason,omitempty"`
	SupersededBy *uuid.UUID `json:"superseded_by,omitempty"`
	// TTL is the instant from which the memory is expired; nil is never.
	TTL *time.Time `json:"ttl,omitempty"`
	// Flags name residue of prompt injection found in the text; see package
	// residue for the list.
	Flags []string `json:"flags"`
	// Redactions name the rules that took a secret out of the text, and where.
	Redactions []Redaction `json:"redactions"`
	Provenance Object      `json:"provenance"`
	Metadata   Object      `json:"metadata"`
	Artifacts  []Artifact  `json:"artifact_refs"`
	CreatedAt  time.Time   `json:"created_at"`
	UpdatedAt  time.Time   `json:"updated_at"`
}

// Object is a JSON object whose members the service does not interpret.
type Object map[string]any

// Redaction says that a rule replaced a secret, and where its placeholder
// stands. The secret itself is nowhere.
type Redaction struct {
	// Field is the place: summary, metadata, provenance, name, query.
	Field string `json:"field"`
	Rule  string `json:"rule"`
	// Offset and Length are the span of the placeholder in the stored text, in
	// bytes.
	Offset int `json:"offset"`
	Length int `json:"length"`
}

// Artifact points to evidence outside the database, by content.
type Artifact struct {
	ID    uuid.UUID `json:"id"`
	Scope Scope     `json:"scope"`
	// SHA256 is the digest of the content, 64 lower-case hexadecimal digits.
	SHA256     string `json:"sha256"`
	StorageURI string `json:"storage_uri"`
	// ArtifactType is what it is: image, document, log, ...
	ArtifactType string    `json:"artifact_type"`
	MediaType    string    `json:"media_type,omitempty"`
	Name         string    `json:"name,omitempty"`
	SizeBytes    int64     `json:"size_bytes"`
	Sensitivity  string    `json:"sensitivity"`
	Provenance   Object    `json:"provenance"`
	CreatedAt    time.Time `json:"created_at"`
}

// Session groups the memories of one conversation or piece of work.
type Session struct {
	ID        uuid.UUID  `json:"id"`
	Scope     Scope      `json:"scope"`
	Title     string     `json:"title,omitempty"`
	Metadata  Object     `json:"metadata"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Memories counts the live memories of the session.
	Memories int64 `json:"memories"`
}

// TaskStatus is where a task is.
type TaskStatus string

// What a task may be.
const (
	TaskQueued    TaskStatus = "queued"
	TaskRunning   TaskStatus = "running"
	TaskBlocked   TaskStatus = "blocked"
	TaskDone      TaskStatus = "done"
	TaskFailed    TaskStatus = "failed"
	TaskCancelled TaskStatus = "cancelled"
)

// TaskStatuses lists them all.
var TaskStatuses = []TaskStatus{TaskQueued, TaskRunning, TaskBlocked, TaskDone, TaskFailed, TaskCancelled}

// Task is the state of work under way: structured, never embedded.
type Task struct {
	ID        uuid.UUID  `json:"id"`
	Version   int        `json:"version"`
	Scope     Scope      `json:"scope"`
	SessionID *uuid.UUID `json:"session_id,omitempty"`
	Title     string     `json:"title,omitempty"`
	Status    TaskStatus `json:"status"`
	State     Object     `json:"state"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// Checkpoint is one earlier state of a task.
type Checkpoint struct {
	// Sequence counts the checkpoints of a task from 1.
	Sequence  int        `json:"sequence"`
	Status    TaskStatus `json:"status"`
	State     Object     `json:"state"`
	CreatedAt time.Time  `json:"created_at"`
}

// Provenance ties lineage to exactly one memory, artifact or retrieval event.
type Provenance struct {
	ID               uuid.UUID  `json:"id"`
	MemoryID         *uuid.UUID `json:"memory_id,omitempty"`
	ArtifactID       *uuid.UUID `json:"artifact_id,omitempty"`
	RetrievalEventID *uuid.UUID `json:"retrieval_event_id,omitempty"`
	SourceIdentity   string     `json:"source_identity"`
	SourceEvent      Object     `json:"source_event"`
	CreatedAt        time.Time  `json:"created_at"`
}
