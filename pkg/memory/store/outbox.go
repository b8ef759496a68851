package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// The outbox goes across scopes: what a worker embeds is said by nobody.

// Hand implements the Store of package worker, as do the methods below.
func (s *Store) Hand(ctx context.Context, model int32, limit int, again time.Duration) ([]outbox.Handed, error) {
	var handed []outbox.Handed
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("HandJobs"), model, limit, again)
		if err != nil {
			return err
		}
		handed, err = pgx.CollectRows(rows, pgx.RowToStructByPos[outbox.Handed])
		return err
	})
	slices.SortFunc(handed, func(a, b outbox.Handed) int { return int(a.ID - b.ID) })
	return handed, failed(err, "hand jobs of model %d over", model)
}

// Unhand takes the mark of Hand off.
func (s *Store) Unhand(ctx context.Context, ids []int64) error {
	return failed(s.run(ctx, "UnhandJobs", ids), "take %d jobs back", len(ids))
}

// run runs one statement across scopes.
func (s *Store) run(ctx context.Context, name string, args ...any) error {
	return s.across(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, query(name), args...)
		return err
	})
}

func scanJob(row pgx.CollectableRow) (outbox.Job, error) {
	var j outbox.Job
	err := row.Scan(&j.ID, &j.ModelID, &j.MemoryID, &j.Version, &j.Text, &j.Attempts, &j.StoredAt)
	return j, err
}

// Claim claims the named rows.
func (s *Store) Claim(ctx context.Context, ids []int64, worker string, lease time.Duration) (outbox.Claims, error) {
	var claims outbox.Claims
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("ClaimJobs"), ids, worker, lease)
		if err != nil {
			return err
		}
		if claims.Jobs, err = pgx.CollectRows(rows, scanJob); err != nil {
			return err
		}
		ours := make([]int64, len(claims.Jobs))
		for i, j := range claims.Jobs {
			ours[i] = j.ID
		}
		if rows, err = tx.Query(ctx, query("HeldJobs"), ids, ours); err != nil {
			return err
		}
		claims.Held, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return claims, failed(err, "claim %d jobs", len(ids))
}

// ClaimDue claims what is due.
func (s *Store) ClaimDue(ctx context.Context, model int32, limit int, worker string, lease time.Duration) ([]outbox.Job, error) {
	var jobs []outbox.Job
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("ClaimDueJobs"), model, limit, worker, lease)
		if err != nil {
			return err
		}
		jobs, err = pgx.CollectRows(rows, scanJob)
		return err
	})
	return jobs, failed(err, "claim jobs of model %d", model)
}

// Extend prolongs claims.
func (s *Store) Extend(ctx context.Context, worker string, ids []int64, lease time.Duration) error {
	return failed(s.run(ctx, "ExtendJobs", worker, ids, lease), "extend the claims of %d jobs", len(ids))
}

// Complete writes vectors and ends their rows. A vector of another length than
// the model's is an error, and then nothing is written.
func (s *Store) Complete(ctx context.Context, worker string, results []outbox.Result) (outbox.Completed, error) {
	byModel := map[int32][]outbox.Result{}
	for _, r := range results {
		byModel[r.Job.ModelID] = append(byModel[r.Job.ModelID], r)
	}
	var all outbox.Completed
	err := s.across(ctx, func(tx pgx.Tx) error {
		all = outbox.Completed{}
		for model, results := range byModel {
			c, err := complete(ctx, tx, worker, model, results)
			if err != nil {
				return err
			}
			all.Written += c.Written
			all.Stale += c.Stale
			all.Lost += c.Lost
		}
		return nil
	})
	if err != nil {
		return outbox.Completed{}, failed(err, "write %d vectors", len(results))
	}
	return all, nil
}

func complete(ctx context.Context, tx pgx.Tx, worker string, model int32, results []outbox.Result) (outbox.Completed, error) {
	ids, memories := make([]int64, len(results)), make([]uuid.UUID, len(results))
	versions, vectors := make([]int, len(results)), make([]string, len(results))
	for i, r := range results {
		ids[i], memories[i], versions[i] = r.Job.ID, r.Job.MemoryID, r.Job.Version
		vectors[i] = pgvector.NewHalfVector(r.Vector).String()
	}
	var c outbox.Completed
	err := tx.QueryRow(ctx, queryOf("CompleteJobs", model), worker, model, ids, memories, versions, vectors).Scan(&c.Written, &c.Stale)
	c.Lost = len(results) - c.Written - c.Stale
	return c, err
}

// Fail counts attempts.
func (s *Store) Fail(ctx context.Context, worker string, failures []outbox.Failure) error {
	ids, reasons := make([]int64, len(failures)), make([]string, len(failures))
	rests, dead := make([]time.Duration, len(failures)), make([]bool, len(failures))
	for i, f := range failures {
		ids[i], reasons[i], rests[i], dead[i] = f.ID, oneLine(f.Reason), f.After, f.Dead
	}
	return failed(s.run(ctx, "FailJobs", worker, ids, reasons, rests, dead), "note %d failures", len(failures))
}

