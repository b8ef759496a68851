package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// embed registers a model and makes it the active one.
func embed(t testing.TB, s *store.Store, name string, dimensions int) int32 {
	t.Helper()
	m, err := s.EnsureModel(t.Context(), outbox.Model{Name: name, Provider: "builtin", Dimensions: dimensions, Weight: 0.2, State: outbox.Building})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ActivateModel(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// vector is a made-up embedding: the same text has the same.
func vector(text string, dimensions int) []float32 {
	v := make([]float32, dimensions)
	for _, w := range strings.Fields(text) {
		h := uint32(2166136261)
		for _, b := range []byte(w) {
			h = (h ^ uint32(b)) * 16777619
		}
		v[h%uint32(dimensions)]++
		v[(h>>8)%uint32(dimensions)] += 0.5
	}
	return v
}

// drain embeds all that is due.
func drain(t testing.TB, s *store.Store, model int32, dimensions int) (written int) {
	t.Helper()
	for {
		jobs, err := s.ClaimDue(t.Context(), model, 500, "w", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) == 0 {
			return written
		}
		results := make([]outbox.Result, len(jobs))
		for i, j := range jobs {
			results[i] = outbox.Result{Job: j, Vector: vector(j.Text, dimensions)}
		}
		c, err := s.Complete(t.Context(), "w", results)
		if err != nil {
			t.Fatal(err)
		}
		written += c.Written
	}
}

func stats(t *testing.T, s *store.Store) outbox.Stats {
	t.Helper()
	all, err := s.QueueStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all[len(all)-1]
}

func TestOutbox(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	model := embed(t, s, "m", 3)
	for i := range 4 {
		add(t, s, entry(fmt.Sprint("memory ", i)))
	}
	handed, err := s.Hand(ctx, model, 10, time.Minute)
	if err != nil || len(handed) != 4 {
		t.Fatal(handed, err)
	}
	if again, err := s.Hand(ctx, model, 10, time.Minute); err != nil || len(again) != 0 {
		t.Errorf("handed twice: %v, %v", again, err)
	}
	ids := []int64{handed[0].ID, handed[1].ID}
	if err := s.Unhand(ctx, ids); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Hand(ctx, model, 10, time.Minute); err != nil || len(again) != 2 {
		t.Errorf("not handed again: %v, %v", again, err)
	}
	claims, err := s.Claim(ctx, ids, "one", time.Minute)
	if err != nil || len(claims.Jobs) != 2 || claims.Jobs[0].Text != "memory 0" {
		t.Fatal(claims, err)
	}
	other, err := s.Claim(ctx, append(ids, 1<<40), "two", time.Minute)
	if err != nil || len(other.Jobs) != 0 || !cmp.Equal(other.Held, ids) {
		t.Errorf("claimed twice: %+v, %v", other, err)
	}
	results := []outbox.Result{{Job: claims.Jobs[0], Vector: []float32{1, 2, 3}}}
	if c, err := s.Complete(ctx, "two", results); err != nil || c != (outbox.Completed{Lost: 1}) {
		t.Errorf("completed by another: %+v, %v", c, err)
	}
	if c, err := s.Complete(ctx, "one", results); err != nil || c != (outbox.Completed{Written: 1}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := s.Complete(ctx, "one", []outbox.Result{{Job: claims.Jobs[1], Vector: []float32{1, 2}}}); err == nil {
		t.Error("a vector of another length was written")
	}
	if err := s.Release(ctx, "one", ids); err != nil {
		t.Fatal(err)
	}
	due, err := s.ClaimDue(ctx, model, 10, "two", time.Minute)
	if err != nil || len(due) != 3 || due[0].Attempts != 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	if err := s.Fail(ctx, "two", []outbox.Failure{
		{ID: due[0].ID, Reason: "model said\nno\x00\xff", After: time.Hour},
		{ID: due[1].ID, Reason: "poison", Dead: true},
	}); err != nil {
		t.Fatal(err)
	}
	want := outbox.Stats{Model: stats(t, s).Model, Waiting: 1, Claimed: 1, Dead: 1, Embedded: 1}
	got := stats(t, s)
	if since := time.Since(got.Registered); since <= 0 || since > time.Hour {
		t.Errorf("the model came %v ago", since)
	}
	got.Registered = time.Time{}
	if got.Oldest <= 0 {
		t.Error("nothing has an age")
	}
	got.Oldest = 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	dead, err := s.DeadJobs(ctx, 0, 10)
	if err != nil || len(dead) != 1 || dead[0].LastError != "poison" || dead[0].Attempts != 1 || dead[0].Model != "m" {
		t.Errorf("%+v, %v", dead, err)
	}
	if n, err := s.RetryDead(ctx, []int64{dead[0].ID}); err != nil || n != 1 {
		t.Error(n, err)
	}
	if due, err = s.ClaimDue(ctx, model, 10, "three", time.Minute); err != nil || len(due) != 1 || due[0].ID != dead[0].ID {
		t.Errorf("%+v, %v", due, err)
	}
}

// TestGone completes a job whose memory was deleted meanwhile.
func TestGone(t *testing.T) {
	s := open(t)
	model := embed(t, s, "m", 3)
	id := add(t, s, entry("soon gone"))[0].ID
	jobs, err := s.ClaimDue(t.Context(), model, 1, "w", time.Minute)
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	if err := s.Delete(t.Context(), scope, id, 0); err != nil {
		t.Fatal(err)
	}
	c, err := s.Complete(t.Context(), "w", []outbox.Result{{Job: jobs[0], Vector: []float32{1, 0, 0}}})
	if err != nil || c != (outbox.Completed{Stale: 1}) {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestWorkersShare lets workers empty the outbox at once, while memories come
// and go: each memory is embedded once.
func TestWorkersShare(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	model := embed(t, s, "m", 3)
	entries := make([]store.Entry, 300)
	for i := range entries {
		entries[i] = entry(fmt.Sprint("memory ", i))
	}
	stored := add(t, s, entries...)
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]int{}
	for w := range 4 {
		all.Go(func() {
			name := fmt.Sprint("worker ", w)
			for {
				jobs, err := s.ClaimDue(t.Context(), model, 7, name, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if len(jobs) == 0 {
					return
				}
				var results []outbox.Result
				mu.Lock()
				for _, j := range jobs {
					seen[j.ID]++
					results = append(results, outbox.Result{Job: j, Vector: []float32{1, 0, 0}})
				}
				mu.Unlock()
				if _, err := s.Complete(t.Context(), name, results); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for _, m := range stored[:50] {
			if err := s.Delete(t.Context(), scope, m.ID, 0); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("job %d was claimed %d times", id, n)
		}
	}
	if got := stats(t, s); got.Embedded != 250 || got.Waiting+got.Claimed+got.Missing != 0 {
		t.Errorf("%+v", got)
	}
}

// TestChangeOfModel fills a second model while the first serves, and switches.
func TestChangeOfModel(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	first := embed(t, s, "first", 3)
	for i := range 5 {
		add(t, s, entry(fmt.Sprint("memory ", i)))
	}
	drain(t, s, first, 3)
	m, err := s.EnsureModel(ctx, outbox.Model{Name: "second", Provider: "builtin", Dimensions: 8, Weight: 1, State: outbox.Building})
	if err != nil {
		t.Fatal(err)
	}
	if same, err := s.EnsureModel(ctx, m); err != nil || same != m {
		t.Errorf("%+v, %v", same, err)
	}
	other := m
	other.Dimensions = 9
	if _, err := s.EnsureModel(ctx, other); !errors.Is(err, memory.ErrConflict) {
		t.Errorf("other dimensions: %v", err)
	}
	if n, err := s.Backfill(ctx, m.ID, 3); err != nil || n != 3 {
		t.Error(n, err)
	}
	add(t, s, entry("stored while both are filled"))
	if n, err := s.Backfill(ctx, m.ID, 10); err != nil || n != 2 {
		t.Error(n, err)
	}
	if n := drain(t, s, m.ID, 8); n != 6 {
		t.Errorf("%d vectors", n)
	}
	if err := s.ActivateModel(ctx, m.ID); err != nil {
		t.Fatal(err)
	}
	models, err := s.Models(ctx)
	if err != nil || models[0].State != outbox.Retired || models[1].State != outbox.Active {
		t.Errorf("%+v, %v", models, err)
	}
	if err := s.ActivateModel(ctx, first); err != nil {
		t.Error(err)
	}
	if err := s.ActivateModel(ctx, 99); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestAwait holds that a worker in another process hears of new rows.
func TestAwait(t *testing.T) {
	db := postgres.New(t)
	s, worker := db.Open(t, store.Options{}), db.Open(t, store.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := worker.Await(ctx); err != nil { // begins to listen
		t.Fatal(err)
	}
	heard := make(chan error, 1)
	go func() { heard <- worker.Await(ctx) }()
	add(t, s, entry("news"))
	if err := <-heard; err != nil {
		t.Error(err)
	}
	short, cancelShort := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancelShort()
	if err := worker.Await(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without news: %v", err)
	}
	// While one waits, another one's patience counts.
	go func() { heard <- worker.Await(ctx) }()
	short, cancelShort = context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancelShort()
	if err := worker.Await(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another: %v", err)
	}
	add(t, s, entry("more news"))
	if err := <-heard; err != nil {
		t.Errorf("after a wait that ended: %v", err)
	}
}

// TestStaleResult holds that a result for an older text writes nothing and
// leaves its row to be claimed at once.
func TestStaleResult(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	model := embed(t, s, "m", 3)
	add(t, s, entry("changes"))
	jobs, err := s.ClaimDue(t.Context(), model, 1, "w", time.Hour)
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	admin[int](t, db, "UPDATE outbox SET memory_version = 2 RETURNING memory_version")
	c, err := s.Complete(t.Context(), "w", []outbox.Result{{Job: jobs[0], Vector: []float32{1, 0, 0}}})
	if err != nil || c != (outbox.Completed{Stale: 1}) {
		t.Errorf("%+v, %v", c, err)
	}
	if jobs, err = s.ClaimDue(t.Context(), model, 1, "v", time.Hour); err != nil || len(jobs) != 1 || jobs[0].Version != 2 {
		t.Errorf("%+v, %v", jobs, err)
	}
}
