package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// place is where a memory stands in its session or task; context is nil for
// one that is in neither.
type place struct {
	context *uuid.UUID
	ordinal int64
}

// Verify notes that a reviewer found the memory true.
//
// Here and below, version is the one that the change is meant for: another one
// is [memory.ErrVersion], and 0 takes any. A memory whose state forbids the
// change is [memory.ErrConflict].
func (s *Store) Verify(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) (memory.Memory, error) {
	m, err := s.change(ctx, scope, "VerifyMemory", id, version)
	return m, failed(err, "verify memory %s of %s", id, scope)
}

// Reject takes the memory out of all normal retrievals, and its text out of its
// neighbours.
func (s *Store) Reject(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, reason memory.Reason) (memory.Memory, error) {
	m, err := s.change(ctx, scope, "RejectMemory", id, version, string(reason))
	return m, failed(err, "reject memory %s of %s", id, scope)
}

// Promote makes the memory one of another class. Whether it may be is for the
// caller to say, of the version that it names; see [memory.CheckPromotion].
func (s *Store) Promote(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, to memory.Type) (memory.Memory, error) {
	m, err := s.change(ctx, scope, "PromoteMemory", id, version, string(to))
	return m, failed(err, "promote memory %s of %s to %s", id, scope, to)
}

// Supersede notes that another memory of the scope has taken this one's place.
func (s *Store) Supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, by uuid.UUID) (memory.Memory, error) {
	m, err := s.change(ctx, scope, "SupersedeMemory", id, version, by)
	return m, failed(err, "let memory %s of %s take the place of %s", by, scope, id)
}

// Delete removes the memory with its vectors, its words in every index, its
// jobs, its links and what its neighbours have of it. Events keep its id.
func (s *Store) Delete(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) error {
	_, err := s.change(ctx, scope, "DeleteMemory", id, version)
	return failed(err, "delete memory %s of %s", id, scope)
}

// change runs an update of one memory, which answers with its place, and lets
// the neighbours know. It returns the memory as it is then.
func (s *Store) change(ctx context.Context, scope memory.Scope, name string, id uuid.UUID, version int, args ...any) (memory.Memory, error) {
	number, err := s.scopeID(ctx, scope)
	if err != nil {
		return memory.Memory{}, err
	}
	if number == 0 {
		return memory.Memory{}, memory.ErrNotFound
	}
	var changed []memory.Memory
	err = s.within(ctx, number, func(tx pgx.Tx) error {
		_, context, err := state(ctx, tx, number, id)
		if err != nil {
			return err
		}
		if context != nil {
			if _, err := tx.Exec(ctx, query("LockContexts"), number, []uuid.UUID{*context}); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, query(name), append([]any{number, id, version}, args...)...)
		if err != nil {
			return err
		}
		places, err := pgx.CollectRows(rows, scanPlace)
		if err != nil {
			return err
		}
		if len(places) == 0 {
			// It may have changed between the two statements.
			is, _, err := state(ctx, tx, number, id)
			if err != nil {
				return err
			}
			if version != 0 && is != version {
				return memory.ErrVersion
			}
			return memory.ErrConflict
		}
		if err := rebuild(ctx, tx, number, places); err != nil {
			return err
		}
		if name == "DeleteMemory" {
			return nil
		}
		rows, err = tx.Query(ctx, query("Memory"), number, id)
		if err != nil {
			return err
		}
		changed, err = pgx.CollectRows(rows, scanMemory)
		return err
	})
	if err != nil || len(changed) == 0 {
		return memory.Memory{}, err
	}
	return changed[0], nil
}

func state(ctx context.Context, tx pgx.Tx, scope int32, id uuid.UUID) (version int, context *uuid.UUID, err error) {
	err = tx.QueryRow(ctx, query("MemoryState"), scope, id).Scan(&version, &context)
	if errors.Is(err, pgx.ErrNoRows) {
		err = memory.ErrNotFound
	}
	return version, context, err
}

func scanPlace(row pgx.CollectableRow) (place, error) {
	var p place
	err := row.Scan(&p.context, &p.ordinal)
	return p, err
}

// changePlaces runs an update of several memories, which answers with their
// places, and lets the neighbours know.
func changePlaces(ctx context.Context, tx pgx.Tx, scope int32, name string, args ...any) error {
	rows, err := tx.Query(ctx, query(name), args...)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, scanPlace)
	if err != nil {
		return err
	}
	return rebuild(ctx, tx, scope, places)
}

// rebuild gives the neighbours of the places each other's texts anew. Their
// sessions and tasks are held by the transaction.
func rebuild(ctx context.Context, tx pgx.Tx, scope int32, places []place) error {
	var contexts []uuid.UUID
	var ordinals []int64
	for _, p := range places {
		if p.context != nil {
			contexts, ordinals = append(contexts, *p.context), append(ordinals, p.ordinal)
		}
	}
	if len(contexts) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, query("RebuildContext"), scope, contexts, ordinals)
	if err != nil {
		return err
	}
	type neighbour struct {
		ID                     uuid.UUID
		Previous, Next, Around string
	}
	near, err := pgx.CollectRows(rows, pgx.RowToStructByPos[neighbour])
	if err != nil || len(near) == 0 {
		return err
	}
	var b pgx.Batch
	for _, n := range near {
		b.Queue(query("SetContext"), scope, n.ID, n.Previous, n.Next, n.Around)
	}
	return tx.SendBatch(ctx, &b).Close()
}

// expireBatch bounds a transaction of Expire.
const expireBatch = 500

// Expire marks the memories, in all scopes, that have outlived their TTL at an
// instant, and takes their texts out of their neighbours. It says how many.
func (s *Store) Expire(ctx context.Context, at time.Time) (int64, error) {
	var total int64
	for {
		n, err := s.expire(ctx, at)
		total += n
		if err != nil || n == 0 {
			return total, failed(err, "expire memories")
		}
	}
}

func (s *Store) expire(ctx context.Context, at time.Time) (n int64, err error) {
	err = s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("DueMemories"), at, expireBatch)
		if err != nil {
			return err
		}
		ids, contexts := map[int32][]uuid.UUID{}, map[int32][]uuid.UUID{}
		var scope int32
		var id uuid.UUID
		var context *uuid.UUID
		_, err = pgx.ForEachRow(rows, []any{&scope, &id, &context}, func() error {
			n++
			ids[scope] = append(ids[scope], id)
			if context != nil {
				contexts[scope] = append(contexts[scope], *context)
			}
			return nil
		})
		if err != nil {
			return err
		}
		// In one order, or two calls could wait for each other.
		for _, scope := range slices.Sorted(maps.Keys(ids)) {
			if _, err := tx.Exec(ctx, query("LockContexts"), scope, contexts[scope]); err != nil {
				return err
			}
			if err := changePlaces(ctx, tx, scope, "ExpireMemories", scope, ids[scope], at); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// RemoveExpired deletes up to most memories, in all scopes, whose TTL ended
// before an instant and that are marked so, and says how many.
func (s *Store) RemoveExpired(ctx context.Context, before time.Time, most int) (int64, error) {
	var n int64
	err := s.across(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, query("RemoveExpired"), before, most)
		n = tag.RowsAffected()
		return err
	})
	return n, failed(err, "remove expired memories")
}
