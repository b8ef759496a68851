package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
	"github.com/ryjen/dubnium/tests/postgres"
	"github.com/ryjen/dubnium/tests/redis"
)

func TestMain(m *testing.M) { postgres.Main(m) }

const (
	scope = memory.Scope("project:worker")
	// patience bounds every wait.
	patience = 30 * time.Second
)

// quick are options under which what is missed is missed soon.
var quick = Options{
	Name: "w", Batch: 8, Lease: 300 * time.Millisecond, Again: 300 * time.Millisecond, Poll: 40 * time.Millisecond, Refill: time.Second,
	Rest: 10 * time.Millisecond, MaxRest: 40 * time.Millisecond, Attempts: 3, Grace: 5 * time.Second,
}

// bench is a database, a provider and a model that it serves.
type bench struct {
	*testing.T
	db       postgres.Database
	store    *store.Store
	provider *embeddings.Server
	model    outbox.Model
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := postgres.New(t)
	b := &bench{T: t, db: db, store: db.Open(t, store.Options{}), provider: embeddings.Start(t, "127.0.0.1:0", 8)}
	b.model = b.register("first", 8, outbox.Active)
	return b
}

func (b *bench) register(name string, dimensions int, state outbox.State) outbox.Model {
	b.Helper()
	m, err := b.store.EnsureModel(b.Context(), outbox.Model{Name: name, Provider: "openai", Dimensions: dimensions, State: state})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// add stores memories of these texts.
func (b *bench) add(texts ...string) []memory.Stored {
	b.Helper()
	var entries []store.Entry
	for _, text := range texts {
		entries = append(entries, store.Entry{Draft: memory.Draft{
			MemoryType: memory.Episodic, Scope: scope, Source: "test", Summary: text,
		}})
	}
	stored, err := b.store.Add(b.Context(), scope, entries, nil)
	if err != nil {
		b.Fatal(err)
	}
	return stored
}

// numbered gives texts that have little in common, as those of people.
func numbered(prefix string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = prefix
		for range 6 {
			texts[i] += " " + strings.ToLower(rand.Text()[:7])
		}
	}
	return texts
}

func (b *bench) embedder(name string, dimensions int) embed.Embedder {
	b.Helper()
	e, err := embed.NewOpenAI(embed.OpenAIConfig{
		URL: b.provider.URL, Model: name, Preset: embed.Preset{Dimensions: dimensions}, Timeout: 2 * time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// work runs a worker, and gives it with what stops it and waits for its end.
func (b *bench) work(s Store, stream *Stream, options Options, embedders ...embed.Embedder) (*Worker, func()) {
	b.Helper()
	if len(embedders) == 0 {
		embedders = []embed.Embedder{b.embedder("first", 8)}
	}
	w, err := New(s, embedders, stream, options)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	var once atomic.Bool
	stop := func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			select {
			case err := <-ended:
				if err != nil {
					b.Errorf("the worker ended with %v", err)
				}
			case <-time.After(patience):
				b.Errorf("the worker did not end within %v", patience)
			}
		}
	}
	b.Cleanup(stop)
	return w, stop
}

func (b *bench) stats(model outbox.Model) outbox.Stats {
	b.Helper()
	all, err := b.store.QueueStats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range all {
		if s.Model.ID == model.ID {
			return s
		}
	}
	b.Fatalf("there are no figures of the model %d", model.ID)
	return outbox.Stats{}
}

// until waits for the figures of a model to be as wanted.
func (b *bench) until(model outbox.Model, what string, is func(outbox.Stats) bool) {
	b.Helper()
	eventually(b, what, func() bool { return is(b.stats(model)) })
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is not so that %s", patience, what)
		}
	}
}

func embedded(n int64) func(outbox.Stats) bool {
	return func(s outbox.Stats) bool { return s.Embedded == n && s.Waiting+s.Claimed == 0 }
}

