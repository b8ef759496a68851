package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// fill gives the scope its rows.
func (m *mirrored) fill(ctx context.Context, s *Store, scope int32, all []outline, known *mirrored) error {
	m.rows = make([]*mirrorRow, len(all))
	var missing []uuid.UUID
	for i, o := range all {
		if at, ok := known.find(o.id); ok && known.rows[at].version == o.version {
			m.rows[i] = known.rows[at]
		} else {
			missing = append(missing, o.id)
		}
	}
	if len(missing) > 0 {
		fetched, err := s.contents(ctx, scope, missing)
		if err != nil {
			return err
		}
		for i, o := range all {
			if m.rows[i] == nil {
				m.rows[i] = fetched[o.id]
			}
			if m.rows[i] == nil || m.rows[i].version != o.version {
				return errMoved
			}
		}
	}
	if slices.Equal(m.rows, known.rows) && known.index != nil {
		m.index, m.statistics = known.index, known.statistics
		return nil
	}
	words := make([]*rank.Words, len(m.rows))
	for i, row := range m.rows {
		words[i] = row.candidate.Words
	}
	m.index = rank.NewIndex(words)
	m.statistics = rank.Statistics{Documents: len(all), Sessions: map[string]int{}}
	total := 0
	for _, row := range m.rows {
		total += row.length
		if row.candidate.Session != "" {
			m.statistics.Sessions[row.candidate.Session] += row.length
		}
	}
	if len(all) > 0 {
		m.statistics.Lengths[0] = float64(total) / float64(len(all))
	}
	return nil
}

func (m *mirrored) find(id uuid.UUID) (int, bool) {
	return slices.BinarySearchFunc(m.rows, id, func(r *mirrorRow, id uuid.UUID) int { return bytes.Compare(r.id[:], id[:]) })
}

// embedded gives the vectors of the rows.
func (m *mirrored) embedded(ctx context.Context, s *Store, r *search, list []byte, known *mirrored) (*halves, error) {
	h := newHalves(len(r.question.Vector), len(m.rows))
	before := known.vectors[r.model]
	if len(list)%versionBytes != 0 {
		return nil, fmt.Errorf("the database's list of vectors is torn: %d bytes", len(list))
	}
	var missing []uuid.UUID
	for row := range slices.Chunk(list, versionBytes) {
		id, version := uuid.UUID(row[:16]), binary.BigEndian.Uint32(row[16:])
		at, ok := m.find(id)
		if !ok {
			continue // of a memory that is not returned
		}
		if old, ok := known.find(id); ok && before != nil && before.versions[old] == version && before.dimensions == h.dimensions {
			h.take(at, before, old)
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return h, nil
	}
	var b pgx.Batch
	enter(&b, r.scope)
	b.Queue(queryOf("ScopeVectors", r.model), r.scope, missing).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var version, data []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &version, &data}, func() error {
			at, _ := m.find(id)
			if err := h.read(at, binary.BigEndian.Uint32(version), data); err != nil {
				return fmt.Errorf("memory %s: %w", id, err)
			}
			return nil
		})
		return err
	})
	return h, s.pool.SendBatch(ctx, &b).Close()
}

// contents reads what memories of a scope say.
func (s *Store) contents(ctx context.Context, scope int32, ids []uuid.UUID) (map[uuid.UUID]*mirrorRow, error) {
	fetched := make(map[uuid.UUID]*mirrorRow, len(ids))
	err := s.read(ctx, scope, "ScopeContents", func(rows pgx.Rows) error { return scanMirror(rows, fetched) }, scope, ids)
	return fetched, err
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
		row.id, row.version = id, binary.BigEndian.Uint32(version)
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

// outlineBytes and versionBytes are the sizes of what ScopeRows.sql and
// ScopeVectorRows.sql say of one memory.
const (
	outlineBytes = 16 + 4 + 1
	versionBytes = 16 + 4
)

// readOutlines reads a list of memories, and puts it in the order of their ids.
func readOutlines(data []byte) ([]outline, error) {
	if len(data)%outlineBytes != 0 {
		return nil, fmt.Errorf("the database's list of memories is torn: %d bytes", len(data))
	}
	all := make([]outline, 0, len(data)/outlineBytes)
	for row := range slices.Chunk(data, outlineBytes) {
		all = append(all, outline{uuid.UUID(row[:16]), binary.BigEndian.Uint32(row[16:]), row[20] == 1})
	}
	slices.SortFunc(all, func(a, b outline) int { return bytes.Compare(a.id[:], b.id[:]) })
	return all, nil
}

// seen is the scope in which candidates were found.
type seen struct {
	scope int32
	view  *mirrored
}

// Found reads those of the named memories that the scope has, in the order of
// ids, as [Store.Memories] does. Of candidates of a scope that is at hand those
// that were returned before, in the same state of the scope, are at hand too.
func (s *Store) Found(ctx context.Context, scope memory.Scope, c Candidates, ids []uuid.UUID) ([]memory.Memory, error) {
	if c.seen == nil {
		return s.Memories(ctx, scope, ids)
	}
	view := c.seen.view
	found := make([]memory.Memory, len(ids))
	var missing []uuid.UUID
	for i, id := range ids {
		if m := view.memory(id).Load(); m != nil {
			found[i] = *m
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	fetched, err := s.Memories(ctx, scope, missing)
	if err != nil {
		return nil, err
	}
	grown := int64(0)
	for _, m := range fetched {
		if view.memory(m.ID).CompareAndSwap(nil, &m) {
			grown += takes(&m)
		}
		found[slices.Index(ids, m.ID)] = m
	}
	s.mirror.grow(c.seen.scope, view, grown)
	// What is gone has no id.
	return slices.DeleteFunc(found, func(m memory.Memory) bool { return m.ID == uuid.Nil }), nil
}

// memory is the place for a memory of the scope.
func (m *mirrored) memory(id uuid.UUID) *atomic.Pointer[memory.Memory] {
	if at, ok := m.find(id); ok {
		return &m.memories[at]
	}
	return new(atomic.Pointer[memory.Memory])
}
