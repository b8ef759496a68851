package memory

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// Position is where a page goes on: after the row with this instant and id, in
// the order of the list. Nil is the beginning.
type Position struct {
	At time.Time `json:"at"`
	ID uuid.UUID `json:"id"`
}

// MemoryList is a page of memories of one scope, oldest first. What is empty
// does not filter.
type MemoryList struct {
	Scope            Scope
	MemoryType       Type
	ValidationStatus Validation
	Status           Status
	Sensitivity      string
	SessionID        *uuid.UUID
	TaskID           *uuid.UUID
	After            *Position
	Limit            int
}

// ScopeList is a page of what a scope has. Status filters tasks.
type ScopeList struct {
	Scope  Scope
	Status TaskStatus
	After  *Position
	Limit  int
}

// Subject is what a provenance is about: exactly one of the three.
type Subject struct {
	MemoryID, ArtifactID, RetrievalEventID *uuid.UUID
}

// Idempotency names a request that may be sent again: the caller's key, who
// the caller is, and what was asked.
type Idempotency struct {
	Key         string
	Caller      string
	Fingerprint [sha256.Size]byte
}
