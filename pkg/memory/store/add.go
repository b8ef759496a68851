package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Entry is a draft that has passed the rules: redacted, checked, flagged. All
// entries of a call are of one scope.
type Entry struct {
	memory.Draft
	Flags      []string
	Redactions []memory.Redaction
	// Path is what errors write before its fields, such as "memories[3].".
	Path string
}

// record is an entry as AddMemories.sql takes it.
type record struct {
	N                int                `json:"n"`
	ID               uuid.UUID          `json:"id"`
	MemoryType       memory.Type        `json:"memory_type"`
	Summary          string             `json:"summary"`
	ContentSHA256    string             `json:"content_sha256"`
	SessionID        *uuid.UUID         `json:"session_id"`
	TaskID           *uuid.UUID         `json:"task_id"`
	Source           string             `json:"source"`
	Speaker          string             `json:"speaker"`
	OccurredAt       *time.Time         `json:"occurred_at"`
	Importance       float64            `json:"importance"`
	Confidence       float64            `json:"confidence"`
	Sensitivity      string             `json:"sensitivity"`
	ValidationStatus memory.Validation  `json:"validation_status"`
	TTL              *time.Time         `json:"ttl"`
	Flags            []string           `json:"flags"`
	Redactions       []memory.Redaction `json:"redactions"`
	Provenance       memory.Object      `json:"provenance"`
	Metadata         memory.Object      `json:"metadata"`
	ArtifactRefs     []uuid.UUID        `json:"artifact_refs"`
	Bands            []int32            `json:"bands"`

	hash [sha256.Size]byte
	path string
}

func newRecord(n int, e Entry) (record, error) {
	var id uuid.UUID
	if e.ID != nil {
		id = *e.ID
	} else {
		var err error
		if id, err = uuid.NewV7(); err != nil {
			return record{}, err
		}
	}
	hash := e.ContentHash()
	r := record{
		N: n, ID: id, MemoryType: e.MemoryType, Summary: e.Summary, ContentSHA256: hex.EncodeToString(hash[:]),
		SessionID: e.SessionID, TaskID: e.TaskID, Source: e.Source, Speaker: e.Speaker, OccurredAt: micro(e.OccurredAt),
		Importance: e.Importance, Confidence: e.Confidence, Sensitivity: e.Sensitivity,
		ValidationStatus: e.ValidationStatus, TTL: micro(e.TTL), Flags: e.Flags, Redactions: e.Redactions,
		Provenance: e.Provenance, Metadata: e.Metadata, ArtifactRefs: e.ArtifactRefs,
		Bands: bands(e.Speaker + " " + e.Summary), hash: hash, path: e.Path,
	}
	if r.Sensitivity == "" {
		r.Sensitivity = memory.DefaultSensitivity
	}
	if r.ValidationStatus == "" {
		r.ValidationStatus = memory.Unverified
	}
	if r.Flags == nil {
		r.Flags = []string{}
	}
	if r.Redactions == nil {
		r.Redactions = []memory.Redaction{}
	}
	if r.Provenance == nil {
		r.Provenance = memory.Object{}
	}
	if r.Metadata == nil {
		r.Metadata = memory.Object{}
	}
	return r, nil
}

// Add stores the entries, all or none, in one transaction with what makes them
// searchable and the jobs that embed them. The answers are in their order. An
// entry whose content is there already, before the call or earlier in it, is
// not stored again: the answer names the one that is there. Nothing is merged
// with a near duplicate; it is named.
//
// A session that an entry names is made where there is none; a task or an
// artifact must be there, else the error is [memory.ErrNotFound], also of an
// entry that is there already: what that one does not refer to of the entry's
// artifacts is named in the answer. An id that is taken by other content is
// [memory.ErrConflict]. Both are a [memory.ReferenceError].
//
// With a key, a call that was made before gets its answer again; see [Key].
func (s *Store) Add(ctx context.Context, scope memory.Scope, entries []Entry, key *Key) ([]memory.Stored, error) {
	answers, err := s.add(ctx, scope, entries, key)
	if err != nil {
		return nil, failed(err, "store %d memories in %s", len(entries), scope)
	}
	s.wake.now()
	return answers, nil
}

