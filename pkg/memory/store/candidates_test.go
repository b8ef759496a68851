package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/rank"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

func ask(text string, edit ...func(*store.Question)) store.Question {
	q := store.Question{Scope: scope, Text: text, AsOf: time.Now(), Filters: memory.Filters{AllowedSensitivity: []string{"internal"}}}
	for _, f := range edit {
		f(&q)
	}
	return q
}

// found are the texts of the candidates, sorted.
func found(t testing.TB, s *store.Store, q store.Question) []string {
	t.Helper()
	c, err := s.Candidates(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, c := range c.Candidates {
		all = append(all, c.Text)
	}
	slices.Sort(all)
	return all
}

// TestFilters holds each filter, the small way and the large way.
func TestFilters(t *testing.T) {
	db := postgres.New(t)
	ctx := t.Context()
	setUp := db.Open(t, store.Options{})
	now := time.Now()
	soon := now.Add(time.Hour).Truncate(time.Microsecond)
	session := uuid.New()
	stored := add(t, setUp,
		entry("disk plain"), entry("disk secret", func(e *store.Entry) { e.Sensitivity = "secret" }),
		entry("disk verified", func(e *store.Entry) { e.ValidationStatus = memory.Verified }),
		entry("disk flagged", func(e *store.Entry) { e.Flags = []string{"override"} }),
		entry("disk soon gone", func(e *store.Entry) { e.TTL = &soon }),
		entry("disk semantic", func(e *store.Entry) { e.MemoryType = memory.Semantic }),
		entry("disk in a session", in(session)), entry("disk rejected"), entry("disk superseded"), entry("something else"))
	if _, err := setUp.Reject(ctx, scope, stored[7].ID, 0, memory.StaleFact); err != nil {
		t.Fatal(err)
	}
	if _, err := setUp.Supersede(ctx, scope, stored[8].ID, 0, entry("disk plain")); err != nil {
		t.Fatal(err)
	}
	if _, err := setUp.Add(ctx, "project:other", []store.Entry{entry("disk elsewhere", func(e *store.Entry) { e.Scope = "project:other" })}, nil); err != nil {
		t.Fatal(err)
	}
	model := embed(t, setUp, "m", 3)
	if _, err := setUp.Backfill(ctx, model, 100); err != nil {
		t.Fatal(err)
	}
	drain(t, setUp, model, 3)
	all := []string{"disk flagged", "disk in a session", "disk plain", "disk semantic", "disk soon gone", "disk verified"}
	without := func(drop ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(drop, s) })
	}
	for way, narrow := range map[string]int64{"narrow": 1000, "wide": 1} {
		s := db.Open(t, store.Options{Narrow: narrow})
		if err := s.Upkeep(ctx); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			edit func(*store.Question)
			want []string
		}{
			"none":       {func(*store.Question) {}, all},
			"secret too": {func(q *store.Question) { q.Filters.AllowedSensitivity = []string{"internal", "secret"} }, append(without(), "disk secret")},
			"verified":   {func(q *store.Question) { q.Filters.RequireVerified = true }, []string{"disk verified"}},
			"unflagged":  {func(q *store.Question) { q.Filters.ExcludeFlagged = true }, without("disk flagged")},
			"later":      {func(q *store.Question) { q.AsOf = soon }, without("disk soon gone")},
			"type":       {func(q *store.Question) { q.Filters.MemoryTypes = []memory.Type{memory.Semantic} }, []string{"disk semantic"}},
			"session":    {func(q *store.Question) { q.Filters.SessionID = &session }, []string{"disk in a session"}},
			"audit":      {func(q *store.Question) { q.Rejected = true }, []string{"disk rejected"}},
			"nowhere":    {func(q *store.Question) { q.Scope = "agent:nobody" }, []string{}},
			"no word":    {func(q *store.Question) { q.Text = "zebra" }, []string{}},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				slices.Sort(test.want)
				q := ask("what about the disk?", test.edit)
				if diff := cmp.Diff(test.want, found(t, s, q)); diff != "" {
					t.Errorf("by words: %s", diff)
				}
				if name == "no word" || name == "none" {
					return
				}
				// A vector alone finds what the filters let pass, and nothing else.
				q.Text, q.Vector, q.Model = "zebra", vector("disk", 3), model
				got := found(t, s, q)
				if slices.Contains(got, "something else") {
					got = slices.DeleteFunc(got, func(s string) bool { return s == "something else" })
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("by vector: %s", diff)
				}
			})
		}
	}
}

