package service

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// TestPartsMakeTheScore holds that what is told of a hit's parts gives its
// score, as the wire says that they do.
func TestPartsMakeTheScore(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		e := rank.Explanation{
			Lexical: r.Float64(), Feedback: r.Float64(), Vector: float64(r.IntN(2)) * r.Float64(), Session: r.Float64(),
			Speaker: 1 + r.Float64(), Question: 1, TimeWord: 1 + r.Float64(), Date: 1 + r.Float64(), Name: 1,
			Recency: 1 + r.Float64(), Importance: 1 + r.Float64(), Confidence: 1, Authority: r.Float64(), Answer: float64(r.IntN(2)) * r.Float64(),
		}
		sum, product := 0.0, 1.0
		parts := e.Parts()
		for name, value := range parts {
			switch {
			case slices.Contains(memory.Summands, name):
				sum += value
			case name != memory.PartAnswer:
				product *= value
			}
		}
		if got := sum*product + parts[memory.PartAnswer]; math.Abs(got-e.Score()) > 1e-9 {
			t.Fatalf("%v make %v, and the score is %v", parts, got, e.Score())
		}
	}
}
