package rank

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// expansion is a word that may be added to the query.
type expansion struct {
	word        string
	weight, idf float64
}

// expand chooses the words of the best hits that few other candidates have,
// with their weights: idf squared chooses, so that a rare word tells more, and
// the weight is relative to the most telling one. A word of a single hit may
// be among them: its neighbours have it too.
func (s *scorer) expand(terms []string, hits []Hit) ([]string, []float64) {
	top := s.top(hits)
	place := map[string]int{}
	var words []string
	var weights []float64
	for _, hit := range top {
		w := s.matrix.words[hit.Index]
		share := hit.Score / math.Sqrt(float64(max(w.lengths[own], 1)))
		of := w.postings[:w.own]
		for i := range of {
			text := w.text(&of[i])
			n, ok := place[string(text)]
			if !ok {
				word := string(text)
				n = len(words)
				place[word] = n
				words = append(words, word)
				weights = append(weights, 0)
			}
			weights[n] += share
		}
	}
	idf := s.rarity(words, s.matrix.count(words))
	all := make([]expansion, 0, len(words))
	for i, word := range words {
		if !slices.Contains(terms, word) {
			all = append(all, expansion{word, weights[i] * idf[i] * idf[i], idf[i]})
		}
	}
	slices.SortFunc(all, func(a, b expansion) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.word, b.word))
	})
	all = all[:min(s.weights.FeedbackTerms, len(all))]
	words, weights = words[:0], weights[:0]
	for _, a := range all {
		words = append(words, a.word)
		weights = append(weights, s.weights.Feedback*a.weight/all[0].weight*a.idf)
	}
	return words, weights
}

// top are the best hits, best first, without those that have nothing.
func (s *scorer) top(hits []Hit) []Hit {
	top := make([]Hit, 0, s.weights.FeedbackHits+1)
	for _, hit := range hits {
		if hit.Score <= 0 {
			continue
		}
		n, _ := slices.BinarySearchFunc(top, hit, best)
		if n < s.weights.FeedbackHits {
			top = slices.Insert(top, n, hit)
			top = top[:min(len(top), s.weights.FeedbackHits)]
		}
	}
	return top
}
