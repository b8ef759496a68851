package rank

import (
	"math"
)

type scorer struct {
	matrix     *matrix
	candidates []Candidate
	stats      Statistics
	weights    Weights
	question   Question
	// norms are what a position of each class of each candidate counts.
	norms [][classes]float64
}

// score fills in the parts that are added and the scores of the hits, which
// are in the order of the candidates.
func (s *scorer) score(terms []string, hits []Hit) {
	s.norms = s.normalise()
	found := s.matrix.find(terms)
	idf := s.idf(terms, found)
	lexical := make([]float64, len(hits))
	s.fields(lexical, found, idf)
	vector := s.vectors()
	scale(vector, s.weights.Vector)
	session := s.sessions(terms, found)
	scale(session, s.weights.Session)
	feedback := make([]float64, len(hits))
	s.add(hits, lexical, feedback, vector, session)
	if s.weights.Feedback > 0 {
		extra, weights := s.expand(terms, hits)
		s.fields(feedback, s.matrix.find(extra), weights)
		s.add(hits, lexical, feedback, vector, session)
	}
	s.answers(hits)
}

// add puts the parts together. What the words are worth is relative to the
// best candidate's, and the session's share to the best sum.
func (s *scorer) add(hits []Hit, lexical, feedback, vector, session []float64) {
	most := 0.0
	for i := range hits {
		most = max(most, lexical[i]+feedback[i])
	}
	if most == 0 {
		most = 1
	}
	top := 0.0
	for i := range hits {
		e := &hits[i].Explanation
		e.Lexical, e.Feedback, e.Vector = lexical[i]/most, feedback[i]/most, vector[i]
		top = max(top, e.Lexical+e.Feedback+e.Vector)
	}
	for i := range hits {
		hits[i].Session = session[i] * top
		hits[i].Score = hits[i].Explanation.Score()
	}
}

// answers gives each memory that follows one which asks a share of that one's
// score: a question that has the query's words has its answer after it.
func (s *scorer) answers(hits []Hit) {
	if s.weights.Answer == 0 {
		return
	}
	asked := map[place]float64{}
	for i := range s.candidates {
		c := &s.candidates[i]
		if c.Session != "" && hits[i].Score > 0 && asks(c.Text) {
			p := place{c.Session, c.Ordinal + 1}
			asked[p] = max(asked[p], s.weights.Answer*hits[i].Score)
		}
	}
	for i := range s.candidates {
		c := &s.candidates[i]
		if gain := asked[place{c.Session, c.Ordinal}]; gain > 0 {
			hits[i].Answer = gain
			hits[i].Score = hits[i].Explanation.Score()
		}
	}
}

// idf is how telling each term is: rare ones are. It counts the memories of
// the scope where the statistics have the term, else the candidates.
func (s *scorer) idf(terms []string, found []match) []float64 {
	seen := make([]int, len(terms))
	for i := range found {
		if found[i].count[own] > 0 {
			seen[found[i].term]++
		}
	}
	return s.rarity(terms, seen)
}

func (s *scorer) rarity(terms []string, seen []int) []float64 {
	idf := make([]float64, len(terms))
	for i, term := range terms {
		n, total := seen[i], len(s.candidates)
		if all, ok := s.stats.Frequency[term]; ok && s.stats.Documents > 0 {
			n, total = all, s.stats.Documents
		}
		idf[i] = inverse(min(max(n, 0), total), total)
	}
	return idf
}

// inverse is the inverse document frequency of a term that n of total have.
func inverse(n, total int) float64 {
	return math.Log1p((float64(total-n) + 0.5) / (float64(n) + 0.5))
}

func (s *scorer) normalise() [][classes]float64 {
	w := s.weights
	norms := make([][classes]float64, len(s.candidates))
	for i := range s.candidates {
		share := [classes]float64{w.Own, w.Previous, w.Next, w.Around}
		if w.AfterQuestion != w.Previous && asks(s.candidates[i].Previous) {
			share[previous] = w.AfterQuestion
		}
		for class, length := range s.matrix.words[i].lengths {
			norms[i][class] = share[class] / (1 - w.Length + w.Length*float64(length)/s.matrix.mean[class])
		}
	}
	return norms
}

// fields is BM25F: the frequencies of a term in the fields are weighed, divided
// by the field's relative length and added, and saturate together. The weights
// are those of the terms.
func (s *scorer) fields(scores []float64, found []match, weights []float64) {
	k := s.weights.Saturation
	for i := range found {
		f := &found[i]
		norm := &s.norms[f.candidate]
		tf := norm[own]*float64(f.count[own]) + norm[previous]*float64(f.count[previous]) +
			norm[next]*float64(f.count[next]) + norm[around]*float64(f.count[around])
		if tf > 0 {
			scores[f.candidate] += weights[f.term] * tf / (k + tf)
		}
	}
}

// scale makes the largest of the values top, and the negative ones zero.
func scale(values []float64, top float64) {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	for i, v := range values {
		if v > 0 {
			values[i] = v / most * top
		} else {
			values[i] = 0
		}
	}
}

// sum adds numbers so that their order does not matter: floating point would
// give another last digit for another order.
type sum struct{ total, count int64 }

func (s *sum) add(x float64) {
	s.total += int64(math.Round(x * (1 << 32)))
	s.count++
}

func (s *sum) mean() float64 { return float64(s.total) / (1 << 32) / float64(max(s.count, 1)) }

type place struct {
	session string
	ordinal int64
}

// embedded is true when the similarity is one.
func (c *Candidate) embedded() bool { return c.Embedded && c.Cosine >= -1.01 && c.Cosine <= 1.01 }

// vectors mixes the similarity of each candidate with those of its neighbours,
// and gives how far that is above the average of the candidates: embeddings
// find every two texts somewhat alike. A memory without a vector is average.
func (s *scorer) vectors() []float64 {
	mixed := make([]float64, len(s.candidates))
	if s.weights.Vector == 0 {
		return mixed
	}
	at := make(map[place]int, len(s.candidates))
	for i := range s.candidates {
		c := &s.candidates[i]
		if !c.embedded() {
			continue
		}
		if c.Session != "" {
			p := place{c.Session, c.Ordinal}
			if other, ok := at[p]; !ok || c.ID < s.candidates[other].ID {
				at[p] = i
			}
		}
	}
	near := func(c *Candidate, step int64) float64 {
		if i, ok := at[place{c.Session, c.Ordinal + step}]; ok && c.Session != "" {
			return s.candidates[i].Cosine
		}
		return c.Cosine
	}
	var all sum
	for i := range s.candidates {
		if c := &s.candidates[i]; c.embedded() {
			mixed[i] = c.Cosine + s.weights.VectorPrevious*near(c, -1) + s.weights.VectorNext*near(c, 1)
			all.add(mixed[i])
		}
	}
	for i := range s.candidates {
		if s.candidates[i].embedded() {
			mixed[i] -= all.mean()
		}
	}
	return mixed
}