func TestCandidateParts(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{})
	session := uuid.New()
	at := time.Date(2023, 5, 7, 0, 0, 0, 0, time.UTC)
	add(t, s, entry("Did you paint it?", in(session)), entry("Yes, a sunrise over the lake.", in(session), func(e *store.Entry) {
		e.Speaker, e.OccurredAt, e.Importance = "Melanie", &at, 0.25
	}), entry("Lovely!", in(session)))
	c, err := s.Candidates(t.Context(), ask("When did Melanie paint a sunrise? 7 May 2023"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2023", "7", "may", "melani", "paint", "sunris"}, c.Lexemes); diff != "" {
		t.Error(diff)
	}
	want := map[string]int{"2023": 1, "7": 1, "may": 1, "melani": 1, "paint": 1, "sunris": 1}
	if diff := cmp.Diff(want, c.Statistics.Frequency); diff != "" || c.Statistics.Documents != 3 {
		t.Errorf("%d documents, %s", c.Statistics.Documents, diff)
	}
	if len(c.Candidates) != 3 || c.Statistics.Sessions[session.String()] == 0 || c.Statistics.Lengths[0] == 0 || c.Wide {
		t.Fatalf("%+v", c)
	}
	got := c.Candidates[slices.IndexFunc(c.Candidates, func(c rank.Candidate) bool { return c.Speaker != "" })]
	if got.Previous != "Did you paint it?" || got.Session != session.String() || got.Ordinal != 2 || !got.OccurredAt.Equal(at) || got.Importance != 0.25 || got.Embedded || len(got.Terms) == 0 {
		t.Errorf("%+v", got)
	}
	// No word at all in the question: what is newest.
	if got := found(t, s, ask("what is it?")); len(got) != 3 {
		t.Errorf("%v", got)
	}
	// Words that would be syntax anywhere else.
	add(t, s, entry(`it's C:\temp\'x' & | ! <-> :A* 50% http://a.example/x?y&z`))
	for _, text := range []string{`it's C:\temp\'x'`, `& | ! <-> :A* ( ) \ '`, "http://a.example/x?y&z", "'; DROP TABLE memories; --", strings.Repeat("many words ", 300)} {
		if _, err := s.Candidates(t.Context(), ask(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := found(t, s, ask(`http://a.example/x?y&z`)); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// corpus fills a scope with texts whose words are as skewed as language.
func corpus(t testing.TB, s *store.Store, sc memory.Scope, n int, seed uint64) func() string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	zipf := rand.NewZipf(r, 1.1, 4, 20000)
	text := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "w%dq ", zipf.Uint64())
		}
		return b.String()
	}
	for done := 0; done < n; done += 1000 {
		session := uuid.New()
		var entries []store.Entry
		for i := range min(1000, n-done) {
			if i%20 == 0 {
				session = uuid.New()
			}
			entries = append(entries, entry(text(12+r.IntN(20)), in(session), func(e *store.Entry) {
				e.Scope = sc
				if r.IntN(4) == 0 {
					e.Sensitivity = "private"
				}
			}))
		}
		if _, err := s.Add(t.Context(), sc, entries, nil); err != nil {
			t.Fatal(err)
		}
	}
	return func() string { return text(3 + r.IntN(6)) }
}

