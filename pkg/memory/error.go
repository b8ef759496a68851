package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Errors that a caller tells apart with [errors.Is].
var (
	// ErrNotFound is an id that is not in the scope.
	ErrNotFound = errors.New("there is none with this id in this scope")
	// ErrVersion is a change of something that has changed since it was read.
	ErrVersion = errors.New("it has changed since it was read: read it again")
	// ErrConflict is a request that contradicts what is stored.
	ErrConflict = errors.New("it contradicts what is stored")
	// ErrSame is a memory that was to take its own place.
	ErrSame = fmt.Errorf("it is what the memory says already: %w", ErrConflict)
	// ErrIncomplete is a switch to an embedding model that is still being built.
	ErrIncomplete = errors.New("some memories have no vector of this model yet: wait for the workers (ai-memory queue), or switch early (--early)")
	// ErrKeyReused is an idempotency key that came with another request before.
	ErrKeyReused = fmt.Errorf("the idempotency key was used for another request: %w", ErrConflict)
	// ErrTooLarge is content beyond the bound that is configured.
	ErrTooLarge = errors.New("it is larger than this service takes")
	// ErrDamaged is content that is not what was stored.
	ErrDamaged = errors.New("the content on the disk is not what was stored: put the file back from a copy, or send the content again")
	// ErrUnavailable is a database that does not answer.
	ErrUnavailable = errors.New("the database does not answer")
)

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	// Field is the JSON path, such as requester.actor_type.
	Field string `json:"field"`
	// Reason is a stable kebab-case word: required, too-long, out-of-range,
	// not-one-of, not-utf8, nul-byte, not-an-id, too-deep, too-many, empty,
	// malformed, unknown-field, not-promotable, not-live, not-another, mismatch;
	// of a reference, not-found, taken, duplicate.
	Reason string `json:"reason"`
	// Message is for people and never holds the refused value, unless that is an
	// id.
	Message string `json:"message"`
}

// Error is the field and the message.
func (e FieldError) Error() string { return e.Field + " " + e.Message }

// Invalid is a request that was refused, with every field that is wrong.
type Invalid []FieldError

// Error lists the fields.
func (e Invalid) Error() string {
	parts := make([]string, len(e))
	for i, f := range e {
		parts[i] = f.Error()
	}
	return strings.Join(parts, "; ")
}

// ReferenceError is a request that was refused for what the scope has or has
// not: each field says which id, and what to do.
type ReferenceError struct {
	Fields Invalid
	// Err is ErrNotFound or ErrConflict.
	Err error
}

// Error lists the fields.
func (e *ReferenceError) Error() string { return e.Fields.Error() }

// Unwrap gives the error that callers tell apart.
func (e *ReferenceError) Unwrap() error { return e.Err }

// NotFound says of a field that it names a thing, such as a task, that the
// scope does not have. An empty remedy says no more.
func NotFound(field, thing string, id uuid.UUID, remedy string) FieldError {
	message := fmt.Sprintf("is %s, and this scope has no %s with this id", id, thing)
	if remedy != "" {
		message += ": " + remedy
	}
	return FieldError{Field: field, Reason: "not-found", Message: message}
}

// Taken says of a field that another thing of the scope has the id.
func Taken(field, thing string, id uuid.UUID, remedy string) FieldError {
	return FieldError{Field: field, Reason: "taken", Message: fmt.Sprintf("is %s, which another %s of this scope has: %s", id, thing, remedy)}
}
