// Package store keeps memories in Postgres. Every statement names the scope
// that it is about, and row security holds each transaction to the scopes that
// it has declared: a statement that forgot its scope finds nothing.
//
// A scope's statements run as the role [Role], which owns nothing. What is done
// across scopes (embedding, expiry, statistics, an operator's lists) takes on
// another role for its transaction, and is marked so below.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Role is what the service speaks as.
const Role = "dubnium_memory"

// upkeepRole sees all scopes.
const upkeepRole = "dubnium_memory_upkeep"

// Options say which database, and how.
type Options struct {
	// DSN is a connection string or URL; see package pgxpool for its options.
	DSN string
	// Connections bounds the pool; 0 is what the DSN says by pool_max_conns, or
	// as many as there are processors, and 4 at least. More would not make a
	// database on the same machine faster, and each new one first has to map the
	// memory that it shares: of a gigabyte, a second of a processor's time.
	Connections int32
	// Narrow is the most memories of a scope that is searched whole; 0 is
	// [DefaultNarrow].
	Narrow int64
	// LazyEvents lets an answer leave before its retrieval event is on the disk:
	// a crash of the server may lose the events of the last half second.
	LazyEvents bool
	// Mirror bounds the bytes of memories of small scopes that are kept at hand;
	// 0 is [DefaultMirror], less is none.
	Mirror int64
}

// Store is a pool of connections to the database. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	options  Options
	wake     *wake
	mirror   mirror
	recorder recorder

	mu     sync.Mutex
	scopes map[memory.Scope]int32
	sizes  map[int32]size
	// added counts what was stored; at learnAt the server looks at its tables.
	added, learnAt int64
}

// learnFirst is how many stored memories are worth the first look.
const learnFirst = 50

// Open connects and checks that the database is migrated and that its walls
// stand. It does not migrate; see [Migrate].
func Open(ctx context.Context, options Options) (*Store, error) {
	if options.Narrow == 0 {
		options.Narrow = DefaultNarrow
	}
	if options.Mirror == 0 {
		options.Mirror = DefaultMirror
	}
	config, err := pgxpool.ParseConfig(options.DSN)
	if err != nil {
		return nil, fmt.Errorf("read the database's connection string: %w", err)
	}
	if options.Connections > 0 {
		config.MaxConns = options.Connections
	}
	config.ConnConfig.RuntimeParams["application_name"] = "dubnium-memory"
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ShouldPing = askFirst
	if config.PingTimeout == 0 {
		config.PingTimeout = askWithin
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// One login may have been given for all.
		_, err := conn.Exec(ctx, query("AssumeRole"), Role)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{
		pool: pool, options: options,
		scopes: map[memory.Scope]int32{}, sizes: map[int32]size{}, learnAt: learnFirst,
		mirror: newMirror(options.Mirror),
	}
	s.wake = newWake(config.ConnConfig)
	s.wake.tell(s.notify)
	if err := s.checkWalls(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open the database: %w", explain(err))
	}
	return s, nil
}

// checkWalls makes sure that row security binds us and that the schema is the
// one that we were built with.
func (s *Store) checkWalls(ctx context.Context) error {
	var super, bypass, owner bool
	var version int
	err := s.pool.QueryRow(ctx, query("CheckWalls")).Scan(&super, &bypass, &owner, &version)
	switch latest := latestMigration(); {
	case err != nil:
		return err
	case super || bypass || owner:
		return fmt.Errorf("%s is a superuser, bypasses row security, or owns the tables: take those rights away, or scopes are not walled off", Role)
	case version != latest:
		return fmt.Errorf("its schema is version %d, and this program's is %d: migrate it, or install the program that fits", version, latest)
	}
	return nil
}

// Close ends all connections.
func (s *Store) Close() {
	s.wake.close()
	s.pool.Close()
}

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return explain(s.pool.Ping(ctx)) }

// scopeID is the number of a scope, 0 when nothing was ever stored in it.
func (s *Store) scopeID(ctx context.Context, scope memory.Scope) (int32, error) {
	return s.scopeNumber(ctx, scope, "ScopeID")
}