// oneLine makes a reason what the database can hold and a list can show.
func oneLine(reason string) string {
	reason = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(reason, "�"), func(r rune) bool { return r < ' ' }), " ")
	return reason[:min(len(reason), 500)]
}

// Release gives claimed rows back.
func (s *Store) Release(ctx context.Context, worker string, ids []int64) error {
	return failed(s.run(ctx, "ReleaseJobs", worker, ids), "give %d jobs back", len(ids))
}

// Backfill puts memories without a vector of the model into the outbox.
func (s *Store) Backfill(ctx context.Context, model int32, limit int) (int, error) {
	var n int64
	err := s.across(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, queryOf("Backfill", model), model, limit)
		n = tag.RowsAffected()
		return err
	})
	if n > 0 {
		s.wake.now()
	}
	return int(n), failed(err, "put memories in line for model %d", model)
}

// QueueStats says how far each model is.
func (s *Store) QueueStats(ctx context.Context) ([]outbox.Stats, error) {
	models, err := s.Models(ctx)
	if err != nil {
		return nil, err
	}
	all := []outbox.Stats{}
	err = s.across(ctx, func(tx pgx.Tx) error {
		for _, m := range models {
			st := outbox.Stats{Model: m}
			var oldest float64
			err := tx.QueryRow(ctx, queryOf("QueueStats", m.ID), m.ID).Scan(&st.Waiting, &st.Claimed, &st.Dead, &oldest, &st.Registered, &st.Embedded, &st.Missing)
			if err != nil {
				return err
			}
			st.Oldest = time.Duration(oldest * float64(time.Second))
			all = append(all, st)
		}
		return nil
	})
	return all, failed(err, "count the jobs")
}

// DeadJobs lists the rows that were given up, those after a row first.
func (s *Store) DeadJobs(ctx context.Context, after int64, limit int) ([]outbox.Dead, error) {
	dead := []outbox.Dead{}
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("DeadJobs"), after, limit)
		if err != nil {
			return err
		}
		dead, err = pgx.AppendRows(dead, rows, pgx.RowToStructByPos[outbox.Dead])
		return err
	})
	return dead, failed(err, "list the dead jobs")
}

// RetryDead lets dead rows be tried again, all of them when ids is nil, and
// says how many.
func (s *Store) RetryDead(ctx context.Context, ids []int64) (int, error) {
	var n int64
	err := s.across(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, query("RetryJobs"), ids)
		n = tag.RowsAffected()
		return err
	})
	if n > 0 {
		s.wake.now()
	}
	return int(n), failed(err, "retry dead jobs")
}

// Models lists the register.
func (s *Store) Models(ctx context.Context) ([]outbox.Model, error) {
	rows, err := s.pool.Query(ctx, query("Models"))
	if err != nil {
		return nil, failed(err, "list the embedding models")
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[outbox.Model])
	return all, failed(err, "list the embedding models")
}

// EnsureModel finds the model by its name, or registers it and makes its table.
// A model of the name with other dimensions, prefixes or provider is
// [memory.ErrConflict]: its vectors would not be comparable.
func (s *Store) EnsureModel(ctx context.Context, model outbox.Model) (outbox.Model, error) {
	err := s.across(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query("AddModel"), model.Name, model.Provider, model.Dimensions, model.DocumentPrefix, model.QueryPrefix, model.Weight, model.State)
		if err != nil {
			return err
		}
		made, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil {
			return err
		}
		if len(made) == 1 {
			model.ID = made[0]
			_, err = tx.Exec(ctx, query("CreateVectors"), model.ID)
			return err
		}
		if rows, err = tx.Query(ctx, query("FindModel"), model.Name); err != nil {
			return err
		}
		found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[outbox.Model])
		if err != nil {
			return err
		}
		if found.Dimensions != model.Dimensions || found.DocumentPrefix != model.DocumentPrefix || found.QueryPrefix != model.QueryPrefix || found.Provider != model.Provider {
			return &memory.ReferenceError{Err: memory.ErrConflict, Fields: memory.FieldErrorf("name", "taken",
				"is that of another model, which has %d dimensions, the provider %s and its own prefixes: give this one another name", found.Dimensions, found.Provider)}
		}
		model = found
		return nil
	})
	return model, failed(err, "register embedding model %s", model.Name)
}

// ActivateModel makes the model the one that retrievals use, and retires the
// one that was.
func (s *Store) ActivateModel(ctx context.Context, id int32) error {
	err := s.across(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, query("RetireModel"), id); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, query("ActivateModel"), id)
		if err == nil && tag.RowsAffected() == 0 {
			err = memory.ErrNotFound
		}
		return err
	})
	return failed(err, "activate embedding model %d", id)
}
