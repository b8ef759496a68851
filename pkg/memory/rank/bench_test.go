package rank

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// conversation makes n turns of words whose frequencies fall as in a language,
// with neighbours, as the database gives them.
func conversation(n int) []Candidate {
	r := rand.New(rand.NewPCG(7, 8))
	zipf := rand.NewZipf(r, 1.1, 20, 4000)
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 5 + r.IntN(20) {
			fmt.Fprintf(&b, "w%d ", zipf.Uint64())
		}
		if i%4 == 0 {
			b.WriteByte('?')
		}
		texts[i] = b.String()
	}
	at := func(i int) string {
		if i < 0 || i >= n {
			return ""
		}
		return texts[i]
	}
	candidates := make([]Candidate, n)
	for i := range candidates {
		speaker := []string{"Ann", "Bob"}[i%2]
		when := time.Date(2023, 1, 1+i/20, 0, 0, 0, 0, time.UTC)
		candidates[i] = Candidate{
			ID: fmt.Sprintf("%08d-0000-7000-8000-000000000000", i*7919%n), Session: fmt.Sprint("s", i/20), Ordinal: int64(i % 20), Speaker: speaker,
			OccurredAt: when, CreatedAt: when, Text: texts[i], Previous: at(i - 1),
			Terms:  terms(texts[i]+" "+speaker+when.Format(" 2 January 2006"), at(i-1), at(i+1), at(i-2)+" "+at(i+2)),
			Cosine: r.Float64(), Embedded: true, Importance: 0.5, Confidence: 0.5,
		}
	}
	return candidates
}

// BenchmarkOrder is one query over 400 candidates of a conversation, whose
// terms were read before or are not; the aim is half a millisecond.
func BenchmarkOrder(b *testing.B) {
	plain, read := conversation(400), conversation(400)
	for i := range read {
		words, err := Read(read[i].Terms)
		if err != nil {
			b.Fatal(err)
		}
		read[i].Words = words
	}
	q := Query{Text: "When did Ann w30 the w100 w200 in May?", Lexemes: []string{"ann", "may", "w30", "w100", "w200"}, AsOf: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	w := Defaults()
	for name, candidates := range map[string][]Candidate{"read-before": read, "plain": plain} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Order(q, candidates, Statistics{}, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
