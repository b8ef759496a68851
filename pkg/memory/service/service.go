// Package service is the memory service without its HTTP: the rules on every
// write, retrieval, replay, and what may be done to a memory in its life.
//
// It asks the store for data and decides; text is redacted and flagged here,
// before it is hashed, stored, indexed or queued, and nothing else writes.
package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// Service carries out what the API offers. It may be used by many goroutines.
type Service struct {
	store    Store
	contents Contents
	options  Options
	digest   string

	active activeModel
}

// Options are how a service works. Only zero values have defaults.
type Options struct {
	// Embedders are the models that queries can be embedded with, found by their
	// name; the store says which one is used.
	Embedders []embed.Embedder
	// EmbedWithin bounds the embedding of a query, after which words alone
	// decide; 0 is 2 s.
	EmbedWithin time.Duration
	// Weights of the ranking; zero is rank.Defaults().
	Weights *rank.Weights
	// DefaultTTL and WorkingTTL are given to memories that are stored without a
	// TTL; 0 is none, and WorkingTTL 0 is DefaultTTL.
	DefaultTTL, WorkingTTL time.Duration
	// Clock is the time; nil is time.Now.
	Clock func() time.Time
	// Observe is told what each retrieval took, stage by stage; nil is nobody.
	Observe func(Stages)
}

// Stages are how long the parts of a retrieval took.
type Stages struct {
	Embed, Candidates, Rank, Record time.Duration
	// Rows are the candidates, Hits what was returned.
	Rows, Hits int
	// Exact is false where an approximate index chose the rows.
	Exact bool
}

// New makes a service over a store and a place for the contents of artifacts.
func New(store Store, contents Contents, o Options) (*Service, error) {
	if o.EmbedWithin == 0 {
		o.EmbedWithin = 2 * time.Second
	}
	if o.Weights == nil {
		w := rank.Defaults()
		o.Weights = &w
	}
	if err := o.Weights.Check(); err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Stages) {}
	}
	return &Service{store: store, contents: contents, options: o, digest: digest(*o.Weights)}, nil
}

// now is the present as Postgres keeps it.
func (s *Service) now() time.Time { return instant(s.options.Clock()) }

// instant is t as Postgres keeps it: UTC, in microseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// activeModel remembers for a moment which model the store has active, so that
// a retrieval need not ask.
type activeModel struct {
	sync.Mutex
	models []outbox.Model
	until  time.Time
}

// modelFor is how long a switch of the model may go unnoticed.
const modelFor = time.Second

// models gives the register of embedding models, at most modelFor old.
func (s *Service) models(ctx context.Context) ([]outbox.Model, error) {
	a := &s.active
	a.Lock()
	defer a.Unlock()
	if now := s.options.Clock(); now.After(a.until) {
		models, err := s.store.Models(ctx)
		if err != nil {
			return nil, err
		}
		a.models, a.until = models, now.Add(modelFor)
	}
	return a.models, nil
}

// model finds a model of the register for which we have an embedder.
func (s *Service) model(ctx context.Context, wanted func(outbox.Model) bool) (outbox.Model, embed.Embedder, error) {
	if len(s.options.Embedders) == 0 {
		return outbox.Model{}, nil, nil
	}
	models, err := s.models(ctx)
	if err != nil {
		return outbox.Model{}, nil, err
	}
	for _, m := range models {
		if !wanted(m) {
			continue
		}
		for _, e := range s.options.Embedders {
			if e.Model() == m.Name && e.Dimensions() == m.Dimensions {
				return m, e, nil
			}
		}
	}
	return outbox.Model{}, nil, nil
}

// attempts bounds how often a change without a condition is decided about
// again when the memory changes under it.
const attempts = 8

// decided reads a memory, lets decide look at it, and changes the version that
// was looked at. With a version other than 0 it must be that one; without, a
// memory that changes in between is looked at again.
func (s *Service) decided(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, decide func(memory.Memory) error, change func(version int) (memory.Memory, error)) (memory.Memory, error) {
	if err := checkScope(scope); err != nil {
		return memory.Memory{}, err
	}
	for range attempts {
		m, err := s.store.Memory(ctx, scope, id)
		if err != nil {
			return memory.Memory{}, err
		}
		if version != 0 && m.Version != version {
			return memory.Memory{}, memory.ErrVersion
		}
		if err := decide(m); err != nil {
			return memory.Memory{}, err
		}
		if m, err = change(m.Version); version != 0 || !errors.Is(err, memory.ErrVersion) {
			return m, err
		}
	}
	return memory.Memory{}, fmt.Errorf("it changed %d times while it was being changed: %w", attempts, memory.ErrVersion)
}

// live refuses a memory that is no longer live; what is to be done to it.
func live(m memory.Memory, what string) error {
	if m.Status != memory.Live {
		return memory.FieldErrorf("status", "not-live", "is %s: only a live memory is %s", m.Status, what)
	}
	return nil
}

// checkScope refuses what is no scope.
func checkScope(scope memory.Scope) error {
	err := scope.Check()
	switch {
	case err == nil:
		return nil
	case scope == "":
		return memory.Invalid{{Field: "scope", Reason: "required", Message: err.Error()}}
	}
	return memory.Invalid{{Field: "scope", Reason: "malformed", Message: err.Error()}}
}
