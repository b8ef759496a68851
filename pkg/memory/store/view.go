package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// mark tells two states of a scope apart; see ScopeState.sql.
type mark struct{ last, changes, sum int64 }

// mostChanges is how many changes of a scope are worth to be made one.
const mostChanges = 100

// mirrored is a scope as it was in a state. It is replaced, never changed, but
// for the memories that are added as they are returned.
type mirrored struct {
	mark mark
	// rows are in the order of their ids.
	rows  []*mirrorRow
	index *rank.Index
	// statistics are those of all rows, without the frequency of words.
	statistics rank.Statistics
	// passing are the rows that filters let pass, by [search.filterKey].
	passing map[string]passing
	// vectors are those of the rows, by model.
	vectors map[int32]*halves
	// memories are those of the rows that were returned.
	memories []atomic.Pointer[memory.Memory]

	bytes int64
	used  int64 // by the mirror's clock
}

type mirrorRow struct {
	id uuid.UUID
	// version is the transaction that wrote the row: what that says never changes.
	version   uint32
	candidate rank.Candidate
	length    int // words of the memory itself
}

// passing says of each row whether it may be returned, at instants from one
// until another; zero is no bound.
type passing struct {
	rows        []bool
	from, until time.Time
}

func (p passing) at(t time.Time) bool {
	return p.rows != nil && !t.Before(p.from) && (p.until.IsZero() || t.Before(p.until))
}

// mostPassing bounds the filters of a scope that are remembered.
const mostPassing = 16

// What a row and a memory take beside their texts.
const (
	mirrorRowBytes = 512
	memoryBytes    = 1024
)

// measure counts what the scope takes.
func (m *mirrored) measure() {
	m.bytes = 0
	for _, r := range m.rows {
		m.bytes += r.bytes()
	}
	m.bytes += int64(len(m.passing) * len(m.rows))
	m.bytes += int64(m.index.Bytes())
	for _, v := range m.vectors {
		m.bytes += v.bytes()
	}
	for i := range m.memories {
		if r := m.memories[i].Load(); r != nil {
			m.bytes += takes(r)
		}
	}
}

func (r *mirrorRow) bytes() int64 {
	c := &r.candidate
	return int64(mirrorRowBytes + len(c.Text) + len(c.Previous) + len(c.Speaker) + len(c.Source) + c.Words.Bytes())
}

func takes(m *memory.Memory) int64 { return int64(memoryBytes + len(m.Summary)) }

// outline is a memory as the database lists it.
type outline struct {
	id      uuid.UUID
	version uint32
	passes  bool
}

// errMoved is a scope that changed while it was read, and errCrowded one that
// there is no room for.
var (
	errMoved   = errors.New("the scope changes too often")
	errCrowded = errors.New("the scope is not kept at hand")
)

// lookTries is how often is looked at what changes meanwhile.
const lookTries = 3

// mirrored finds the candidates of a small scope: the same as LexicalWhole.sql
// and NearestExact.sql do.
func (r *search) mirrored(ctx context.Context, s *Store) (Candidates, error) {
	for range lookTries {
		known, forgotten, worth := s.mirror.get(r.scope)
		if !worth {
			return Candidates{}, errCrowded
		}
		found, err := r.look(ctx, s, known, forgotten)
		if !errors.Is(err, errMoved) {
			return found, err
		}
	}
	return Candidates{}, errMoved
}

func (r *search) look(ctx context.Context, s *Store, known *mirrored, forgotten int64) (Candidates, error) {
	var now mark
	var terms []byte
	var words []string
	var b pgx.Batch
	enter(&b, r.scope)
	b.Queue(query("ScopeState"), r.scope, r.question.Text).Query(scanOne(&now.last, &now.changes, &now.sum, &terms, &words))
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return Candidates{}, err
	}
	lexemes, err := rank.Lexemes(terms)
	if err != nil {
		return Candidates{}, err
	}
	if words == nil {
		words = lexemes
	}
	scope, err := r.current(ctx, s, now, known, forgotten)
	if err != nil {
		return Candidates{}, err
	}
	if now.changes > mostChanges {
		if err := s.settle(ctx, r.scope); err != nil {
			return Candidates{}, err
		}
	}
	passes := scope.passing[r.filterKey()].rows
	out := Candidates{Lexemes: lexemes, Statistics: scope.statistics, Index: scope.index, seen: &seen{r.scope, scope}}
	var chosen []bool
	out.Statistics.Frequency, chosen = scope.say(words, passes)
	var cosines []float64
	if r.model != 0 {
		if cosines, err = scope.vectors[r.model].cosines(r.question.Vector); err != nil {
			return Candidates{}, err
		}
		nearby(cosines, scope.vectors[r.model], passes, chosen)
	}
	n := 0
	for _, is := range chosen {
		if is {
			n++
		}
	}
	out.Candidates = slices.Grow(out.Candidates, n)
	for i, is := range chosen {
		if !is {
			continue
		}
		c := scope.rows[i].candidate
		c.Place = i
		if cosines != nil && !math.IsNaN(cosines[i]) {
			c.Cosine, c.Embedded = cosines[i], true
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out, nil
}

// settle makes the changes of a scope one: they are counted at each question.
func (s *Store) settle(ctx context.Context, scope int32) error {
	return s.within(ctx, scope, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, query("SettleChanges"), scope)
		return err
	})
}

