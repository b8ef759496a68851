package redact

// automaton finds all keywords of the rules in one pass (Aho and Corasick),
// ignoring the case of ASCII letters.
type automaton struct {
	class [256]uint8 // of a byte; 0: in no keyword
	width int        // number of classes
	next  []uint16   // state*width + class
	ends  [][]uint16 // by state: the keywords that end there
	words []string
}

// newAutomaton builds the automaton for words, lower case.
func newAutomaton(words []string) *automaton {
	a := &automaton{width: 1, words: words}
	for _, w := range words {
		for i := range len(w) {
			if a.class[w[i]] == 0 {
				a.class[w[i]] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := byte('a'); c <= 'z'; c++ {
		a.class[c-'a'+'A'] = a.class[c]
	}
	state := func() uint16 {
		a.next = append(a.next, make([]uint16, a.width)...)
		a.ends = append(a.ends, nil)
		return uint16(len(a.ends) - 1)
	}
	state()
	for n, w := range words {
		at := uint16(0)
		for i := range len(w) {
			edge := int(at)*a.width + int(a.class[w[i]])
			if a.next[edge] == 0 {
				to := state()
				a.next[edge] = to
			}
			at = a.next[edge]
		}
		a.ends[at] = append(a.ends[at], uint16(n))
	}
	a.link()
	return a
}

// link turns the trie into the automaton: a missing edge leads where the
// longest proper suffix's edge leads.
func (a *automaton) link() {
	fail := make([]uint16, len(a.ends))
	var queue []uint16
	for c := range a.width {
		if to := a.next[c]; to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		a.ends[at] = append(a.ends[at], a.ends[fail[at]]...)
		for c := range a.width {
			edge := int(at)*a.width + c
			back := a.next[int(fail[at])*a.width+c]
			if to := a.next[edge]; to != 0 {
				fail[to] = back
				queue = append(queue, to)
			} else {
				a.next[edge] = back
			}
		}
	}
}

// each calls f with each keyword in s and where it begins.
func (a *automaton) each(s string, f func(word, at int)) {
	state := 0
	for i := range len(s) {
		state = int(a.next[state*a.width+int(a.class[s[i]])])
		for _, w := range a.ends[state] {
			f(int(w), i+1-len(a.words[w]))
		}
	}
}
