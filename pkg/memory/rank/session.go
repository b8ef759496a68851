package rank

import "strings"

// Of the session prior: k1 and b of BM25 over whole sessions.
const (
	sessionSaturation = 1.2
	sessionLength     = 0.75
)

// sessions is BM25 over the sessions as far as the candidates show them, for
// the terms that are no speaker's name. A memory without a session takes the
// average of the sessions, and a single session says nothing.
func (s *scorer) sessions(terms []string, found []match) []float64 {
	prior := make([]float64, len(s.candidates))
	if s.weights.Session == 0 {
		return prior
	}
	of, lengths := s.group()
	if len(lengths) < 2 {
		return prior
	}
	var all sum
	for _, n := range lengths {
		all.add(float64(n))
	}
	norms := make([]float64, len(lengths))
	for i, n := range lengths {
		norms[i] = sessionSaturation * (1 - sessionLength + sessionLength*float64(n)/max(all.mean(), 1))
	}
	counts := make([]int, len(terms)*len(lengths))
	for i := range found {
		f := &found[i]
		if n := of[f.candidate]; n >= 0 {
			counts[int(f.term)*len(lengths)+n] += int(f.count[own])
		}
	}
	names := s.names(terms)
	scores := make([]float64, len(lengths))
	for t := range terms {
		if !names[t] {
			addBM25(scores, counts[t*len(lengths):(t+1)*len(lengths)], norms)
		}
	}
	var average sum
	for _, v := range scores {
		average.add(v)
	}
	for i, n := range of {
		prior[i] = average.mean()
		if n >= 0 {
			prior[i] = scores[n]
		}
	}
	return prior
}

// addBM25 adds what a term is worth that occurs so often in each text.
func addBM25(scores []float64, counts []int, norms []float64) {
	with := 0
	for _, n := range counts {
		if n > 0 {
			with++
		}
	}
	idf := inverse(with, len(counts))
	for i, n := range counts {
		if n > 0 {
			scores[i] += idf * float64(n) / (float64(n) + norms[i])
		}
	}
}

// group numbers the sessions: for each candidate its session's number or -1,
// and for each session its length. Where the statistics have no length, it is
// that of the candidates.
func (s *scorer) group() (of []int, lengths []int) {
	number := map[string]int{}
	of = make([]int, len(s.candidates))
	for i := range s.candidates {
		name := s.candidates[i].Session
		if name == "" {
			of[i] = -1
			continue
		}
		known := s.stats.Sessions[name]
		n, ok := number[name]
		if !ok {
			n = len(lengths)
			number[name] = n
			lengths = append(lengths, known)
		}
		of[i] = n
		if known <= 0 {
			lengths[n] += s.matrix.words[i].lengths[own]
		}
	}
	return of, lengths
}

// names tells which terms are words of a speaker's name that the query has.
func (s *scorer) names(terms []string) []bool {
	names := make([]bool, len(terms))
	for _, speaker := range s.question.Speakers {
		for _, word := range words(strings.ToLower(speaker)) {
			for i, term := range terms {
				names[i] = names[i] || stems(word, term)
			}
		}
	}
	return names
}
