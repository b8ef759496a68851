package rank

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestIndexChangesNothing holds that a ranking through an index is the same to
// the last digit, whichever of the index's memories are candidates.
func TestIndexChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	// Two pairs have one hash each.
	vocabulary := strings.Fields("costarring liquid declinate macallums")
	for i := range 60 {
		vocabulary = append(vocabulary, fmt.Sprintf("w%d", i))
	}
	if hash("costarring") != hash("liquid") || hash("declinate") != hash("macallums") {
		t.Fatal("the words have hashes of their own")
	}
	text := func(n int) string {
		var all []string
		for range n {
			all = append(all, vocabulary[int(float64(len(vocabulary))*r.Float64()*r.Float64())])
		}
		return strings.Join(all, " ")
	}
	var memories []*Words
	var all []Candidate
	for i := range 300 {
		c := turn(fmt.Sprintf("%03d", i), fmt.Sprint(i/20), int64(i%20), []string{"Ann", "Bob"}[i%2], text(1+r.IntN(20)))
		c.Terms = terms(c.Text, text(r.IntN(5)), text(r.IntN(5)))
		words, err := Read(c.Terms)
		if err != nil {
			t.Fatal(err)
		}
		c.Words, c.Place = words, i
		memories = append(memories, words)
		all = append(all, c)
	}
	index := NewIndex(memories)
	for range 60 {
		var some []Candidate
		for _, c := range all {
			if r.IntN(3) > 0 {
				some = append(some, c)
			}
		}
		q := Query{Text: text(5) + "?"}
		q.Lexemes = distinct(strings.Fields(strings.TrimRight(q.Text, "?")))
		want, err := Order(q, some, Statistics{}, Defaults())
		if err != nil {
			t.Fatal(err)
		}
		q.Index = index
		got, err := Order(q, some, Statistics{}, Defaults())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", q.Text, diff)
		}
	}
	for _, word := range append(vocabulary, "nobody") {
		var want, got []string
		for i, c := range all {
			own := slices.Contains(strings.Fields(c.Text), word)
			if _, found := find(c.Words, word); found {
				want = append(want, fmt.Sprint(i, own))
			}
		}
		index.Find(word, func(memory int, own bool) { got = append(got, fmt.Sprint(memory, own)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", word, diff)
		}
	}
}

// find looks a word up by reading all.
func find(w *Words, word string) (posting, bool) {
	for i := range w.postings {
		if string(w.text(&w.postings[i])) == word {
			return w.postings[i], true
		}
	}
	return posting{}, false
}
