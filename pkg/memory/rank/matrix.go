package rank

import (
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
	candidates []Candidate
	postings   []posting
	// ends[i] is where the postings of candidate i end. The first own[i] of
	// them are the words that the memory itself has.
	ends, own []int
	// lengths are the numbers of positions of each candidate by class, mean
	// their average over the scope.
	lengths [][classes]int
	mean    [classes]float64
	found   []match
}

// matrices are kept from one query to the next: a matrix takes 20 bytes a
// word, half a megabyte for 400 candidates.
var matrices = sync.Pool{New: func() any { return new(matrix) }}

func (m *matrix) free() {
	m.candidates = nil
	matrices.Put(m)
}

// read decodes the candidates' terms.
func read(candidates []Candidate, stats Statistics) (*matrix, error) {
	m := matrices.Get().(*matrix)
	m.candidates = candidates
	m.postings, m.ends, m.own, m.lengths = m.postings[:0], m.ends[:0], m.own[:0], m.lengths[:0]
	var total [classes]int
	for i := range candidates {
		length, err := m.add(candidates[i].Terms)
		if err != nil {
			m.free()
			return nil, fmt.Errorf("rank memory %s: %w", candidates[i].ID, err)
		}
		m.lengths = append(m.lengths, length)
		for class, n := range length {
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

// add reads the terms of one candidate and gives its lengths.
func (m *matrix) add(terms []byte) (length [classes]int, err error) {
	v, err := open(terms)
	if err != nil {
		return length, err
	}
	from := len(m.postings)
	mine := from
	m.postings = slices.Grow(m.postings, v.lexemes)
	var lex lexeme
	for v.lexemes > 0 {
		if err := v.next(&lex); err != nil {
			return length, err
		}
		n := &lex.count
		length[own] += int(n[own])
		length[previous] += int(n[previous])
		length[next] += int(n[next])
		length[around] += int(n[around])
		m.postings = append(m.postings, posting{lex.hash, uint32(lex.from), *n, uint16(lex.to - lex.from)})
		if n[own] > 0 { // the memory's own words come first
			last := len(m.postings) - 1
			m.postings[mine], m.postings[last] = m.postings[last], m.postings[mine]
			mine++
		}
	}
	m.ends = append(m.ends, len(m.postings))
	m.own = append(m.own, mine-from)
	return length, nil
}

// words are the postings of a candidate.
func (m *matrix) words(i int) []posting {
	from := 0
	if i > 0 {
		from = m.ends[i-1]
	}
	return m.postings[from:m.ends[i]]
}

// text is the word of a posting of candidate i.
func (m *matrix) text(i int, p *posting) []byte {
	return m.candidates[i].Terms[p.at : int(p.at)+int(p.size)]
}

// match is a term that a candidate has.
type match struct {
	candidate, term int32
	count           [classes]uint16
}

// find looks for the terms in every candidate, in the candidates' order. The
// answer holds until the next call.
func (m *matrix) find(terms []string) []match {
	t := newTable(terms)
	m.found = m.found[:0]
	for i := range m.ends {
		words := m.words(i)
		for j := range words {
			p := &words[j]
			if t.find(p.hash) < 0 {
				continue
			}
			if term := t.exact(p.hash, m.text(i, p)); term >= 0 {
				m.found = append(m.found, match{int32(i), term, p.count})
			}
		}
	}
	return m.found
}

// count says how many candidates have each of the terms themselves.
func (m *matrix) count(terms []string) []int {
	t := newTable(terms)
	counts := make([]int, len(terms))
	for i := range m.ends {
		words := m.words(i)[:m.own[i]]
		for j := range words {
			p := &words[j]
			if t.find(p.hash) < 0 {
				continue
			}
			if term := t.exact(p.hash, m.text(i, p)); term >= 0 {
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