// metric reads one of the worker's counters.
func metric(t testing.TB, w *Worker, name string) float64 {
	t.Helper()
	var out bytes.Buffer
	w.WriteMetrics(&out)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(out.Bytes())
	if m == nil {
		t.Fatalf("there is no %s in\n%s", name, out.String())
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestWithAndWithoutRedis embeds memories through the stream, from the outbox
// alone, and through a Redis that goes and comes back.
func TestWithAndWithoutRedis(t *testing.T) {
	b := newBench(t)
	b.add(numbered("before any worker", 50)...)
	_, stop := b.work(b.store, nil, quick)
	b.until(b.model, "50 memories are embedded without Redis", embedded(50))
	stop()

	server := redis.Start(t)
	stream := newStream(t, server.URL)
	w, _ := b.work(b.store, stream, quick)
	eventually(t, "the stream is up", func() bool { return metric(t, w, "dubnium_embed_stream_up") == 1 })
	b.add(numbered("through the stream", 50)...)
	b.until(b.model, "100 memories are embedded", embedded(100))
	if n, err := stream.client.Do(t.Context(), "XINFO", "STREAM", stream.key(b.model.ID)).Result(); err != nil {
		t.Errorf("nothing went through the stream: %v, %v", n, err)
	}
	server.Kill()
	b.add(numbered("while Redis is gone", 50)...)
	b.until(b.model, "150 memories are embedded", embedded(150))
	server.Restart()
	eventually(t, "the stream is up again", func() bool { return metric(t, w, "dubnium_embed_stream_up") == 1 })
	b.add(numbered("when Redis is back", 50)...)
	b.until(b.model, "200 memories are embedded", embedded(200))
	eventually(t, "all entries are acknowledged", func() bool {
		n, err := stream.length(t.Context(), b.model.ID)
		return err == nil && n == 0
	})
	if n := metric(t, w, "dubnium_embed_failures_total"); n != 0 {
		t.Errorf("%v rows were charged for it", n)
	}
}

// TestFlushedStream loses all entries of the stream while it is full.
func TestFlushedStream(t *testing.T) {
	b := newBench(t)
	server := redis.Start(t)
	stream := newStream(t, server.URL)
	b.provider.Does(embeddings.Behaviour{EachRequest: 30 * time.Millisecond})
	options := quick
	options.Again = time.Hour // only the loss itself may bring them back
	b.add(numbered("note", 200)...)
	b.work(b.store, stream, options)
	eventually(t, "the stream holds many", func() bool {
		n, err := stream.length(t.Context(), b.model.ID)
		return err == nil && n > 100
	})
	if err := stream.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.until(b.model, "200 memories are embedded", embedded(200))
}

// TestHungRedis stops the server without ending it: calls to it hang.
func TestHungRedis(t *testing.T) {
	b := newBench(t)
	server := redis.Start(t)
	w, _ := b.work(b.store, newStream(t, server.URL), quick)
	eventually(t, "the stream is up", func() bool { return metric(t, w, "dubnium_embed_stream_up") == 1 })
	server.Signal(syscall.SIGSTOP)
	b.add(numbered("note", 20)...)
	b.until(b.model, "20 memories are embedded", embedded(20))
	server.Signal(syscall.SIGCONT)
	eventually(t, "the stream is up again", func() bool { return metric(t, w, "dubnium_embed_stream_up") == 1 })
}

// TestPoison embeds all but the texts that no model takes, gives those up after
// their attempts, lists them, and tries them again when asked to.
func TestPoison(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		t.Run(fmt.Sprintf("breaks=%v", breaks), func(t *testing.T) {
			b := newBench(t)
			b.provider.Does(embeddings.Behaviour{PoisonBreaks: breaks})
			texts := numbered("note", 60)
			texts[17] += " " + embeddings.Poison
			texts[18] += " " + embeddings.Poison
			stored := b.add(texts...)
			w, _ := b.work(b.store, newStream(t, redis.Start(t).URL), quick)
			b.until(b.model, "all but two are embedded, and two are dead", func(s outbox.Stats) bool {
				return s.Embedded == 58 && s.Dead == 2 && s.Waiting+s.Claimed == 0
			})
			dead, err := b.store.DeadJobs(t.Context(), 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range dead {
				got = append(got, fmt.Sprint(d.MemoryID, d.Attempts, d.Model))
				if d.LastError == "" || strings.Contains(d.LastError, embeddings.Poison) || strings.Contains(d.LastError, "note") {
					t.Errorf("its last error is %q", d.LastError)
				}
			}
			want := []string{fmt.Sprint(stored[17].ID, 3, "first"), fmt.Sprint(stored[18].ID, 3, "first")}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("dead (-want +got):\n%s", d)
			}
			if n := metric(t, w, "dubnium_embed_failures_total"); n != 6 {
				t.Errorf("%v attempts were counted, not 3 for each of the two", n)
			}
			if n, err := b.store.RetryDead(t.Context(), []int64{dead[0].ID}); err != nil || n != 1 {
				t.Errorf("retry: %d, %v", n, err)
			}
			b.until(b.model, "the one that was retried is dead again", func(s outbox.Stats) bool {
				return s.Dead == 2 && s.Waiting+s.Claimed == 0
			})
		})
	}
}

// TestOutage holds that rows are charged nothing while the provider is away,
// however that shows, and that work goes on when it is back.
func TestOutage(t *testing.T) {
	for _, status := range []int{401, 404, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b := newBench(t)
			b.provider.Does(embeddings.Behaviour{Status: status})
			w, _ := b.work(b.store, newStream(t, redis.Start(t).URL), quick)
			b.add(numbered("note", 40)...)
			eventually(t, "the provider was asked more than once", func() bool {
				var out bytes.Buffer
				w.WriteMetrics(&out)
				return strings.Contains(out.String(), "dubnium_embed_outages_total") && metric(t, w, "dubnium_embed_outages_total") > 1
			})
			if up := metric(t, w, "dubnium_embed_provider_up"); up != 0 {
				t.Errorf("the provider counts as up: %v", up)
			}
			b.until(b.model, "nothing is claimed or dead", func(s outbox.Stats) bool {
				return s.Waiting == 40 && s.Claimed+s.Dead == 0 && s.Oldest > 0
			})
			b.provider.Does(embeddings.Behaviour{})
			b.until(b.model, "40 memories are embedded", embedded(40))
			if n := metric(t, w, "dubnium_embed_failures_total"); n != 0 {
				t.Errorf("%v rows were charged for it", n)
			}
		})
	}
}