// TestNarrowIsWide holds that a scope that is searched through its indexes
// answers as one that is searched whole: the same ids where no word had to be
// left out, and nearly all of them otherwise.
func TestNarrowIsWide(t *testing.T) {
	db := postgres.New(t)
	ctx := t.Context()
	narrow := db.Open(t, store.Options{Narrow: 1 << 30})
	wide := db.Open(t, store.Options{Narrow: 1})
	question := corpus(t, narrow, scope, 1500, 7)
	corpus(t, narrow, "project:other", 200, 8)
	// Every seventh is verified, every eleventh rejected.
	some, err := narrow.List(ctx, scope, store.List{Limit: 1500})
	if err != nil {
		t.Fatal(err)
	}
	for i := range some {
		switch {
		case i%7 == 0:
			_, err = narrow.Verify(ctx, scope, some[i].ID, 0)
		case i%11 == 0:
			_, err = narrow.Reject(ctx, scope, some[i].ID, 0, memory.StaleFact)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	model := embed(t, narrow, "m", 16)
	if _, err := narrow.Backfill(ctx, model, 1<<20); err != nil {
		t.Fatal(err)
	}
	drain(t, narrow, model, 16)
	if err := wide.Upkeep(ctx); err != nil {
		t.Fatal(err)
	}
	ids := func(s *store.Store, q store.Question) map[string]bool {
		c, err := s.Candidates(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, c := range c.Candidates {
			all[c.ID] = true
		}
		return all
	}
	// Words of which few memories have any, so that none is left out.
	r := rand.New(rand.NewPCG(5, 5))
	for range 20 {
		text := fmt.Sprintf("w%dq w%dq w%dq", 100+r.IntN(300), 100+r.IntN(300), 400+r.IntN(3000))
		with := func(q *store.Question) { q.Vector, q.Model = vector(text, 16), model }
		for name, q := range map[string]store.Question{
			"words":    ask(text),
			"vector":   ask(text, with),
			"filtered": ask(text, func(q *store.Question) { q.Filters.AllowedSensitivity = []string{"private"} }),
			"session":  ask(text, with, func(q *store.Question) { q.Filters.SessionID = some[r.IntN(len(some))].SessionID }),
			"verified": ask(text, with, func(q *store.Question) { q.Filters.RequireVerified = true }),
			"rejected": ask(text, with, func(q *store.Question) { q.Rejected = true }),
		} {
			if diff := cmp.Diff(ids(narrow, q), ids(wide, q)); diff != "" {
				t.Errorf("%s, %s: %s", text, name, diff)
			}
		}
	}
	// Any words, of which the most frequent are left out.
	hit, want := 0, 0
	for range 30 {
		q := ask(question())
		b := ids(wide, q)
		for id := range ids(narrow, q) {
			want++
			if b[id] {
				hit++
			}
		}
	}
	if recall := float64(hit) / float64(want); recall < 0.95 {
		t.Errorf("recall %.3f of %d candidates", recall, want)
	}
}

// TestWidePlans holds that a large scope is searched through the indexes.
func TestWidePlans(t *testing.T) {
	db := postgres.New(t)
	s := db.Open(t, store.Options{Narrow: 1})
	corpus(t, s, scope, 5100, 3)
	model := embed(t, s, "m", 16)
	if _, err := s.Backfill(t.Context(), model, 1<<20); err != nil {
		t.Fatal(err)
	}
	drain(t, s, model, 16)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := ask("w1q w77q", func(q *store.Question) { q.Vector, q.Model = vector("w1q", 16), model })
	plan, err := s.Explain(t.Context(), q, true, true)
	if err != nil || !strings.Contains(plan, "embedding_1_near") {
		t.Errorf("%v\n%s", err, plan)
	}
	number, err := s.Number(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	// The words' index as the function uses it.
	run(t, db, fmt.Sprintf(`ANALYZE memories;
		CREATE FUNCTION plan() RETURNS text LANGUAGE plpgsql AS $$
		DECLARE line text; whole text := ''; BEGIN
		FOR line IN EXPLAIN SELECT m.id FROM memories m WHERE m.scope_id = %[1]d AND m.status = 'live' AND m.validation_status <> 'rejected'
			AND scoped_terms(m.scope_id, m.tsv) && ARRAY['%[1]d:w900q', '%[1]d:w1234q'] LOOP whole := whole || line || E'\n'; END LOOP;
		RETURN whole; END $$`, number))
	if lines := admin[string](t, db, "SELECT plan()"); !strings.Contains(lines, "memories_terms") {
		t.Error(lines)
	}
	if _, err := s.Candidates(t.Context(), q); err != nil {
		t.Error(err)
	}
}
