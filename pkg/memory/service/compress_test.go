package service

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

func TestShorten(t *testing.T) {
	text := "We met on Monday. The database ran out of disk. Nobody noticed! Then the backups failed too."
	for _, tc := range []struct {
		name    string
		lexemes []string
		size    int
		want    string
	}{
		{"the telling sentence", []string{"backup", "fail"}, 45, "…Then the backups failed too."},
		{"two, in their order", []string{"databas", "backup"}, 75, "…The database ran out of disk. …Then the backups failed too."},
		{"no word: the beginning", nil, 30, "We met on Monday.…"},
		{"not even one sentence", []string{"databas"}, 16, "The database…"},
		{"no room", []string{"databas"}, 2, ""},
	} {
		got := shorten(text, tc.lexemes, tc.size)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
	}
}

// TestCompressKeepsToTheBudget holds for random texts that no hit is lost, that
// the budget is kept, and that short texts stay whole.
func TestCompressKeepsToTheBudget(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := []string{"disk", "日本語", "backup.", "Über", "a", "failed!", "\n"}
	for range 500 {
		hits := make([]memory.Hit, 1+r.IntN(10))
		total := 0
		for i := range hits {
			var b strings.Builder
			for range 1 + r.IntN(80) {
				b.WriteString(word[r.IntN(len(word))] + " ")
			}
			hits[i].Summary, hits[i].Rank = b.String(), i+1
			total += Tokens(hits[i].Summary)
		}
		before := make([]memory.Hit, len(hits))
		copy(before, hits)
		budget := 1 + r.IntN(400)
		compress(hits, []string{"backup"}, budget)
		used := 0
		for i, h := range hits {
			used += Tokens(h.Summary)
			if h.Rank != i+1 || !utf8.ValidString(h.Summary) {
				t.Fatalf("hit %d is %+v", i, h)
			}
			if h.Shortened != (h.Summary != before[i].Summary) {
				t.Fatalf("hit %d says shortened %v: %q was %q", i, h.Shortened, h.Summary, before[i].Summary)
			}
		}
		if used > budget && budget < total {
			t.Fatalf("%d tokens for a budget of %d", used, budget)
		}
		if budget >= total && used != total {
			t.Fatalf("a budget of %d shortened %d tokens to %d", budget, total, used)
		}
	}
}

// TestNothingSpeaksForIt holds that a candidate without any evidence, such as
// the nearest of vectors that are all far, is not returned.
func TestNothingSpeaksForIt(t *testing.T) {
	ids := []string{"01a2023f-dcdd-7989-a86c-a722afa5f57a", "01a2023f-de6b-7c0d-940f-ed6f5685b11a"}
	candidates := []rank.Candidate{{ID: ids[0], Text: "the boot"}, {ID: ids[1], Text: "the weather"}}
	best, err := collapse([]rank.Hit{{Index: 0, Score: 0.5}, {Index: 1, Score: 0}}, candidates, 8)
	if err != nil {
		t.Fatal(err)
	}
	if len(best) != 1 || best[0].id.String() != ids[0] {
		t.Errorf("returned %v, want the first alone", best)
	}
}
