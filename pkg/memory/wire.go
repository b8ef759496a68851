package memory

import (
	"time"

	"github.com/google/uuid"
)

// The paths of the HTTP API. What has an id is always asked for together with
// its scope (the query parameter scope): an id of another scope is not found.
//
//	POST   /memory/store                        Draft -> Stored
//	POST   /memory/store-batch                  StoreBatch -> StoredBatch
//	POST   /memory/retrieve                     Retrieve -> Retrieved
//	POST   /memory/audit                        Retrieve -> Retrieved, of rejected memory alone
//	GET    /memory/retrieval-events             Page of RetrievalEvent
//	GET    /memory/retrieval-events/{id}        EventHits
//	POST   /memory/retrieval-events/{id}/replay Replay
//	GET    /memory/memories                     Page of Memory
//	GET    /memory/memories/{id}                Memory, its version as ETag
//	DELETE /memory/memories/{id}                with If-Match
//	POST   /memory/memories/{id}/verify         Memory
//	POST   /memory/memories/{id}/reject         Reject -> Memory
//	POST   /memory/memories/{id}/promote        Promote -> Memory
//	POST   /memory/memories/{id}/supersede      Draft -> Superseding
//	POST   /memory/expire                       Expire -> Expiry
//	POST   /memory/sessions                     NewSession -> Session
//	GET    /memory/sessions                     Page of Session
//	GET    /memory/sessions/{id}                Session
//	GET    /memory/sessions/{id}/window         Window
//	POST   /memory/sessions/{id}/end            Session
//	POST   /memory/tasks                        NewTask -> Task
//	GET    /memory/tasks                        Page of Task
//	GET    /memory/tasks/{id}                   Task, its version as ETag
//	PATCH  /memory/tasks/{id}                   ChangeTask -> Task, with If-Match
//	GET    /memory/tasks/{id}/checkpoints       Page of Checkpoint
//	POST   /memory/artifacts                    the content -> Artifact
//	GET    /memory/artifacts                    Page of Artifact
//	GET    /memory/artifacts/{id}               Artifact
//	GET    /memory/artifacts/{id}/content       the content
//	POST   /memory/provenance                   NewProvenance -> Provenance
//	GET    /memory/provenance                   Page of Provenance, by subject
//	GET    /memory/export                       a scope as JSON lines
//	POST   /memory/import                       JSON lines -> Imported
//	GET    /memory/queue                        Queue
//	GET    /memory/queue/dead                   Page of DeadLetter
//	POST   /memory/queue/retry                  Retry -> Retried
//	GET    /memory/models                       Page of Model
//	POST   /memory/models                       NewModel -> Model
//	POST   /memory/models/{name}/activate       Model
//	GET    /healthz, /readyz, /metrics, /openapi.json
const (
	PathStore      = "/memory/store"
	PathStoreBatch = "/memory/store-batch"
	PathRetrieve   = "/memory/retrieve"
	PathAudit      = "/memory/audit"
	PathEvents     = "/memory/retrieval-events"
	PathMemories   = "/memory/memories"
	PathExpire     = "/memory/expire"
	PathSessions   = "/memory/sessions"
	PathTasks      = "/memory/tasks"
	PathArtifacts  = "/memory/artifacts"
	PathProvenance = "/memory/provenance"
	PathExport     = "/memory/export"
	PathImport     = "/memory/import"
	PathQueue      = "/memory/queue"
	PathModels     = "/memory/models"
	PathHealth     = "/healthz"
	PathReady      = "/readyz"
)

// Page is a part of a list, in a stable order.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is what to give as cursor for the next page; empty at the end. It
	// belongs to the filters that it was made with.
	Next string `json:"next_cursor,omitempty"`
}

// StoreBatch asks to store many memories, in order and all or none.
type StoreBatch struct {
	Memories []Draft `json:"memories"`
}

// StoredBatch answers it, in the order of the request.
type StoredBatch struct {
	Results []Stored `json:"results"`
}

// EventHits is a retrieval event with all that it returned.
type EventHits struct {
	RetrievalEvent
	Hits []EventHit `json:"hits"`
}

// EventHit is one memory that an event returned, as it was then.
type EventHit struct {
	Rank          int                `json:"rank"`
	MemoryID      uuid.UUID          `json:"memory_id"`
	MemoryVersion int                `json:"memory_version"`
	Score         float64            `json:"score"`
	Parts         map[string]float64 `json:"parts"`
}

// Reject says why a memory is rejected.
type Reject struct {
	Reason Reason `json:"reason"`
	// Note is for people; secrets are redacted from it.
	Note string `json:"note,omitempty"`
}

// Promote names the class that a memory becomes; see [CheckPromotion].
type Promote struct {
	MemoryType Type `json:"memory_type"`
}

// Superseding answers a draft that took the place of a memory.
type Superseding struct {
	Stored     Stored    `json:"stored"`
	Superseded uuid.UUID `json:"superseded"`
}

// Expire removes what has outlived its TTL at an instant.
type Expire struct {
	// Now is the instant; omitted, the present.
	Now *time.Time `json:"now,omitempty"`
	// Scope limits it to one scope; omitted, all.
	Scope Scope `json:"scope,omitempty"`
}

// Expiry answers it.
type Expiry struct {
	Expired int       `json:"expired"`
	Now     time.Time `json:"now"`
}

