package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/cluster"
	embedder "github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/rank"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

//go:embed peer.py
var peerProgram []byte

// scale measures one size.
type scale struct {
	options
	size         int
	program, dir string
	out          io.Writer

	cluster  *cluster.Cluster
	binaries string
	narrows  int
}

// owner connects as the owner of the tables, whom everything is allowed to.
func (s *scale) owner() string { return s.cluster.DSN(cluster.Owner) }

func (s *scale) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	prefix, err := postgres.Prefix()
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(prefix, "usr/lib/postgresql/*/bin"))
	if err != nil || len(found) != 1 {
		return errors.Join(fmt.Errorf("%d versions of Postgres in %s: remove the folder and run scripts/database", len(found), prefix), err)
	}
	s.binaries = found[0]
	// As memory-api starts its own: what is committed is on the disk.
	s.cluster, err = cluster.Start(ctx, cluster.Config{
		Dir: filepath.Join(s.dir, "pg"), Binaries: s.binaries, Credential: postgres.Credential(), StartTimeout: 5 * time.Minute,
		Settings: map[string]string{"max_connections": "200"}, // everybody's pools are open at once
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cluster.Stop()) }()
	if err := store.Migrate(ctx, s.owner()); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%d memories\n", s.size)
	// What says that a kept database is whole.
	filled := filepath.Join(s.dir, "filled")
	s.narrows = (s.size - s.size/2 + narrowRows - 1) / narrowRows
	if _, err := os.Stat(filled); err != nil {
		if err := s.fill(ctx); err != nil {
			return err
		}
		if err := os.WriteFile(filled, nil, 0o600); err != nil {
			return err
		}
	}
	return s.measure(ctx)
}

// exec runs a statement as the server's superuser.
func (s *scale) exec(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.cluster.DSN(cluster.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, query(name))
	return err
}

// fill loads the database and says what it took.
func (s *scale) fill(ctx context.Context) error {
	if err := s.exec(ctx, "OneLogin"); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Options{DSN: s.cluster.DSN(cluster.Service)})
	if err != nil {
		return err
	}
	defer db.Close()
	l := loader{dsn: s.owner(), workers: s.workers}
	if s.vectors {
		builtin, err := embedder.NewBuiltin()
		if err != nil {
			return err
		}
		model, err := db.EnsureModel(ctx, outbox.Model{
			Name: builtin.Model(), Provider: "builtin", Dimensions: builtin.Dimensions(), Weight: rank.Defaults().Vector, State: outbox.Active,
		})
		if err != nil {
			return err
		}
		l.model, l.embedder = model.ID, builtin
	}
	begin := time.Now()
	if err := l.load(ctx, s.size); err != nil {
		return err
	}
	loaded := time.Now()
	if err := db.Upkeep(ctx); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.owner())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var memories, bands, vectors, all int64
	if err := conn.QueryRow(ctx, query("Sizes")).Scan(&memories, &bands, &vectors, &all); err != nil {
		return err
	}
	n := int64(s.size)
	fmt.Fprintf(s.out, "loaded in %.1f s (%.0f a second), upkeep %.1f s\n", loaded.Sub(begin).Seconds(),
		float64(s.size)/loaded.Sub(begin).Seconds(), time.Since(loaded).Seconds())
	fmt.Fprintf(s.out, "on the disk, a memory: %d bytes (its row and indexes %d, bands %d, vector %d); the whole database %d MiB\n",
		(memories+bands+vectors)/n, memories/n, bands/n, vectors/n, all>>20)
	return nil
}

// questions are the same for everybody: how many, and of which kinds of scope.
const questions = 100

func (s *scale) asks(kind string) []ask {
	w := newWriter(uint64(s.size))
	all := make([]ask, questions)
	for i := range all {
		all[i] = ask{wide, w.question()}
		if kind == "narrow" {
			all[i].scope = narrow(i % s.narrows)
		}
	}
	return all
}

