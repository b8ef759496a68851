package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ryjen/dubnium/pkg/memory"
)

func scanSession(row pgx.CollectableRow) (memory.Session, error) {
	var v memory.Session
	err := row.Scan(&v.ID, &v.Scope, &v.Title, &v.Metadata, &v.CreatedAt, &v.EndedAt, &v.Memories)
	v.CreatedAt, v.EndedAt = v.CreatedAt.UTC(), utc(v.EndedAt)
	return v, err
}

// AddSession makes a session. An id that the scope has already is
// [memory.ErrConflict], a [memory.ReferenceError].
func (s *Store) AddSession(ctx context.Context, scope memory.Scope, id uuid.UUID, title string, metadata memory.Object) (memory.Session, error) {
	var made memory.Session
	if metadata == nil {
		metadata = memory.Object{}
	}
	number, err := s.makeScope(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, query("AddSession"), number, id, title, metadata)
			if err == nil && tag.RowsAffected() == 0 {
				err = taken("session", id, "leave it out to get a new one, or store into that one by its session_id")
			}
			if err != nil {
				return err
			}
			made, err = one(ctx, tx, scanSession, "Session", number, id)
			return err
		})
	}
	return made, failed(err, "make session %s of %s", id, scope)
}

// Session reads a session.
func (s *Store) Session(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	found, err := readOne(ctx, s, scope, scanSession, "Session", id)
	return found, failed(err, "read session %s of %s", id, scope)
}

// Sessions lists a page of a scope's sessions, the oldest first.
func (s *Store) Sessions(ctx context.Context, scope memory.Scope, after Position, limit int) ([]memory.Session, error) {
	found, err := readAll(ctx, s, scope, scanSession, "ListSessions", after.instant(pgtype.NegativeInfinity), after.ID, limit)
	return found, failed(err, "list the sessions of %s", scope)
}

// EndSession notes that a session is over; one that is stays as it was. More
// can be stored in it all the same.
func (s *Store) EndSession(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	var ended memory.Session
	number, err := s.scopeID(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, query("EndSession"), number, id); err != nil {
				return err
			}
			ended, err = one(ctx, tx, scanSession, "Session", number, id)
			return err
		})
	}
	return ended, failed(err, "end session %s of %s", id, scope)
}

// one reads the one row of a query; none is ErrNotFound.
func one[T any](ctx context.Context, tx pgx.Tx, scan func(pgx.CollectableRow) (T, error), name string, args ...any) (T, error) {
	var none T
	rows, err := tx.Query(ctx, query(name), args...)
	if err != nil {
		return none, err
	}
	all, err := pgx.CollectRows(rows, scan)
	if err == nil && len(all) == 0 {
		err = memory.ErrNotFound
	}
	if err != nil {
		return none, err
	}
	return all[0], nil
}

// readAll runs a query inside a scope, whose number is its first argument. A
// scope in which nothing was ever stored has nothing.
func readAll[T any](ctx context.Context, s *Store, scope memory.Scope, scan func(pgx.CollectableRow) (T, error), name string, args ...any) ([]T, error) {
	all := []T{}
	number, err := s.scopeID(ctx, scope)
	if err != nil || number == 0 {
		return all, err
	}
	err = s.read(ctx, number, name, scanAll(&all, scan), append([]any{number}, args...)...)
	return all, err
}

// readOne is readAll of one row; none is ErrNotFound.
func readOne[T any](ctx context.Context, s *Store, scope memory.Scope, scan func(pgx.CollectableRow) (T, error), name string, args ...any) (T, error) {
	all, err := readAll(ctx, s, scope, scan, name, args...)
	if err == nil && len(all) == 0 {
		err = memory.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}
