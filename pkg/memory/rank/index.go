package rank

import (
	"math/bits"
	"sync/atomic"
)

// Index finds the memories of a scope by their words, for the questions that
// come while none of them changes: what a question looks at are the memories
// that have its words.
type Index struct {
	memories []*Words
	// entries are in the order of their hash's last bits, those of one value
	// from starts[value] on, and there in the order of the memories.
	entries []entry
	starts  []uint32
	// kinds says of each value whether words that are not the same have the same
	// hash there; it is found out when it is first asked.
	kinds []atomic.Uint32
}

// entry is a word of a memory.
type entry struct {
	hash   uint32
	memory int32
	// posting is twice the place of its posting, and one more where the memory
	// says the word itself.
	posting int32
}

func (e entry) own() bool { return e.posting&1 == 1 }

// What is known of the entries of one value.
const (
	kindUnknown = iota
	kindClean
	kindMixed
)

// NewIndex makes an index of memories; it names them by their places.
func NewIndex(memories []*Words) *Index {
	n := 0
	for _, w := range memories {
		n += len(w.postings)
	}
	values := 2 << bits.Len(uint(n/4))
	x := &Index{memories: memories, entries: make([]entry, n), starts: make([]uint32, values+1), kinds: make([]atomic.Uint32, values)}
	mask := x.mask()
	next := x.starts[1:]
	for _, w := range memories {
		for i := range w.postings {
			next[w.postings[i].hash&mask]++
		}
	}
	// Each value's start, which the entries then push on to its end.
	from := uint32(0)
	for i, n := range next {
		next[i] = from
		from += n
	}
	for m, w := range memories {
		for i := range w.postings {
			e := entry{w.postings[i].hash, int32(m), int32(2 * i)}
			if i < w.own {
				e.posting++
			}
			x.entries[next[e.hash&mask]] = e
			next[e.hash&mask]++
		}
	}
	return x
}

func (x *Index) mask() uint32 { return uint32(len(x.kinds) - 1) }

// Bytes is about what the index takes beside the memories' words.
func (x *Index) Bytes() int { return 12*len(x.entries) + 8*len(x.starts) }

func (x *Index) posting(e entry) *posting { return &x.memories[e.memory].postings[e.posting/2] }

func (x *Index) text(e entry) []byte { return x.memories[e.memory].text(x.posting(e)) }

// each calls found for the memories that have the term, in their order.
func (x *Index) each(term string, found func(entry)) {
	h := hash(term)
	at := h & x.mask()
	here := x.entries[x.starts[at]:x.starts[at+1]]
	kind := x.kinds[at].Load()
	if kind == kindUnknown {
		kind = x.kind(here)
		x.kinds[at].Store(kind)
	}
	sure := false
	for _, e := range here {
		if e.hash != h {
			continue
		}
		if !sure {
			if term != string(x.text(e)) {
				if kind == kindClean {
					return
				}
				continue
			}
			sure = kind == kindClean
		}
		found(e)
	}
}

// kind tells whether entries with the same hash are of the same word.
func (x *Index) kind(entries []entry) uint32 {
	for i, e := range entries {
		for _, before := range entries[:i] {
			if before.hash == e.hash {
				if string(x.text(before)) != string(x.text(e)) {
					return kindMixed
				}
				break
			}
		}
	}
	return kindClean
}

// Find tells which memories have a word, and whether they say it themselves.
func (x *Index) Find(word string, found func(memory int, own bool)) {
	x.each(word, func(e entry) { found(int(e.memory), e.own()) })
}
