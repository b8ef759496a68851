package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// TestWalls breaks the query builder on purpose: statements without any scope
// find the declared scope's rows and no others, in every table that has a
// scope, and nothing where none is declared.
func TestWalls(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	ctx := t.Context()
	model := embed(t, s, "m", 3)
	scopes := []memory.Scope{"project:a", "project:ab", "agent:a"}
	session := uuid.New()
	for _, sc := range scopes {
		a, _, err := s.AddArtifact(ctx, sc, memory.Artifact{ID: uuid.New(), SHA256: fmt.Sprintf("%064x", 1), StorageURI: "file:///x", ArtifactType: "log"})
		if err != nil {
			t.Fatal(err)
		}
		stored, err := s.Add(ctx, sc, []store.Entry{entry("shared words of "+string(sc), in(session), func(e *store.Entry) {
			e.Scope, e.ArtifactRefs = sc, []uuid.UUID{a.ID}
		})}, nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := s.AddTask(ctx, sc, memory.Task{ID: uuid.New(), Status: memory.TaskQueued})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpdateTask(ctx, sc, task.ID, 1, memory.TaskRunning, nil, true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddProvenance(ctx, sc, memory.Provenance{ID: uuid.New(), MemoryID: &stored[0].ID, SourceIdentity: "me"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddEvent(ctx, memory.RetrievalEvent{ID: uuid.New(), Type: memory.EventRetrieval, Scope: sc, Query: "q", AsOf: time.Now()},
			[]store.Hit{{Rank: 1, MemoryID: stored[0].ID, MemoryVersion: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, s, model, 3)
	add(t, s, entry("left in the outbox", func(e *store.Entry) { e.Scope = scopes[0] }))
	add(t, s, entry("left in the outbox", func(e *store.Entry) { e.Scope = scopes[1] }))
	walled := strings.Fields(admin[string](t, db, `SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'scope_id' WHERE c.relkind = 'r'`))
	if len(walled) < 14 || !slices.Contains(walled, "embedding_1") {
		t.Fatalf("tables with a scope: %v", walled)
	}
	for _, sc := range scopes {
		number, err := s.Number(ctx, sc)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range walled {
			found, err := s.Sabotaged(ctx, sc, "SELECT DISTINCT scope_id::text FROM "+table)
			if err != nil {
				t.Fatal(err)
			}
			rows := admin[int](t, db, "SELECT count(*) FROM "+table+" WHERE scope_id = $1", number)
			if rows > 0 && !slices.Equal(found, []string{fmt.Sprint(number)}) || rows == 0 && len(found) > 0 {
				t.Errorf("%s, asked from scope %d: %v of %d rows", table, number, found, rows)
			}
		}
		for name, statement := range map[string]string{
			"another scope's rows": "SELECT summary FROM memories WHERE scope_id <> " + fmt.Sprint(number),
			"through the view":     "SELECT summary FROM memory_rows WHERE scope_id <> " + fmt.Sprint(number),
			"a change":             "UPDATE memories SET version = version + 1 WHERE scope_id <> " + fmt.Sprint(number) + " RETURNING summary",
			"a removal":            "DELETE FROM memories WHERE scope_id <> " + fmt.Sprint(number) + " RETURNING summary",
			"the wide search": `SELECT c.id::text FROM scopes p, wide_candidates(p.id, '{internal}', false, false, NULL, NULL, now(), 'shared words', 1000, 100) c
				WHERE p.id <> ` + fmt.Sprint(number),
		} {
			if found, err := s.Sabotaged(ctx, sc, statement); err != nil || len(found) > 0 {
				t.Errorf("%s from %s: %v, %v", name, sc, found, err)
			}
		}
	}
	for _, table := range walled {
		if found, err := s.Undeclared(ctx, "SELECT scope_id::text FROM "+table); err != nil || len(found) > 0 {
			t.Errorf("%s with no scope declared: %v, %v", table, found, err)
		}
	}
	// What the role may not do at all.
	forbidden := []string{
		"ALTER TABLE memories DISABLE ROW LEVEL SECURITY", "DROP TABLE memories", "CREATE TABLE x ()",
		"SELECT create_embedding_table(1)", "DROP POLICY scope ON memories",
	}
	if db.DSN != db.OwnerDSN { // one login for all could go back to what it is
		forbidden = append(forbidden, "SET ROLE dubnium_memory_owner")
	}
	for _, statement := range forbidden {
		_, err := s.Undeclared(ctx, statement)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
	// A row can't be written into another scope either.
	other, err := s.Number(ctx, scopes[1])
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Sabotaged(ctx, scopes[0], "INSERT INTO sessions (scope_id, id) VALUES ($1, gen_random_uuid()) RETURNING 'written'", other)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" {
		t.Errorf("written into another scope: %v", err)
	}
}

// TestNoForeignRows asks random questions of random scopes: everything that
// comes back belongs there.
func TestNoForeignRows(t *testing.T) {
	db := postgres.New(t)
	ctx := t.Context()
	for _, narrow := range []int64{1 << 30, 1} {
		s := db.Open(t, store.Options{Narrow: narrow})
		r := rand.New(rand.NewPCG(1, uint64(narrow)))
		word := func() string { return strings.Repeat(string(rune('a'+r.IntN(8))), 2+r.IntN(2)) }
		text := func(n int) string {
			var all []string
			for range n {
				all = append(all, word())
			}
			return strings.Join(all, " ")
		}
		kinds := memory.ScopeKinds
		owner := map[string]memory.Scope{}
		var scopes []memory.Scope
		for i := range 20 {
			sc := memory.Scope(fmt.Sprintf("%s:%s/%d-%d", kinds[r.IntN(len(kinds))], word(), i, narrow))
			scopes = append(scopes, sc)
			var entries []store.Entry
			for j := range 30 {
				entries = append(entries, entry(fmt.Sprint(text(6), " ", j), func(e *store.Entry) { e.Scope = sc }))
			}
			for _, st := range add(t, s, entries...) {
				owner[st.ID.String()] = sc
			}
		}
		s.Forget()
		hits := 0
		for range 500 {
			sc := scopes[r.IntN(len(scopes))]
			found, err := s.Candidates(ctx, store.Question{Scope: sc, Text: text(2), AsOf: time.Now(), Filters: memory.Filters{AllowedSensitivity: []string{"internal"}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range found.Candidates {
				hits++
				if owner[c.ID] != sc {
					t.Fatalf("asked of %s: %q of %s", sc, c.Text, owner[c.ID])
				}
			}
		}
		if hits == 0 {
			t.Error("nothing was found at all")
		}
	}
}

// TestMigrateFromEach migrates from every earlier version, twice.
func TestMigrateFromEach(t *testing.T) {
	for n := range store.Latest() {
		db := postgres.Empty(t)
		if n > 0 {
			if err := store.MigrateTo(t.Context(), db.OwnerDSN, n); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), store.Options{DSN: db.DSN}); err == nil {
				t.Errorf("version %d was opened", n)
			}
		}
		for range 2 {
			if err := store.Migrate(t.Context(), db.OwnerDSN); err != nil {
				t.Fatal(err)
			}
		}
		add(t, db.Open(t, store.Options{}), entry("works"))
	}
}

// TestMigrateAtOnce migrates one database from several sides.
func TestMigrateAtOnce(t *testing.T) {
	db := postgres.Empty(t)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- store.Migrate(t.Context(), db.OwnerDSN) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := admin[int](t, db, "SELECT count(*) FROM schema_migrations"); n != store.Latest() {
		t.Errorf("%d steps are recorded", n)
	}
}

// TestMigrationFails holds that a step that fails or is cut off leaves nothing
// behind, and that a newer database is refused.
func TestMigrationFails(t *testing.T) {
	db := postgres.New(t)
	ctx := t.Context()
	err := store.MigrateWith(ctx, db.OwnerDSN, "CREATE TABLE half (n int); INSERT INTO memories DEFAULT VALUES;")
	if err == nil || !strings.Contains(err.Error(), "step extra") {
		t.Fatalf("%v", err)
	}
	if there := admin[bool](t, db, "SELECT to_regclass('half') IS NOT NULL"); there {
		t.Error("a failed step left a table")
	}
	// The server loses the migrator in the middle of a step.
	err = store.MigrateWith(ctx, db.OwnerDSN, "CREATE TABLE half (n int); SELECT pg_terminate_backend(pg_backend_pid()); CREATE TABLE rest (n int);")
	if err == nil {
		t.Fatal("a migrator that was cut off came to its end")
	}
	if there := admin[bool](t, db, "SELECT to_regclass('half') IS NOT NULL"); there {
		t.Error("a step that was cut off left a table")
	}
	if err := store.MigrateWith(ctx, db.OwnerDSN, "CREATE TABLE half (n int)"); err != nil {
		t.Errorf("and it could not be made again: %v", err)
	}
	if err := store.Migrate(ctx, db.OwnerDSN); err == nil || !strings.Contains(err.Error(), "install the program that fits") {
		t.Errorf("a newer database: %v", err)
	}
	if _, err := store.Open(ctx, store.Options{DSN: db.DSN}); err == nil {
		t.Error("a newer database was opened")
	}
}

func TestReadMigrations(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("SELECT 1")}
	for _, files := range []fstest.MapFS{
		{"m/0002_b.sql": file}, {"m/0001_a.sql": file, "m/0003_c.sql": file}, {"m/first.sql": file}, {"m/0001_a.sql": file, "m/0001_b.sql": file},
	} {
		if _, err := store.ReadMigrations(files, "m"); err == nil {
			t.Errorf("%v was taken", files)
		}
	}
}

// TestOpenRefuses holds that a role that the walls don't bind is refused.
func TestOpenRefuses(t *testing.T) {
	db := postgres.New(t)
	run(t, db, "ALTER ROLE dubnium_memory BYPASSRLS")
	_, err := store.Open(t.Context(), store.Options{DSN: db.DSN})
	run(t, db, "ALTER ROLE dubnium_memory NOBYPASSRLS")
	if err == nil || !strings.Contains(err.Error(), "bypasses row security") {
		t.Errorf("%v", err)
	}
	if _, err := store.Open(t.Context(), store.Options{DSN: "host=/nonexistent dbname=x"}); !errors.Is(err, memory.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
	s := db.Open(t, store.Options{})
	admin[bool](t, db, "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'dubnium-memory' AND datname = current_database()")
	for range 5 { // the connections of the pool that were cut
		_ = s.Ping(t.Context())
	}
	add(t, s, entry("after the connections were cut"))
}
