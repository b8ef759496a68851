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

// TestNearestReadsFewRows holds that the nearest vectors of a large scope are
// found without reading it. Among small scopes it is taken for one of them.
func TestNearestReadsFewRows(t *testing.T) {
	db := postgres.New(t)
	options := store.Options{Narrow: 300}
	var model int32
	rowsRead(t, db, options, func(s *store.Store) {
		corpus(t, s, scope, 5100, 3)
		for i := range 60 {
			corpus(t, s, memory.Scope(fmt.Sprintf("project:small-%d", i)), 10, 4)
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
	const asked = 5
	read := rowsRead(t, db, options, func(s *store.Store) {
		for i := range asked {
			q := ask("zebra", func(q *store.Question) { q.Vector, q.Model = vector(fmt.Sprintf("w%dq", i), 16), model })
			c, err := s.Candidates(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Wide || len(c.Candidates) != 100 {
				t.Errorf("%d candidates, wide %v", len(c.Candidates), c.Wide)
			}
		}
	}, "memories")
	if each := read / asked; each > 2500 {
		t.Errorf("a question reads %d memories of 5100", each)
	}
}