// api starts memory-api on the database.
func (s *scale) api(ctx context.Context) (*process, error) {
	provider := "none"
	if s.vectors {
		provider = "builtin"
	}
	path, socket := filepath.Join(s.dir, "dubnium.toml"), filepath.Join(s.dir, "api.sock")
	text := fmt.Sprintf("[memory.api]\nsocket = %q\nport = 0\n[memory.database]\ndsn = %q\n[memory.artifacts]\ndirectory = %q\n[memory.embeddings]\nprovider = %q\n",
		socket, s.owner(), filepath.Join(s.dir, "artifacts"), provider)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, "/readyz", socket, exec.Command(s.program, "--config", path))
}

// python is Debian's, which has the peer's packages.
const python = "/usr/bin/python3"

func (s *scale) startPeer(ctx context.Context) (*process, error) {
	socket := filepath.Join(s.dir, "peer.sock")
	if err := os.WriteFile(filepath.Join(s.dir, "peer.py"), peerProgram, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(python, "-m", "uvicorn", "--app-dir", s.dir, "--uds", socket, "--workers", strconv.Itoa(s.workers),
		"--log-level", "warning", "--no-access-log", "peer:app")
	values := []string{
		"{scope}", "%(scope)s", "{question}", "%(question)s", "{most}", "%(most)s", "{id}", "%(id)s", "{hits}", "%(hits)s",
	}
	cmd.Env = append(os.Environ(), "PEER_DSN="+s.owner(), "PEER_CONNECTIONS=8", "PYTHONDONTWRITEBYTECODE=1",
		"PEER_LOOKUP="+fill("Lookup", append(values, "{terms}", "")...), "PEER_CANDIDATES="+fill("Lookup", append(values, "{terms}", lookupTerms)...),
		"PEER_RECORD="+fill("Record", values...))
	return start(ctx, "/openapi.json", socket, cmd)
}

func (s *scale) measure(ctx context.Context) (err error) {
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, api.stop()) }()
	var peer *process
	if s.peer {
		if peer, err = s.startPeer(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, peer.stop()) }()
	}
	db, err := store.Open(ctx, store.Options{DSN: s.cluster.DSN(cluster.Service), Connections: 32})
	if err != nil {
		return err
	}
	defer db.Close()
	for _, kind := range []string{"narrow", "wide"} {
		if err := s.retrieval(ctx, kind, db, api, peer); err != nil {
			return err
		}
	}
	if err := s.storing(ctx, api); err != nil {
		return err
	}
	if err := api.stop(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "memory-api with the load behind it: at most %.0f MiB resident\n", api.peak())
	return s.starting(ctx)
}

// starting measures the start of memory-api on the filled database.
func (s *scale) starting(ctx context.Context) error {
	var times []time.Duration
	least := 0.0
	const starts = 5
	for range starts {
		p, err := s.api(ctx)
		if err != nil {
			return err
		}
		if err := p.stop(); err != nil {
			return err
		}
		times = append(times, p.took)
		if least == 0 || p.peak() < least {
			least = p.peak()
		}
	}
	f := summarise(times, time.Second)
	fmt.Fprintf(s.out, "memory-api idle: ready after %.0f ms (the middle of %d starts), %.0f MiB resident\n", ms(f.p50), starts, least)
	return nil
}