// NewSession asks for a session.
type NewSession struct {
	ID       *uuid.UUID `json:"id,omitempty"`
	Scope    Scope      `json:"scope"`
	Title    string     `json:"title,omitempty"`
	Metadata Object     `json:"metadata,omitempty"`
}

// Window is the end of a session: the last turns verbatim, and what is known
// of the earlier ones.
type Window struct {
	Session Session `json:"session"`
	// Turns are the last memories of the session, oldest first.
	Turns []Memory `json:"turns"`
	// Earlier counts the memories of the session before them that its reader may
	// see.
	Earlier int64 `json:"earlier"`
	// Summaries are the memories that summarise earlier turns, oldest first:
	// those whose metadata names the kind "summary".
	Summaries []Memory `json:"summaries"`
}

// NewTask asks for a task.
type NewTask struct {
	ID        *uuid.UUID `json:"id,omitempty"`
	Scope     Scope      `json:"scope"`
	SessionID *uuid.UUID `json:"session_id,omitempty"`
	Title     string     `json:"title,omitempty"`
	Status    TaskStatus `json:"status,omitempty"`
	State     Object     `json:"state,omitempty"`
}

// ChangeTask is a task's next state; the one before becomes a checkpoint.
type ChangeTask struct {
	Status TaskStatus `json:"status,omitempty"`
	State  Object     `json:"state,omitempty"`
}

// NewProvenance asks to record lineage of exactly one subject.
type NewProvenance struct {
	Scope            Scope      `json:"scope"`
	MemoryID         *uuid.UUID `json:"memory_id,omitempty"`
	ArtifactID       *uuid.UUID `json:"artifact_id,omitempty"`
	RetrievalEventID *uuid.UUID `json:"retrieval_event_id,omitempty"`
	SourceIdentity   string     `json:"source_identity"`
	SourceEvent      Object     `json:"source_event"`
}

// Imported answers an import.
type Imported struct {
	Memories  int `json:"memories"`
	Sessions  int `json:"sessions"`
	Tasks     int `json:"tasks"`
	Artifacts int `json:"artifacts"`
	// Existing counts what was there already, the same in all.
	Existing int `json:"existing"`
}

// Queue is the state of the embedding work.
type Queue struct {
	// Pending waits, Streamed is handed to workers, Dead was given up.
	Pending  int64 `json:"pending"`
	Streamed int64 `json:"streamed"`
	Dead     int64 `json:"dead"`
	// OldestSeconds is the age of the oldest item that is not done.
	OldestSeconds float64 `json:"oldest_seconds"`
	Models        []Model `json:"models"`
}

// DeadLetter is a memory that could not be embedded.
type DeadLetter struct {
	MemoryID  uuid.UUID `json:"memory_id"`
	Model     string    `json:"model"`
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error"`
	FailedAt  time.Time `json:"failed_at"`
}

// Retry names dead letters to try again; omitted, all.
type Retry struct {
	MemoryIDs []uuid.UUID `json:"memory_ids,omitempty"`
}

// Retried answers it.
type Retried struct {
	Retried int `json:"retried"`
}

// ModelState is where an embedding model is.
type ModelState string

// A model is built beside the active one, becomes active, and is kept when it
// is retired, so that one can go back.
const (
	ModelBuilding ModelState = "building"
	ModelActive   ModelState = "active"
	ModelRetired  ModelState = "retired"
)

// Model is an embedding model that has a table.
type Model struct {
	Name           string `json:"name"`
	Provider       string `json:"provider"`
	Dimensions     int    `json:"dimensions"`
	QueryPrefix    string `json:"query_prefix"`
	DocumentPrefix string `json:"document_prefix"`
	// Weight is the share of its similarity in the score, from its measured
	// strength.
	Weight    float64    `json:"weight"`
	State     ModelState `json:"state"`
	Embedded  int64      `json:"embedded"`
	Missing   int64      `json:"missing"`
	CreatedAt time.Time  `json:"created_at"`
}

// NewModel asks for a model's table and its backfill.
type NewModel struct {
	Name           string  `json:"name"`
	Provider       string  `json:"provider"`
	Dimensions     int     `json:"dimensions"`
	QueryPrefix    string  `json:"query_prefix,omitempty"`
	DocumentPrefix string  `json:"document_prefix,omitempty"`
	Weight         float64 `json:"weight,omitempty"`
}

// Summands are the parts of a score that are added, PartAnswer the one that is
// added last, to the product of their sum with all other parts.
var Summands = []string{"lexical", "feedback", "vector", "session"}

// PartAnswer is the share of the question that a memory follows.
const PartAnswer = "answer"

// Failure is the body of every answer that is no success.
type Failure struct {
	Error FailureBody `json:"error"`
}

// FailureBody says what went wrong, without any value of the request but ids.
type FailureBody struct {
	// Code is a stable word: invalid, not-found, version, precondition-required,
	// conflict, incomplete, too-large, unsupported-media-type, malformed, not-acceptable,
	// idempotency-mismatch, unavailable, damaged, internal.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Fields lists what is wrong with the request, and what it names that is not
	// there, or is there already.
	Fields []FieldError `json:"fields,omitempty"`
}

// Readiness answers GET /readyz: 200 when all that a request needs is there,
// else 503, with the same body.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	// Name is a stable word: database, migrations, vector, embedder, artifacts,
	// queue, redis.
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
	// Remedy says what to do, when it is not right.
	Remedy string `json:"remedy,omitempty"`
}