func (s *Store) add(ctx context.Context, scope memory.Scope, entries []Entry, key *Key) ([]memory.Stored, error) {
	records := make([]record, len(entries))
	for i, e := range entries {
		if e.Scope != scope {
			return nil, fmt.Errorf("entry %d is of %s: %w", i, e.Scope, memory.ErrConflict)
		}
		var err error
		if records[i], err = newRecord(i, e); err != nil {
			return nil, err
		}
	}
	id, err := s.makeScope(ctx, scope)
	if err != nil {
		return nil, err
	}
	var answers []memory.Stored
	err = s.within(ctx, id, func(tx pgx.Tx) error {
		if key != nil {
			if done, err := key.begin(ctx, tx, &answers); err != nil || done {
				return err
			}
		}
		a := adding{tx: tx, scope: id, records: records, answers: make([]memory.Stored, len(records))}
		if err := a.run(ctx); err != nil {
			return err
		}
		answers = a.answers
		if key != nil {
			return key.end(ctx, tx, answers)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.learn(ctx, id, len(records))
	return answers, nil
}

// learn counts what was stored, and has the server look at its tables when that
// was much.
func (s *Store) learn(ctx context.Context, scope int32, n int) {
	if s.grown(scope, n) {
		_, _ = s.pool.Exec(ctx, query("LearnTables")) // what was stored stays; without it plans are slower
	}
}

// adding is a call of Add inside its transaction.
type adding struct {
	tx      pgx.Tx
	scope   int32
	records []record
	answers []memory.Stored
	// beside are sessions and tasks to be held too.
	beside []uuid.UUID
}

func (a *adding) run(ctx context.Context) error {
	var refs []reference
	for _, r := range a.records {
		refs = append(refs, r.references()...)
	}
	if err := present(ctx, a.tx, a.scope, refs); err != nil {
		return err
	}
	if err := a.contexts(ctx); err != nil {
		return err
	}
	for i, r := range a.records {
		a.answers[i] = memory.Stored{SimilarTo: []memory.Similar{}, Flags: r.Flags, Redactions: r.Redactions}
	}
	fresh, err := a.known(ctx, a.records)
	if err != nil {
		return err
	}
	type content struct {
		kind memory.Type
		hash [sha256.Size]byte
	}
	first := map[content]int{}
	repeated := map[int]int{} // by their places: entries that an earlier one stands for
	fresh = slices.DeleteFunc(fresh, func(r record) bool {
		c := content{r.MemoryType, r.hash}
		if n, ok := first[c]; ok {
			repeated[r.N] = n
			return true
		}
		first[c] = r.N
		return false
	})
	if err := a.write(ctx, fresh); err != nil {
		return err
	}
	for n, first := range repeated {
		a.answers[n].ID, a.answers[n].Version, a.answers[n].Existing = a.answers[first].ID, a.answers[first].Version, true
	}
	if err := a.unlinked(ctx); err != nil {
		return err
	}
	return a.similar(ctx)
}

// contexts makes the sessions and holds them and the tasks, so that places in
// them are given one after the other.
func (a *adding) contexts(ctx context.Context) error {
	var sessions []uuid.UUID
	all := a.beside
	for _, r := range a.records {
		switch {
		case r.SessionID != nil:
			sessions, all = append(sessions, *r.SessionID), append(all, *r.SessionID)
		case r.TaskID != nil:
			all = append(all, *r.TaskID)
		}
	}
	if len(all) == 0 {
		return nil
	}
	var b pgx.Batch
	b.Queue(query("MakeSessions"), a.scope, sessions)
	b.Queue(query("LockContexts"), a.scope, all)
	return a.tx.SendBatch(ctx, &b).Close()
}

// known answers the records whose content is there and returns the others.
func (a *adding) known(ctx context.Context, records []record) ([]record, error) {
	types, hashes := make([]memory.Type, len(records)), make([][]byte, len(records))
	for i, r := range records {
		types[i], hashes[i] = r.MemoryType, r.hash[:]
	}
	rows, err := a.tx.Query(ctx, query("FindContent"), a.scope, types, hashes)
	if err != nil {
		return nil, err
	}
	there := map[int]bool{}
	var outlived []uuid.UUID
	var n int
	var found memory.Stored
	var late bool
	_, err = pgx.ForEachRow(rows, []any{&n, &found.ID, &found.Version, &late}, func() error {
		if late {
			outlived = append(outlived, found.ID)
			return nil
		}
		r := records[n-1]
		there[r.N] = true
		a.answers[r.N].ID, a.answers[r.N].Version, a.answers[r.N].Existing = found.ID, found.Version, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(outlived) > 0 {
		if err := changePlaces(ctx, a.tx, a.scope, "ExpireMemories", a.scope, outlived, nil); err != nil {
			return nil, err
		}
	}
	var fresh []record
	for _, r := range records {
		if !there[r.N] {
			fresh = append(fresh, r)
		}
	}
	return fresh, nil
}

// write inserts the records and lets their neighbours know of them.
func (a *adding) write(ctx context.Context, records []record) error {
	if len(records) == 0 {
		return nil
	}
	text, err := json.Marshal(records)
	if err != nil {
		return err
	}
	rows, err := a.tx.Query(ctx, query("AddMemories"), a.scope, string(text))
	if err != nil {
		return err
	}
	written := map[int]bool{}
	first := map[uuid.UUID]int64{} // of each context
	var n int
	var answer memory.Stored
	var at place
	_, err = pgx.ForEachRow(rows, []any{&n, &answer.ID, &answer.Version, &at.context, &at.ordinal}, func() error {
		written[n] = true
		a.answers[n].ID, a.answers[n].Version = answer.ID, answer.Version
		if at.context != nil {
			if was, ok := first[*at.context]; !ok || at.ordinal < was {
				first[*at.context] = at.ordinal
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var places []place
	for context, ordinal := range first {
		if ordinal > 1 {
			places = append(places, place{&context, ordinal})
		}
	}
	if err := rebuild(ctx, a.tx, a.scope, places); err != nil {
		return err
	}
	// Another transaction may have stored the same meanwhile; it has ended.
	late := slices.DeleteFunc(slices.Clone(records), func(r record) bool { return written[r.N] })
	if len(late) == 0 {
		return nil
	}
	if late, err = a.known(ctx, late); err != nil {
		return err
	}
	if len(late) == 0 {
		return nil
	}
	refused := &memory.ReferenceError{Err: memory.ErrConflict}
	for _, r := range late[:min(len(late), maxMissing)] {
		remedy := fmt.Sprintf("leave it out to get a new one, or POST %s/%s/supersede puts this one in its place", memory.PathMemories, r.ID)
		refused.Fields = append(refused.Fields, memory.Taken(r.path+"id", "memory", r.ID, remedy))
	}
	return refused
}

// similar looks for near duplicates of what was written.
func (a *adding) similar(ctx context.Context) error {
	byID := map[uuid.UUID]int{}
	var ids []uuid.UUID
	var bands []int32
	for i, answer := range a.answers {
		if answer.Existing {
			continue
		}
		byID[answer.ID] = i
		for _, band := range a.records[i].Bands {
			ids, bands = append(ids, answer.ID), append(bands, band)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := a.tx.Query(ctx, query("FindSimilar"), a.scope, ids, bands)
	if err != nil {
		return err
	}
	var own, other uuid.UUID
	var summary, speaker string
	_, err = pgx.ForEachRow(rows, []any{&own, &other, &summary, &speaker}, func() error {
		i := byID[own]
		r := a.records[i]
		if v := similarity(r.Speaker+" "+r.Summary, speaker+" "+summary); v >= nearDuplicate {
			a.answers[i].SimilarTo = append(a.answers[i].SimilarTo, memory.Similar{ID: other, Similarity: v})
		}
		return nil
	})
	for i := range a.answers {
		slices.SortFunc(a.answers[i].SimilarTo, mostAlike)
	}
	return err
}

// micro cuts an instant to what Postgres keeps. It would round where it reads a
// text and cut where it is given a number.
func micro(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	cut := t.Truncate(time.Microsecond)
	return &cut
}
