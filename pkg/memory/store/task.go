package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ryjen/dubnium/pkg/memory"
)

func scanTask(row pgx.CollectableRow) (memory.Task, error) {
	var v memory.Task
	err := row.Scan(&v.ID, &v.Version, &v.Scope, &v.SessionID, &v.Title, &v.Status, &v.State, &v.CreatedAt, &v.UpdatedAt)
	v.CreatedAt, v.UpdatedAt = v.CreatedAt.UTC(), v.UpdatedAt.UTC()
	return v, err
}

// AddTask makes a task of its ID, SessionID, Title, Status and State. An id
// that the scope has already is [memory.ErrConflict], a session that it doesn't
// have [memory.ErrNotFound], both a [memory.ReferenceError].
func (s *Store) AddTask(ctx context.Context, scope memory.Scope, task memory.Task) (memory.Task, error) {
	var made memory.Task
	if task.State == nil {
		task.State = memory.Object{}
	}
	number, err := s.makeScope(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			if err := present(ctx, tx, number, optional(nil, "session_id", "session", task.SessionID)); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, query("AddTask"), number, task.ID, task.SessionID, task.Title, string(task.Status), task.State)
			if err == nil && tag.RowsAffected() == 0 {
				err = taken("task", task.ID, "leave it out to get a new one, or PATCH "+memory.PathTasks+"/"+task.ID.String()+" changes that one")
			}
			if err != nil {
				return err
			}
			made, err = one(ctx, tx, scanTask, "Task", number, task.ID)
			return err
		})
	}
	return made, failed(err, "make task %s of %s", task.ID, scope)
}

// Task reads a task.
func (s *Store) Task(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Task, error) {
	found, err := readOne(ctx, s, scope, scanTask, "Task", id)
	return found, failed(err, "read task %s of %s", id, scope)
}

// Tasks lists a page of a scope's tasks, the oldest first; no statuses are all.
func (s *Store) Tasks(ctx context.Context, scope memory.Scope, statuses []memory.TaskStatus, after Position, limit int) ([]memory.Task, error) {
	found, err := readAll(ctx, s, scope, scanTask, "ListTasks", statuses, after.instant(pgtype.NegativeInfinity), after.ID, limit)
	return found, failed(err, "list the tasks of %s", scope)
}

// UpdateTask sets the status and the state of a task whose version is as given,
// or any for 0; another one is [memory.ErrVersion]. With checkpoint, what it
// was is kept as a checkpoint, in the same transaction.
func (s *Store) UpdateTask(ctx context.Context, scope memory.Scope, id uuid.UUID, version int, status memory.TaskStatus, state memory.Object, checkpoint bool) (memory.Task, error) {
	var updated memory.Task
	if state == nil {
		state = memory.Object{}
	}
	number, err := s.scopeID(ctx, scope)
	if err == nil {
		err = s.within(ctx, number, func(tx pgx.Tx) error {
			if checkpoint {
				if _, err := tx.Exec(ctx, query("AddCheckpoint"), number, id); err != nil {
					return err
				}
			}
			tag, err := tx.Exec(ctx, query("UpdateTask"), number, id, version, string(status), state)
			if err != nil {
				return err
			}
			updated, err = one(ctx, tx, scanTask, "Task", number, id)
			if err == nil && tag.RowsAffected() == 0 {
				err = memory.ErrVersion
			}
			return err
		})
	}
	if err != nil {
		return memory.Task{}, failed(err, "update task %s of %s", id, scope)
	}
	return updated, nil
}

// Checkpoints lists a task's checkpoints that follow one, the first being 1.
func (s *Store) Checkpoints(ctx context.Context, scope memory.Scope, id uuid.UUID, after, limit int) ([]memory.Checkpoint, error) {
	found, err := readAll(ctx, s, scope, func(row pgx.CollectableRow) (memory.Checkpoint, error) {
		var v memory.Checkpoint
		err := row.Scan(&v.Sequence, &v.Status, &v.State, &v.CreatedAt)
		v.CreatedAt = v.CreatedAt.UTC()
		return v, err
	}, "Checkpoints", id, after, limit)
	return found, failed(err, "list the checkpoints of task %s of %s", id, scope)
}
