package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Key makes a write repeatable: the second call of a caller with the same key
// does nothing and gets the first one's answer. The key and the write commit
// together. The same key with another request is [memory.ErrConflict].
type Key struct {
	// Caller keeps the keys of callers apart.
	Caller string
	Key    string
	// Request is the digest of the request's body.
	Request [sha256.Size]byte
}

// kept is what stands for the key: callers make them of what they have at hand,
// which may be a secret.
func (k *Key) kept() string {
	sum := sha256.Sum256([]byte(k.Key))
	return hex.EncodeToString(sum[:])
}

// begin takes the key, or reads the answer that it stands for.
func (k *Key) begin(ctx context.Context, tx pgx.Tx, answer any) (done bool, err error) {
	tag, err := tx.Exec(ctx, query("BeginKey"), k.Caller, k.kept(), k.Request[:])
	if err != nil || tag.RowsAffected() == 1 {
		return false, err
	}
	var request, response []byte
	if err := tx.QueryRow(ctx, query("FindKey"), k.Caller, k.kept()).Scan(&request, &response); err != nil {
		return false, err
	}
	if !bytes.Equal(request, k.Request[:]) {
		return false, memory.ErrKeyReused
	}
	return true, json.Unmarshal(response, answer)
}

func (k *Key) end(ctx context.Context, tx pgx.Tx, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, query("EndKey"), k.Caller, k.kept(), text)
	return err
}

// RemoveKeys forgets the keys that were used before an instant, and says how
// many.
func (s *Store) RemoveKeys(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.across(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, query("RemoveKeys"), before)
		n = tag.RowsAffected()
		return err
	})
	return n, failed(err, "remove idempotency keys")
}
