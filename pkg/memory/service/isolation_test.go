package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// neighbours are scopes that a careless comparison would take for one another:
// prefixes, patterns, other cases, other forms of the same letters.
func neighbours(r *rand.Rand) []memory.Scope {
	all := []memory.Scope{
		"project:a", "project:ab", "project:a.b", "project:a%", "project:%", "project:_", "project:a_", "project:A", "project:*", "project:a/b", "project:a:b",
		"agent:a", "personal:a", "session:a", "workflow:a", "project:a'", `project:a\`, "project:project:a", "project:é", "project:e\u0301", "project:{1}", "project:a,project:ab",
	}
	for range 10 {
		s := all[r.IntN(len(all))]
		switch r.IntN(3) {
		case 0:
			s += memory.Scope(string(rune('a' + r.IntN(3))))
		case 1:
			s += "%"
		case 2:
			s += "/x"
		}
		all = append(all, s)
	}
	seen := map[memory.Scope]bool{}
	var out []memory.Scope
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// TestIsolation stores the same words in scopes that resemble each other, and
// then asks in every way there is: nothing may come back, be counted, changed
// or found that is of another scope. Every memory names its scope, so that a
// foreign one is known by its text.
func TestIsolation(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 7))
	s := newService(t)
	ctx := t.Context()
	scopes := neighbours(r)
	type owned struct {
		memories                []uuid.UUID
		session, task, artifact uuid.UUID
		events                  []uuid.UUID
	}
	has := map[memory.Scope]*owned{}
	for i, sc := range scopes {
		o := &owned{}
		session, err := s.NewSession(ctx, memory.NewSession{Scope: sc, Title: mark(sc)})
		if err != nil {
			t.Fatal(sc, err)
		}
		task, err := s.NewTask(ctx, memory.NewTask{Scope: sc, Title: mark(sc)})
		if err != nil {
			t.Fatal(sc, err)
		}
		artifact, err := s.NewArtifact(ctx, memory.Artifact{Scope: sc, Name: mark(sc)}, strings.NewReader("the same in all"))
		if err != nil {
			t.Fatal(sc, err)
		}
		o.session, o.task, o.artifact = session.ID, task.ID, artifact.ID
		for n := range 1 + r.IntN(4) {
			d := draft(fmt.Sprintf("The shared secretless words of %s, number %d.", mark(sc), n), func(d *memory.Draft) {
				d.Scope, d.SessionID, d.ArtifactRefs = sc, &session.ID, []uuid.UUID{artifact.ID}
			})
			o.memories = append(o.memories, put(t, s, d).ID)
		}
		has[sc] = o
		if i%3 == 0 {
			if _, err := s.Reject(ctx, sc, o.memories[0], 0, memory.Reject{Reason: memory.StaleFact}); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := 0
	own := func(sc memory.Scope, what string, id uuid.UUID, all []uuid.UUID, text string) {
		t.Helper()
		for _, o := range all {
			if o == id && (text == "" || strings.Contains(text, mark(sc))) {
				return
			}
		}
		foreign++
		t.Errorf("%s of %q has %s, %q", what, sc, id, text)
	}
	queries := 0
	for range 1500 {
		sc := scopes[r.IntN(len(scopes))]
		o := has[sc]
		query := memory.Retrieve{
			Query: []string{"shared words", "number 1", string(sc), "%", mark(scopes[r.IntN(len(scopes))])}[r.IntN(5)], Scope: sc, Limit: 1 + r.IntN(32),
			RequireVerified: r.IntN(8) == 0, ExcludeFlagged: r.IntN(4) == 0,
		}
		ask := s.Retrieve
		if r.IntN(5) == 0 {
			ask = s.Audit
		}
		got, err := ask(memory.WithCaller(ctx, memory.Caller{Known: true, UID: r.Uint32()}), query)
		if err != nil {
			t.Fatal(sc, err)
		}
		queries++
		for _, h := range got.Memories {
			own(sc, "a retrieval", h.ID, o.memories, h.Summary)
			for _, a := range h.Artifacts {
				own(sc, "a hit's artifacts", a.ID, []uuid.UUID{o.artifact}, a.Name)
			}
			for _, id := range h.Duplicates {
				own(sc, "a hit's duplicates", id, o.memories, "")
			}
		}
		for _, id := range got.Event.ReturnedArtifactIDs {
			own(sc, "an event's artifacts", id, []uuid.UUID{o.artifact}, "")
		}
		if len(o.events) < 3 {
			o.events = append(o.events, got.Event.ID)
		}
	}
	for _, sc := range scopes {
		o := has[sc]
		checkLists(t, s, sc, o.memories, o.session, o.task, o.artifact, own)
		for _, other := range scopes {
			if other == sc {
				continue
			}
			p := has[other]
			crossScope(t, s, sc, p.memories[0], p.session, p.task, p.artifact, p.events)
		}
		for _, id := range o.events {
			replay, err := s.Replay(ctx, sc, id)
			if err != nil || !replay.Same {
				t.Errorf("replay in %q: %+v, %v", sc, replay, err)
			}
		}
	}
	if foreign > 0 {
		t.Errorf("%d foreign rows", foreign)
	}
	t.Logf("%d scopes, %d queries, %d pairs of scopes: %d foreign rows", len(scopes), queries, len(scopes)*(len(scopes)-1), foreign)
}

// mark is a word for the scope that is in no other scope's.
func mark(sc memory.Scope) string { return fmt.Sprintf("mark%xend", string(sc)) }

func checkLists(t *testing.T, s *service.Service, sc memory.Scope, memories []uuid.UUID, session, task, artifact uuid.UUID, own func(memory.Scope, string, uuid.UUID, []uuid.UUID, string)) {
	t.Helper()
	ctx := t.Context()
	list, err := s.ListMemories(ctx, memory.MemoryList{Scope: sc, Limit: 100})
	if err != nil || len(list) != len(memories) {
		t.Errorf("%d memories are listed of %q, %v: want %d", len(list), sc, err, len(memories))
	}
	for _, m := range list {
		own(sc, "a list", m.ID, memories, m.Summary)
	}
	sessions, err := s.ListSessions(ctx, memory.ScopeList{Scope: sc, Limit: 100})
	if err != nil || len(sessions) != 1 || sessions[0].Memories > int64(len(memories)) {
		t.Errorf("sessions of %q: %+v, %v", sc, sessions, err)
	}
	for _, v := range sessions {
		own(sc, "the sessions", v.ID, []uuid.UUID{session}, v.Title)
	}
	tasks, err := s.ListTasks(ctx, memory.ScopeList{Scope: sc, Limit: 100})
	if err != nil || len(tasks) != 1 {
		t.Errorf("tasks of %q: %+v, %v", sc, tasks, err)
	}
	for _, v := range tasks {
		own(sc, "the tasks", v.ID, []uuid.UUID{task}, v.Title)
	}
	artifacts, err := s.ListArtifacts(ctx, memory.ScopeList{Scope: sc, Limit: 100})
	if err != nil || len(artifacts) != 1 {
		t.Errorf("artifacts of %q: %+v, %v", sc, artifacts, err)
	}
	for _, v := range artifacts {
		own(sc, "the artifacts", v.ID, []uuid.UUID{artifact}, v.Name)
	}
	events, err := s.ListEvents(ctx, sc, nil, 500)
	if err != nil {
		t.Error(err)
	}
	for _, e := range events {
		if e.Scope != sc {
			t.Errorf("an event of %q is listed in %q", e.Scope, sc)
		}
	}
	window, err := s.Window(ctx, sc, session, 0, nil)
	if err != nil {
		t.Error(err)
	}
	for _, m := range window.Turns {
		own(sc, "a window", m.ID, memories, m.Summary)
	}
	var b bytes.Buffer
	if err := s.Export(ctx, sc, &b); err != nil {
		t.Error(err)
	}
	if all, its := strings.Count(b.String(), "mark"), strings.Count(b.String(), mark(sc)); all != its || its == 0 {
		t.Errorf("the export of %q has %d marks, of which %d are its own", sc, all, its)
	}
}

// crossScope asks in a scope for what is another's, by its id: all of it is not
// found, and nothing of it changes.
func crossScope(t *testing.T, s *service.Service, sc memory.Scope, m, session, task, artifact uuid.UUID, events []uuid.UUID) {
	t.Helper()
	ctx := t.Context()
	try := map[string]error{}
	_, try["get"] = s.Memory(ctx, sc, m)
	_, try["verify"] = s.Verify(ctx, sc, m, 0)
	_, try["reject"] = s.Reject(ctx, sc, m, 0, memory.Reject{Reason: memory.StaleFact})
	_, try["promote"] = s.Promote(ctx, sc, m, 0, memory.Semantic)
	_, try["supersede"] = s.Supersede(ctx, sc, m, 0, draft("x", func(d *memory.Draft) { d.Scope = sc }))
	try["delete"] = s.Delete(ctx, sc, m, 0)
	_, try["session"] = s.Session(ctx, sc, session)
	_, try["end session"] = s.EndSession(ctx, sc, session)
	_, try["window"] = s.Window(ctx, sc, session, 0, nil)
	_, try["task"] = s.Task(ctx, sc, task)
	_, try["change task"] = s.ChangeTask(ctx, sc, task, 0, memory.ChangeTask{Status: memory.TaskDone})
	_, try["artifact"] = s.Artifact(ctx, sc, artifact)
	_, _, try["content"] = s.Content(ctx, sc, artifact)
	_, try["lineage"] = s.NewProvenance(ctx, memory.NewProvenance{Scope: sc, MemoryID: &m, SourceIdentity: "x", SourceEvent: memory.Object{}})
	_, try["store with its artifact"] = s.Store(ctx, draft("y", func(d *memory.Draft) { d.Scope, d.ArtifactRefs = sc, []uuid.UUID{artifact} }), nil)
	_, try["store in its task"] = s.Store(ctx, draft("y", func(d *memory.Draft) { d.Scope, d.TaskID = sc, &task }), nil)
	for _, e := range events[:min(1, len(events))] {
		_, try["event"] = s.Event(ctx, sc, e)
		_, try["replay"] = s.Replay(ctx, sc, e)
	}
	for what, err := range try {
		if !errors.Is(err, memory.ErrNotFound) {
			t.Errorf("%s in %q of what is another scope's: %v", what, sc, err)
		}
	}
}
