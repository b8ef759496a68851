// Package outbox is the vocabulary between the store, which keeps the list of
// what has to be embedded, and the workers, which empty it. It is data only.
//
// A row of the outbox is one version of one memory that one model has yet to
// embed. It is written in the transaction that writes the memory, and is the
// truth: whatever a queue, a stream or a worker believes, a memory is embedded
// when its vector and the end of its row were committed together.
//
// A row waits, is claimed by a worker until an instant, and is then done, or
// waits again, or is dead: given up after its last attempt, kept with its last
// error until somebody asks for it to be tried again. A claim that runs out
// counts as no claim: nothing has to notice that a worker died. Handing a row
// to a stream is not a claim; it only spares the row from being handed over
// again for a while.
package outbox

import (
	"time"

	"github.com/google/uuid"
)

// State is where a model is in its life.
type State string

const (
	// Building models are being filled, and are not asked by retrievals.
	Building State = "building"
	// Active is the one model that retrievals use.
	Active State = "active"
	// Retired models keep their vectors, so that a switch can be undone. They
	// get no new ones until then.
	Retired State = "retired"
)

// Model is a row of the register of embedding models. Vectors of two models
// are never compared.
type Model struct {
	ID         int32
	Name       string // as its provider calls it; unique
	Provider   string // "builtin" or "openai"
	Dimensions int
	// DocumentPrefix and QueryPrefix are put before each text.
	DocumentPrefix string
	QueryPrefix    string
	// Weight is the say that its similarity has in the order of hits.
	Weight float64
	State  State
}

// Job is one row of the outbox, claimed, with what is to be embedded.
type Job struct {
	ID       int64 // of the row
	ModelID  int32
	MemoryID uuid.UUID
	Version  int    // of the memory
	Text     string // redacted, without the model's prefix
	Attempts int    // that failed for the item's own sake
	StoredAt time.Time
}

// Handed names a row that is handed to a stream.
type Handed struct {
	ID      int64
	ModelID int32
}

// Claims answers a claim of named rows.
type Claims struct {
	// Jobs are now ours.
	Jobs []Job
	// Held rows are claimed by another worker, or wait for their next attempt.
	// Rows that were asked for and are in neither list have nothing left to do:
	// they are done, dead, or gone with their memory.
	Held []int64
}

// Result is the vector of a job.
type Result struct {
	Job    Job
	Vector []float32
}

// Completed counts what became of results.
type Completed struct {
	// Written vectors were stored, each with the end of its row.
	Written int
	// Stale results were of a memory that is gone or has changed: the row
	// ended, and nothing was stored.
	Stale int
	// Lost results were of rows that were no longer ours.
	Lost int
}

// Failure is a job that ended without a vector, for its own sake.
type Failure struct {
	ID int64
	// Reason is one line for people, without the text of the memory.
	Reason string
	// After is how long the row rests before its next attempt.
	After time.Duration
	// Dead gives the row up.
	Dead bool
}

// Stats says how far a model is.
type Stats struct {
	Model Model
	// Waiting rows are neither claimed nor dead; Claimed and Dead are the rest.
	Waiting, Claimed, Dead int64
	// Embedded counts the vectors of the model, Missing the live memories that
	// have neither a vector of it nor a row.
	Embedded, Missing int64
	// Oldest is how long the oldest row that is not dead has been there; 0 is
	// that there is none.
	Oldest time.Duration
	// Registered is when the model came.
	Registered time.Time
}

// Dead is a row that was given up.
type Dead struct {
	ID        int64     `json:"id"`
	Model     string    `json:"model"`
	MemoryID  uuid.UUID `json:"memory_id"`
	Version   int       `json:"version"`
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error"`
	StoredAt  time.Time `json:"stored_at"`
}
