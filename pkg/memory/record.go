package memory

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// What the service and the store say to each other. The service has checked,
// redacted, flagged and hashed; the store gives ordinals, versions and the
// instants that belong to a transaction.

// Record is a memory to be written. The store sets Version, Ordinal, CreatedAt
// and UpdatedAt, unless CreatedAt is set: then it is an import, and what is set
// is kept.
type Record struct {
	Memory
	ContentSHA256 [sha256.Size]byte
	// ArtifactIDs are artifacts of the same scope; another one is ErrNotFound.
	ArtifactIDs []uuid.UUID
}

// Written says what became of a record. Existing: a live memory of the same
// scope, type and content was there, its ID and Version are given, and nothing
// was written.
type Written struct {
	ID        uuid.UUID
	Version   int
	Existing  bool
	SimilarTo []Similar
}

// Change sets what is not nil, of one memory.
type Change struct {
	ValidationStatus *Validation
	MemoryType       *Type
	StatusReason     *string
}

// Position is where a page goes on: after the row with this instant and id, in
// the order of the list. Nil is the beginning.
type Position struct {
	At time.Time `json:"at"`
	ID uuid.UUID `json:"id"`
}

// MemoryList is a page of memories of one scope, newest first. What is empty
// does not filter.
type MemoryList struct {
	Scope            Scope
	MemoryType       Type
	ValidationStatus Validation
	Status           Status
	Sensitivity      string
	SessionID        *uuid.UUID
	TaskID           *uuid.UUID
	Source           string
	After            *Position
	Limit            int
}

// EventList is a page of retrieval events, newest first.
type EventList struct {
	Scope      Scope
	Type       EventType
	EnvelopeID string
	After      *Position
	Limit      int
}

// ScopeList is a page of what a scope has, newest first. Status filters tasks.
type ScopeList struct {
	Scope     Scope
	SessionID *uuid.UUID
	Status    TaskStatus
	After     *Position
	Limit     int
}

// Subject is what a provenance is about: exactly one of the three.
type Subject struct {
	MemoryID, ArtifactID, RetrievalEventID *uuid.UUID
}
