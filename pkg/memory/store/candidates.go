package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// DefaultNarrow is the most memories of a scope that is searched whole, behind
// row security. Larger ones are searched through their index of words.
const DefaultNarrow = 1000

// A scope of wholeMost memories or less answers with all that have a word of the
// question. The others are the most candidates that words and vectors find, and
// how many memories of a large scope the words may lead to before frequent ones
// are left out.
const (
	wholeMost   = 1000
	lexicalMost = 400
	nearestMost = 100
	wideBudget  = 4000
)

// A part of a large scope with at most partMost memories is searched whole.
// Where the filters leave so little of a scope that its index of vectors finds
// fewer than were asked for, measuredMost memories are measured one by one, at
// some 10 us each, and in a larger scope what the index has found is all.
const (
	partMost     = 20_000
	measuredMost = 100_000
)

// Question asks for the memories of one scope that might answer.
type Question struct {
	Scope memory.Scope
	// Text is the query, redacted.
	Text string
	// Of the filters, those count that say which memories may be returned.
	Filters memory.Filters
	// AsOf is the instant at which TTLs are held against.
	AsOf time.Time
	// Vector is the query's, of Model; without one, words alone decide.
	Vector []float32
	Model  int32
	// Rejected asks for rejected memories only, for an audit.
	Rejected bool
}

// Candidates are what a ranking takes.
type Candidates struct {
	// Candidates are in the order of their ids.
	Candidates []rank.Candidate
	// Lexemes are the words of the query as the index has them.
	Lexemes    []string
	Statistics rank.Statistics
	// Index is of the scope that the candidates are from, where it is at hand.
	Index *rank.Index
	// Wide is true when frequent words may have been left out or the index of
	// vectors was asked.
	Wide bool

	// seen is the scope that is at hand, if it is.
	seen *seen
}

// Candidates finds the memories that pass the filters and have words of the
// question, or a near vector: a few hundred at most. Every filter is applied
// before any choice is made. What a small scope answers is exact.
func (s *Store) Candidates(ctx context.Context, q Question) (Candidates, error) {
	found, err := s.candidates(ctx, q)
	return found, failed(err, "search %s", q.Scope)
}

func (s *Store) candidates(ctx context.Context, q Question) (Candidates, error) {
	scope, err := s.scopeID(ctx, q.Scope)
	if err != nil || scope == 0 {
		return Candidates{}, err
	}
	n, err := s.sizeOf(ctx, scope)
	if err != nil {
		return Candidates{}, err
	}
	model := q.Model
	if q.Vector == nil {
		model = 0
	}
	indexed := false
	if model != 0 {
		if indexed, err = s.byIndex(ctx, model, n); err != nil {
			return Candidates{}, err
		}
	}
	sr := search{scope: scope, question: q, model: model, indexed: indexed, whole: n <= wholeMost}
	if n > s.options.Narrow {
		if sr.part, err = s.partFor(ctx, scope, q); err != nil {
			return Candidates{}, err
		}
		sr.large, sr.wide = true, sr.part == wholeScope
		sr.indexed = indexed && sr.wide
	}
	if sr.whole && !sr.large && !q.Rejected && s.mirror.most > 0 {
		found, err := sr.mirrored(ctx, s)
		if !errors.Is(err, errMoved) && !errors.Is(err, errCrowded) {
			return found, err
		}
	}
	found, err := sr.run(ctx, s)
	if err == nil && sr.indexed && sr.nearest < nearestMost && n <= measuredMost {
		// The index gave up early: the whole scope is looked at.
		sr.indexed = false
		found, err = sr.run(ctx, s)
	}
	return found, err
}

// search is one way to look for candidates.
type search struct {
	scope    int32
	question Question
	model    int32
	// large has statistics; wide goes by the index of words, indexed by that of
	// vectors; whole leaves nothing out.
	large, wide, indexed, whole bool
	// part is what of a large scope is searched, as a narrow one is.
	part portion
	// nearest is how many the vectors found.
	nearest int
}

// filters are the first arguments of the queries.
func (r *search) filters() []any {
	f := r.question.Filters
	var types []memory.Type
	if len(f.MemoryTypes) > 0 {
		types = f.MemoryTypes
	}
	var vector any
	if r.model != 0 {
		vector = pgvector.NewHalfVector(r.question.Vector).String()
	}
	return []any{
		r.scope, f.AllowedSensitivity, f.RequireVerified, f.ExcludeFlagged, types, f.SessionID,
		r.question.AsOf, r.question.Rejected, vector,
	}
}

// run looks, and looks again when a memory changed between its name and what it
// says. One that changes each time is left out.
func (r *search) run(ctx context.Context, s *Store) (Candidates, error) {
	for try := 1; ; try++ {
		found, moved, err := r.ask(ctx, s)
		if err != nil || !moved || try == lookTries {
			return found, err
		}
	}
}

