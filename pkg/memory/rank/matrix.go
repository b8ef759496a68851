package rank

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// posting is one word of one candidate: where it is in the candidate's terms,
// and how often each class has it.
type posting struct {
	hash  uint32
	at    uint32
	count [classes]uint16
	size  uint16
}

// matrix is what all candidates' tsvectors hold.
type matrix struct {
	words []*Words
	// read are those that were not read before, with their postings.
	read     []Words
	postings []posting
	// index finds the candidates of memories, of which candidate is the place or
	// -1; nil is none.
	index     *Index
	candidate []int32
	// mean are the average numbers of positions over the scope, by class.
	mean  [classes]float64
	found []match
}

// matrices are kept from one query to the next: a matrix takes 20 bytes a
// word, half a megabyte for 400 candidates.
var matrices = sync.Pool{New: func() any { return new(matrix) }}

func (m *matrix) free() {
	clear(m.words)
	clear(m.read)
	m.index = nil
	matrices.Put(m)
}

// read decodes the candidates' terms.
func read(candidates []Candidate, stats Statistics) (*matrix, error) {
	m := matrices.Get().(*matrix)
	m.words, m.postings = m.words[:0], m.postings[:0]
	m.read = slices.Grow(m.read[:0], len(candidates)) // the words point into it
	var total [classes]int
	for i := range candidates {
		w := candidates[i].Words
		if w == nil {
			m.read = append(m.read, Words{})
			w = &m.read[len(m.read)-1]
			var err error
			if m.postings, err = w.read(candidates[i].Terms, m.postings); err != nil {
				m.free()
				return nil, fmt.Errorf("rank memory %s: %w", candidates[i].ID, err)
			}
		}
		m.words = append(m.words, w)
		for class, n := range w.lengths {
			total[class] += n
		}
	}
	for class := range m.mean {
		m.mean[class] = stats.Lengths[class]
		if !(m.mean[class] > 0) {
			m.mean[class] = max(float64(total[class])/float64(len(candidates)), 1)
		}
	}
	return m, nil
}

// match is a term that a candidate has.
type match struct {
	candidate, term int32
	count           [classes]uint16
}

// by takes an index of memories that the candidates are among.
func (m *matrix) by(x *Index, candidates []Candidate) {
	if x == nil {
		return
	}
	m.index = x
	m.candidate = slices.Grow(m.candidate[:0], len(x.memories))[:len(x.memories)]
	for i := range m.candidate {
		m.candidate[i] = -1
	}
	for i := range candidates {
		m.candidate[candidates[i].Place] = int32(i)
	}
}

// find looks for the terms in every candidate. A candidate's matches are in the
// terms' order. The answer holds until the next call.
func (m *matrix) find(terms []string) []match {
	m.found = m.found[:0]
	if m.index != nil {
		for term, text := range terms {
			m.index.each(text, func(e entry) {
				if i := m.candidate[e.memory]; i >= 0 {
					m.found = append(m.found, match{i, int32(term), m.index.posting(e).count})
				}
			})
		}
		return m.found
	}
	t := newTable(terms)
	for i, w := range m.words {
		first := len(m.found)
		for j := range w.postings {
			p := &w.postings[j]
			if t.find(p.hash) < 0 {
				continue
			}
			if term := t.exact(p.hash, w.text(p)); term >= 0 {
				m.found = append(m.found, match{int32(i), term, p.count})
			}
		}
		slices.SortFunc(m.found[first:], func(a, b match) int { return cmp.Compare(a.term, b.term) })
	}
	return m.found
}

// count says how many candidates have each of the terms themselves.
func (m *matrix) count(terms []string) []int {
	counts := make([]int, len(terms))
	if m.index != nil {
		for term, text := range terms {
			m.index.each(text, func(e entry) {
				if e.own() && m.candidate[e.memory] >= 0 {
					counts[term]++
				}
			})
		}
		return counts
	}
	t := newTable(terms)
	for _, w := range m.words {
		for j := range w.postings[:w.own] {
			p := &w.postings[j]
			if t.find(p.hash) < 0 {
				continue
			}
			if term := t.exact(p.hash, w.text(p)); term >= 0 {
				counts[term]++
			}
		}
	}
	return counts
}

// table finds a term by its hash: open addressing, at most a quarter full.
type table struct {
	terms []string
	slots []slot
}

type slot struct {
	hash uint32
	// term counts from 1; 0 is an empty slot.
	term int32
}

func newTable(terms []string) table {
	size := 16
	for size < 4*len(terms) {
		size *= 2
	}
	t := table{terms, make([]slot, size)}
	for i, term := range terms {
		h := hash(term)
		at := int(h) & (size - 1)
		for t.slots[at].term != 0 {
			at = (at + 1) & (size - 1)
		}
		t.slots[at] = slot{h, int32(i + 1)}
	}
	return t
}

// find gives the first slot with the hash, or -1.
func (t *table) find(h uint32) int {
	for at := int(h) & (len(t.slots) - 1); t.slots[at].term != 0; at = (at + 1) & (len(t.slots) - 1) {
		if t.slots[at].hash == h {
			return at
		}
	}
	return -1
}

// exact gives the number of the term, or -1.
func (t *table) exact(h uint32, word []byte) int32 {
	for at := int(h) & (len(t.slots) - 1); t.slots[at].term != 0; at = (at + 1) & (len(t.slots) - 1) {
		if s := t.slots[at]; s.hash == h && t.terms[s.term-1] == string(word) {
			return s.term - 1
		}
	}
	return -1
}
