package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Total counts the memories of a kind, in all scopes.
type Total struct {
	Type       memory.Type
	Validation memory.Validation
	Status     memory.Status
	Memories   int64
}

// Totals is what the database holds, in all scopes.
type Totals struct {
	Memories                                   []Total
	Scopes, Sessions, Tasks, Artifacts, Events int64
	// SizeBytes is what the database takes on the disk.
	SizeBytes int64
}

// Totals counts what the database holds. It reads every memory's row.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	var t Totals
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("Totals"))
		if err != nil {
			return err
		}
		if t.Memories, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Total]); err != nil {
			return err
		}
		return tx.QueryRow(ctx, query("Counts")).Scan(&t.Scopes, &t.Sessions, &t.Tasks, &t.Artifacts, &t.Events, &t.SizeBytes)
	})
	return t, failed(err, "count what the database holds")
}

// Scopes lists a page of all scopes in the order of their names, for operators
// only.
func (s *Store) Scopes(ctx context.Context, after memory.Scope, limit int) ([]memory.Scope, error) {
	rows, err := s.pool.Query(ctx, query("ListScopes"), string(after), limit)
	if err != nil {
		return nil, failed(err, "list the scopes")
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[memory.Scope])
	return found, failed(err, "list the scopes")
}
