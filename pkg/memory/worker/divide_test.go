package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// scripted is an embedder that answers as its function says. Its vectors have
// one dimension.
type scripted func(texts []string) error

func (scripted) Model() string   { return "scripted" }
func (scripted) Dimensions() int { return 1 }

func (s scripted) Embed(ctx context.Context, texts []string, _ embed.Kind) ([][]float32, error) {
	if err := errors.Join(ctx.Err(), s(texts)); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(texts))
	for i := range vectors {
		vectors[i] = []float32{1}
	}
	return vectors, nil
}

func fault(f embed.Fault, index int) error {
	return &embed.Error{Fault: f, Index: index, Err: errors.New("no")}
}

func jobs(texts string) []outbox.Job {
	var all []outbox.Job
	for i, text := range strings.Fields(texts) {
		all = append(all, outbox.Job{ID: int64(i + 1), Text: text})
	}
	return all
}

func texts(jobs []outbox.Job) string {
	all := make([]string, len(jobs))
	for i, job := range jobs {
		all[i] = job.Text
	}
	return strings.Join(all, " ")
}

func TestDivide(t *testing.T) {
	poisonous := func(text string) bool { return strings.HasPrefix(text, "p") }
	spoilt := func(texts []string) bool {
		for _, text := range texts {
			if poisonous(text) {
				return true
			}
		}
		return false
	}
	type result struct{ Done, Bad, Left string }
	tests := []struct {
		name   string
		script func(call int, texts []string) error
		jobs   string
		want   result
		calls  int
	}{
		{"all is well", func(int, []string) error { return nil }, "a b c", result{Done: "a b c"}, 1},
		{"nothing to do", func(int, []string) error { return nil }, "", result{}, 0},
		{"one of eight", func(_ int, texts []string) error {
			if spoilt(texts) {
				return fault(embed.Item, -1)
			}
			return nil
		}, "a b c d e p1 g h", result{Done: "a b c d e g h", Bad: "p1"}, 8}, // 8, 4, 4, 2, 1, 1, canary, 2
		{"two of four", func(_ int, texts []string) error {
			if spoilt(texts) {
				return fault(embed.Item, -1)
			}
			return nil
		}, "p1 b c p2", result{Done: "b c", Bad: "p1 p2"}, 9},
		{"the provider names it", func(_ int, texts []string) error {
			for i, text := range texts {
				if poisonous(text) {
					return fault(embed.Item, i)
				}
			}
			return nil
		}, "a p1 c p2", result{Done: "a c", Bad: "p1 p2"}, 3},
		{"it is down", func(int, []string) error { return fault(embed.Outage, -1) }, "a b", result{Left: "a b"}, 1},
		{
			"it refuses everything", func(int, []string) error { return fault(embed.Item, -1) }, "a b c",
			result{Left: "a b c"},
			3,
		}, // 3, 1, canary
		{"it goes down meanwhile", func(call int, texts []string) error {
			if call > 3 {
				return fault(embed.Outage, -1)
			}
			if spoilt(texts) {
				return fault(embed.Item, -1)
			}
			return nil
		}, "a b p1 d", result{Done: "a b", Left: "p1 d"}, 4},
		{
			"it breaks off, and is gone", func(int, []string) error { return fault(embed.Doubt, -1) }, "a b",
			result{Left: "a b"},
			2,
		},
		{"one text breaks it", func(_ int, texts []string) error {
			if spoilt(texts) {
				return fault(embed.Doubt, -1)
			}
			return nil
		}, "a p1", result{Done: "a", Bad: "p1"}, 5}, // 2, canary, 1, 1, canary
		{"an index beyond", func(_ int, texts []string) error {
			if spoilt(texts) {
				return fault(embed.Item, 7)
			}
			return nil
		}, "a p1", result{Done: "a", Bad: "p1"}, 4},
		{"an error of no kind", func(int, []string) error { return errors.New("odd") }, "a", result{Left: "a"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			e := scripted(func(texts []string) error { calls++; return tt.script(calls, texts) })
			var done, bad []outbox.Job
			left, err := divide(context.Background(), e, jobs(tt.jobs),
				func(jobs []outbox.Job, vectors [][]float32) {
					if len(vectors) != len(jobs) {
						t.Errorf("%d vectors for %d jobs", len(vectors), len(jobs))
					}
					done = append(done, jobs...)
				},
				func(job outbox.Job, _ error) { bad = append(bad, job) })
			if d := cmp.Diff(tt.want, result{texts(done), texts(bad), texts(left)}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if (err == nil) != (len(left) == 0) || calls != tt.calls {
				t.Errorf("%d calls, not %d, and the error %v", calls, tt.calls, err)
			}
		})
	}
}

// TestDivideBelievesNoEmbedder holds that vectors of the wrong number or width
// go nowhere.
func TestDivideBelievesNoEmbedder(t *testing.T) {
	for _, vectors := range [][][]float32{{{1}}, {{1}, {1, 2}}} {
		left, err := divide(context.Background(), wrong(vectors), jobs("a b"),
			func([]outbox.Job, [][]float32) { t.Error("they were taken") },
			func(outbox.Job, error) { t.Error("a text was charged") })
		if len(left) != 2 || err == nil {
			t.Errorf("%d jobs left, error %v", len(left), err)
		}
	}
}

type wrong [][]float32

func (wrong) Model() string   { return "wrong" }
func (wrong) Dimensions() int { return 1 }
func (w wrong) Embed(context.Context, []string, embed.Kind) ([][]float32, error) {
	return w, nil
}

func TestGroups(t *testing.T) {
	all := jobs("a b c d")
	all[1].Attempts, all[3].Attempts = 1, 4
	var got []string
	for _, g := range groups(all) {
		got = append(got, texts(g))
	}
	if d := cmp.Diff([]string{"a c", "b", "d"}, got); d != "" {
		t.Errorf("groups (-want +got):\n%s", d)
	}
}

// TestBreaker walks through an outage: closed, open, one probe at a time,
// longer rests, and closed again.
func TestBreaker(t *testing.T) {
	var b breaker
	now := time.Unix(1_000_000, 0)
	enter := func() state {
		s, _, _ := b.enter(now)
		return s
	}
	if enter() != closed || b.open() {
		t.Fatal("a new breaker is not closed")
	}
	first := b.fail(now, 0)
	if first < outageRest/2 || first > outageRest {
		t.Errorf("the first rest is %v", first)
	}
	if again := b.fail(now, time.Hour); again != first {
		t.Errorf("a failure of a call that was under way makes the rest %v", again)
	}
	s, rest, changed := b.enter(now)
	if s != waiting || rest != first || changed == nil {
		t.Errorf("while it is open: %v, for %v", s, rest)
	}
	now = now.Add(first)
	if enter() != probe || enter() != waiting {
		t.Error("not exactly one caller may probe")
	}
	b.giveUp()
	if enter() != probe {
		t.Error("after a probe that learnt nothing nobody may probe")
	}
	if rest := b.fail(now, 7*time.Second); rest != 7*time.Second {
		t.Errorf("the provider asked for 7 s, and is left alone for %v", rest)
	}
	for range 40 {
		now = now.Add(time.Hour)
		if enter() != probe {
			t.Fatal("nobody may probe")
		}
		if rest := b.fail(now, 0); rest > outageMaxRest {
			t.Fatalf("the rest is %v", rest)
		}
	}
	select {
	case <-changed:
		t.Error("those who wait were told that it is back")
	default:
	}
	b.pass()
	<-changed
	if enter() != closed {
		t.Error("it does not close")
	}
}

func TestBackoff(t *testing.T) {
	var got []string
	for _, failures := range []int{0, 1, 2, 5, 31, 1 << 30} {
		got = append(got, fmt.Sprint(backoff(failures, 2*time.Second, time.Minute)))
	}
	if d := cmp.Diff([]string{"2s", "4s", "8s", "1m0s", "1m0s", "1m0s"}, got); d != "" {
		t.Errorf("rests (-want +got):\n%s", d)
	}
	for range 1000 {
		if j := jitter(time.Second); j < time.Second/2 || j > time.Second {
			t.Fatalf("jitter makes %v of 1s", j)
		}
	}
}
