package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// DefaultMirror is how many bytes of memories are kept at hand.
const DefaultMirror = 64 << 20

// mirror keeps what a ranking needs of the memories of small scopes, so that a
// question does not fetch hundreds of them again. It decides nothing: which
// memories there are, in which version, and which of them may be returned is
// asked of the database each time, behind its row security. A row's version is
// the transaction that wrote it; what that says never changes.
type mirror struct {
	// most bounds the bytes of all scopes together.
	most int64

	mu     sync.Mutex
	scopes map[int32]*mirrored
	bytes  int64
	// asked is when scopes that are not kept were last asked, and clock counts
	// what is asked.
	asked map[int32]int64
	clock int64
	// forgotten counts what was forgotten.
	forgotten int64
}

func newMirror(most int64) mirror {
	return mirror{most: most, scopes: map[int32]*mirrored{}, asked: map[int32]int64{}}
}

// maxAsked bounds the scopes that are not kept and of which is known when they
// were asked.
const maxAsked = 10_000

// mirrored is a scope as it was. It is replaced, never changed.
type mirrored struct {
	rows map[uuid.UUID]*mirrorRow
	// statistics are those of all rows, without the frequency of words.
	statistics rank.Statistics
	bytes      int64
	used       int64 // by the mirror's clock
}

type mirrorRow struct {
	version   uint32
	candidate rank.Candidate
	length    int // words of the memory itself
}

// mirrorRowBytes is what a row takes beside its text and terms.
const mirrorRowBytes = 512

func (r *mirrorRow) bytes() int64 {
	c := &r.candidate
	return int64(mirrorRowBytes + len(c.Text) + len(c.Previous) + len(c.Speaker) + len(c.Source) + c.Words.Bytes())
}

// get gives a scope as it was last seen, or an empty one, and how much was
// forgotten by then. It is false of one that is not worth to be kept now: with
// no room left, a scope has to be asked again before the one that would have to
// go is. Else questions that go around a few scopes too many would each find
// that theirs has just gone.
func (m *mirror) get(scope int32) (known *mirrored, forgotten int64, worth bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	if known, ok := m.scopes[scope]; ok {
		known.used = m.clock
		return known, m.forgotten, true
	}
	before, again := m.asked[scope]
	if len(m.asked) >= maxAsked {
		clear(m.asked)
	}
	m.asked[scope] = m.clock
	_, oldest := m.oldest()
	return &mirrored{}, m.forgotten, m.bytes < m.most/8*7 || again && before > oldest
}

// put keeps a scope, and lets go of those that were not asked for the longest.
// One that is larger than all may be is not kept, nor one of which something
// may have been forgotten since.
func (m *mirror) put(scope int32, s *mirrored, forgotten int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(scope)
	if s.bytes > m.most || m.forgotten != forgotten {
		return
	}
	for m.bytes+s.bytes > m.most {
		oldest, _ := m.oldest()
		m.drop(oldest)
	}
	delete(m.asked, scope)
	s.used = m.clock
	m.scopes[scope] = s
	m.bytes += s.bytes
}

// oldest is the scope that was not asked for the longest, and when it was.
func (m *mirror) oldest() (scope int32, at int64) {
	at = math.MaxInt64
	for id, s := range m.scopes {
		if s.used < at || s.used == at && id < scope {
			scope, at = id, s.used
		}
	}
	return scope, at
}

// forget lets go of scopes, of all when none is named: what was deleted does not
// stay at hand.
func (m *mirror) forget(scopes ...int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten++
	for _, scope := range scopes {
		m.drop(scope)
	}
	if len(scopes) == 0 {
		clear(m.scopes)
		m.bytes = 0
	}
}

func (m *mirror) drop(scope int32) {
	if known, ok := m.scopes[scope]; ok {
		m.bytes -= known.bytes
		delete(m.scopes, scope)
	}
}

// outline is what the database says of a memory each time.
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

// mirrorTries is how often a scope that changes is read again.
const mirrorTries = 3

