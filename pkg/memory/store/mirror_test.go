package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// TestMirrorIsTheDatabase holds that a scope that is kept at hand, and a large one
// of which some memories are, answers as the database does, to the last digit,
// while other processes change it.
func TestMirrorIsTheDatabase(t *testing.T) {
	db := postgres.New(t)
	ctx := t.Context()
	writer := db.Open(t, store.Options{})
	plain := db.Open(t, store.Options{Mirror: -1})
	mirrored := db.Open(t, store.Options{})
	// Has room for one scope, so that scopes come and go.
	crowded := db.Open(t, store.Options{Mirror: 700_000})
	// Searched as large scopes, the last with room for a few memories.
	plainWide := db.Open(t, store.Options{Narrow: 1, Mirror: -1})
	wide := db.Open(t, store.Options{Narrow: 1})
	crowdedWide := db.Open(t, store.Options{Narrow: 1, Mirror: 30_000})
	r := rand.New(rand.NewPCG(11, 12))
	model := embed(t, writer, "m", 3)
	scopes := []memory.Scope{scope, "project:other"}
	questions := map[memory.Scope]func() string{}
	for i, sc := range scopes {
		questions[sc] = corpus(t, writer, sc, 120, uint64(i+1))
	}
	if _, err := writer.Backfill(ctx, model, 1000); err != nil {
		t.Fatal(err)
	}
	drain(t, writer, model, 3)
	if err := writer.Upkeep(ctx); err != nil {
		t.Fatal(err)
	}
	session := uuid.New()
	change := func(sc memory.Scope) {
		all, err := writer.List(ctx, sc, store.List{Statuses: []memory.Status{memory.Live}, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		one := func() uuid.UUID { return all[r.IntN(len(all))].ID }
		switch id := one(); r.IntN(6) {
		case 0:
			_, err = writer.Verify(ctx, sc, id, 0)
		case 1:
			_, err = writer.Reject(ctx, sc, id, 0, memory.StaleFact)
		case 2:
			err = writer.Delete(ctx, sc, id, 0)
		default:
			soon := time.Now().Add(time.Hour)
			add(t, writer, entry("day "+questions[sc](), in(session), func(e *store.Entry) {
				e.Scope, e.Speaker = sc, "Ann"
				if r.IntN(2) == 0 {
					e.TTL, e.OccurredAt, e.Flags = &soon, &soon, []string{"override"}
				}
			}))
			session = uuid.New()
			if r.IntN(3) > 0 && all[0].SessionID != nil {
				session = *all[r.IntN(len(all))].SessionID
			}
		}
		if err != nil && !errors.Is(err, memory.ErrConflict) {
			t.Fatal(err)
		}
		drain(t, writer, model, 3)
	}
	for range 40 {
		sc := scopes[r.IntN(len(scopes))]
		change(sc)
		q := ask(questions[sc](), func(q *store.Question) {
			q.Scope, q.Filters.RequireVerified, q.Filters.ExcludeFlagged = sc, r.IntN(4) == 0, r.IntN(3) == 0
			switch r.IntN(4) {
			case 0:
				q.Filters.AllowedSensitivity = []string{"internal", "private"}
			case 1:
				q.Filters.MemoryTypes = []memory.Type{memory.Episodic}
			case 2:
				q.Filters.SessionID, q.AsOf = &session, time.Now().Add(2*time.Hour)
			}
			if r.IntN(8) == 0 {
				q.Text = "what is it?"
			}
			if r.IntN(3) > 0 {
				q.Vector, q.Model = vector(q.Text, 3), model
			}
		})
		for want, stores := range map[*store.Store]map[string]*store.Store{
			plain:     {"at hand": mirrored, "crowded": crowded},
			plainWide: {"large, at hand": wide, "large, crowded": crowdedWide},
		} {
			want := candidatesOf(t, want, q)
			for name, s := range stores {
				if diff := cmp.Diff(want, candidatesOf(t, s, q), alike); diff != "" {
					t.Fatalf("%s: %s", name, diff)
				}
			}
		}
	}
	t.Logf("%d bytes at hand", store.MirroredBytes(mirrored))
	for name, test := range map[string]struct {
		s    *store.Store
		want int
	}{"plain": {plain, 0}, "at hand": {mirrored, 2}, "crowded": {crowded, 1}} {
		if got := store.Mirrored(test.s); got != test.want {
			t.Errorf("%s keeps %d scopes, want %d", name, got, test.want)
		}
	}
	for name, test := range map[string]struct {
		s           *store.Store
		least, most int
	}{"plain": {plainWide, 0, 0}, "at hand": {wide, 100, 500}, "crowded": {crowdedWide, 1, 50}} {
		if n := store.LooseRows(test.s); n < test.least || n > test.most {
			t.Errorf("of large scopes, %s keeps %d memories, want %d to %d", name, n, test.least, test.most)
		}
		if n := store.Mirrored(test.s); n != 0 {
			t.Errorf("%s keeps %d large scopes whole", name, n)
		}
	}
}

// alike compares candidates. Postgres adds up a distance in another order.
var alike = cmp.Options{cmpopts.IgnoreUnexported(store.Candidates{}), cmpopts.EquateApprox(0, 1e-6)}

// candidatesOf asks twice: the first answer may have to fetch.
func candidatesOf(t *testing.T, s *store.Store, q store.Question) store.Candidates {
	t.Helper()
	first, err := s.Candidates(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Candidates(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	first.Index, again.Index = nil, nil
	for _, c := range []store.Candidates{first, again} {
		for i := range c.Candidates {
			c.Candidates[i].Words, c.Candidates[i].Place = nil, 0
		}
	}
	if diff := cmp.Diff(first, again, alike); diff != "" {
		t.Fatalf("asked again: %s", diff)
	}
	return first
}

// TestStatesOfAScope holds that a scope whose changes were never noted, as one
// is that was written before they were, is read again when it changes, and that
// many changes are made one without being taken for none.
func TestStatesOfAScope(t *testing.T) {
	db := postgres.New(t)
	writer, reader := db.Open(t, store.Options{}), db.Open(t, store.Options{})
	add(t, writer, entry("a disk"))
	notes := func() int {
		return admin[int](t, db, "SELECT count(*)::int FROM scope_changes")
	}
	if notes() == 0 {
		t.Error("a stored memory left no note")
	}
	admin[int](t, db, "WITH gone AS (DELETE FROM scope_changes RETURNING 1) SELECT count(*)::int FROM gone")
	for i := range 110 {
		if i > 0 {
			add(t, writer, entry(fmt.Sprintf("disk number %d", i)))
		}
		if found := candidatesOf(t, reader, ask("disk")); len(found.Candidates) != i+1 || store.Mirrored(reader) != 1 {
			t.Fatalf("%d candidates of %d, %d scopes at hand", len(found.Candidates), i+1, store.Mirrored(reader))
		}
	}
	if n := notes(); n == 0 || n > 101 {
		t.Errorf("%d notes are left of 109 changes", n)
	}
	if err := writer.Delete(t.Context(), scope, uuid.MustParse(candidatesOf(t, reader, ask("disk")).Candidates[0].ID), 0); err != nil {
		t.Fatal(err)
	}
	if found := candidatesOf(t, reader, ask("disk")); len(found.Candidates) != 109 {
		t.Errorf("%d candidates after one was deleted", len(found.Candidates))
	}
}

// TestMirrorForgets holds that the text of a deleted memory is not kept.
func TestMirrorForgets(t *testing.T) {
	for name, test := range map[string]struct {
		narrow int64
		kept   func(*store.Store) bool
	}{
		"a small scope": {0, func(s *store.Store) bool { return store.Mirrored(s) == 1 }},
		"a large scope": {1, func(s *store.Store) bool { return store.LooseRows(s) > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			mirrorForgets(t, postgres.New(t).Open(t, store.Options{Narrow: test.narrow}), test.kept)
		})
	}
}

func mirrorForgets(t *testing.T, s *store.Store, kept func(*store.Store) bool) {
	ctx := t.Context()
	soon := time.Now().Add(time.Hour)
	stored := add(t, s, entry("a disk that stays"), entry("a disk that goes"), entry("a disk that expires", func(e *store.Entry) { e.TTL = &soon }))
	look := func(want int) {
		t.Helper()
		if err := s.Upkeep(ctx); err != nil {
			t.Fatal(err)
		}
		if found := candidatesOf(t, s, ask("disk")); len(found.Candidates) != want || !kept(s) {
			t.Fatalf("%d candidates of %d, at hand: %v", len(found.Candidates), want, kept(s))
		}
	}
	look(3)
	if err := s.Delete(ctx, scope, stored[1].ID, 0); err != nil {
		t.Fatal(err)
	}
	if kept(s) {
		t.Errorf("after a memory was deleted its scope is at hand")
	}
	look(2)
	if n, err := s.Expire(ctx, soon.Add(time.Second)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n, err := s.RemoveExpired(ctx, soon.Add(time.Second), 10); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if kept(s) {
		t.Errorf("after expired memories were removed their scope is at hand")
	}
	look(1)
	if err := s.Delete(ctx, scope, stored[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	if store.KeptLate(s) != 0 {
		t.Error("what was fetched before a memory was deleted is kept after")
	}
}

// TestLooseMirrorAges holds that memories of a large scope, of which another
// process may have deleted some, are kept at hand for an hour at most.
func TestLooseMirrorAges(t *testing.T) {
	s := postgres.New(t).Open(t, store.Options{Narrow: 1})
	add(t, s, entry("a disk"), entry("a zebra"))
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	candidatesOf(t, s, ask("disk"))
	for _, test := range []struct {
		by   time.Duration
		want int
	}{{50 * time.Minute, 2}, {11 * time.Minute, 1}} {
		store.Age(s, test.by)
		if found := candidatesOf(t, s, ask("zebra")); len(found.Candidates) != 1 || store.LooseRows(s) != test.want {
			t.Errorf("%v later %d memories are at hand, want %d", test.by, store.LooseRows(s), test.want)
		}
	}
}

// TestCrowdedMirror goes around more scopes than there is room for: most stay
// at hand, where each would be let go just before it is asked again.
func TestCrowdedMirror(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	var scopes []memory.Scope
	for i := range 10 {
		scopes = append(scopes, memory.Scope(fmt.Sprintf("project:%d", i)))
		corpus(t, s, scopes[i], 20, uint64(i+1))
	}
	around := func(s *store.Store, scopes ...memory.Scope) {
		for _, sc := range scopes {
			candidatesOf(t, s, ask("zebra", func(q *store.Question) { q.Scope = sc }))
		}
	}
	around(s, scopes...)
	each := store.MirroredBytes(s) / 10
	crowded := db.Open(t, store.Options{Mirror: 8 * each})
	around(crowded, scopes...)
	before := store.MirroredScopes(crowded)
	if len(before) < 6 || len(before) > 8 {
		t.Fatalf("%d scopes are at hand, of 8 that there is room for", len(before))
	}
	for range 3 {
		around(crowded, scopes...)
	}
	stayed := 0
	for _, scope := range store.MirroredScopes(crowded) {
		if slices.Contains(before, scope) {
			stayed++
		}
	}
	if stayed < 5 {
		t.Errorf("of %d scopes %d stayed at hand", len(before), stayed)
	}
	// One that is asked again and again takes the place of one that is not.
	last := scopes[9:]
	for range 3 {
		around(crowded, last...)
	}
	number, err := crowded.Number(t.Context(), last[0])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(store.MirroredScopes(crowded), number) {
		t.Errorf("scope %s is not at hand", last[0])
	}
}
