package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// writer makes texts whose words are as frequent as those of a language: a few
// small words everywhere, and a long tail of words that hardly anybody says.
type writer struct {
	r     *rand.Rand
	zipf  *rand.Zipf
	words []string
}

// vocabulary is how many words there are.
const vocabulary = 30000

// small are the words that hold sentences together; the index leaves them out.
var small = strings.Fields("the and a of to in is was that it for on with as at by we they you i")

// newWriter makes a writer; one seed always writes the same.
func newWriter(seed uint64) *writer {
	// The vocabulary is everybody's.
	all := rand.New(rand.NewPCG(1, 2))
	syllables := strings.Fields("ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no nu ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo vu")
	w := &writer{r: rand.New(rand.NewPCG(seed, 3))}
	known := map[string]bool{}
	for len(w.words) < vocabulary {
		var b strings.Builder
		for range 2 + all.IntN(3) {
			b.WriteString(syllables[all.IntN(len(syllables))])
		}
		if word := b.String(); !known[word] {
			known[word] = true
			w.words = append(w.words, word)
		}
	}
	w.zipf = rand.NewZipf(w.r, 1.07, 6, vocabulary-1)
	return w
}

// telling is a word that is not small.
func (w *writer) telling() string { return w.words[w.zipf.Uint64()] }

// sentence is what a turn of a conversation says: 8 to 40 words.
func (w *writer) sentence() string {
	var b strings.Builder
	for i := range 8 + w.r.IntN(33) {
		if i > 0 {
			b.WriteByte(' ')
		}
		if w.r.IntN(5) < 2 {
			b.WriteString(small[w.r.IntN(len(small))])
		} else {
			b.WriteString(w.telling())
		}
	}
	b.WriteByte('.')
	return b.String()
}

// question asks for something: three to eight telling words among small ones.
func (w *writer) question() string {
	var b strings.Builder
	b.WriteString("what")
	for range 3 + w.r.IntN(6) {
		fmt.Fprintf(&b, " %s %s", small[w.r.IntN(len(small))], w.telling())
	}
	b.WriteByte('?')
	return b.String()
}
