package locomo

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/httpapi"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/rank"
	"github.com/ryjen/dubnium/pkg/memory/service"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/pkg/memory/worker"
	"github.com/ryjen/dubnium/tests/postgres"
)

var (
	data   = flag.String("data", "", "the file of LoCoMo")
	ablate = flag.Bool("ablate", false, "measure without each part, too")
)

func TestMain(m *testing.M) { postgres.Main(m) }

// most is how many memories a question asks for; the API gives 32.
const most = 30

// ask puts all questions.
func ask(ctx context.Context, retrieve func(context.Context, memory.Retrieve) (memory.Retrieved, error), all []conversation) (measured, error) {
	var m measured
	for n, c := range all {
		names := map[uuid.UUID]string{}
		for _, t := range c.turns {
			names[c.id(t.name)] = t.name
		}
		for _, q := range c.questions {
			begin := time.Now()
			got, err := retrieve(ctx, memory.Retrieve{Query: q.text, Scope: c.scope(), Limit: most})
			if err != nil {
				return nil, fmt.Errorf("ask conversation %s %q: %w", c.name, q.text, err)
			}
			took := time.Since(begin)
			returned := make([][]string, len(got.Memories))
			for i, h := range got.Memories {
				for _, id := range append([]uuid.UUID{h.ID}, h.Duplicates...) {
					returned[i] = append(returned[i], names[id])
				}
			}
			m = append(m, measure(n, q, returned, took))
		}
	}
	return m, nil
}

// stage is a database with all conversations in it, embedded.
type stage struct {
	store    *store.Store
	embedder embed.Embedder
	model    int32
	// url is where the API answers.
	url string
	// took are the parts of each retrieval.
	mu   sync.Mutex
	took []service.Stages
}

// batch is how many turns are stored at once.
const batch = 100

// embedWithin bounds the embedding of all turns.
const embedWithin = 5 * time.Minute

// set stores the conversations and waits until every turn has its vector.
func set(t testing.TB, all []conversation) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), embedWithin)
	defer cancel()
	s := &stage{store: postgres.New(t).Open(t, store.Options{})}
	builtin, err := embed.NewBuiltin()
	if err != nil {
		t.Fatal(err)
	}
	s.embedder = builtin
	model, err := s.store.EnsureModel(ctx, outbox.Model{
		Name: builtin.Model(), Provider: "builtin", Dimensions: builtin.Dimensions(), Weight: rank.Defaults().Vector, State: outbox.Active,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.model = model.ID
	core, err := service.New(s.store, nil, service.Options{
		Embedders: []embed.Embedder{builtin}, Observe: func(x service.Stages) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.took = append(s.took, x)
		},
	}) // no artifacts
	if err != nil {
		t.Fatal(err)
	}
	s.url = serve(t, core)
	begin, stored := time.Now(), 0
	for _, c := range all {
		for drafts := range slices.Chunk(c.drafts(), batch) {
			if _, err := s.client(t).StoreBatch(ctx, drafts); err != nil {
				t.Fatalf("store %d turns of %s after %d in %s: %v", len(drafts), c.name, stored, time.Since(begin), err)
			}
			stored += len(drafts)
		}
	}
	t.Logf("%d turns stored in %s", stored, time.Since(begin))
	s.embed(ctx, t)
	return s
}

// stages prints what the parts of half of the retrievals took at most.
func (s *stage) stages(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range []struct {
		name string
		of   func(service.Stages) time.Duration
	}{
		{"embed the question", func(x service.Stages) time.Duration { return x.Embed }},
		{"find candidates", func(x service.Stages) time.Duration { return x.Candidates }},
		{"order them", func(x service.Stages) time.Duration { return x.Rank }},
		{"record the event and read the hits", func(x service.Stages) time.Duration { return x.Record }},
	} {
		var m measured
		for _, x := range s.took {
			m = append(m, result{took: part.of(x)})
		}
		fmt.Fprintf(w, "%s: p50 %.2f ms\n", part.name, ms(m.quantile(0.5)))
	}
}