// ask asks for what the words find and for what the vectors find, side by side,
// and then for what the memories say that are not at hand. It is true when one
// has changed meanwhile.
func (r *search) ask(ctx context.Context, s *Store) (out Candidates, moved bool, err error) {
	forgotten := s.mirror.forgets()
	out.Wide = r.wide || r.indexed
	var lexical, nearest []byte
	var nearestErr error
	var vectors sync.WaitGroup
	if r.model != 0 {
		vectors.Go(func() { nearest, nearestErr = r.byVector(ctx, s) })
	}
	lexical, err = r.byWords(ctx, s, &out)
	vectors.Wait()
	if err := cmp.Or(err, nearestErr); err != nil {
		return Candidates{}, false, err
	}
	found, err := readFindings(slices.Concat(lexical, nearest))
	if err != nil {
		return Candidates{}, false, err
	}
	r.nearest = len(nearest) / findingBytes
	rows, err := s.rows(ctx, r.scope, found, forgotten)
	if err != nil {
		return Candidates{}, false, err
	}
	out.Candidates = slices.Grow(out.Candidates, len(found))
	for i, f := range found {
		if rows[i] == nil {
			moved = true
			continue
		}
		c := rows[i].candidate
		// The similarity to a vector of zeros is not a number either.
		if !math.IsNaN(f.cosine) {
			c.Cosine, c.Embedded = f.cosine, true
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out, moved, nil
}

// byWords lists what the words find, and how frequent they are.
func (r *search) byWords(ctx context.Context, s *Store, out *Candidates) (found []byte, err error) {
	var b pgx.Batch
	enter(&b, r.scope)
	args := append(r.filters(), r.question.Text)
	ask := func(name string, more ...any) {
		b.Queue(queryOfPart(name, r.model, r.part), append(args, more...)...).Query(scanOne(&found))
	}
	switch {
	case r.wide:
		ask("LexicalWide", lexicalMost, wideBudget)
	case r.whole && !r.large:
		ask("LexicalWhole")
	default:
		ask("LexicalNarrow", lexicalMost)
	}
	if r.large {
		b.Queue(query("CountWide"), r.scope, r.question.Text).Query(out.count)
	} else {
		b.Queue(query("CountNarrow"), r.scope, r.question.Text).Query(out.count)
		b.Queue(query("SessionLengths"), r.scope).Query(out.sessions)
	}
	err = s.pool.SendBatch(ctx, &b).Close()
	return found, err
}

// byVector lists what the vectors find.
func (r *search) byVector(ctx context.Context, s *Store) (found []byte, err error) {
	var b pgx.Batch
	enter(&b, r.scope)
	if r.indexed {
		b.Queue(query("IndexSearch"))
		b.Queue(queryOf("NearestIndexed", r.model), append(r.filters(), nearestMost)...).Query(scanOne(&found))
	} else {
		b.Queue(queryOfPart("NearestExact", r.model, r.part), append(r.filters(), nearestMost)...).Query(scanOne(&found))
	}
	err = s.pool.SendBatch(ctx, &b).Close()
	return found, err
}

// count reads the words of the question and how frequent they are.
func (c *Candidates) count(rows pgx.Rows) error {
	var terms []byte
	var length float64
	err := scanOne(&terms, &c.Statistics.Documents, &length, &c.Statistics.Frequency)(rows)
	if err != nil {
		return err
	}
	c.Statistics.Lengths[0] = length
	c.Lexemes, err = rank.Lexemes(terms)
	return err
}

func (c *Candidates) sessions(rows pgx.Rows) error {
	c.Statistics.Sessions = map[string]int{}
	var id string
	var length int
	_, err := pgx.ForEachRow(rows, []any{&id, &length}, func() error {
		c.Statistics.Sessions[id] = length
		return nil
	})
	return err
}

// partFor is the part of a large scope that the filters of a question leave, if
// an index leads to it and it is small.
func (s *Store) partFor(ctx context.Context, scope int32, q Question) (portion, error) {
	switch {
	case q.Rejected:
		return rejectedPart, nil
	case q.Filters.SessionID != nil:
		return sessionPart, nil
	case !q.Filters.RequireVerified:
		return wholeScope, nil
	}
	var n int64
	if err := s.read(ctx, scope, "CountVerified", scanOne(&n), scope, partMost+1); err != nil || n > partMost {
		return wholeScope, err
	}
	return verifiedPart, nil
}

// size is how many memories a scope had, and when that was counted.
type size struct {
	n  int64
	at time.Time
}

// sizeFor is how long a count is believed. It decides how a scope is searched,
// not what is found.
const sizeFor = 30 * time.Second

// sizeOf counts the memories of a scope, up to a few more than matter.
func (s *Store) sizeOf(ctx context.Context, scope int32) (int64, error) {
	s.mu.Lock()
	known, ok := s.sizes[scope]
	s.mu.Unlock()
	if ok && time.Since(known.at) < sizeFor {
		return known.n, nil
	}
	var n int64
	if err := s.read(ctx, scope, "CountScope", scanOne(&n), scope, 20*s.options.Narrow); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.sizes[scope] = size{n, time.Now()}
	s.mu.Unlock()
	return n, nil
}

// grown adds what was just stored to a count. It is true when so much came that
// the server should look at its tables.
func (s *Store) grown(scope int32, n int) (much bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.sizes[scope]; ok {
		known.n += int64(n)
		s.sizes[scope] = known
	}
	s.added += int64(n)
	if s.added < s.learnAt {
		return false
	}
	s.learnAt = 4 * s.added
	return true
}

// byIndex tells whether the index of a model's vectors is quicker than a look
// at each of the n vectors of a scope. A look costs some 0.5 us a vector, and
// the index some 0.1 ms for each vector that a scope's share of the table makes
// it pass over, so the index wins where n*n > 200*total.
func (s *Store) byIndex(ctx context.Context, model int32, n int64) (bool, error) {
	if n <= s.options.Narrow {
		return false, nil
	}
	var indexed bool
	var total int64
	if err := s.pool.QueryRow(ctx, query("VectorIndex"), model).Scan(&indexed, &total); err != nil {
		return false, fmt.Errorf("look up embedding model %d: %w", model, err)
	}
	return indexed && float64(n)*float64(n) > 200*float64(total), nil
}
