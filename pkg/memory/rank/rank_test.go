package rank

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// turn is a memory of a conversation.
func turn(id, session string, ordinal int64, speaker, text string) Candidate {
	return Candidate{ID: id, Session: session, Ordinal: ordinal, Speaker: speaker, Text: text, Terms: terms(text + " " + speaker)}
}

// ask orders the candidates for a query whose words are its lexemes.
func ask(t *testing.T, w Weights, query string, candidates ...Candidate) []Hit {
	t.Helper()
	lexemes := strings.Fields(strings.ToLower(strings.TrimRight(query, "?")))
	hits, err := Order(Query{Text: query, Lexemes: lexemes, AsOf: wednesday}, candidates, Statistics{}, w)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func ids(hits []Hit) string {
	var all []string
	for _, hit := range hits {
		all = append(all, hit.ID)
	}
	return strings.Join(all, " ")
}

// TestWhatGoesFirst has two memories a case, of which the first, named a, must
// be ahead of z although its id is not what decides: it is z that is given the
// smaller one.
func TestWhatGoesFirst(t *testing.T) {
	day := time.Date(2023, 5, 7, 12, 0, 0, 0, time.UTC)
	note := func(id, text string, change func(*Candidate)) Candidate {
		c := Candidate{ID: id, Text: text, Terms: terms(text)}
		if change != nil {
			change(&c)
		}
		return c
	}
	for _, tt := range []struct {
		name, query string
		first, then Candidate
		part        string
		others      []Candidate
		// alone leaves the feedback out.
		alone bool
	}{
		{name: "more of the words", query: "red boat", part: "lexical", first: note("2", "a red boat", nil), then: note("1", "a red house", nil)},
		{
			name: "the rarer word", query: "red boat", part: "lexical", first: note("2", "the boat", nil), then: note("1", "the red", nil),
			others: []Candidate{note("3", "red wine", nil), note("4", "red rose", nil)},
		},
		{name: "the shorter text", query: "boat", part: "lexical", first: note("2", "my boat", nil), then: note("1", "my boat and my house and my garden", nil), alone: true},
		{
			name: "own words before a neighbour's", query: "boat", part: "lexical", first: note("2", "my boat", nil),
			then: note("1", "", func(c *Candidate) { c.Terms = terms("", "my boat") }),
		},
		{
			name: "after a question", query: "boat", part: "lexical",
			first: note("2", "", func(c *Candidate) { c.Terms, c.Previous = terms("gone", "my boat"), "my boat?" }),
			then:  note("1", "", func(c *Candidate) { c.Terms, c.Previous = terms("gone", "my boat"), "my boat." }),
		},
		{
			name: "words that the best hits share", query: "boat", part: "feedback", first: note("3", "mast", nil), then: note("1", "lamp", nil),
			others: []Candidate{note("4", "boat mast", nil), note("5", "house lamp", nil), note("6", "boat mast", nil)},
		},
		{
			name: "nearer in meaning", query: "boat", part: "vector",
			first: note("2", "ship", func(c *Candidate) { c.Cosine, c.Embedded = 0.8, true }),
			then:  note("1", "shop", func(c *Candidate) { c.Cosine, c.Embedded = 0.3, true }),
		},
		{
			name: "no vector is average", query: "boat", part: "vector",
			first:  note("4", "ship", func(c *Candidate) { c.Cosine, c.Embedded = 0.8, true }),
			then:   note("1", "shop", nil),
			others: []Candidate{note("3", "shape", func(c *Candidate) { c.Cosine, c.Embedded = 0.4, true })},
		},
		{
			name: "in a session about it", query: "boat", part: "session", first: turn("2", "s1", 9, "", "yes"), then: turn("1", "s2", 9, "", "yes"),
			others: []Candidate{turn("3", "s1", 1, "", "boat"), turn("4", "s2", 1, "", "house")},
		},
		{
			name: "the speaker who is named", query: "Ann boat", part: "speaker",
			first: note("2", "boat", func(c *Candidate) { c.Speaker = "Ann" }), then: note("1", "boat", func(c *Candidate) { c.Speaker = "Bob" }),
		},
		{
			name: "the speaker who is named first", query: "Ann told Bob boat", part: "speaker",
			first: note("2", "boat", func(c *Candidate) { c.Speaker = "Ann" }), then: note("1", "boat", func(c *Candidate) { c.Speaker = "Bob" }),
		},
		{name: "what tells, not what asks", query: "boat", part: "question", first: note("2", "boat.", nil), then: note("1", "boat?", nil)},
		{name: "a time for a when", query: "when boat", part: "time_word", first: note("2", "boat yesterday", nil), then: note("1", "boat indeed", nil)},
		{name: "a name for a who", query: "who boat", part: "name", first: note("2", "boat Titanic", nil), then: note("1", "boat titanic", nil)},
		{
			name: "the date of the question", query: "boat on 7 May 2023", part: "date",
			first: note("2", "boat", func(c *Candidate) { c.OccurredAt = day }), then: note("1", "boat", func(c *Candidate) { c.OccurredAt = day.AddDate(0, 2, 0) }),
		},
		{
			name: "stored on the date", query: "boat on 7 May 2023", part: "date",
			first: note("2", "boat", func(c *Candidate) { c.CreatedAt = day }), then: note("1", "boat", nil),
		},
		{
			name: "the newer one", query: "boat", part: "recency",
			first: note("2", "boat", func(c *Candidate) { c.CreatedAt = wednesday.AddDate(0, 0, -1) }),
			then:  note("1", "boat", func(c *Candidate) { c.CreatedAt = wednesday.AddDate(0, 0, -90) }),
		},
		{name: "the more important one", query: "boat", part: "importance", first: note("2", "boat", func(c *Candidate) { c.Importance = 0.9 }), then: note("1", "boat", nil)},
		{name: "the surer one", query: "boat", part: "confidence", first: note("2", "boat", func(c *Candidate) { c.Confidence = 0.9 }), then: note("1", "boat", nil)},
		{name: "the verified one", query: "boat", part: "authority", first: note("2", "boat", func(c *Candidate) { c.Verified = true }), then: note("1", "boat", nil)},
		{name: "the better source", query: "boat", part: "authority", first: note("2", "boat", func(c *Candidate) { c.Source = "review" }), then: note("1", "boat", nil)},
		{
			name: "the answer to the question", query: "boat", part: "answer",
			first: turn("2", "s", 2, "", "white"), then: turn("1", "s", 8, "", "white"), others: []Candidate{turn("3", "s", 1, "", "your boat?")},
		},
		{name: "by id", query: "boat", first: note("1", "boat", nil), then: note("2", "boat", nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Defaults()
			if tt.alone {
				w.Feedback = 0
			}
			w.Sources = map[string]float64{"review": 1.1}
			hits := ask(t, w, tt.query, append(slices.Clone(tt.others), tt.then, tt.first)...)
			place := map[string]Hit{}
			at := map[string]int{}
			for i, hit := range hits {
				place[hit.ID], at[hit.ID] = hit, i
			}
			if at[tt.first.ID] > at[tt.then.ID] {
				t.Errorf("the order is %s", ids(hits))
			}
			if a, z := place[tt.first.ID].Parts()[tt.part], place[tt.then.ID].Parts()[tt.part]; tt.part != "" && a == z {
				t.Errorf("%s is %v for both", tt.part, a)
			}
		})
	}
}

func TestStatisticsOfTheScopeDecide(t *testing.T) {
	candidates := []Candidate{{ID: "a", Terms: terms("boat")}, {ID: "b", Terms: terms("house")}}
	order := func(stats Statistics) string {
		hits, err := Order(Query{Lexemes: []string{"boat", "house"}}, candidates, stats, Defaults())
		if err != nil {
			t.Fatal(err)
		}
		return ids(hits)
	}
	for want, frequency := range map[string]map[string]int{
		"a b": {"boat": 3, "house": 400},
		"b a": {"boat": 400, "house": 3},
	} {
		if got := order(Statistics{Documents: 1000, Frequency: frequency}); got != want {
			t.Errorf("%v: %s, want %s", frequency, got, want)
		}
	}
}

func TestNothingToRank(t *testing.T) {
	hits, err := Order(Query{Text: "boat"}, nil, Statistics{}, Defaults())
	if err != nil || len(hits) != 0 {
		t.Errorf("%v, %v", hits, err)
	}
	if hits := ask(t, Defaults(), "boat", Candidate{ID: "b"}, Candidate{ID: "a"}); ids(hits) != "a b" || hits[0].Score != 0 {
		t.Errorf("without terms: %+v", hits)
	}
}

// random makes candidates of few words, so that they share many.
func random(r *rand.Rand) (Query, []Candidate, Statistics) {
	vocabulary := strings.Fields("boat mast sail house lamp Berlin? yesterday Ann Bob red 2022 7 May when?")
	text := func(n int) string {
		var all []string
		for range r.IntN(n) {
			all = append(all, vocabulary[r.IntN(len(vocabulary))])
		}
		return strings.Join(all, " ")
	}
	candidates := make([]Candidate, 1+r.IntN(40))
	for i := range candidates {
		c := Candidate{ID: fmt.Sprintf("%02d", i), Text: text(12), Previous: text(6), Ordinal: int64(r.IntN(12))}
		c.Terms = terms(c.Text, c.Previous, text(6), text(6))
		if r.IntN(3) > 0 {
			c.Session = string(rune('a' + r.IntN(4)))
		}
		if r.IntN(3) > 0 {
			c.Speaker = []string{"Ann", "Bob", "Berlin Boat"}[r.IntN(3)]
		}
		if r.IntN(2) > 0 {
			c.OccurredAt = wednesday.AddDate(0, 0, -r.IntN(800))
		}
		if r.IntN(2) > 0 {
			c.Cosine, c.Embedded = 2*r.Float64()-1, true
		}
		if r.IntN(4) == 0 {
			c.Importance, c.Confidence, c.Verified = r.Float64(), r.Float64(), true
		}
		if r.IntN(50) == 0 {
			c.Cosine, c.Importance, c.Confidence = math.NaN(), math.Inf(1), math.NaN()
		}
		candidates[i] = c
	}
	q := Query{Text: text(10), AsOf: wednesday}
	q.Lexemes = strings.Fields(strings.ToLower(strings.ReplaceAll(q.Text, "?", "")))
	stats := Statistics{}
	if r.IntN(2) > 0 {
		stats = Statistics{Documents: 1000, Frequency: map[string]int{"boat": 3, "ann": 500, "lamp": 2000}, Lengths: [4]float64{5, 3, 3, 3}, Sessions: map[string]int{"a": 40}}
	}
	return q, candidates, stats
}

// TestProperties holds, for random candidates, that the order of what is given
// does not matter, that the parts make the score, that scores are numbers and
// fall, and that every candidate is there once.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		q, candidates, stats := random(r)
		w := Defaults()
		hits, err := Order(q, candidates, stats, w)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i, hit := range hits {
			seen[hit.ID] = true
			if candidates[hit.Index].ID != hit.ID {
				t.Fatalf("hit %s points to %s", hit.ID, candidates[hit.Index].ID)
			}
			if !(hit.Score >= 0) || math.IsInf(hit.Score, 0) {
				t.Fatalf("%q: the score of %s is %v", q.Text, hit.ID, hit.Score)
			}
			if i > 0 && (hits[i-1].Score < hit.Score || hits[i-1].Score == hit.Score && hits[i-1].ID > hit.ID) {
				t.Fatalf("%s with %v comes before %s with %v", hits[i-1].ID, hits[i-1].Score, hit.ID, hit.Score)
			}
			if got := fromParts(hit.Parts()); math.Abs(got-hit.Score) > 1e-12 {
				t.Fatalf("the parts of %s make %v, its score is %v: %v", hit.ID, got, hit.Score, hit.Parts())
			}
		}
		if len(seen) != len(candidates) || len(hits) != len(candidates) {
			t.Fatalf("%d hits with %d ids of %d candidates", len(hits), len(seen), len(candidates))
		}
		r.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		again, err := Order(q, candidates, stats, w)
		if err != nil {
			t.Fatal(err)
		}
		for i := range again {
			again[i].Index, hits[i].Index = 0, 0
		}
		if diff := cmp.Diff(hits, again); diff != "" {
			t.Fatalf("%q: another order of candidates gives another one of hits: %s", q.Text, diff)
		}
	}
}

