package memoryfaults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/pkg/memory/worker"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
	"github.com/ryjen/dubnium/tests/postgres"
	"github.com/ryjen/dubnium/tests/redis"
)

// patience bounds every wait.
const patience = 60 * time.Second

// world is what memories are embedded in: a Postgres of its own, a Redis of
// its own, a provider.
type world struct {
	t        testing.TB
	config   cluster.Config
	postgres *cluster.Cluster
	redis    *redis.Server
	provider *embeddings.Server
	store    *store.Store
	conn     *pgx.Conn // of the superuser, to look behind the store
}

// quick are options under which what dies is missed soon.
var quick = worker.Options{
	Batch: 8, Concurrency: 2, Lease: 400 * time.Millisecond, Again: 400 * time.Millisecond, Poll: 50 * time.Millisecond,
	Rest: 20 * time.Millisecond, MaxRest: 100 * time.Millisecond, Grace: 5 * time.Second,
}

func newWorld(t testing.TB, redisArgs ...string) *world {
	t.Helper()
	w := &world{t: t, config: cluster.Config{
		Dir: postgres.Folder(t), Binaries: postgres.Binaries(t), Credential: postgres.Credential(),
	}}
	t.Cleanup(w.close)
	w.startPostgres()
	if err := store.Migrate(t.Context(), w.postgres.DSN(cluster.Owner)); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.redis = redis.Start(t, redisArgs...)
	return w
}

// register adds the model that the workers serve.
func (w *world) register(state outbox.State) outbox.Model {
	w.t.Helper()
	m, err := w.store.EnsureModel(w.t.Context(), outbox.Model{
		Name: model, Provider: "openai", Dimensions: dimensions, Weight: 0.2, State: state,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) role(name string) role {
	return role{Name: name, DSN: w.postgres.DSN(cluster.Service), Redis: w.redis.URL, Provider: w.provider.URL, Options: quick}
}

func (w *world) startPostgres() {
	w.t.Helper()
	var err error
	if w.postgres, err = cluster.Start(w.t.Context(), w.config); err != nil {
		w.t.Fatal(err)
	}
}

// killPostgres kills all processes of the server, and starts it again.
func (w *world) killPostgres() {
	w.t.Helper()
	if err := syscall.Kill(-w.postgres.PID(), syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	<-w.postgres.Done()
	if err := w.postgres.Stop(); err != nil { // it holds the folder
		w.t.Fatal(err)
	}
	w.startPostgres()
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.store, err = store.Open(w.t.Context(), store.Options{DSN: w.postgres.DSN(cluster.Service), Connections: connections}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.conn != nil {
		_ = w.conn.Close(ctx) // the server may have been killed
	}
	if w.store != nil {
		w.store.Close()
	}
	if w.postgres != nil {
		if err := w.postgres.Stop(); err != nil {
			w.t.Errorf("stop Postgres: %v", err)
		}
	}
}

// connections is how many the store has.
const connections = 4

// add stores memories with numbers from first to last, less one. A server that
// was killed and is back is no reason to fail.
func (w *world) add(name string, first, last int) {
	w.t.Helper()
	if _, err := w.store.Add(w.t.Context(), scope, entries(name, first, last), nil); err != nil {
		w.t.Fatal(err)
	}
}

// ask runs a query that gives one number, behind the store.
func (w *world) ask(sql string) (n int64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for try := 0; ; try++ {
		var err error
		if w.conn == nil || w.conn.IsClosed() {
			w.conn, err = pgx.Connect(ctx, w.postgres.DSN(cluster.Superuser))
		}
		if err == nil {
			err = w.conn.QueryRow(ctx, sql).Scan(&n)
		}
		if err == nil {
			return n
		}
		if try == 1 || errors.Is(err, context.DeadlineExceeded) { // the first time, the server may have been killed since
			w.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// settled waits until the outbox is empty but for the dead.
func (w *world) settled() {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for w.ask("SELECT count(*) FROM outbox WHERE NOT dead") > 0 {
		if time.Now().After(deadline) {
			w.t.Fatalf("after %v, %d rows are left: %d claimed, %d handed over", patience, w.ask("SELECT count(*) FROM outbox WHERE NOT dead"),
				w.ask("SELECT count(*) FROM outbox WHERE claimed_until > now()"), w.ask("SELECT count(*) FROM outbox WHERE handed_at IS NOT NULL"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// verify holds what must be true whatever was killed: each memory has its
// vector, of its version, and none has one that is not there.
func (w *world) verify(m outbox.Model, memories int64) (again int) {
	w.t.Helper()
	vectors := fmt.Sprintf("embedding_%d", m.ID)
	for sql, want := range map[string]int64{
		"SELECT count(*) FROM memories":   memories,
		"SELECT count(*) FROM " + vectors: memories,
		"SELECT count(*) FROM outbox":     0,
		"SELECT count(*) FROM memories m LEFT JOIN " + vectors + " e ON e.memory_id = m.id WHERE e.memory_version IS DISTINCT FROM 1": 0,
	} {
		if got := w.ask(sql); got != want {
			w.t.Errorf("%s: %d, not %d", sql, got, want)
		}
	}
	times, _ := w.provider.Times()
	for text, n := range times {
		if text != "ok" { // what the worker tries the provider with
			again += n - 1
		}
	}
	return again
}
