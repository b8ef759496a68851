package store

import (
	"bytes"
	"container/list"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
)

// finding is a memory that a question leads to, in the version in which the
// filters let it pass. What that version says never changes.
type finding struct {
	id      uuid.UUID
	version uint32
	// cosine is that of its vector and the question's; no number where it has none.
	cosine float64
}

// findingBytes is the size of what the function finding of the database says.
const findingBytes = 16 + 4 + 8

// readFindings reads a list of findings, and puts them in the order of their
// ids, each once.
func readFindings(data []byte) ([]finding, error) {
	if len(data)%findingBytes != 0 {
		return nil, fmt.Errorf("the database's list of candidates is torn: %d bytes", len(data))
	}
	all := make([]finding, 0, len(data)/findingBytes)
	for row := range slices.Chunk(data, findingBytes) {
		all = append(all, finding{
			uuid.UUID(row[:16]), binary.BigEndian.Uint32(row[16:]), math.Float64frombits(binary.BigEndian.Uint64(row[20:])),
		})
	}
	slices.SortFunc(all, func(a, b finding) int { return bytes.Compare(a.id[:], b.id[:]) })
	return slices.CompactFunc(all, func(a, b finding) bool { return a.id == b.id }), nil
}

// rows gives what the findings say, nil where one has changed since.
func (s *Store) rows(ctx context.Context, scope int32, found []finding, forgotten int64) ([]*mirrorRow, error) {
	rows := s.mirror.at(scope, found)
	var missing []uuid.UUID
	for i, f := range found {
		if rows[i] == nil {
			missing = append(missing, f.id)
		}
	}
	if len(missing) == 0 {
		return rows, nil
	}
	fetched, err := s.contents(ctx, scope, missing)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		if row := fetched[f.id]; row != nil && row.version == f.version {
			rows[i] = row
		}
	}
	s.mirror.keep(scope, fetched, forgotten)
	return rows, nil
}

// loose are memories of scopes that are not kept whole, the one that was asked
// for last first.
type loose struct {
	places map[looseKey]*list.Element // of a looseRow
	order  list.List
	bytes  int64
	since  time.Time
}

// looseFor is how long they are kept: nothing tells of a memory that another
// process has deleted.
const looseFor = time.Hour

func newLoose() loose { return loose{places: map[looseKey]*list.Element{}, since: time.Now()} }

type looseKey struct {
	scope int32
	id    uuid.UUID
}

type looseRow struct {
	scope int32
	row   *mirrorRow
}

// looseMost is the share of all that is kept that they may take.
func (m *mirror) looseMost() int64 { return m.most / 2 }

// at gives of the findings those that are at hand, and nil for the others.
func (m *mirror) at(scope int32, found []finding) []*mirrorRow {
	rows := make([]*mirrorRow, len(found))
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.loose.since) > looseFor {
		m.loose = newLoose()
	}
	for i, f := range found {
		if e, ok := m.loose.places[looseKey{scope, f.id}]; ok {
			if row := e.Value.(looseRow).row; row.version == f.version {
				rows[i] = row
				m.loose.order.MoveToFront(e)
			}
		}
	}
	return rows
}

// keep keeps memories of a scope, unless something may have been forgotten since
// they were asked for.
func (m *mirror) keep(scope int32, rows map[uuid.UUID]*mirrorRow, forgotten int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most <= 0 || m.forgotten != forgotten {
		return
	}
	for _, row := range rows {
		m.loose.put(scope, row)
	}
	for m.loose.bytes > m.looseMost() {
		m.loose.drop(m.loose.order.Back())
	}
	m.room(0)
}

func (l *loose) put(scope int32, row *mirrorRow) {
	at := looseKey{scope, row.id}
	if e, ok := l.places[at]; ok {
		l.drop(e)
	}
	l.places[at] = l.order.PushFront(looseRow{scope, row})
	l.bytes += row.bytes()
}

func (l *loose) drop(e *list.Element) {
	r := l.order.Remove(e).(looseRow)
	delete(l.places, looseKey{r.scope, r.row.id})
	l.bytes -= r.row.bytes()
}

// forget drops what is of a scope.
func (l *loose) forget(scope int32) {
	for e := l.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(looseRow).scope == scope {
			l.drop(e)
		}
		e = next
	}
}
