// Package postgres gives tests a real Postgres with pgvector: one server for
// the tests of a package, and for each test a database of its own, which is a
// copy of a migrated one. No test sees another's rows.
//
//	func TestMain(m *testing.M) { postgres.Main(m) }
//
//	func TestStore(t *testing.T) {
//		db := postgres.New(t)
//		s := db.Open(t, store.Options{})
//
// With DUBNIUM_TEST_DSN, which is a superuser's, the server is the one that it
// names, and is left as it was found but for two roles.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// Database is that of one test.
type Database struct {
	// DSN is how the service connects, OwnerDSN how the owner of the tables does,
	// and AdminDSN a superuser.
	DSN, OwnerDSN, AdminDSN string
}

// server is what all tests of the process share.
type server struct {
	dir     string
	lock    *os.File
	cluster *cluster.Cluster
	// admin connects a superuser, service and owner the roles, to a database.
	admin, service, owner func(database string) string
	err                   error
}

var (
	running bool
	shared  server
	once    sync.Once
	count   atomic.Int64
)

// Main runs the tests of a package and stops the server after them.
func Main(m *testing.M) { Run(m) }

// Run is Main for a package whose TestMain has more to do; it gives the exit
// code of the tests.
func Run(m *testing.M) int {
	running = true
	code := m.Run()
	if err := shared.stop(); err != nil {
		// The verdict of the tests stands; what is left behind is told.
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// New makes a migrated database for the test, and drops it with it.
func New(t testing.TB) Database { return newDatabase(t, template) }

// Empty is New without any schema.
func Empty(t testing.TB) Database { return newDatabase(t, "template0") }

// Open opens a store on the database, and closes it with the test.
func (d Database) Open(t testing.TB, options store.Options) *store.Store {
	t.Helper()
	options.DSN = d.DSN
	s, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// template is the database that is migrated once and copied.
var template = fmt.Sprintf("dubnium_test_%d_template", os.Getpid())

// OneLogin lets the owner of the tables take the service's role on, as an
// administrator does who gives memory-api one login for all.
func (d Database) OneLogin(t testing.TB) {
	t.Helper()
	if err := shared.exec(t.Context(), "postgres", "GRANT "+cluster.Service+" TO "+cluster.Owner); err != nil {
		t.Fatal(err)
	}
}

func newDatabase(t testing.TB, from string) Database {
	t.Helper()
	if !running {
		t.Fatal("the package has no func TestMain(m *testing.M) { postgres.Main(m) }")
	}
	once.Do(func() { shared.err = shared.start(context.Background()) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := fmt.Sprintf("dubnium_test_%d_%d", os.Getpid(), count.Add(1))
	if err := shared.create(t.Context(), name, from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.exec(context.Background(), "postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return Database{DSN: shared.service(name), OwnerDSN: shared.owner(name), AdminDSN: shared.admin(name)}
}

// create makes a database of the owner's, with pgvector in it.
func (s *server) create(ctx context.Context, name, from string) error {
	err := s.exec(ctx, "postgres", fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE %s", name, cluster.Owner, from))
	if err != nil || from == template {
		return err
	}
	return s.exec(ctx, name, "CREATE EXTENSION vector")
}

// exec runs a statement as a superuser.
func (s *server) exec(ctx context.Context, database, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// settings trade what a test's data needs least, its survival, for time.
var settings = map[string]string{
	"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0",
	"shared_buffers": "64MB", "autovacuum": "off", "max_connections": "200",
}

func (s *server) start(ctx context.Context) error {
	if dsn := os.Getenv("DUBNIUM_TEST_DSN"); dsn != "" {
		if err := s.external(ctx, dsn); err != nil {
			return fmt.Errorf("use the Postgres of DUBNIUM_TEST_DSN: %w", err)
		}
	} else if err := s.private(ctx); err != nil {
		return err
	}
	if err := s.create(ctx, template, "template0"); err != nil {
		return err
	}
	return store.Migrate(ctx, s.owner(template))
}

// private starts a cluster in a folder of its own.
func (s *server) private(ctx context.Context) error {
	sweep()
	bin, err := binaries()
	if err != nil {
		return err
	}
	if s.dir, err = folder(); err != nil {
		return err
	}
	if s.lock, err = hold(s.dir); err != nil {
		return err
	}
	s.cluster, err = cluster.Start(ctx, cluster.Config{
		Dir: filepath.Join(s.dir, "pg"), Binaries: bin, Credential: Credential(), Settings: settings,
	})
	if err != nil {
		return err
	}
	as := func(role string) func(string) string {
		return func(database string) string { return s.cluster.URL(role, database) }
	}
	s.admin, s.owner, s.service = as(cluster.Superuser), as(cluster.Owner), as(cluster.Service)
	return nil
}

// external uses a server that is there. The store takes its role on by itself.
func (s *server) external(ctx context.Context, dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return errors.New("it is no URL (postgres://...)")
	}
	s.admin = func(database string) string {
		v := *u
		v.Path = "/" + database
		return v.String()
	}
	s.owner, s.service = s.admin, s.admin
	return s.exec(ctx, "postgres", `DO $$ BEGIN
		CREATE ROLE `+cluster.Owner+`;
	EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
}

func (s *server) stop() error {
	var errs []error
	if s.admin != nil && s.cluster == nil {
		errs = append(errs, s.exec(context.Background(), "postgres", "DROP DATABASE IF EXISTS "+template+" WITH (FORCE)"))
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// hold marks a folder as one that a process uses, until the process ends.
func hold(dir string) (*os.File, error) {
	f, err := os.Create(filepath.Join(dir, "in-use"))
	if err != nil {
		return nil, err
	}
	return f, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// sweep removes the folders of tests that were killed.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*", "in-use")) // the pattern is well-formed
	for _, path := range left {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path)) // the next one tries again
		}
		_ = f.Close() // read only
	}
}
