package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// rowsRead counts the entries of tables and of their indexes that the server
// has read for f, which is given a store with one connection: a statement is
// planned there once and for all.
func rowsRead(t *testing.T, db postgres.Database, options store.Options, f func(*store.Store), tables ...string) int64 {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, db.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // the database is dropped anyway
	count := func() (read int64) {
		// A connection tells what it read when it ends.
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			var open int
			err := conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dubnium-memory'),
				(SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = ANY ($1)) +
				(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY ($1))`, tables).Scan(&open, &read)
			if err != nil {
				t.Fatal(err)
			}
			if open == 0 {
				return read
			}
			if time.Now().After(end) {
				t.Fatalf("%d connections of stores are open", open)
			}
		}
	}
	before := count()
	options.DSN, options.Connections = db.DSN, 1
	s, err := store.Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	s.Close()
	return count() - before
}

// TestStoringReadsFewRows holds that what a batch reads does not grow with its
// scope. Postgres has no statistics of a young table, takes every condition
// for a rare one, and once planned to read the whole scope for each neighbour
// and each near duplicate: a hundred turns took half a minute.
func TestStoringReadsFewRows(t *testing.T) {
	db := postgres.New(t)
	n, session := 0, uuid.New()
	batches := func(count int) func(*store.Store) {
		return func(s *store.Store) {
			for range count {
				entries := make([]store.Entry, 100)
				for i := range entries {
					if n++; n%30 == 0 {
						session = uuid.New()
					}
					// Alike enough to be looked at as near duplicates.
					entries[i] = entry(fmt.Sprintf("on day %d we went to the lake and swam until the sun was gone", n), in(session))
				}
				add(t, s, entries...)
			}
		}
	}
	rowsRead(t, db, store.Options{}, batches(15), "memories")
	if each := rowsRead(t, db, store.Options{}, batches(10), "memories") / 1000; each > 40 {
		t.Errorf("each memory reads %d rows of a scope of 1500", each)
	}
}

// TestNearDuplicatesReadFewRows holds that what is read to store one more of
// many near duplicates does not grow with them: they share all of their bands,
// and each is asked about against the others.
func TestNearDuplicatesReadFewRows(t *testing.T) {
	db := postgres.New(t)
	n := 0
	duplicates := func(calls, each int) func(*store.Store) {
		return func(s *store.Store) {
			for range calls {
				entries := make([]store.Entry, each)
				for i := range entries {
					n++
					entries[i] = entry(fmt.Sprintf("the nightly backup of the database of the billing system failed with code %d", n))
				}
				for _, stored := range add(t, s, entries...) {
					if n > each && len(stored.SimilarTo) == 0 {
						t.Fatalf("memory %d is like none of those before it", n)
					}
				}
			}
		}
	}
	tables := []string{"memories", "memory_bands"}
	rowsRead(t, db, store.Options{}, duplicates(2, 100), tables...)
	// One at a time among 200, then among 1000.
	const calls = 50
	few := rowsRead(t, db, store.Options{}, duplicates(calls, 1), tables...) / calls
	rowsRead(t, db, store.Options{}, duplicates(8, 100), tables...)
	many := rowsRead(t, db, store.Options{}, duplicates(calls, 1), tables...) / calls
	t.Logf("a near duplicate reads %d rows among 200, and %d among 1000", few, many)
	if few > 300 || many > 300 {
		t.Errorf("a near duplicate reads %d rows among 200, and %d among 1000: want at most 300", few, many)
	}
}

// TestLargeScopesAreNotRead holds that what is asked of a large scope does not
// read it. Postgres, which plans for any scope, takes it for one of the small
// ones among which it is.
func TestLargeScopesAreNotRead(t *testing.T) {
	db := postgres.New(t)
	const large = 3000
	options := store.Options{Narrow: 300}
	session := uuid.New()
	var model int32
	var some []uuid.UUID
	var task memory.Task
	rowsRead(t, db, options, func(s *store.Store) {
		corpus(t, s, scope, large, 3)
		var err error
		if task, err = s.AddTask(t.Context(), scope, memory.Task{ID: uuid.New(), Status: memory.TaskQueued}); err != nil {
			t.Fatal(err)
		}
		corpus(t, s, "project:as-large", large, 5)
		for i := range 400 {
			corpus(t, s, memory.Scope(fmt.Sprintf("project:small-%d", i)), 1, 4)
		}
		for i, stored := range add(t, s, entry("a zebra at the lake", in(session)), entry("a zebra in the wood", in(session)), entry("a zebra on a hill"),
			entry("no zebra, a horse"), entry("a zebra painted on a wall", func(e *store.Entry) { e.TaskID = &task.ID })) {
			if i == 3 {
				if _, err := s.Reject(t.Context(), scope, stored.ID, 0, memory.StaleFact); err != nil {
					t.Fatal(err)
				}
				continue
			}
			some = append(some, stored.ID)
		}
		if _, err := s.Verify(t.Context(), scope, some[0], 0); err != nil {
			t.Fatal(err)
		}
		model = embed(t, s, "m", 16)
		if _, err := s.Backfill(t.Context(), model, 1<<20); err != nil {
			t.Fatal(err)
		}
		drain(t, s, model, 16)
		if err := s.Upkeep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, "memories")
	run(t, db, "ANALYZE")
	candidates := func(question string, wide bool, want int, edit ...func(*store.Question)) func(*store.Store, int) error {
		return func(s *store.Store, _ int) error {
			c, err := s.Candidates(t.Context(), ask(question, edit...))
			if err == nil && (c.Wide != wide || len(c.Candidates) < want) {
				t.Errorf("%d candidates, wide %v: want %d or more, and %v", len(c.Candidates), c.Wide, want, wide)
			}
			return err
		}
	}
	list := func(want int, l store.List) func(*store.Store, int) error {
		l.Limit = 50
		return func(s *store.Store, _ int) error {
			found, err := s.List(t.Context(), scope, l)
			if err == nil && len(found) != want {
				t.Errorf("%d memories, want %d", len(found), want)
			}
			return err
		}
	}
	withVector := func(q *store.Question) { q.Vector, q.Model = vector("w5q", 16), model }
	for _, c := range []struct {
		name string
		most int64 // rows and entries of indexes
		do   func(s *store.Store, i int) error
	}{
		{"a rare word", 50, candidates("zebra", true, 4)},
		{"words", 1500, candidates("w60q w80q w100q w120q", true, 100)},
		// The index of vectors goes through more than it finds.
		{"vectors", 2500, candidates("zebra", true, 104, withVector)},
		{"a session", 50, candidates("zebra", false, 2, withVector, func(q *store.Question) { q.Filters.SessionID = &session })},
		{"what was verified", 50, candidates("zebra", false, 1, withVector, func(q *store.Question) { q.Filters.RequireVerified = true })},
		{"what was rejected", 50, candidates("zebra", false, 1, withVector, func(q *store.Question) { q.Rejected = true })},
		{"some memories", 50, func(s *store.Store, _ int) error {
			found, err := s.Memories(t.Context(), scope, some)
			if err == nil && len(found) != len(some) {
				t.Errorf("%d of %d memories", len(found), len(some))
			}
			return err
		}},
		{"a memory", 20, func(s *store.Store, i int) error {
			_, err := s.Memory(t.Context(), scope, some[i%len(some)])
			return err
		}},
		{"a page", 200, list(50, store.List{})},
		{"the page after", 200, list(0, store.List{After: store.Position{CreatedAt: time.Now(), ID: some[0]}})},
		{"a session's page", 50, list(2, store.List{SessionID: &session})},
		{"a task's page", 50, list(1, store.List{TaskID: &task.ID})},
		{"a verdict", 200, func(s *store.Store, i int) error {
			_, err := s.Verify(t.Context(), scope, some[i%len(some)], 0)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The first reads what the next have at hand: how large the scope is.
			const asked = 10
			once := func(n int) int64 {
				return rowsRead(t, db, options, func(s *store.Store) {
					for i := range n {
						if err := c.do(s, i); err != nil {
							t.Fatal(err)
						}
					}
				}, "memories")
			}
			if each := (once(asked+1) - once(1)) / asked; each > c.most {
				t.Errorf("it reads %d rows or entries of %d memories, want at most %d", each, large, c.most)
			}
		})
	}
}