// makeScope is the number of a scope, which it makes where there is none.
func (s *Store) makeScope(ctx context.Context, scope memory.Scope) (int32, error) {
	id, err := s.scopeNumber(ctx, scope, "MakeScope")
	if err == nil && id == 0 { // another one made it meanwhile
		id, err = s.scopeID(ctx, scope)
	}
	if err == nil && id == 0 {
		err = fmt.Errorf("the scope was not made: %w", memory.ErrUnavailable)
	}
	return id, err
}

func (s *Store) scopeNumber(ctx context.Context, scope memory.Scope, name string) (int32, error) {
	id, ok := s.numbered(scope)
	if ok {
		return id, nil
	}
	err := s.pool.QueryRow(ctx, query(name), string(scope)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.scopes[scope] = id // a scope is never renamed or removed
	s.mu.Unlock()
	return id, nil
}

// numbered is the number of a scope that was asked for before.
func (s *Store) numbered(scope memory.Scope) (int32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.scopes[scope]
	return id, ok
}

// enter queues the statement that opens the transaction to one scope.
func enter(b *pgx.Batch, scope int32) {
	b.Queue(query("EnterScope"), declared(scope), Role)
}

// declared is how a transaction declares one scope.
func declared(scope int32) string { return "{" + strconv.Itoa(int(scope)) + "}" }

// read runs one query inside a scope: one round trip, one transaction. Its rows
// go to scan.
func (s *Store) read(ctx context.Context, scope int32, name string, scan func(pgx.Rows) error, args ...any) error {
	var b pgx.Batch
	enter(&b, scope)
	b.Queue(query(name), args...).Query(scan)
	return s.pool.SendBatch(ctx, &b).Close()
}

// within runs f in a transaction inside a scope.
func (s *Store) within(ctx context.Context, scope int32, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, query("EnterScope"), declared(scope), Role); err != nil {
			return err
		}
		return f(tx)
	})
}

// across runs f in a transaction over all scopes.
func (s *Store) across(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, query("AssumeRoleLocally"), upkeepRole); err != nil {
			return err
		}
		return f(tx)
	})
}

// scanOne is a scan of at most one row; without one it is ErrNotFound.
func scanOne(dest ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		defer rows.Close()
		if !rows.Next() {
			if err := rows.Err(); err != nil {
				return err
			}
			return memory.ErrNotFound
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	}
}

// scanAll is a scan of every row.
func scanAll[T any](all *[]T, one func(pgx.CollectableRow) (T, error)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var err error
		*all, err = pgx.AppendRows(*all, rows, one)
		return err
	}
}

// The SQLSTATE codes that callers tell apart; see Postgres, appendix A.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	insufficientRights  = "42501"
	undefinedTable      = "42P01"
)

// away are the classes of codes of a server that can't serve now: connection
// exceptions, too few resources, an operator's intervention such as a stop, and
// errors of its system.
var away = []string{"08", "53", "57", "58"}

// lost is true of a connection that ended in the middle of something, as when
// the server's process dies.
func lost(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &network)
}

// explain gives an error of the database the meaning that callers branch on.
func explain(err error) error {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &connect), lost(err):
		return fmt.Errorf("%w: %w", memory.ErrUnavailable, err)
	case errors.As(err, &pg):
		switch {
		case pg.Code == uniqueViolation:
			return fmt.Errorf("%w: %w", memory.ErrConflict, err)
		case pg.Code == foreignKeyViolation:
			return fmt.Errorf("%w (%s): %w", memory.ErrNotFound, pg.ConstraintName, err)
		case pg.Code == undefinedTable:
			return fmt.Errorf("%w: migrate the database first", err)
		case slices.Contains(away, pg.Code[:min(2, len(pg.Code))]):
			return fmt.Errorf("%w: %w", memory.ErrUnavailable, err)
		}
	case pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %w", memory.ErrUnavailable, err)
	}
	return err
}

// failed is explain with what was tried.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, explain(err))...)
}
