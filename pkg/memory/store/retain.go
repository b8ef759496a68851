package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// RemoveEvents deletes up to most retrieval events, in all scopes, that were
// recorded before an instant, with what they returned, and says how many.
func (s *Store) RemoveEvents(ctx context.Context, before time.Time, most int) (int64, error) {
	var n int64
	err := s.across(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, query("RemoveEvents"), before, most)
		n = tag.RowsAffected()
		return err
	})
	return n, failed(err, "remove old retrieval events")
}