// TestChangeOfModel changes the model while memories come in, goes back, and
// fills in what the old one missed meanwhile.
func TestChangeOfModel(t *testing.T) {
	b := newBench(t)
	b.work(b.store, newStream(t, redis.Start(t).URL), quick, b.embedder("first", 8), b.embedder("second", 8))
	b.add(numbered("early", 30)...)
	b.until(b.model, "30 are embedded with the first model", embedded(30))

	second := b.register("second", 8, outbox.Building)
	if err := Switch(t.Context(), b.store, "second", false); err == nil || !strings.Contains(err.Error(), "have no vector of it yet") {
		t.Errorf("a switch to a model that is not filled: %v", err)
	}
	b.add(numbered("meanwhile", 30)...)
	b.until(second, "60 are embedded with the second model", embedded(60))
	b.until(b.model, "60 are embedded with the first model", embedded(60))
	if err := Switch(t.Context(), b.store, "second", false); err != nil {
		t.Fatal(err)
	}
	states := func() string {
		models, err := b.store.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range models {
			all = append(all, m.Name+" "+string(m.State))
		}
		return strings.Join(all, ", ")
	}
	if d := cmp.Diff("first retired, second active", states()); d != "" {
		t.Errorf("models (-want +got):\n%s", d)
	}
	b.add(numbered("late", 30)...)
	b.until(second, "90 are embedded with the second model", embedded(90))
	if s := b.stats(b.model); s.Embedded != 60 || s.Waiting != 0 || s.Missing != 30 {
		t.Errorf("the retired model has %d vectors, %d rows, misses %d", s.Embedded, s.Waiting, s.Missing)
	}
	// The worker may not have noticed before it is taken back.
	for range 2 { // to a model that is active already changes nothing
		if err := Switch(t.Context(), b.store, "first", false); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff("first active, second retired", states()); d != "" {
		t.Errorf("models after going back (-want +got):\n%s", d)
	}
	b.until(b.model, "90 are embedded with the first model", embedded(90))
	if err := Switch(t.Context(), b.store, "third", true); err == nil {
		t.Error("a switch to a model that is not registered")
	}
}

// TestStop holds that a worker that is asked to stop ends the batch under way,
// or gives its claims back at the end of the grace.
func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name       string
		takes      time.Duration
		grace      time.Duration
		unfinished bool
	}{
		{"the batch ends in time", 200 * time.Millisecond, 5 * time.Second, false},
		{"the batch does not", time.Minute, 50 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.provider.Does(embeddings.Behaviour{EachRequest: tt.takes})
			b.add(numbered("note", 8)...)
			options := quick
			options.Grace, options.Lease = tt.grace, time.Hour // a claim that is not given back would stay
			_, stop := b.work(b.store, nil, options)
			eventually(t, "the provider is at it", func() bool { _, n := b.provider.Times(); return n == 1 })
			stop()
			s := b.stats(b.model)
			if s.Claimed != 0 || (s.Embedded == 8) == tt.unfinished || s.Embedded+s.Waiting != 8 {
				t.Errorf("%d embedded, %d claimed, %d waiting", s.Embedded, s.Claimed, s.Waiting)
			}
		})
	}
}

