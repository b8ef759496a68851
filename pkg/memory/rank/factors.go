package rank

import (
	"math"
	"slices"
	"time"
)

// speakers lists the speakers of the candidates, each once.
func speakers(candidates []Candidate) []string {
	var all []string
	seen := map[string]bool{"": true}
	last := ""
	for i := range candidates {
		if s := candidates[i].Speaker; s != last && !seen[s] {
			seen[s] = true
			all = append(all, s)
			last = s
		}
	}
	slices.Sort(all)
	return all
}

// called are the words by which the others call the speakers: those of their
// names, and what may be short for one, such as Mel for Melanie.
func called(speakers []string) map[string]bool {
	names := map[string]bool{}
	for _, speaker := range speakers {
		for _, name := range words(speaker) {
			names[name] = true
			for n := range name {
				if n >= shortest {
					names[name[:n]] = true
				}
			}
		}
	}
	return names
}

// shortest is the fewest bytes that are short for a name.
const shortest = 3

// factors are the parts that concern one candidate alone.
func factors(c *Candidate, question Question, called map[string]bool, asOf time.Time, w Weights) Explanation {
	e := Explanation{Speaker: 1, Question: 1, TimeWord: 1, Date: 1, Name: 1, Recency: 1, Importance: 1, Confidence: 1, Authority: 1}
	if c.Speaker != "" && len(question.Speakers) > 0 && question.Speakers[0] == c.Speaker {
		e.Speaker = w.Speaker
		if len(question.Speakers) > 1 {
			e.Speaker = math.Sqrt(w.Speaker)
		}
	}
	if w.Question != 1 && asks(c.Text) {
		e.Question = w.Question
	}
	if question.When && w.TimeWord != 1 && tellsTime(c.Text) {
		e.TimeWord = w.TimeWord
	}
	if question.Name && w.Name != 1 && hasName(c.Text, called) {
		e.Name = w.Name
	}
	at := c.OccurredAt
	if at.IsZero() {
		at = c.CreatedAt
	}
	if !at.IsZero() && len(question.Periods) > 0 {
		near := 0.0
		for _, p := range question.Periods {
			near = max(near, p.Near(at))
		}
		e.Date = 1 + w.Date*near
	}
	if !at.IsZero() && !asOf.IsZero() && w.Recency != 0 && w.HalfLifeDays > 0 {
		age := max(asOf.Sub(at).Hours()/24, 0)
		e.Recency = 1 + w.Recency*math.Exp2(-age/w.HalfLifeDays)
	}
	e.Importance = 1 + w.Importance*unit(c.Importance)
	e.Confidence = 1 + w.Confidence*unit(c.Confidence)
	if c.Verified {
		e.Authority = 1 + w.Verified
	}
	if a, ok := w.Sources[c.Source]; ok {
		e.Authority *= a
	}
	return e
}

// unit holds x in [0, 1]; what is not a number is 0.
func unit(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	return min(x, 1)
}
