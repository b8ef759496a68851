package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// indexFrom is how many vectors of a model are worth an index.
const indexFrom = 5000

// Upkeep does what makes large scopes quick: it counts the words of those that
// have grown by a tenth since they were last counted, and gives an index to the
// vectors of models that have many. It is meant to be called every minute or
// so, by every process: while one works, the others have nothing to do. Nothing
// that is found depends on it.
func (s *Store) Upkeep(ctx context.Context) error {
	err := s.across(ctx, func(tx pgx.Tx) error {
		var ours bool
		if err := tx.QueryRow(ctx, query("LockStatistics")).Scan(&ours); err != nil || !ours {
			return err
		}
		rows, err := tx.Query(ctx, query("StaleScopes"), s.options.Narrow)
		if err != nil {
			return err
		}
		type stale struct {
			Scope int32
			N     int64
		}
		scopes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stale])
		if err != nil {
			return err
		}
		for _, sc := range scopes {
			if err := refresh(ctx, tx, sc.Scope); err != nil {
				return err
			}
		}
		return s.indexVectors(ctx, tx)
	})
	return failed(err, "keep statistics and indexes up")
}

func refresh(ctx context.Context, tx pgx.Tx, scope int32) error {
	var vectors string
	if err := tx.QueryRow(ctx, query("StatisticsOf"), scope).Scan(&vectors); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, query("RefreshTerms"), scope, vectors); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, query("RefreshStatistics"), scope)
	return err
}

func (s *Store) indexVectors(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, query("UnindexedModels"))
	if err != nil {
		return err
	}
	models, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return err
	}
	for _, model := range models {
		var n int64
		if err := tx.QueryRow(ctx, queryOf("CountVectors", model), indexFrom).Scan(&n); err != nil {
			return err
		}
		if n < indexFrom {
			continue
		}
		if _, err := tx.Exec(ctx, query("IndexVectors"), model); err != nil {
			return err
		}
	}
	return nil
}
