package rank

import (
	"fmt"
	"math"
)

// Weights say how much each part counts.
type Weights struct {
	// Saturation and Length are k1 and b of BM25F.
	Saturation, Length float64
	// Own, Previous, AfterQuestion, Next and Around weigh the classes of a term;
	// AfterQuestion is that of the memory before where that one asks.
	Own, Previous, AfterQuestion, Next, Around float64
	// Vector, Session and Feedback are the shares of those parts, where that of
	// the words of the query is 1. Vector belongs to the embedding model, and
	// that of a word of the feedback is relative to one of the query.
	Vector, Session, Feedback float64
	// FeedbackHits and FeedbackTerms say of how many hits how many words are
	// taken.
	FeedbackHits, FeedbackTerms int
	// VectorPrevious and VectorNext are the shares of the neighbours' vectors.
	VectorPrevious, VectorNext float64
	// Answer is the share of a question's score that the memory after it gains.
	Answer float64
	// Speaker, Question, TimeWord and Name are factors, 1 for no effect.
	Speaker, Question, TimeWord, Name float64
	// Date is what a memory of the date gains, and Recency what a new one does;
	// after HalfLifeDays that is half.
	Date, Recency, HalfLifeDays float64
	// Importance, Confidence and Verified are what a memory gains that has all
	// of it.
	Importance, Confidence, Verified float64
	// Sources are factors by the source of a memory.
	Sources map[string]float64
}

// Defaults are the weights of the default install: round numbers, around which
// the figures of tests/locomo change little.
func Defaults() Weights {
	return Weights{
		Saturation: 0.9, Length: 0.4,
		Own: 1, Previous: 0.3, AfterQuestion: 0.6, Next: 0.2, Around: 0.15,
		Vector: 0.2, VectorPrevious: 0.4, VectorNext: 0.2,
		Session: 0.2, Feedback: 0.2, FeedbackHits: 10, FeedbackTerms: 20,
		Answer: 0.1, Speaker: 1.4, Question: 0.8, TimeWord: 1.3, Name: 1.3, Date: 0.3,
		Recency: 0.05, HalfLifeDays: 30,
		Importance: 0.1, Confidence: 0.1, Verified: 0.1,
	}
}

// Check says which weight is out of range, or nil.
func (w Weights) Check() error {
	for _, v := range []struct {
		name               string
		value, least, most float64
	}{
		{"saturation", w.Saturation, 0.01, 100},
		{"length", w.Length, 0, 1},
		{"own", w.Own, 0, 100},
		{"previous", w.Previous, 0, 100},
		{"after question", w.AfterQuestion, 0, 100},
		{"next", w.Next, 0, 100},
		{"around", w.Around, 0, 100},
		{"vector", w.Vector, 0, 100},
		{"vector previous", w.VectorPrevious, 0, 100},
		{"vector next", w.VectorNext, 0, 100},
		{"session", w.Session, 0, 100},
		{"feedback", w.Feedback, 0, 100},
		{"feedback hits", float64(w.FeedbackHits), 0, 1000},
		{"feedback terms", float64(w.FeedbackTerms), 0, 1000},
		{"answer", w.Answer, 0, 1},
		{"speaker", w.Speaker, 0.01, 100},
		{"question", w.Question, 0.01, 100},
		{"time word", w.TimeWord, 0.01, 100},
		{"name", w.Name, 0.01, 100},
		{"date", w.Date, 0, 100},
		{"recency", w.Recency, 0, 100},
		{"half-life", w.HalfLifeDays, 0.001, 1e6},
		{"importance", w.Importance, 0, 100},
		{"confidence", w.Confidence, 0, 100},
		{"verified", w.Verified, 0, 100},
	} {
		if err := within(v.name, v.value, v.least, v.most); err != nil {
			return err
		}
	}
	for source, factor := range w.Sources {
		if err := within("source "+source, factor, 0.01, 100); err != nil {
			return err
		}
	}
	return nil
}

func within(name string, value, least, most float64) error {
	if math.IsNaN(value) || value < least || value > most {
		return fmt.Errorf("ranking weight %s is %v: give a number from %v to %v", name, value, least, most)
	}
	return nil
}
