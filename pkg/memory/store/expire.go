package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// ExpireIn is Expire of one scope.
func (s *Store) ExpireIn(ctx context.Context, scope memory.Scope, at time.Time) (int64, error) {
	number, err := s.scopeID(ctx, scope)
	if err != nil || number == 0 {
		return 0, failed(err, "expire memories of %s", scope)
	}
	var total int64
	for {
		n, err := s.expireIn(ctx, number, at)
		total += n
		if err != nil || n == 0 {
			return total, failed(err, "expire memories of %s", scope)
		}
	}
}

func (s *Store) expireIn(ctx context.Context, scope int32, at time.Time) (n int64, err error) {
	err = s.within(ctx, scope, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("DueMemoriesIn"), scope, at, expireBatch)
		if err != nil {
			return err
		}
		var ids, contexts []uuid.UUID
		var id uuid.UUID
		var context *uuid.UUID
		_, err = pgx.ForEachRow(rows, []any{&id, &context}, func() error {
			ids = append(ids, id)
			if context != nil {
				contexts = append(contexts, *context)
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		n = int64(len(ids))
		if _, err := tx.Exec(ctx, query("LockContexts"), scope, contexts); err != nil {
			return err
		}
		return changePlaces(ctx, tx, scope, "ExpireMemories", scope, ids, at)
	})
	return n, err
}