// fromParts makes the score of the parts as the documentation says.
func fromParts(parts map[string]float64) float64 {
	score := 0.0
	for _, name := range []string{"lexical", "feedback", "vector", "session"} {
		score += parts[name]
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if !slices.Contains([]string{"lexical", "feedback", "vector", "session", "answer"}, name) {
			score *= parts[name]
		}
	}
	return score + parts["answer"]
}

// TestCuesThatAreAbsentChangeNothing holds that notes, which have no session,
// speaker or date, are in the order that the words alone give.
func TestCuesThatAreAbsentChangeNothing(t *testing.T) {
	off := Defaults()
	off.Speaker, off.Date, off.Session, off.Answer, off.Vector, off.Recency = 1, 0, 0, 0, 0, 0
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		q, candidates, stats := random(r)
		for i := range candidates {
			c := &candidates[i]
			*c = Candidate{ID: c.ID, Text: c.Text, Terms: c.Terms}
		}
		with, err := Order(q, candidates, stats, Defaults())
		if err != nil {
			t.Fatal(err)
		}
		without, err := Order(q, candidates, stats, off)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(with, without); diff != "" {
			t.Fatalf("%q: %s", q.Text, diff)
		}
	}
}

func TestWeightsAreChecked(t *testing.T) {
	if err := Defaults().Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Weights){
		"saturation": func(w *Weights) { w.Saturation = 0 },
		"length":     func(w *Weights) { w.Length = 1.1 },
		"vector":     func(w *Weights) { w.Vector = math.NaN() },
		"speaker":    func(w *Weights) { w.Speaker = -1 },
		"half-life":  func(w *Weights) { w.HalfLifeDays = 0 },
		"feedback":   func(w *Weights) { w.FeedbackHits = -1 },
		"source x":   func(w *Weights) { w.Sources = map[string]float64{"x": 0} },
	} {
		w := Defaults()
		change(&w)
		if err := w.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
