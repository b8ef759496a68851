package locomo

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

// result is what one question found.
type result struct {
	conversation, category int
	// found are the places of the evidence from 1, first the best; missing is
	// how much was not returned.
	found   []int
	missing int
	foreign int
	took    time.Duration
}

// recall is the share of the evidence among the first n.
func (r result) recall(n int) float64 {
	hits := 0
	for _, place := range r.found {
		if place <= n {
			hits++
		}
	}
	return float64(hits) / float64(len(r.found)+r.missing)
}

// reciprocal is that of the place of the first evidence; 0 where none was
// returned.
func (r result) reciprocal() float64 {
	if len(r.found) == 0 {
		return 0
	}
	return 1 / float64(r.found[0])
}

// measured are the questions of a run, in the order of the data.
type measured []result

// measure looks for the evidence among the turns that were returned, in their
// order. A place may hold several, where a hit stands for its duplicates.
func measure(c int, q question, returned [][]string, took time.Duration) result {
	r := result{conversation: c, category: q.category, took: took}
	for _, name := range q.evidence {
		place := slices.IndexFunc(returned, func(names []string) bool { return slices.Contains(names, name) })
		if place < 0 {
			r.missing++
		} else {
			r.found = append(r.found, place+1)
		}
	}
	slices.Sort(r.found)
	for _, names := range returned {
		for _, name := range names {
			if name == "" {
				r.foreign++
			}
		}
	}
	return r
}

// of are those of the categories.
func (m measured) of(categories ...int) measured {
	var some measured
	for _, r := range m {
		if slices.Contains(categories, r.category) {
			some = append(some, r)
		}
	}
	return some
}

func (m measured) mean(value func(result) float64) float64 {
	sum := 0.0
	for _, r := range m {
		sum += value(r)
	}
	return sum / float64(max(len(m), 1))
}

func (m measured) recall(n int) float64 {
	return m.mean(func(r result) float64 { return r.recall(n) })
}

func (m measured) mrr() float64 { return m.mean(result.reciprocal) }

// quantile is the time that a share of the questions took at most.
func (m measured) quantile(share float64) time.Duration {
	if len(m) == 0 {
		return 0
	}
	times := make([]time.Duration, len(m))
	for i, r := range m {
		times[i] = r.took
	}
	slices.Sort(times)
	return times[min(int(share*float64(len(times))), len(times)-1)]
}

// answerable are the categories whose questions have an answer.
var answerable = []int{1, 2, 3, 4}

// write prints a run by category.
func (m measured) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "category\tn\tR@5\tR@10\tR@30\tMRR")
	row := func(name string, m measured) {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\n", name, len(m), m.recall(5), m.recall(10), m.recall(30), m.mrr())
	}
	for n := 1; n <= len(categories); n++ {
		row(fmt.Sprintf("%d %s", n, categories[n]), m.of(n))
	}
	row("1-4", m.of(answerable...))
	row("all", m)
	foreign := 0
	for _, r := range m {
		foreign += r.foreign
	}
	fmt.Fprintf(t, "\nforeign rows %d, p50 %.1f ms, p95 %.1f ms\n", foreign, ms(m.quantile(0.5)), ms(m.quantile(0.95)))
	return t.Flush()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// difference is how much more a run has than another one, with the bounds
// between which 95% of the draws are when whole conversations are drawn with
// repetition: questions of one conversation are not independent.
func difference(a, b measured, value func(result) float64) (mean, low, high float64) {
	sums, counts := map[int]float64{}, map[int]int{}
	for i := range a {
		sums[a[i].conversation] += value(a[i]) - value(b[i])
		counts[a[i].conversation]++
	}
	total := func(draw func(int) int) float64 {
		sum, count := 0.0, 0
		for i := range len(sums) {
			c := draw(i)
			sum += sums[c]
			count += counts[c]
		}
		return sum / float64(max(count, 1))
	}
	const draws = 4000
	r := rand.New(rand.NewPCG(1, 2))
	means := make([]float64, draws)
	for i := range means {
		means[i] = total(func(int) int { return r.IntN(len(sums)) })
	}
	slices.Sort(means)
	return total(func(i int) int { return i }), means[draws/40], means[draws-draws/40-1]
}

// without leaves a conversation out, or all others.
func (m measured) without(c int, others bool) measured {
	var some measured
	for _, r := range m {
		if (r.conversation == c) == others {
			some = append(some, r)
		}
	}
	return some
}

// unseen is what the best of several settings gets on conversations that it
// was not chosen by: for each conversation the one that is best on the others.
func unseen(runs []measured, value func(result) float64) measured {
	var all measured
	for c := range conversations(runs[0]) {
		best := slices.MaxFunc(runs, func(a, b measured) int {
			return cmp.Compare(a.without(c, false).mean(value), b.without(c, false).mean(value))
		})
		all = append(all, best.without(c, true)...)
	}
	return all
}

func conversations(m measured) int {
	n := 0
	for _, r := range m {
		n = max(n, r.conversation+1)
	}
	return n
}

func TestMeasure(t *testing.T) {
	q := question{category: 1, evidence: []string{"a", "b", "c"}}
	r := measure(0, q, [][]string{{"x"}, {"b", "y"}, {""}, {"a"}}, 0)
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"recall@1", r.recall(1), 0},
		{"recall@2", r.recall(2), 1.0 / 3},
		{"recall@4", r.recall(4), 2.0 / 3},
		{"reciprocal rank", r.reciprocal(), 0.5},
		{"foreign rows", float64(r.foreign), 1},
		{"reciprocal rank of nothing", measure(0, q, nil, 0).reciprocal(), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestDifference(t *testing.T) {
	var a, b measured
	for c := range 5 {
		for range 10 {
			a = append(a, result{conversation: c, found: []int{1}})
			b = append(b, result{conversation: c, found: []int{2 - c%2}})
		}
	}
	mean, low, high := difference(a, b, result.reciprocal)
	if math.Abs(mean-0.3) > 1e-9 || low > mean || high < mean || low < 0 || high > 0.5 {
		t.Errorf("%v [%v, %v]", mean, low, high)
	}
	if mean, low, high := difference(a, a, result.reciprocal); mean != 0 || low != 0 || high != 0 {
		t.Errorf("of itself: %v [%v, %v]", mean, low, high)
	}
}

// TestUnseen holds that a setting that is good by luck on one conversation is
// not believed there.
func TestUnseen(t *testing.T) {
	run := func(places ...int) (m measured) {
		for c, place := range places {
			m = append(m, result{conversation: c, found: []int{place}})
		}
		return m
	}
	steady, lucky := run(2, 2, 2, 2, 2), run(1, 9, 9, 9, 9)
	if got := unseen([]measured{steady, lucky}, result.reciprocal).mrr(); got != steady.mrr() {
		t.Errorf("%v, want %v", got, steady.mrr())
	}
}
