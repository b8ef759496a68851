package store_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// TestSetUp makes the database on a server of another locale, twice, and uses it
// through the one login that owns it, whose connections may be taken back to it.
func TestSetUp(t *testing.T) {
	ctx := t.Context()
	server, err := cluster.Start(ctx, cluster.Config{
		Dir: filepath.Join(postgres.Folder(t), "pg"), Binaries: postgres.Binaries(t), Credential: postgres.Credential(),
		Settings: map[string]string{"fsync": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	super := server.URL(cluster.Superuser, "postgres")
	// A server that somebody else made: with nothing of ours, and a locale that
	// does not go with UTF-8.
	conn, err := pgx.Connect(ctx, super)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP DATABASE dubnium_memory", "DROP ROLE dubnium_memory", "DROP ROLE dubnium_memory_upkeep", "DROP ROLE dubnium_memory_owner",
		"UPDATE pg_database SET datcollate = 'de_DE.ISO-8859-1', datctype = 'de_DE.ISO-8859-1' WHERE datname = 'template0'",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	managed(t, server, conn)
	if err := conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.SetUp(ctx, super); err != nil {
			t.Fatal(err)
		}
	}
	login := server.URL(store.Login, store.Database)
	for range 2 {
		if err := store.Migrate(ctx, login); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(ctx, store.Options{DSN: login, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	add(t, s, entry("Die Grüße aus Köln kamen spät."))
	if _, err := s.Undeclared(ctx, "RESET ROLE"); err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string][]string{
		"SELECT current_user::text":                                         {store.Role},
		"SELECT summary FROM memories":                                      nil,
		"SELECT l FROM (SELECT lower('GRÜSSE') AS l) x WHERE l <> 'GRÜSSE'": {"grüsse"},
	} {
		if got, err := s.Sabotaged(ctx, "project:other", statement); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s after RESET ROLE: %v, %v", statement, got, err)
		}
	}
	embed(t, s, "m", 3) // across scopes
	if found := candidatesOf(t, s, ask("Grüße")); len(found.Candidates) != 1 {
		t.Errorf("%d candidates", len(found.Candidates))
	}
}

// managed uses a server as one is rented: one login, which may make roles and
// owns its database, and a superuser who made that and the extension alone.
func managed(t *testing.T, server *cluster.Cluster, super *pgx.Conn) {
	t.Helper()
	ctx := t.Context()
	run := func(conn *pgx.Conn, statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	run(super, "CREATE ROLE tenant LOGIN CREATEROLE", "CREATE DATABASE tenant OWNER tenant")
	inside, err := pgx.Connect(ctx, server.URL(cluster.Superuser, "tenant"))
	if err != nil {
		t.Fatal(err)
	}
	run(inside, "CREATE EXTENSION vector")
	if err := inside.Close(ctx); err != nil {
		t.Fatal(err)
	}
	login := server.URL("tenant", "tenant")
	for range 2 {
		if err := store.Migrate(ctx, login); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(ctx, store.Options{DSN: login, Connections: 1})
		if err != nil {
			t.Fatalf("as the one login of a rented server: %v", err)
		}
		add(t, s, entry("the tenant keeps the key"))
		embed(t, s, "m", 3) // across scopes
		if found := candidatesOf(t, s, ask("key")); len(found.Candidates) != 1 {
			t.Errorf("%d candidates", len(found.Candidates))
		}
		s.Close()
	}
	run(super, "DROP DATABASE tenant", "DROP ROLE dubnium_memory", "DROP ROLE dubnium_memory_upkeep", "DROP ROLE tenant")
}
