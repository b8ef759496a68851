package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

func TestMain(m *testing.M) { postgres.Main(m) }

const scope = memory.Scope("project:dubnium")

func open(t testing.TB) *store.Store {
	t.Helper()
	return postgres.New(t).Open(t, store.Options{})
}

func entry(summary string, edit ...func(*store.Entry)) store.Entry {
	e := store.Entry{Draft: memory.Draft{
		MemoryType: memory.Episodic, Summary: summary, Scope: scope, Source: "conversation",
		Provenance: memory.Object{"origin": "test"}, Confidence: 0.5,
	}}
	for _, f := range edit {
		f(&e)
	}
	return e
}

func in(session uuid.UUID) func(*store.Entry) {
	return func(e *store.Entry) { e.SessionID = &session }
}

func add(t testing.TB, s *store.Store, entries ...store.Entry) []memory.Stored {
	t.Helper()
	stored, err := s.Add(t.Context(), entries[0].Scope, entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func get(t *testing.T, s *store.Store, id uuid.UUID) memory.Memory {
	t.Helper()
	m, err := s.Memory(t.Context(), scope, id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// admin runs a statement past every wall and returns the first value.
func admin[T any](t testing.TB, db postgres.Database, statement string, args ...any) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v T
	if err := conn.QueryRow(t.Context(), statement, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return v
}

// run runs statements past every wall.
func run(t testing.TB, db postgres.Database, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func TestRoundTrip(t *testing.T) {
	s := open(t)
	at := time.Date(2023, 5, 7, 18, 30, 0, 123456000, time.UTC)
	ttl := at.AddDate(100, 0, 0)
	session, id := uuid.New(), uuid.New()
	a, existing, err := s.AddArtifact(t.Context(), scope, memory.Artifact{
		ID: uuid.New(), SHA256: fmt.Sprintf("%064x", 7), StorageURI: "file:///a", ArtifactType: "log", Name: "a.log", SizeBytes: 3,
	})
	if err != nil || existing {
		t.Fatal(existing, err)
	}
	e := entry("Caroline's \"LGBTQ\" group; x' OR '1'='1' -- \\ %s", in(session), func(e *store.Entry) {
		e.ID, e.Speaker, e.OccurredAt, e.TTL = &id, "Caroline", &at, &ttl
		e.Importance, e.Confidence, e.Sensitivity = 0.1, 0.7, "private"
		e.Metadata = memory.Object{"n": json.Number("1.5"), "list": []any{"a", nil, true}}
		e.Flags, e.Redactions = []string{"override"}, []memory.Redaction{{Field: "summary", Rule: "jwt", Offset: 1, Length: 2}}
		e.ArtifactRefs = []uuid.UUID{a.ID}
	})
	stored := add(t, s, e)[0]
	want := memory.Stored{ID: id, Version: 1, SimilarTo: []memory.Similar{}, Flags: e.Flags, Redactions: e.Redactions}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Error(diff)
	}
	got := get(t, s, id)
	if got.CreatedAt.IsZero() || !got.CreatedAt.Equal(got.UpdatedAt) {
		t.Errorf("created %v, updated %v", got.CreatedAt, got.UpdatedAt)
	}
	wantMemory := memory.Memory{
		ID: id, Version: 1, MemoryType: e.MemoryType, Summary: e.Summary, Scope: scope, SessionID: &session, Ordinal: 1,
		Source: e.Source, Speaker: e.Speaker, OccurredAt: &at, Importance: 0.1, Confidence: 0.7, Sensitivity: "private",
		ValidationStatus: memory.Unverified, Status: memory.Live, TTL: &ttl, Flags: e.Flags, Redactions: e.Redactions,
		Provenance: e.Provenance, Metadata: e.Metadata, Artifacts: []memory.Artifact{a},
		CreatedAt: got.CreatedAt, UpdatedAt: got.UpdatedAt,
	}
	if diff := cmp.Diff(wantMemory, got); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Memory(t.Context(), "project:other", id); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("from another scope: %v", err)
	}
}

func TestDuplicates(t *testing.T) {
	s := open(t)
	first := add(t, s, entry("the build was moved to Go"))[0]
	again := add(t, s, entry("the build was moved to Go"), entry("another"), entry("another"))
	if !again[0].Existing || again[0].ID != first.ID || again[1].Existing || !again[2].Existing || again[2].ID != again[1].ID {
		t.Errorf("%+v", again)
	}
	if other := add(t, s, entry("the build was moved to Go", func(e *store.Entry) { e.MemoryType = memory.Working }))[0]; other.Existing {
		t.Error("one of another type is another memory")
	}
	// A rejected one is not in the way, nor is one that has outlived its TTL.
	if _, err := s.Reject(t.Context(), scope, first.ID, 0, memory.StaleFact); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	late := add(t, s, entry("the build was moved to Go", func(e *store.Entry) { e.TTL = &past }))[0]
	if late.Existing {
		t.Error("a rejected memory stood for a new one")
	}
	fresh := add(t, s, entry("the build was moved to Go"))[0]
	if fresh.Existing || get(t, s, late.ID).Status != memory.Expired {
		t.Errorf("one that nobody can retrieve stood for a new one: %+v", fresh)
	}
	// An id that is taken.
	_, err := s.Add(t.Context(), scope, []store.Entry{entry("something else", func(e *store.Entry) { e.ID = &fresh.ID })}, nil)
	if !errors.Is(err, memory.ErrConflict) {
		t.Errorf("a taken id: %v", err)
	}
	// In another scope it is another id.
	const other = memory.Scope("project:other")
	if _, err := s.Add(t.Context(), other, []store.Entry{entry("x", func(e *store.Entry) { e.ID, e.Scope = &fresh.ID, other })}, nil); err != nil {
		t.Error(err)
	}
}

func TestSimilar(t *testing.T) {
	s := open(t)
	words := "the nightly build of the memory service failed because the disk of the runner was full again"
	first := add(t, s, entry(words))[0]
	near := add(t, s, entry(words+" today"), entry("nothing in common at all"))
	if len(near[0].SimilarTo) != 1 || near[0].SimilarTo[0].ID != first.ID || near[0].SimilarTo[0].Similarity < 0.9 {
		t.Errorf("%+v", near[0])
	}
	if len(near[1].SimilarTo) != 0 {
		t.Errorf("%+v", near[1])
	}
}

// TestConcurrentDuplicates stores the same memory from many sides at once.
func TestConcurrentDuplicates(t *testing.T) {
	s := open(t)
	const n = 16
	ids := make([]memory.Stored, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			stored, err := s.Add(t.Context(), scope, []store.Entry{entry("said once"), entry(fmt.Sprint("own ", i))}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = stored[0]
		})
	}
	all.Wait()
	fresh := 0
	for _, id := range ids {
		if id.ID != ids[0].ID {
			t.Errorf("ids %s and %s", id.ID, ids[0].ID)
		}
		if !id.Existing {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of %d calls stored it", fresh, n)
	}
}

func TestKey(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	key := &store.Key{Caller: "uid 1000", Key: "k1", Request: [32]byte{1}}
	call := func() ([]memory.Stored, error) {
		return s.Add(t.Context(), scope, []store.Entry{entry("once")}, key)
	}
	var all sync.WaitGroup
	answers := make([][]memory.Stored, 4)
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = call(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, a := range answers[1:] {
		if diff := cmp.Diff(answers[0], a); diff != "" {
			t.Errorf("another answer: %s", diff)
		}
	}
	if answers[0][0].Existing {
		t.Error("the repeated call was not taken for the first")
	}
	key.Request = [32]byte{2}
	if _, err := call(); !errors.Is(err, memory.ErrConflict) {
		t.Errorf("another request: %v", err)
	}
	// Callers make their keys of what they have at hand.
	if n := admin[int](t, db, "SELECT count(*) FROM idempotency_keys WHERE to_jsonb(idempotency_keys)::text LIKE '%k1%'"); n != 0 {
		t.Error("the key is kept as it came")
	}
	if n, err := s.RemoveKeys(t.Context(), time.Now().Add(time.Minute)); err != nil || n != 1 {
		t.Error(n, err)
	}
}

func TestChanges(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	id := add(t, s, entry("a fact"))[0].ID
	m, err := s.Verify(ctx, scope, id, 1)
	if err != nil || m.Version != 2 || m.ValidationStatus != memory.Verified {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := s.Promote(ctx, scope, id, 1, memory.Semantic); !errors.Is(err, memory.ErrVersion) {
		t.Errorf("an old version: %v", err)
	}
	if m, err = s.Promote(ctx, scope, id, 2, memory.Semantic); err != nil || m.MemoryType != memory.Semantic {
		t.Errorf("%+v, %v", m, err)
	}
	for what, test := range map[string]struct {
		id      uuid.UUID
		version int
		e       store.Entry
		want    error
	}{
		"one that is not there": {uuid.New(), 0, entry("a newer fact"), memory.ErrNotFound},
		"an old version":        {id, 2, entry("a newer fact"), memory.ErrVersion},
		"itself":                {id, 0, entry("a fact", func(e *store.Entry) { e.MemoryType = memory.Semantic }), memory.ErrSame},
		"with a lost task":      {id, 0, entry("a newer fact", func(e *store.Entry) { e.TaskID = &id }), memory.ErrNotFound},
	} {
		if _, err := s.Supersede(ctx, scope, test.id, test.version, test.e); !errors.Is(err, test.want) {
			t.Errorf("supersede %s: %v", what, err)
		}
	}
	if all, err := s.List(ctx, scope, store.List{Limit: 10}); err != nil || len(all) != 1 {
		t.Errorf("what superseded nothing was stored: %v, %v", all, err)
	}
	stored, err := s.Supersede(ctx, scope, id, 3, entry("a newer fact"))
	if err != nil {
		t.Fatal(err)
	}
	by := stored.ID
	if m = get(t, s, id); m.Status != memory.Superseded || *m.SupersededBy != by {
		t.Errorf("%+v", m)
	}
	if _, err := s.Verify(ctx, scope, id, 0); !errors.Is(err, memory.ErrConflict) {
		t.Errorf("verified when superseded: %v", err)
	}
	if m, err = s.Reject(ctx, scope, by, 1, memory.UnsupportedClaim); err != nil || m.StatusReason != "unsupported-claim" {
		t.Errorf("%+v, %v", m, err)
	}
	if err := s.Delete(ctx, scope, by, 1); !errors.Is(err, memory.ErrVersion) {
		t.Errorf("an old version deleted: %v", err)
	}
	if err := s.Delete(ctx, "project:other", by, 0); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("deleted from another scope: %v", err)
	}
	if err := s.Delete(ctx, scope, by, 2); err != nil {
		t.Error(err)
	}
	if m = get(t, s, id); m.SupersededBy != nil {
		t.Errorf("names a memory that is gone: %+v", m)
	}
}

func TestList(t *testing.T) {
	s := open(t)
	var want []uuid.UUID
	for i := range 7 {
		want = append(want, add(t, s, entry(fmt.Sprint("number ", i)))[0].ID)
	}
	var got []uuid.UUID
	list := store.List{Limit: 3}
	for {
		page, err := s.List(t.Context(), scope, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got = append(got, m.ID)
			list.After = store.Position{CreatedAt: m.CreatedAt, ID: m.ID}
		}
		if len(page) < list.Limit {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if page, err := s.List(t.Context(), scope, store.List{Limit: 9, Types: []memory.Type{memory.Semantic}}); err != nil || len(page) != 0 {
		t.Error(page, err)
	}
	if page, err := s.List(t.Context(), "agent:nobody", store.List{Limit: 9}); err != nil || page == nil || len(page) != 0 {
		t.Error(page, err)
	}
}

// texts are what the neighbours of each memory of a session hold.
func texts(t *testing.T, db postgres.Database, session uuid.UUID) []string {
	t.Helper()
	return admin[[]string](t, db, `SELECT coalesce(array_agg(format('%s<%s|%s|%s', summary, previous_text, next_text, replace(around_text, E'\n', '+')) ORDER BY ordinal), '{}')
		FROM memories WHERE context_id = $1 AND status = 'live' AND validation_status <> 'rejected'`, session)
}

// TestNeighbours holds what a memory knows of those around it, however they
// came and went.
func TestNeighbours(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	session := uuid.New()
	add(t, s, entry("a", in(session)))
	five := add(t, s, entry("b", in(session)), entry("c", in(session)), entry("d", in(session)))
	add(t, s, entry("e", in(session)))
	if diff := cmp.Diff([]string{"a<|b|c", "b<a|c|d", "c<b|d|a+e", "d<c|e|b", "e<d||c"}, texts(t, db, session)); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Reject(t.Context(), scope, five[1].ID, 0, memory.InjectionResidue); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a<|b|d", "b<a|d|e", "d<b|e|a", "e<d||b"}, texts(t, db, session)); diff != "" {
		t.Errorf("after a rejection: %s", diff)
	}
	if _, err := s.Verify(t.Context(), scope, five[1].ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), scope, five[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a<|c|d", "c<a|d|e", "d<c|e|a", "e<d||c"}, texts(t, db, session)); diff != "" {
		t.Errorf("after a deletion: %s", diff)
	}
	past := time.Now().Add(-time.Second)
	add(t, s, entry("f", in(session), func(e *store.Entry) { e.TTL = &past }), entry("g", in(session)), entry("secret", in(session), func(e *store.Entry) { e.Sensitivity = "secret" }))
	if n, err := s.Expire(t.Context(), time.Now()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if diff := cmp.Diff([]string{"a<|c|d", "c<a|d|e", "d<c|e|a+g", "e<d|g|c", "g<e||d", "secret<||"}, texts(t, db, session)); diff != "" {
		t.Errorf("after an expiry, and beside another sensitivity: %s", diff)
	}
	if n, err := s.RemoveExpired(t.Context(), time.Now(), 10); err != nil || n != 1 {
		t.Error(n, err)
	}
	window, _, err := s.Window(t.Context(), scope, session, 3, []string{"internal"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range window {
		got = append(got, m.Summary)
	}
	if diff := cmp.Diff([]string{"d", "e", "g"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestConcurrentPlaces stores into one session from many sides at once.
func TestConcurrentPlaces(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	session := uuid.New()
	const n = 12
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := s.Add(t.Context(), scope, []store.Entry{entry(fmt.Sprint("turn ", i), in(session)), entry(fmt.Sprint("reply ", i), in(session))}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := admin[string](t, db, `SELECT format('%s %s %s %s', count(*), min(ordinal), max(ordinal),
		count(*) FILTER (WHERE previous_text IS DISTINCT FROM before)) FROM (
		SELECT *, coalesce(lag(summary) OVER (ORDER BY ordinal), '') AS before FROM memories WHERE context_id = $1) m`, session)
	if got != "24 1 24 0" {
		t.Errorf("count, first, last, wrong neighbours: %s", got)
	}
}

// TestDeleteLeavesNothing holds that no table has a word of a deleted memory.
func TestDeleteLeavesNothing(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	session := uuid.New()
	model := embed(t, s, "m", 3)
	add(t, s, entry("before", in(session)))
	id := add(t, s, entry("xyzzy plugh", in(session)))[0].ID
	add(t, s, entry("after", in(session)))
	drain(t, s, model, 3)
	if err := s.Delete(t.Context(), scope, id, 0); err != nil {
		t.Fatal(err)
	}
	dump := admin[string](t, db, `SELECT string_agg(x, E'\n') FROM (
		SELECT m::text FROM memories m UNION ALL SELECT e::text FROM embedding_1 e UNION ALL SELECT b::text FROM memory_bands b
		UNION ALL SELECT o::text FROM outbox o) AS all_rows(x)`)
	for _, word := range []string{"xyzzy", "plugh", id.String()} {
		if contains(dump, word) {
			t.Errorf("%s is left in\n%s", word, dump)
		}
	}
}

// TestConnections holds who says how many connections there are at most.
func TestConnections(t *testing.T) {
	db := postgres.New(t)
	usual := max(4, int32(runtime.NumCPU()))
	for name, test := range map[string]struct {
		said    string
		options int32
		want    int32
	}{
		"nobody":      {"", 0, usual},
		"the DSN":     {"&pool_max_conns=7", 0, 7},
		"the options": {"&pool_max_conns=7", 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.Context(), store.Options{DSN: db.DSN + test.said, Connections: test.options})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := store.Migrate(t.Context(), db.OwnerDSN+test.said); err != nil {
				t.Error(err)
			}
			if got := store.Connections(s); got != test.want {
				t.Errorf("at most %d connections, want %d", got, test.want)
			}
		})
	}
}
