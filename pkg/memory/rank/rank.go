// Package rank puts the memories that might answer a query into order.
//
// The database yields a few hundred candidates and what it knows of them;
// this package scores them by the words that they and their neighbours share
// with the query (BM25F: Robertson, Zaragoza, Taylor, CIKM 2004), by what the
// best of them share with each other (pseudo relevance feedback), by their
// session, their vector, and by cues: who speaks, whether the text asks or
// tells, what date it has. Every cue is a fact about a memory, used where it
// is there: a note without speaker, session or date is ranked by what it has,
// and takes the average of the others where a part has nothing to say of it.
//
// It is data in and data out, and deterministic: the order of the candidates
// does not matter, and ties are broken by id.
package rank

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Query is what is looked for.
type Query struct {
	Text string
	// Lexemes are the words of the text as the candidates' tsvectors have them;
	// see [Lexemes]. A repeated one counts once.
	Lexemes []string
	// AsOf is the instant of the question. Words such as yesterday are relative
	// to it, and so is recency; zero leaves both out.
	AsOf time.Time
	// Index is of memories that the candidates are among, by their Place. It
	// changes nothing but the time that a ranking takes; nil is none.
	Index *Index
}

// Candidate is a memory that might answer, with what is known of it. Only ID
// is required.
type Candidate struct {
	// ID is unique among the candidates.
	ID string
	// Session is what the memory is part of, a conversation or a task; empty is
	// none. Ordinal is its position there.
	Session string
	Ordinal int64
	Speaker string
	// OccurredAt is when it happened or was said, CreatedAt when it was stored.
	// Zero is unknown.
	OccurredAt, CreatedAt time.Time
	// Text is the memory itself, Previous that of the memory before it in its
	// session.
	Text, Previous string
	// Terms are the bytes of tsvectorsend(tsvector), whose classes are: A the
	// memory with its speaker and the words of its date, B the memory before it
	// in its session, C the one after it, D those two away.
	Terms []byte
	// Words are the terms, where they have been read before; see [Read].
	Words *Words
	// Place is that in the query's Index, if there is one.
	Place int
	// Cosine is the similarity of its vector to the query's, in [-1, 1];
	// Embedded is false where it has no vector.
	Cosine   float64
	Embedded bool
	// Importance and Confidence are in [0, 1].
	Importance, Confidence float64
	Verified               bool
	Source                 string
}

// Statistics are those of the whole scope, of which the candidates are a part.
// What is zero or missing is estimated from the candidates.
type Statistics struct {
	// Documents counts the memories, and Frequency for each lexeme those that
	// have it in class A.
	Documents int
	Frequency map[string]int
	// Lengths are the average numbers of positions of the classes A to D.
	Lengths [4]float64
	// Sessions are the lengths of the sessions, as positions of class A.
	Sessions map[string]int
}

// Explanation is the score of a hit in its parts: the first four are added, the
// factors multiply their sum, and Answer is added to that.
type Explanation struct {
	// Lexical is the share of the query's words, 1 for the best candidate.
	Lexical float64
	// Feedback is the share of the words that the best candidates have.
	Feedback float64
	// Vector is the share of the embedding.
	Vector float64
	// Session is the share of the session that the memory is part of.
	Session float64

	// The factors; 1 is no effect. Speaker: the query names this speaker alone,
	// or first.
	// Question: the memory asks rather than tells. TimeWord: the query asks
	// when, and the text says a time. Date: the query has a date, and the memory
	// is near it. Name: the query asks who or where, and the text has a name.
	Speaker, Question, TimeWord, Date, Name    float64
	Recency, Importance, Confidence, Authority float64

	// Answer is added last: the share of the question that the memory follows.
	Answer float64
}

// Score is the sum of the parts times the factors, and the answer's share.
func (e Explanation) Score() float64 {
	return (e.Lexical+e.Feedback+e.Vector+e.Session)*
		e.Speaker*e.Question*e.TimeWord*e.Date*e.Name*
		e.Recency*e.Importance*e.Confidence*e.Authority +
		e.Answer
}

// Parts gives the parts by name, without the factors that have no effect and
// the sums that are zero.
func (e Explanation) Parts() map[string]float64 {
	parts := map[string]float64{}
	put := func(name string, value, neutral float64) {
		if value != neutral {
			parts[name] = value
		}
	}
	put("lexical", e.Lexical, 0)
	put("feedback", e.Feedback, 0)
	put("vector", e.Vector, 0)
	put("session", e.Session, 0)
	put("answer", e.Answer, 0)
	put("speaker", e.Speaker, 1)
	put("question", e.Question, 1)
	put("time_word", e.TimeWord, 1)
	put("date", e.Date, 1)
	put("name", e.Name, 1)
	put("recency", e.Recency, 1)
	put("importance", e.Importance, 1)
	put("confidence", e.Confidence, 1)
	put("authority", e.Authority, 1)
	return parts
}

// Hit is a candidate in its place.
type Hit struct {
	// Index is that of the candidate in what was given.
	Index int
	ID    string
	Score float64
	Explanation
}

// Order scores the candidates and puts the best first. It fails where the
// terms of one are no tsvector.
func Order(q Query, candidates []Candidate, stats Statistics, w Weights) ([]Hit, error) {
	if len(candidates) == 0 {
		return nil, nil
	}
	m, err := read(candidates, stats)
	if err != nil {
		return nil, err
	}
	defer m.free()
	m.by(q.Index, candidates)
	all := speakers(candidates)
	question := Analyse(q.Text, all, q.AsOf)
	var names map[string]bool
	if question.Name {
		names = called(all)
	}
	hits := make([]Hit, len(candidates))
	for i := range candidates {
		hits[i] = Hit{Index: i, ID: candidates[i].ID, Explanation: factors(&candidates[i], question, names, q.AsOf, w)}
	}
	s := scorer{matrix: m, candidates: candidates, stats: stats, weights: w, question: question}
	s.score(distinct(q.Lexemes), hits)
	return sorted(hits), nil
}

// sorted puts the hits in order. It moves small keys, not the hits.
func sorted(hits []Hit) []Hit {
	type key struct {
		score float64
		id    string
		at    int
	}
	keys := make([]key, len(hits))
	for i := range hits {
		keys[i] = key{hits[i].Score, hits[i].ID, i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(b.score, a.score), strings.Compare(a.id, b.id))
	})
	inOrder := make([]Hit, len(hits))
	for i, k := range keys {
		inOrder[i] = hits[k.at]
	}
	return inOrder
}

// best orders by score, then by id.
func best(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
}

// distinct are the words in order, each once.
func distinct(words []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(words)))
}
