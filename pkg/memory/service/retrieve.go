package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/rank"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// Retrieve gives the memories of a scope that bear on a query, as candidates
// with their evidence, and records that it did.
func (s *Service) Retrieve(ctx context.Context, r memory.Retrieve) (memory.Retrieved, error) {
	return s.retrieve(ctx, r, memory.EventRetrieval)
}

// Audit gives rejected memories, and records it as an event of its own type.
// What it returns must not be used in a prompt.
func (s *Service) Audit(ctx context.Context, r memory.Retrieve) (memory.Retrieved, error) {
	return s.retrieve(ctx, r, memory.EventAudit)
}

func (s *Service) retrieve(ctx context.Context, r memory.Retrieve, kind memory.EventType) (memory.Retrieved, error) {
	begin := time.Now()
	r = r.Normal()
	if err := r.Check(); err != nil {
		return memory.Retrieved{}, err
	}
	r, err := cleanQuery(r)
	if err != nil {
		return memory.Retrieved{}, err
	}
	var stages Stages
	q := store.Question{Scope: r.Scope, Text: r.Query, Filters: filters(r), AsOf: s.now(), Rejected: kind == memory.EventAudit}
	if r.AsOf != nil {
		q.AsOf = instant(*r.AsOf)
	}
	model, err := s.embed(ctx, &q, func(m outbox.Model) bool { return m.State == outbox.Active })
	if err != nil {
		return memory.Retrieved{}, err
	}
	stages.Embed = time.Since(begin)
	found, hits, err := s.rank(ctx, q, model, &stages)
	if err != nil {
		return memory.Retrieved{}, err
	}
	recorded := time.Now()
	answers, err := s.answer(ctx, r.Scope, found, hits)
	if err != nil {
		return memory.Retrieved{}, err
	}
	event, kept, err := s.event(ctx, r, kind, answers)
	if err != nil {
		return memory.Retrieved{}, err
	}
	event.Model, event.AsOf, event.LatencyMS = model.Name, q.AsOf, float64(time.Since(begin).Microseconds())/1000
	if event, err = s.store.AddEvent(ctx, event, kept); err != nil {
		return memory.Retrieved{}, err
	}
	stages.Record, stages.Hits = time.Since(recorded), len(answers)
	if r.TokenBudget > 0 {
		compress(answers, found.Lexemes, r.TokenBudget)
	}
	s.options.Observe(stages)
	return memory.Retrieved{Memories: answers, Event: event}, nil
}

// event is the record of a retrieval that returned the hits, and what it keeps
// of each.
func (s *Service) event(ctx context.Context, r memory.Retrieve, kind memory.EventType, hits []memory.Hit) (memory.RetrievalEvent, []store.Hit, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return memory.RetrievalEvent{}, nil, fmt.Errorf("make an id: %w", err)
	}
	event := memory.RetrievalEvent{
		ID: id, Type: kind, Scope: r.Scope, Query: r.Query, Metadata: filters(r), Caller: memory.CallerOf(ctx), Configuration: s.digest,
		ReturnedArtifactIDs: []uuid.UUID{},
	}
	kept := make([]store.Hit, len(hits))
	for i, h := range hits {
		kept[i] = store.Hit{Rank: h.Rank, MemoryID: h.ID, MemoryVersion: h.Version, Score: h.Score, Parts: h.Parts}
		for _, a := range h.Artifacts {
			if !slices.Contains(event.ReturnedArtifactIDs, a.ID) {
				event.ReturnedArtifactIDs = append(event.ReturnedArtifactIDs, a.ID)
			}
		}
	}
	return event, kept, nil
}

// cleanQuery takes the secrets out of what is recorded with an event.
func cleanQuery(r memory.Retrieve) (memory.Retrieve, error) {
	var c cleaner
	c.label("scope", string(r.Scope))
	for i, label := range r.AllowedSensitivity {
		c.label(fmt.Sprintf("allowed_sensitivity[%d]", i), label)
	}
	r.Query = c.text("query", r.Query)
	r.EnvelopeID = c.text("envelope_id", r.EnvelopeID)
	if r.Requester != nil {
		r.Requester = &memory.Requester{ActorType: r.Requester.ActorType, ActorID: c.text("requester.actor_id", r.Requester.ActorID)}
	}
	if err := c.err(); err != nil {
		return r, err
	}
	return r, r.Check()
}

// filters are what is kept of the request with its event.
func filters(r memory.Retrieve) memory.Filters {
	return memory.Filters{
		AllowedSensitivity: r.AllowedSensitivity, RequireVerified: r.RequireVerified, ExcludeFlagged: r.ExcludeFlagged, MemoryTypes: r.MemoryTypes,
		SessionID: r.SessionID, Limit: r.Limit, TokenBudget: r.TokenBudget, Purpose: r.Purpose, Requester: r.Requester, EnvelopeID: r.EnvelopeID,
	}
}

