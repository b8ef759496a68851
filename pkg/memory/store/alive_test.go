package store_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// TestConnectionsEnded ends all connections of the pool on the server's side, as
// a restart of the server does, and asks for each kind of work: nobody who asks
// learns of it, and no work is done twice.
func TestConnectionsEnded(t *testing.T) {
	const connections = 8 // more than kinds of work: each could meet one that has ended
	ctx := t.Context()
	db := postgres.New(t)
	s := db.Open(t, store.Options{Connections: connections})
	id := add(t, s, entry("the roof is red"))[0].ID
	endAll(t, db, s, connections)
	for what, do := range map[string]func() error{
		"read":   func() error { _, err := s.Memory(ctx, scope, id); return err },
		"search": func() error { _, err := s.Candidates(ctx, ask("roof")); return err },
		"store": func() error {
			_, err := s.Add(ctx, scope, []store.Entry{entry("the door is green")}, nil)
			return err
		},
		"review": func() error { _, err := s.Verify(ctx, scope, id, 1); return err },
		"record": func() error {
			_, err := s.AddEvent(ctx, memory.RetrievalEvent{ID: uuid.New(), Type: memory.EventRetrieval, Scope: scope, Query: "roof", AsOf: time.Now()}, nil)
			return err
		},
		"work across scopes": func() error { _, err := s.Totals(ctx); return err },
		"a sign of life":     func() error { return s.Ping(ctx) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := admin[int](t, db, "SELECT count(*) + sum(version) FROM memories"); n != 2+3 {
		t.Errorf("memories and their versions are %d, not 5", n)
	}
}

// endAll puts all connections of the pool to work at once, and ends them when
// they are idle again.
func endAll(t *testing.T, db postgres.Database, s *store.Store, connections int) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, db.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	ours := func(do, where string, want int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; {
			var n int
			err := conn.QueryRow(ctx, "SELECT count("+do+") FROM pg_stat_activity a WHERE datname = current_database() AND application_name = 'dubnium-memory'"+where).Scan(&n)
			if err != nil {
				t.Fatal(err)
			}
			if n == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d connections of the pool are as they should be, not %d", n, want)
			}
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(1)"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	errs := make([]error, connections)
	for i := range connections {
		all.Go(func() { _, errs[i] = s.Undeclared(ctx, "SELECT pg_advisory_xact_lock_shared(1)::text") })
	}
	ours("*", " AND wait_event = 'advisory'", connections)
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock(1)"); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	ours("pg_terminate_backend(pid)", "", connections)
	ours("*", "", 0)
}
