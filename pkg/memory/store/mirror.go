package store

import (
	"math"
	"sync"
)

// DefaultMirror is how many bytes of memories are kept at hand.
const DefaultMirror = 256 << 20

// mirror keeps small scopes as the database gave them, and of large ones the
// memories that questions led to, so that a question does not fetch hundreds of
// memories again. It decides nothing: which memories there are and which of them
// may be returned is what the database answered, behind its row security. Of a
// small scope each question first asks it whether that is still in the state
// that it was then; of a large one it answers with the versions of memories.
type mirror struct {
	// most bounds the bytes of all together.
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
	loose     loose
}

func newMirror(most int64) mirror {
	return mirror{most: most, scopes: map[int32]*mirrored{}, asked: map[int32]int64{}, loose: newLoose()}
}

// maxAsked bounds the scopes that are not kept and of which is known when they
// were asked.
const maxAsked = 10_000

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
	return &mirrored{}, m.forgotten, m.taken() < m.most/8*7 || again && before > oldest
}

// put keeps a scope in the place of what was known of it, and lets go of those
// that were not asked for the longest. One that is larger than all may be is not
// kept, nor one of which something may have been forgotten since or that another
// question has put already.
func (m *mirror) put(scope int32, s, known *mirrored, forgotten int64) {
	s.measure()
	m.mu.Lock()
	defer m.mu.Unlock()
	if now, ok := m.scopes[scope]; ok && now != known || m.forgotten != forgotten {
		return
	}
	m.drop(scope)
	if s.bytes > m.most-m.loose.bytes {
		return
	}
	m.room(s.bytes)
	delete(m.asked, scope)
	s.used = m.clock
	m.scopes[scope] = s
	m.bytes += s.bytes
}

// taken is what is kept of all scopes.
func (m *mirror) taken() int64 { return m.bytes + m.loose.bytes }

// room makes room among the small scopes.
func (m *mirror) room(bytes int64) {
	for len(m.scopes) > 0 && m.taken()+bytes > m.most {
		oldest, _ := m.oldest()
		m.drop(oldest)
	}
}

// grow counts what a scope, if it is still kept, has taken up since.
func (m *mirror) grow(scope int32, s *mirrored, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.scopes[scope] == s {
		s.bytes += bytes
		m.bytes += bytes
		m.room(0)
	}
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
		m.loose.forget(scope)
	}
	if len(scopes) == 0 {
		clear(m.scopes)
		m.bytes, m.loose = 0, newLoose()
	}
}

// forgets counts what was forgotten until now.
func (m *mirror) forgets() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgotten
}

func (m *mirror) drop(scope int32) {
	if known, ok := m.scopes[scope]; ok {
		m.bytes -= known.bytes
		delete(m.scopes, scope)
	}
}