// serve offers the service's API on this machine.
func serve(t testing.TB, s *service.Service) string {
	t.Helper()
	server := httptest.NewServer(httpapi.New(s, httpapi.Options{Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	return server.URL
}

func (s *stage) client(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.URL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// embed runs a worker until nothing waits to be embedded.
func (s *stage) embed(ctx context.Context, t testing.TB) {
	t.Helper()
	w, err := worker.New(s.store, []embed.Embedder{s.embedder}, nil, worker.Options{Name: "locomo"})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(run) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for left := int64(1); left > 0 && ctx.Err() == nil; <-tick.C {
		all, err := s.store.QueueStats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		left = 0
		for _, q := range all {
			left += q.Waiting + q.Claimed + q.Missing
			if q.Dead > 0 {
				t.Fatalf("%d turns could not be embedded", q.Dead)
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := ctx.Err(); err != nil {
		t.Fatalf("embed all turns: %v", err)
	}
}

// TestAskedOverHTTP walks the whole way with a made-up conversation: a turn is
// found by its own words, by its neighbour's, and never from another scope.
func TestAskedOverHTTP(t *testing.T) {
	all := madeUp(t)
	other := all[0]
	other.name = "other"
	all = append(all, other)
	s := set(t, all)
	got, err := ask(t.Context(), s.client(t).Retrieve, all)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		if r.reciprocal() != 1 || r.foreign != 0 {
			t.Errorf("question %d: the evidence is at %v, and %d rows are foreign", i, r.found, r.foreign)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d questions", len(got))
	}
	if err := got.write(io.Discard); err != nil {
		t.Error(err)
	}
}

// setting is a way to rank.
type setting struct {
	name   string
	change func(*rank.Weights)
}

// parts are the settings without one part each.
var parts = []setting{
	{"no neighbours", func(w *rank.Weights) { w.Previous, w.AfterQuestion, w.Next, w.Around = 0, 0, 0, 0 }},
	{"no turns two away", func(w *rank.Weights) { w.Around = 0 }},
	{"no weight after questions", func(w *rank.Weights) { w.AfterQuestion = w.Previous }},
	{"no feedback", func(w *rank.Weights) { w.Feedback = 0 }},
	{"no vector", func(w *rank.Weights) { w.Vector = 0 }},
	{"no session prior", func(w *rank.Weights) { w.Session = 0 }},
	{"no speaker", func(w *rank.Weights) { w.Speaker = 1 }},
	{"no question cue", func(w *rank.Weights) { w.Question = 1 }},
	{"no answer cue", func(w *rank.Weights) { w.Answer = 0 }},
	{"no time words", func(w *rank.Weights) { w.TimeWord = 1 }},
	{"no names", func(w *rank.Weights) { w.Name = 1 }},
	{"no date", func(w *rank.Weights) { w.Date = 0 }},
	{"no recency", func(w *rank.Weights) { w.Recency = 0 }},
	{"cues off", cuesOff},
	{"cues and vector off", func(w *rank.Weights) { cuesOff(w); w.Vector = 0 }},
	{"own words alone", func(w *rank.Weights) {
		cuesOff(w)
		w.Previous, w.AfterQuestion, w.Next, w.Around, w.Feedback, w.Session, w.Date, w.Vector = 0, 0, 0, 0, 0, 0, 0, 0
	}},
}

// cuesOff takes out what notes and logs don't have.
func cuesOff(w *rank.Weights) {
	w.Speaker, w.Question, w.TimeWord, w.Name, w.Answer, w.AfterQuestion = 1, 1, 1, 1, 0, w.Previous
}

// around are settings near the default one, for the choice by other
// conversations.
var around = []setting{
	{"k1 0.6", func(w *rank.Weights) { w.Saturation = 0.6 }},
	{"k1 1.4", func(w *rank.Weights) { w.Saturation = 1.4 }},
	{"b 0.2", func(w *rank.Weights) { w.Length = 0.2 }},
	{"b 0.6", func(w *rank.Weights) { w.Length = 0.6 }},
	{"half the neighbours", func(w *rank.Weights) {
		w.Previous, w.AfterQuestion, w.Next, w.Around = w.Previous/2, w.AfterQuestion/2, w.Next/2, w.Around/2
	}},
	{"after questions 0.9", func(w *rank.Weights) { w.AfterQuestion = 0.9 }},
	{"feedback 0.1", func(w *rank.Weights) { w.Feedback = 0.1 }},
	{"feedback 0.4", func(w *rank.Weights) { w.Feedback = 0.4 }},
	{"session 0.1", func(w *rank.Weights) { w.Session = 0.1 }},
	{"session 0.4", func(w *rank.Weights) { w.Session = 0.4 }},
	{"speaker 1.2", func(w *rank.Weights) { w.Speaker = 1.2 }},
	{"speaker 1.6", func(w *rank.Weights) { w.Speaker = 1.6 }},
	{"question 0.7", func(w *rank.Weights) { w.Question = 0.7 }},
	{"question 0.9", func(w *rank.Weights) { w.Question = 0.9 }},
	{"answer 0.05", func(w *rank.Weights) { w.Answer = 0.05 }},
	{"answer 0.2", func(w *rank.Weights) { w.Answer = 0.2 }},
	{"names 1.15", func(w *rank.Weights) { w.Name = 1.15 }},
	{"names 1.6", func(w *rank.Weights) { w.Name = 1.6 }},
	{"time words 1.6", func(w *rank.Weights) { w.TimeWord = 1.6 }},
	{"date 0.6", func(w *rank.Weights) { w.Date = 0.6 }},
}

// BenchmarkLoCoMo asks every question once, whatever b.N, and prints what was
// found.
func BenchmarkLoCoMo(b *testing.B) {
	if *data == "" {
		b.Fatal("give the file of LoCoMo: make bench-memory LOCOMO=FILE")
	}
	all, err := load(*data)
	if err != nil {
		b.Fatal(err)
	}
	s := set(b, all)
	c := s.client(b)
	for b.Loop() {
		got, err := ask(b.Context(), c.Retrieve, all)
		if err != nil {
			b.Fatal(err)
		}
		if err := got.write(os.Stdout); err != nil {
			b.Fatal(err)
		}
		s.stages(os.Stdout)
		b.ReportMetric(got.of(answerable...).recall(10), "R@10")
		b.ReportMetric(got.of(answerable...).mrr(), "MRR")
	}
	if *ablate {
		if err := compare(b.Context(), s, all, os.Stdout); err != nil {
			b.Fatal(err)
		}
	}
}

// asked is a question with its candidates.
type asked struct {
	conversation int
	question     question
	candidates   store.Candidates
}

// candidates asks the store once for each question.
func (s *stage) candidates(ctx context.Context, all []conversation) ([]asked, error) {
	var list []asked
	for n, c := range all {
		for _, q := range c.questions {
			vectors, err := s.embedder.Embed(ctx, []string{q.text}, embed.Query)
			if err != nil {
				return nil, err
			}
			found, err := s.store.Candidates(ctx, store.Question{
				Scope: c.scope(), Text: q.text, Filters: memory.Filters{AllowedSensitivity: []string{memory.DefaultSensitivity}},
				AsOf: time.Now(), Vector: vectors[0], Model: s.model,
			})
			if err != nil {
				return nil, err
			}
			list = append(list, asked{n, q, found})
		}
	}
	return list, nil
}

// order ranks the candidates of every question.
func order(list []asked, all []conversation, x setting) (measured, error) {
	w := rank.Defaults()
	x.change(&w)
	var m measured
	for _, a := range list {
		c := all[a.conversation]
		names := map[string]string{}
		for _, t := range c.turns {
			names[c.id(t.name).String()] = t.name
		}
		begin := time.Now()
		hits, err := rank.Order(rank.Query{Text: a.question.text, Lexemes: a.candidates.Lexemes, AsOf: time.Now()},
			a.candidates.Candidates, a.candidates.Statistics, w)
		if err != nil {
			return nil, err
		}
		took := time.Since(begin)
		returned := make([][]string, 0, most)
		for _, h := range hits[:min(most, len(hits))] {
			returned = append(returned, []string{names[h.ID]})
		}
		m = append(m, measure(a.conversation, a.question, returned, took))
	}
	return m, nil
}

// compare orders the same candidates by other settings beside the default ones.
func compare(ctx context.Context, s *stage, all []conversation, w io.Writer) error {
	list, err := s.candidates(ctx, all)
	if err != nil {
		return err
	}
	run := func(x setting) (measured, error) { return order(list, all, x) }
	base, err := run(setting{change: func(*rank.Weights) {}})
	if err != nil {
		return err
	}
	rows := 0
	for _, a := range list {
		rows += len(a.candidates.Candidates)
	}
	fmt.Fprintf(w, "\nordering %d candidates on average: p50 %.2f ms, p95 %.2f ms\n", rows/len(list), ms(base.quantile(0.5)), ms(base.quantile(0.95)))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "setting\t1-4 R@10\tMRR\t5 R@10\tMRR\t1-4 R@10 against the default, 95%\tMRR")
	runs := []measured{base}
	table := func(settings []setting) error {
		for _, x := range settings {
			got, err := run(x)
			if err != nil {
				return err
			}
			row(t, x.name, got, base)
			runs = append(runs, got)
		}
		return nil
	}
	row(t, "default", base, base)
	if err := table(parts); err != nil {
		return err
	}
	runs = runs[:1]
	if err := table(around); err != nil {
		return err
	}
	left := unseen(answerableOf(runs), func(r result) float64 { return r.recall(10) + r.reciprocal() })
	fmt.Fprintf(t, "chosen by the other conversations\t%.3f\t%.3f\n", left.recall(10), left.mrr())
	return t.Flush()
}

func answerableOf(runs []measured) []measured {
	some := make([]measured, len(runs))
	for i, m := range runs {
		some[i] = m.of(answerable...)
	}
	return some
}

// row is a line of the comparison.
func row(w io.Writer, name string, got, base measured) {
	a, b := got.of(answerable...), got.of(5)
	fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%.3f", name, a.recall(10), a.mrr(), b.recall(10), b.mrr())
	for _, value := range []func(result) float64{func(r result) float64 { return r.recall(10) }, result.reciprocal} {
		mean, low, high := difference(a, base.of(answerable...), value)
		fmt.Fprintf(w, "\t%+.3f [%+.3f, %+.3f]", mean, low, high)
	}
	fmt.Fprintln(w)
}