// filterKey names the filters, but for the instant.
func (r *search) filterKey() string {
	f := r.question.Filters
	var b strings.Builder
	fmt.Fprintf(&b, "%q %t %t", f.AllowedSensitivity, f.RequireVerified, f.ExcludeFlagged)
	if len(f.MemoryTypes) > 0 {
		fmt.Fprintf(&b, " %q", f.MemoryTypes)
	}
	if f.SessionID != nil {
		b.WriteByte(' ')
		b.WriteString(f.SessionID.String())
	}
	return b.String()
}

// say counts for each word the memories that say it themselves, and chooses the
// memories that may be returned and have one, or a neighbour does. Without any
// word it chooses all.
func (m *mirrored) say(words []string, passes []bool) (frequency map[string]int, chosen []bool) {
	if len(words) == 0 {
		return map[string]int{}, slices.Clone(passes)
	}
	chosen = make([]bool, len(m.rows))
	frequency = make(map[string]int, len(words))
	for _, word := range words {
		n := 0
		m.index.Find(word, func(row int, own bool) {
			chosen[row] = passes[row]
			if own {
				n++
			}
		})
		frequency[word] = n
	}
	return frequency, chosen
}

// nearby chooses the memories that may be returned and whose vectors are
// nearest.
func nearby(cosines []float64, vectors *halves, passes, chosen []bool) {
	type measured struct {
		at     int
		cosine float64
	}
	list := make([]measured, 0, len(cosines))
	for i, cosine := range cosines {
		if passes[i] && vectors.versions[i] != 0 {
			list = append(list, measured{i, cosine})
		}
	}
	if len(list) > nearestMost {
		slices.SortFunc(list, func(a, b measured) int {
			// What is no number comes last, as in Postgres, and before it in order here.
			return cmp.Or(cmp.Compare(b.cosine, a.cosine), cmp.Compare(a.at, b.at))
		})
		list = list[:nearestMost]
	}
	for _, m := range list {
		chosen[m.at] = true
	}
}

// current gives the scope in a state, with the rows that pass the filters and
// the vectors of the question's model. It fetches what is new or has changed
// since the scope was known.
func (r *search) current(ctx context.Context, s *Store, now mark, known *mirrored, forgotten int64) (*mirrored, error) {
	key := r.filterKey()
	same := known.passing != nil && known.mark == now
	listed := same && known.passing[key].at(r.question.AsOf)
	vectors := r.model == 0 || same && known.vectors[r.model] != nil
	if listed && vectors {
		return known, nil
	}
	var rows, vectorRows []byte
	var from, until *time.Time
	var b pgx.Batch
	enter(&b, r.scope)
	b.Queue(query("ScopeRows"), r.filters()[:7]...).Query(scanOne(&rows, &from, &until))
	if r.model != 0 {
		b.Queue(queryOf("ScopeVectorRows", r.model), r.scope).Query(scanOne(&vectorRows))
	}
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	all, err := readOutlines(rows)
	if err != nil {
		return nil, err
	}
	next := &mirrored{mark: now, passing: map[string]passing{}, vectors: map[int32]*halves{}}
	if same {
		next.memories = known.memories
		if len(known.passing) < mostPassing {
			maps.Copy(next.passing, known.passing)
		}
		maps.Copy(next.vectors, known.vectors)
	}
	if err := next.fill(ctx, s, r.scope, all, known); err != nil {
		return nil, err
	}
	if same && !slices.Equal(next.rows, known.rows) {
		return nil, errMoved // between its state and its list
	}
	if next.memories == nil {
		next.memories = make([]atomic.Pointer[memory.Memory], len(all))
	}
	p := passing{rows: make([]bool, len(all))}
	for i, o := range all {
		p.rows[i] = o.passes
	}
	if from != nil {
		p.from = *from
	}
	if until != nil {
		p.until = *until
	}
	next.passing[key] = p
	if r.model != 0 {
		if next.vectors[r.model], err = next.embedded(ctx, s, r, vectorRows, known); err != nil {
			return nil, err
		}
	}
	s.mirror.put(r.scope, next, known, forgotten)
	return next, nil
}
