package store

import (
	"context"
	"errors"
	"fmt"
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

// Verify notes that a reviewer found the memory true. One that was rejected, and
// whose content was stored again since, is [memory.ErrConflict].
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

// Supersede stores an entry in the place of a live memory of the scope, as Add
// does, in one transaction. An entry that says what the memory says already is
// [memory.ErrSame].
func (s *Store) Supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, e Entry) (memory.Stored, error) {
	stored, err := s.supersede(ctx, scope, id, version, e)
	if err != nil {
		return memory.Stored{}, failed(err, "store a memory in the place of %s of %s", id, scope)
	}
	s.wake.now()
	return stored, nil
}

func (s *Store) supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, e Entry) (memory.Stored, error) {
	number, err := s.scopeID(ctx, scope)
	if err != nil {
		return memory.Stored{}, err
	}
	if number == 0 {
		return memory.Stored{}, memory.ErrNotFound
	}
	r, err := newRecord(0, e)
	if err != nil {
		return memory.Stored{}, err
	}
	var stored memory.Stored
	err = s.within(ctx, number, func(tx pgx.Tx) error {
		_, context, err := state(ctx, tx, number, id)
		if err != nil {
			return err
		}
		a := adding{tx: tx, scope: number, records: []record{r}, answers: make([]memory.Stored, 1)}
		if context != nil {
			a.beside = []uuid.UUID{*context}
		}
		if err := a.run(ctx); err != nil {
			return err
		}
		stored = a.answers[0]
		if stored.ID == id {
			return memory.ErrSame
		}
		return changeOne(ctx, tx, number, "SupersedeMemory", id, version, stored.ID)
	})
	if err != nil {
		return memory.Stored{}, err
	}
	s.learn(ctx, number, 1)
	return stored, nil
}

// Delete removes the memory with its vectors, its words in every index, its
// jobs, its links and what its neighbours have of it. Events keep its id.
func (s *Store) Delete(ctx context.Context, scope memory.Scope, id uuid.UUID, version int) error {
	_, err := s.change(ctx, scope, "DeleteMemory", id, version)
	if number, ok := s.numbered(scope); ok && err == nil {
		s.mirror.forget(number)
	}
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
		switch name {
		case "VerifyMemory":
			err = distinct(ctx, tx, number, id, "")
		case "PromoteMemory":
			err = distinct(ctx, tx, number, id, fmt.Sprint(args...))
		}
		if err != nil {
			return err
		}
		if err := changeOne(ctx, tx, number, name, id, version, args...); err != nil {
			return err
		}
		if name == "DeleteMemory" {
			return nil
		}
		rows, err := tx.Query(ctx, query("Memory"), number, id)
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

// changeOne runs the update inside a transaction that holds the memory's session
// or task.
func changeOne(ctx context.Context, tx pgx.Tx, scope int32, name string, id uuid.UUID, version int, args ...any) error {
	rows, err := tx.Query(ctx, query(name), append([]any{scope, id, version}, args...)...)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, scanPlace)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		// It may have changed between the two statements.
		is, _, err := state(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if version != 0 && is != version {
			return memory.ErrVersion
		}
		return memory.ErrConflict
	}
	return rebuild(ctx, tx, scope, places)
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
	if n > 0 {
		s.mirror.forget()
	}
	return n, failed(err, "remove expired memories")
}
