// Package embed turns texts into vectors whose cosine says how alike their
// meanings are: through any server that speaks OpenAI's embeddings API (vLLM,
// llama-server), or, with no server and no model, through a table of word
// vectors that is part of the program.
package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind says what a text is: some models want to be told.
type Kind int

const (
	// Document is a text that is stored.
	Document Kind = iota
	// Query is a text that is looked for.
	Query
)

// Embedder is one model. It is safe for use by several goroutines at once.
type Embedder interface {
	// Model is the name that the vectors are kept under. Vectors of two names
	// are never compared.
	Model() string
	// Dimensions is the length of every vector.
	Dimensions() int
	// Embed gives one vector of length 1 for each text, in their order, or an
	// error, which is an [*Error] unless ctx ended. There are no partial
	// results.
	Embed(ctx context.Context, texts []string, kind Kind) ([][]float32, error)
}

// Fault says whose an error is, and so what a queue does next.
type Fault int

const (
	// Outage is the provider's: it is not there, is overloaded, refuses us or
	// has another model than was configured. Every text would end so.
	Outage Fault = iota
	// Item is a text's: it is too long, or has no vector.
	Item
	// Doubt is either's: the provider took the texts and then ran out of time,
	// broke off or answered with a fault of its own. Whether it can do another
	// text tells them apart.
	Doubt
)

// Error is an attempt that gave no vectors.
type Error struct {
	Fault Fault
	// Index is the text at fault, or -1 where that is unknown.
	Index int
	// Status is the HTTP status, or 0.
	Status int
	// RetryAfter is how long the provider asked to be left alone, or 0.
	RetryAfter time.Duration
	// Err says what happened, without any of the text.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// FaultOf tells whose err is. What is no [*Error] counts as an outage: it is
// never held against a text.
func FaultOf(err error) Fault {
	var e *Error
	if errors.As(err, &e) {
		return e.Fault
	}
	return Outage
}

// itemError is the fault of the text at index.
func itemError(index int, format string, args ...any) *Error {
	return &Error{Fault: Item, Index: index, Err: fmt.Errorf(format, args...)}
}

// normalise gives a vector the length 1 in place. It refuses one that has no
// direction.
func normalise(v []float32) error {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	switch {
	case math.IsNaN(sum) || math.IsInf(sum, 0):
		return errors.New("a vector has an element that is no finite number")
	case sum < 1e-24:
		return errors.New("a vector is zero")
	}
	scale := 1 / math.Sqrt(sum)
	for i := range v {
		v[i] = float32(float64(v[i]) * scale)
	}
	return nil
}
