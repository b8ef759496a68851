package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
)

// Latest is the number of the last migration.
func Latest() int { return latestMigration() }

// Mirrored counts the scopes that are kept at hand.
func Mirrored(s *Store) int { return len(s.mirror.scopes) }

// MirroredScopes are they, and MirroredBytes what they take.
func MirroredScopes(s *Store) []int32 { return slices.Sorted(maps.Keys(s.mirror.scopes)) }
func MirroredBytes(s *Store) int64    { return s.mirror.bytes }

// LooseRows counts the memories of large scopes that are kept at hand.
func LooseRows(s *Store) int { return s.mirror.loose.order.Len() }

// Age makes the memories of large scopes that are kept at hand older.
func Age(s *Store, by time.Duration) { s.mirror.loose.since = s.mirror.loose.since.Add(-by) }

// KeptLate counts what is kept of a memory that was fetched before something was
// forgotten, and kept after.
func KeptLate(s *Store) int {
	before := s.mirror.forgets()
	s.mirror.forget(1)
	row := &mirrorRow{id: uuid.New()}
	row.candidate.Words, _ = rank.Read(nil)
	s.mirror.keep(1, map[uuid.UUID]*mirrorRow{row.id: row}, before)
	return LooseRows(s)
}

// Connections is the most that a store opens.
func Connections(s *Store) int32 { return s.pool.Config().MaxConns }

// QueryNames are the names of all queries.
func QueryNames() []string {
	var names []string
	for name := range queries() {
		names = append(names, name)
	}
	return names
}

// MigrateTo stops after a number of migrations.
func MigrateTo(ctx context.Context, dsn string, n int) error {
	return migrate(ctx, dsn, migrations()[:n])
}

// MigrateWith adds a migration to those that there are.
func MigrateWith(ctx context.Context, dsn, sql string) error {
	all := append([]migration{}, migrations()...)
	return migrate(ctx, dsn, append(all, migration{len(all) + 1, "extra", sql}))
}

// ReadMigrations is readMigrations.
var ReadMigrations = readMigrations

// Sabotaged runs a statement as a query builder would that forgot the scope: in
// a transaction that has declared one.
func (s *Store) Sabotaged(ctx context.Context, scope memory.Scope, statement string, args ...any) ([]string, error) {
	number, err := s.makeScope(ctx, scope)
	if err != nil {
		return nil, err
	}
	var found []string
	err = s.within(ctx, number, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return found, err
}

// Undeclared runs a statement in no scope.
func (s *Store) Undeclared(ctx context.Context, statement string) ([]string, error) {
	rows, err := s.pool.Query(ctx, statement)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Number is the number of a scope.
func (s *Store) Number(ctx context.Context, scope memory.Scope) (int32, error) {
	return s.makeScope(ctx, scope)
}

// Forget drops what is known of the sizes of scopes.
func (s *Store) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = map[int32]size{}
}

// Explain is the plan of a search that goes by the indexes, or doesn't.
func (s *Store) Explain(ctx context.Context, q Question, wide, indexed bool) (string, error) {
	number, err := s.makeScope(ctx, q.Scope)
	if err != nil {
		return "", err
	}
	r := search{scope: number, question: q, model: q.Model, wide: wide, indexed: indexed}
	text := ""
	err = s.within(ctx, number, func(tx pgx.Tx) error {
		name, args := "NearestExact", append(r.filters(), nearestMost)
		if indexed {
			name = "NearestIndexed"
			if _, err := tx.Exec(ctx, query("IndexSearch")); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, "EXPLAIN "+queryOf(name, q.Model), args...)
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, l := range lines {
			text += l + "\n"
		}
		return err
	})
	return text, err
}

// Bands and Similarity are those of near duplicates.
var (
	Bands      = bands
	Similarity = similarity
)