// mirrored finds the candidates of a small scope: the same as LexicalWhole.sql
// and NearestExact.sql do.
func (r *search) mirrored(ctx context.Context, s *Store) (Candidates, error) {
	for range mirrorTries {
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
	var terms, rows, vectors []byte
	var words []string
	f := r.filters()
	var b pgx.Batch
	enter(&b, r.scope)
	b.Queue(query("ScopeRows"), append(slices.Clone(f[:7]), r.question.Text)...).Query(scanOne(&terms, &words, &rows))
	if r.model != 0 {
		b.Queue(queryOf("ScopeDistances", r.model), r.scope, pgvector.NewHalfVector(r.question.Vector).String()).Query(scanOne(&vectors))
	}
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return Candidates{}, err
	}
	all, err := readOutlines(rows)
	if err != nil {
		return Candidates{}, err
	}
	near, err := readDistances(vectors)
	if err != nil {
		return Candidates{}, err
	}
	scope, err := s.current(ctx, r.scope, all, known, forgotten)
	if err != nil {
		return Candidates{}, err
	}
	var out Candidates
	if out.Lexemes, err = rank.Lexemes(terms); err != nil {
		return Candidates{}, err
	}
	out.Statistics = scope.statistics
	var chosen []bool
	out.Statistics.Frequency, chosen = scope.say(words, all)
	r.nearby(all, near, chosen)
	places := make([]int, 0, len(all))
	for i, is := range chosen {
		if is {
			places = append(places, i)
		}
	}
	slices.SortFunc(places, func(a, b int) int { return bytes.Compare(all[a].id[:], all[b].id[:]) })
	out.Candidates = slices.Grow(out.Candidates, len(places))
	for _, i := range places {
		o := &all[i]
		c := scope.rows[o.id].candidate
		// The distance to a vector of zeros is not a number.
		if distance, ok := near[o.id]; ok && !math.IsNaN(distance) {
			c.Cosine, c.Embedded = 1-distance, true
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out, nil
}

// say counts for each word the memories that say it themselves, and chooses the
// memories that may be returned and have one, or a neighbour does. Without any
// word it chooses all.
func (s *mirrored) say(words []string, all []outline) (frequency map[string]int, chosen []bool) {
	chosen = make([]bool, len(all))
	counts := make([]int, len(words))
	finder := rank.NewFinder(words)
	for i, o := range all {
		has := len(words) == 0
		finder.Find(s.rows[o.id].candidate.Words, func(word int, own bool) {
			has = true
			if own {
				counts[word]++
			}
		})
		chosen[i] = has && o.passes
	}
	frequency = make(map[string]int, len(words))
	for i, word := range words {
		frequency[word] = counts[i]
	}
	return frequency, chosen
}

// nearby chooses the memories that may be returned and whose vectors are
// nearest.
func (r *search) nearby(all []outline, near map[uuid.UUID]float64, chosen []bool) {
	type measured struct {
		at       int
		distance float64
	}
	var list []measured
	for i, o := range all {
		if distance, ok := near[o.id]; ok && o.passes {
			list = append(list, measured{i, distance})
		}
	}
	slices.SortFunc(list, func(a, b measured) int { // what is no number comes last, as in Postgres
		switch an, bn := math.IsNaN(a.distance), math.IsNaN(b.distance); {
		case an != bn && an:
			return 1
		case an != bn:
			return -1
		case !an && a.distance != b.distance:
			return cmp.Compare(a.distance, b.distance)
		}
		return bytes.Compare(all[a.at].id[:], all[b.at].id[:])
	})
	for _, m := range list[:min(nearestMost, len(list))] {
		chosen[m.at] = true
	}
}

// current gives a scope with exactly these memories, of which it fetches those
// that are new or have changed since it was known.
func (s *Store) current(ctx context.Context, scope int32, all []outline, known *mirrored, forgotten int64) (*mirrored, error) {
	var missing []uuid.UUID
	for _, o := range all {
		if row, ok := known.rows[o.id]; !ok || row.version != o.version {
			missing = append(missing, o.id)
		}
	}
	if len(missing) == 0 && len(all) == len(known.rows) {
		return known, nil
	}
	fetched := map[uuid.UUID]*mirrorRow{}
	if len(missing) > 0 {
		err := s.read(ctx, scope, "ScopeContents", func(rows pgx.Rows) error { return scanMirror(rows, fetched) }, scope, missing)
		if err != nil {
			return nil, err
		}
	}
	now := &mirrored{rows: make(map[uuid.UUID]*mirrorRow, len(all)), statistics: rank.Statistics{Documents: len(all), Sessions: map[string]int{}}}
	total := 0
	for _, o := range all {
		row, ok := fetched[o.id]
		if !ok {
			row, ok = known.rows[o.id]
		}
		if !ok || row.version != o.version {
			return nil, errMoved
		}
		now.rows[o.id] = row
		now.bytes += row.bytes()
		total += row.length
		if row.candidate.Session != "" {
			now.statistics.Sessions[row.candidate.Session] += row.length
		}
	}
	if len(all) > 0 {
		now.statistics.Lengths[0] = float64(total) / float64(len(all))
	}
	s.mirror.put(scope, now, forgotten)
	return now, nil
}

func scanMirror(rows pgx.Rows, into map[uuid.UUID]*mirrorRow) error {
	var id uuid.UUID
	var version []byte
	var r mirrorRow
	c := &r.candidate
	var occurred *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&id, &version, &c.Session, &c.Ordinal, &c.Speaker, &occurred, &c.CreatedAt, &c.Text, &c.Previous,
		&c.Terms, &c.Importance, &c.Confidence, &c.Verified, &c.Source, &r.length,
	}, func() error {
		row := r
		row.version = binary.BigEndian.Uint32(version)
		row.candidate.ID, row.candidate.CreatedAt = id.String(), c.CreatedAt.UTC()
		if occurred != nil {
			row.candidate.OccurredAt = occurred.UTC()
		}
		row.candidate.Terms = bytes.Clone(c.Terms)
		words, err := rank.Read(row.candidate.Terms)
		if err != nil {
			return fmt.Errorf("memory %s: %w", id, err)
		}
		row.candidate.Words = words
		into[id] = &row
		return nil
	})
	return err
}

// outlineBytes and distanceBytes are the sizes of what ScopeRows.sql and
// ScopeDistances.sql say of one memory.
const (
	outlineBytes  = 16 + 4 + 1
	distanceBytes = 16 + 8
)

func readOutlines(data []byte) ([]outline, error) {
	if len(data)%outlineBytes != 0 {
		return nil, fmt.Errorf("the database's list of memories is torn: %d bytes", len(data))
	}
	all := make([]outline, 0, len(data)/outlineBytes)
	for row := range slices.Chunk(data, outlineBytes) {
		all = append(all, outline{uuid.UUID(row[:16]), binary.BigEndian.Uint32(row[16:]), row[20] == 1})
	}
	return all, nil
}

func readDistances(data []byte) (map[uuid.UUID]float64, error) {
	if len(data)%distanceBytes != 0 {
		return nil, fmt.Errorf("the database's list of distances is torn: %d bytes", len(data))
	}
	near := make(map[uuid.UUID]float64, len(data)/distanceBytes)
	for row := range slices.Chunk(data, distanceBytes) {
		near[uuid.UUID(row[:16])] = math.Float64frombits(binary.BigEndian.Uint64(row[16:]))
	}
	return near, nil
}
