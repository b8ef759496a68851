package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/service"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// axes is a model whose meanings are known: each text is one of two.
type axes struct{ down bool }

func (axes) Model() string   { return "axes" }
func (axes) Dimensions() int { return 2 }

func (a *axes) Embed(_ context.Context, texts []string, _ embed.Kind) ([][]float32, error) {
	if a.down {
		return nil, errors.New("the provider is down")
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		switch t {
		case "feline", "A cat sleeps.":
			out[i] = []float32{1, 0}
		default:
			out[i] = []float32{0, 1}
		}
	}
	return out, nil
}

// embedAll does a worker's work.
func embedAll(t *testing.T, db *store.Store, model outbox.Model, e embed.Embedder) {
	t.Helper()
	jobs, err := db.ClaimDue(t.Context(), model.ID, 100, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	results := make([]outbox.Result, len(jobs))
	for i, j := range jobs {
		v, err := e.Embed(t.Context(), []string{j.Text}, embed.Document)
		if err != nil {
			t.Fatal(err)
		}
		results[i] = outbox.Result{Job: j, Vector: v[0]}
	}
	if done, err := db.Complete(t.Context(), "test", results); err != nil || done.Written != len(jobs) {
		t.Fatalf("%+v, %v", done, err)
	}
}

// TestVectors holds that a memory without a word of the query is found by its
// vector, that a provider which is down leaves the words, and that a replay
// says what a vector changed.
func TestVectors(t *testing.T) {
	db := postgres.New(t).Open(t, store.Options{})
	folder, err := service.NewFolder(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	model := &axes{}
	s, err := service.New(db, folder, service.Options{Embedders: []embed.Embedder{model}})
	if err != nil {
		t.Fatal(err)
	}
	registered, err := db.EnsureModel(t.Context(), outbox.Model{Name: "axes", Provider: "builtin", Dimensions: 2, Weight: 0.5, State: outbox.Active})
	if err != nil {
		t.Fatal(err)
	}
	cat := put(t, s, draft("A cat sleeps."))
	put(t, s, draft("A lorry stops."))
	before := ask(t, s, "feline")
	if len(before.Memories) != 0 {
		t.Fatalf("found without a word or a vector: %+v", before.Memories)
	}
	embedAll(t, db, registered, model)
	got := ask(t, s, "feline", func(r *memory.Retrieve) { r.Limit = 1 })
	if diff := cmp.Diff([]uuid.UUID{cat.ID}, ids(got)); diff != "" || got.Memories[0].Parts["vector"] == 0 || got.Event.Model != "axes" {
		t.Fatalf("%s %+v", diff, got)
	}
	if same, err := s.Replay(t.Context(), scope, got.Event.ID); err != nil || !same.Same || len(same.Notes) != 0 {
		t.Errorf("replay: %+v, %v", same, err)
	}
	model.down = true
	if down := ask(t, s, "feline cat"); len(down.Memories) != 1 || down.Event.Model != "" {
		t.Errorf("with the provider down: %+v", down)
	}
	if replay, err := s.Replay(t.Context(), scope, got.Event.ID); err != nil || replay.Same || len(replay.Notes) != 1 {
		t.Errorf("replay with the provider down: %+v, %v", replay, err)
	}
}
