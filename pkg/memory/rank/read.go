package rank

import "slices"

// Words are the terms of a memory, read once for many questions.
type Words struct {
	terms []byte
	// The first own of the postings are the words that the memory itself has.
	postings []posting
	own      int
	lengths  [classes]int
}

// Read reads the bytes of tsvectorsend(tsvector), for [Candidate.Words]. They
// must not change afterwards.
func Read(terms []byte) (*Words, error) {
	w := &Words{}
	_, err := w.read(terms, nil)
	return w, err
}

// Bytes is about what the words take, their terms included.
func (w *Words) Bytes() int { return 64 + len(w.terms) + 20*cap(w.postings) }

// read reads terms. The postings are appended to room, which is returned.
func (w *Words) read(terms []byte, room []posting) ([]posting, error) {
	v, err := open(terms)
	if err != nil {
		return room, err
	}
	*w = Words{terms: terms}
	from := len(room)
	mine := from
	room = slices.Grow(room, v.lexemes)
	var lex lexeme
	for v.lexemes > 0 {
		if err := v.next(&lex); err != nil {
			return room, err
		}
		n := &lex.count
		w.lengths[own] += int(n[own])
		w.lengths[previous] += int(n[previous])
		w.lengths[next] += int(n[next])
		w.lengths[around] += int(n[around])
		room = append(room, posting{lex.hash, uint32(lex.from), *n, uint16(lex.to - lex.from)})
		if n[own] > 0 { // the memory's own words come first
			last := len(room) - 1
			room[mine], room[last] = room[last], room[mine]
			mine++
		}
	}
	w.postings, w.own = room[from:len(room):len(room)], mine-from
	return room, nil
}

// text is the word of a posting.
func (w *Words) text(p *posting) []byte { return w.terms[p.at : int(p.at)+int(p.size)] }