// retrieval asks the questions of a kind of scope in every way.
func (s *scale) retrieval(ctx context.Context, kind string, db *store.Store, api, peer *process) (err error) {
	all := s.asks(kind)
	bodies := make([][]byte, len(all))
	for i, q := range all {
		var err error
		if bodies[i], err = json.Marshal(memory.Retrieve{Query: q.text, Scope: q.scope, Limit: 10}); err != nil {
			return err
		}
	}
	post := func(p *process, path string) operation {
		return func(ctx context.Context, client, n int) error {
			return p.post(ctx, path, bodies[(client*7+n)%len(bodies)])
		}
	}
	hand := byHand{program: filepath.Join(s.binaries, "pgbench"), dsn: s.owner(), dir: s.dir}
	rows := narrowRows
	if kind == "wide" {
		rows = s.size / 2
	}
	fmt.Fprintf(s.out, "\n%s scopes of %d\n", kind, rows)
	candidates := func(ctx context.Context, client, n int) error {
		q := all[(client*7+n)%len(all)]
		_, err := db.Candidates(ctx, store.Question{
			Scope: q.scope, Text: q.text, Filters: memory.Filters{AllowedSensitivity: []string{memory.DefaultSensitivity}}, AsOf: time.Now(),
		})
		return err
	}
	// Each way begins warm: what a first question takes is told apart.
	if _, err := hand.run(ctx, 1, s.span, all); err != nil {
		return err
	}
	ways := []way{{"candidates", candidates}, {"memory-api", post(api, "/memory/retrieve")}}
	if peer != nil {
		ways = append(ways, way{"peer", post(peer, "/lookup")})
	}
	for _, w := range ways {
		first, err := once(ctx, len(all), w.do)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "the first time, %s: p50 %.2f ms, p95 %.2f ms\n", w.name, ms(first.p50), ms(first.p95))
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer func() { err = errors.Join(err, t.Flush()) }() // also what was measured before an error
	fmt.Fprintln(t, "way\tclients\tp50\tp95\tp99\ta second\tp50 against by hand\tmemory-api's rate against this")
	for _, clients := range s.clients {
		byHand, err := hand.run(ctx, clients, s.span, all)
		if err != nil {
			return err
		}
		// What memory-api answers in the time in which this way answers one.
		row := func(name string, f, api figures) {
			fmt.Fprintf(t, "%s\t%d\t%s\t%.2f", name, clients, f, float64(f.p50)/float64(byHand.p50))
			if api.rate > 0 {
				fmt.Fprintf(t, "\t%.1f", api.rate/f.rate)
			}
			fmt.Fprintln(t)
		}
		row("by hand", byHand, figures{})
		found, err := drive(ctx, clients, s.span, candidates)
		if err != nil {
			return err
		}
		row("candidates", found, figures{})
		whole, err := drive(ctx, clients, s.span, post(api, "/memory/retrieve"))
		if err != nil {
			return err
		}
		if peer == nil {
			row("memory-api", whole, figures{})
			continue
		}
		lookup, err := drive(ctx, clients, s.span, post(peer, "/lookup"))
		if err != nil {
			return err
		}
		candidates, err := drive(ctx, clients, s.span, post(peer, "/candidates"))
		if err != nil {
			return err
		}
		event, err := drive(ctx, clients, s.span, post(peer, "/retrieve"))
		if err != nil {
			return err
		}
		for _, w := range []struct {
			name string
			f    figures
		}{{"memory-api", whole}, {"peer", lookup}, {"peer+event", event}, {"peer 400", candidates}} {
			row(w.name, w.f, whole)
		}
	}
	return nil
}

// storing stores memories of a scope of its own, one and a hundred at a time.
func (s *scale) storing(ctx context.Context, api *process) error {
	fmt.Fprintln(s.out, "\nstoring")
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "at a time\tclients\tp50\tp95\tp99\tmemories a second")
	for i, x := range []struct{ batch, clients int }{{1, 1}, {1, 8}, {100, 1}, {100, 4}} {
		writers := make([]*writer, x.clients)
		for c := range writers {
			writers[c] = newWriter(uint64(1_000_000 + 100*i + c))
		}
		draft := func(c int) memory.Draft {
			return memory.Draft{MemoryType: memory.Episodic, Summary: writers[c].sentence(), Scope: "project:stored", Source: "conversation", Provenance: memory.Object{"origin": "memorybench"}}
		}
		f, err := drive(ctx, x.clients, s.span, func(ctx context.Context, client, _ int) error {
			var body any = draft(client)
			path := "/memory/store"
			if x.batch > 1 {
				b := memory.StoreBatch{}
				for range x.batch {
					b.Memories = append(b.Memories, draft(client))
				}
				body, path = b, "/memory/store-batch"
			}
			text, err := json.Marshal(body)
			if err != nil {
				return err
			}
			return api.post(ctx, path, text)
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%d\t%d\t%.2f\t%.2f\t%.2f\t%.0f\n", x.batch, x.clients, ms(f.p50), ms(f.p95), ms(f.p99), f.rate*float64(x.batch))
	}
	return t.Flush()
}