// embed gives the question its vector, of a model that is wanted and that we
// can ask, and returns that model. A provider that does not answer in time
// leaves the words to decide: retrieval works without any vector.
func (s *Service) embed(ctx context.Context, q *store.Question, wanted func(outbox.Model) bool) (outbox.Model, error) {
	model, embedder, err := s.model(ctx, wanted)
	if err != nil || embedder == nil {
		return outbox.Model{}, err
	}
	within, cancel := context.WithTimeout(ctx, s.options.EmbedWithin)
	defer cancel()
	vectors, err := embedder.Embed(within, []string{q.Text}, embed.Query)
	if err != nil || len(vectors) != 1 {
		return outbox.Model{}, nil //nolint:nilerr // by words alone
	}
	q.Model, q.Vector = model.ID, vectors[0]
	return model, nil
}

// ranked is a hit with its candidate.
type ranked struct {
	hit        rank.Hit
	id         uuid.UUID
	duplicates []uuid.UUID
}

// rank asks the store for candidates, orders them, and takes the best, those
// that say the same once.
func (s *Service) rank(ctx context.Context, q store.Question, model outbox.Model, stages *Stages) (store.Candidates, []ranked, error) {
	begin := time.Now()
	found, err := s.store.Candidates(ctx, q)
	if err != nil {
		return found, nil, err
	}
	stages.Candidates = time.Since(begin)
	begin = time.Now()
	weights := *s.options.Weights
	if q.Vector != nil {
		weights.Vector = model.Weight
	}
	hits, err := rank.Order(rank.Query{Text: q.Text, Lexemes: found.Lexemes, AsOf: q.AsOf, Index: found.Index}, found.Candidates, found.Statistics, weights)
	if err != nil {
		return found, nil, err
	}
	best, err := collapse(hits, found.Candidates, q.Filters.Limit)
	stages.Rank, stages.Rows, stages.Exact = time.Since(begin), len(found.Candidates), !found.Wide
	return found, best, err
}

// likeness is what two candidates that say the same have in common, as far as
// that can be told without reading them.
type likeness struct {
	source, speaker, session string
	year, day                int
	first, last              rune
}

func likenessOf(c *rank.Candidate) likeness {
	text := strings.TrimSpace(c.Text)
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	return likeness{
		c.Source, c.Speaker, c.Session, c.OccurredAt.Year(), c.OccurredAt.YearDay(), unicode.ToLower(first), unicode.ToLower(last),
	}
}

// collapse takes the best limit hits; one that repeats a better one, word for
// word from the same source, session and day, is only named there.
func collapse(hits []rank.Hit, candidates []rank.Candidate, limit int) ([]ranked, error) {
	best := make([]ranked, 0, min(limit, len(hits)))
	alike := make(map[likeness][]int, limit) // places among the best
	for _, h := range hits {
		if h.Score <= 0 {
			break // nothing speaks for it, nor for those after it
		}
		c := &candidates[h.Index]
		l := likenessOf(c)
		places := alike[l]
		if len(places) == 0 && len(best) >= limit {
			continue
		}
		id, err := uuid.Parse(c.ID)
		if err != nil {
			return nil, fmt.Errorf("a candidate has no id: %w", err)
		}
		again := slices.IndexFunc(places, func(i int) bool {
			return same(candidates[best[i].hit.Index].Text, c.Text)
		})
		switch {
		case again >= 0:
			i := places[again]
			best[i].duplicates = append(best[i].duplicates, id)
		case len(best) < limit:
			alike[l] = append(places, len(best))
			best = append(best, ranked{hit: h, id: id})
		}
	}
	return best, nil
}

// same tells whether two texts differ in case and space alone. Most that it is
// asked about differ soon.
func same(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	for a != "" && b != "" {
		first, n := utf8.DecodeRuneInString(a)
		second, m := utf8.DecodeRuneInString(b)
		if unicode.IsSpace(first) && unicode.IsSpace(second) {
			a, b = strings.TrimLeftFunc(a, unicode.IsSpace), strings.TrimLeftFunc(b, unicode.IsSpace)
			continue
		}
		if unicode.ToLower(first) != unicode.ToLower(second) {
			return false
		}
		a, b = a[n:], b[m:]
	}
	return a == b
}

// answer reads the memories of the hits. What was deleted since they were found
// is left out.
func (s *Service) answer(ctx context.Context, scope memory.Scope, found store.Candidates, hits []ranked) ([]memory.Hit, error) {
	ids := make([]uuid.UUID, len(hits))
	byID := make(map[uuid.UUID]ranked, len(hits))
	for i, h := range hits {
		ids[i], byID[h.id] = h.id, h
	}
	out := make([]memory.Hit, 0, len(hits))
	if len(hits) == 0 {
		return out, nil
	}
	memories, err := s.store.Found(ctx, scope, found, ids)
	if err != nil {
		return nil, err
	}
	for _, m := range memories {
		h := byID[m.ID]
		out = append(out, memory.Hit{
			Memory: m, Rank: len(out) + 1, Score: h.hit.Score, Parts: h.hit.Parts(), Duplicates: h.duplicates,
			Untrusted: m.ValidationStatus != memory.Verified || len(m.Flags) > 0,
		})
	}
	return out, nil
}

// digest names the settings of a ranking, so that an event can say under which
// it ran.
func digest(w rank.Weights) string {
	text, err := json.Marshal(w)
	if err != nil {
		panic("weights are numbers: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