// TestLostAnswer has the database take vectors and lose its answer: the second
// time, nothing is written twice or charged.
func TestLostAnswer(t *testing.T) {
	b := newBench(t)
	b.add(numbered("note", 8)...)
	flaky := &forgetful{Store: b.store}
	options := quick
	options.Concurrency = 1 // two would share the eight between their batches
	w, _ := b.work(flaky, nil, options)
	b.until(b.model, "8 memories are embedded", embedded(8))
	eventually(t, "the vectors were sent twice", func() bool {
		return metric(t, w, "dubnium_embed_lost_total")+metric(t, w, "dubnium_embed_stale_total") == 8
	})
	if n := metric(t, w, "dubnium_embed_failures_total"); n != 0 {
		t.Errorf("%v rows were charged for it", n)
	}
}

// forgetful is the real database, whose answer to the first Complete gets lost.
type forgetful struct {
	Store
	once atomic.Bool
}

func (f *forgetful) Complete(ctx context.Context, worker string, results []outbox.Result) (outbox.Completed, error) {
	c, err := f.Store.Complete(ctx, worker, results)
	if err == nil && f.once.CompareAndSwap(false, true) {
		return outbox.Completed{}, errors.New("the connection broke off")
	}
	return c, err
}

// TestLongBatch holds that a claim outlives its lease while its worker is at it,
// so that no other does the same work, also where the database is slow to
// extend it.
func TestLongBatch(t *testing.T) {
	b := newBench(t)
	options := quick
	options.Concurrency, options.Lease = 1, 2*time.Second
	b.provider.Does(embeddings.Behaviour{EachRequest: 3 * time.Second})
	b.add(numbered("note", 8)...)
	server := redis.Start(t)
	first := &slow{Store: b.store, takes: options.Lease * 2 / 5}
	b.work(first, newStream(t, server.URL), options, b.patient())
	options.Name = "other"
	b.work(b.db.Open(t, store.Options{}), newStream(t, server.URL), options, b.patient())
	b.until(b.model, "8 memories are embedded", embedded(8))
	times, requests := b.provider.Times()
	for text, n := range times {
		if n != 1 {
			t.Errorf("%q was embedded %d times (%d requests)", text, n, requests)
		}
	}
}

// patient is an embedder that no load of this machine makes give up.
func (b *bench) patient() embed.Embedder {
	b.Helper()
	e, err := embed.NewOpenAI(embed.OpenAIConfig{URL: b.provider.URL, Model: "first", Preset: embed.Preset{Dimensions: 8}, Timeout: patience})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// slow is the real database, which takes its time to extend a claim.
type slow struct {
	Store
	takes time.Duration
}

func (s *slow) Extend(ctx context.Context, worker string, ids []int64, lease time.Duration) error {
	sleep(ctx, s.takes)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Store.Extend(ctx, worker, ids, lease)
}

// TestModelsNotServed holds that models without an embedder, or with another
// width, are left alone.
func TestModelsNotServed(t *testing.T) {
	b := newBench(t)
	narrow := b.register("narrow", 4, outbox.Building)
	unknown := b.register("unknown", 8, outbox.Building)
	b.add("a note")
	b.work(b.store, nil, quick, b.embedder("first", 8), b.embedder("narrow", 8))
	b.until(b.model, "the model that is served is done", embedded(1))
	for _, m := range []outbox.Model{narrow, unknown} {
		if s := b.stats(m); s.Embedded != 0 || s.Waiting != 1 || s.Dead != 0 {
			t.Errorf("%s: %d embedded, %d waiting, %d dead", m.Name, s.Embedded, s.Waiting, s.Dead)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{}, {Name: "w", Batch: -1}, {Name: "w", Lease: -time.Second}} {
		if _, err := New(nil, nil, nil, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
