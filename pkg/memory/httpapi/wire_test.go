package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// newTapped is a site on one connection to the database, of which is known what
// goes over it.
func newTapped(t *testing.T) (*site, *postgres.Tap) {
	t.Helper()
	db := postgres.New(t)
	tap := db.NewTap(t)
	db.DSN = tap.DSN
	return newSiteOn(t, db.Open(t, store.Options{Connections: 1})), tap
}

// TestForeignIsMissing asks for what is another scope's and for what is not
// there, by ids alone: the answers are the same to the last byte, and so are
// the statements that the database is asked. Nobody learns from an answer, or
// from how long it took, whether an id is in another scope.
func TestForeignIsMissing(t *testing.T) {
	s, tap := newTapped(t)
	const ours, theirs = "project:ours", "project:theirs"
	as := func(scope string) string { return strings.Replace(good, "project:dubnium", scope, 1) }
	s.store(as(ours))
	m := s.store(as(theirs))
	created := func(path, body string, headers ...string) uuid.UUID {
		t.Helper()
		a := s.do("POST", path, body, headers...)
		if a.status/100 != 2 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		return into[struct{ ID uuid.UUID }](t, a).ID
	}
	session := created("/memory/sessions", `{"scope":"`+theirs+`"}`)
	task := created("/memory/tasks", `{"scope":"`+theirs+`"}`)
	artifact := created("/memory/artifacts?scope="+theirs, "content", "Content-Type", "text/plain")
	found := into[memory.Retrieved](t, s.do("POST", "/memory/retrieve", `{"query":"nightly build","scope":"`+theirs+`"}`))
	event := found.Event.ID

	for _, test := range []struct {
		name, method, path, body string
		foreign                  uuid.UUID
	}{
		{"get", "GET", "/memory/memories/{id}?scope={scope}", "", m.ID},
		{"verify", "POST", "/memory/memories/{id}/verify?scope={scope}", "{}", m.ID},
		{"reject", "POST", "/memory/memories/{id}/reject?scope={scope}", `{"reason":"stale-fact"}`, m.ID},
		{"promote", "POST", "/memory/memories/{id}/promote?scope={scope}", `{"memory_type":"semantic"}`, m.ID},
		{"supersede", "POST", "/memory/memories/{id}/supersede?scope={scope}", as(ours), m.ID},
		{"delete", "DELETE", "/memory/memories/{id}?scope={scope}", "", m.ID},
		{"lineage", "GET", "/memory/provenance?scope={scope}&memory_id={id}", "", m.ID},
		{"add lineage", "POST", "/memory/provenance", `{"scope":"{scope}","source_identity":"ci","source_event":{},"memory_id":"{id}"}`, m.ID},
		{"session", "GET", "/memory/sessions/{id}?scope={scope}", "", session},
		{"window", "GET", "/memory/sessions/{id}/window?scope={scope}", "", session},
		{"end session", "POST", "/memory/sessions/{id}/end?scope={scope}", "", session},
		{"task", "GET", "/memory/tasks/{id}?scope={scope}", "", task},
		{"change task", "PATCH", "/memory/tasks/{id}?scope={scope}", `{"status":"done"}`, task},
		{"store in a task", "POST", "/memory/store", strings.Replace(as(ours), `"scope"`, `"task_id":"{id}","scope"`, 1), task},
		{"artifact", "GET", "/memory/artifacts/{id}?scope={scope}", "", artifact},
		{"content", "GET", "/memory/artifacts/{id}/content?scope={scope}", "", artifact},
		{"store with an artifact", "POST", "/memory/store", strings.NewReplacer("nightly", "weekly", `"scope"`, `"artifact_refs":["{id}"],"scope"`).Replace(as(ours)), artifact},
		{"event", "GET", "/memory/retrieval-events/{id}?scope={scope}", "", event},
		{"replay", "POST", "/memory/retrieval-events/{id}/replay?scope={scope}", "", event},
	} {
		t.Run(test.name, func(t *testing.T) {
			ask := func(id uuid.UUID) (answer, []string) {
				fill := strings.NewReplacer("{id}", id.String(), "{scope}", ours)
				tap.Said()
				a := s.do(test.method, fill.Replace(test.path), fill.Replace(test.body), "If-Match", "*")
				a.header.Del("Date")
				a.body = strings.ReplaceAll(a.body, id.String(), "{id}") // which the caller sent
				return a, tap.Said()
			}
			ask(uuid.New()) // a statement is sent with its text the first time
			missing, saidOfMissing := ask(uuid.New())
			foreign, saidOfForeign := ask(test.foreign)
			if missing.status != http.StatusNotFound && test.name != "lineage" {
				t.Errorf("an id that is not there: %d %s", missing.status, missing.body)
			}
			for what, diff := range map[string]string{
				"status":     cmp.Diff(missing.status, foreign.status),
				"body":       cmp.Diff(missing.body, foreign.body),
				"header":     cmp.Diff(missing.header, foreign.header),
				"statements": cmp.Diff(saidOfMissing, saidOfForeign),
			} {
				if diff != "" {
					t.Errorf("%s of a missing id and of a foreign one: %s", what, diff)
				}
			}
			if len(saidOfMissing) == 0 {
				t.Error("the database was not asked at all")
			}
		})
	}
}

// TestDyingBackend cuts the connection while the database is at a request: the
// caller is told to come again, and is served then.
func TestDyingBackend(t *testing.T) {
	s, tap := newTapped(t)
	m := s.store(good)
	get := "/memory/memories/" + m.ID.String() + "?scope=project:dubnium"
	for name, request := range map[string][3]string{
		"get":      {"GET", get, ""},
		"store":    {"POST", "/memory/store", good},
		"retrieve": {"POST", "/memory/retrieve", `{"query":"nightly build","scope":"project:dubnium"}`},
		"verify":   {"POST", fmt.Sprintf("/memory/memories/%s/verify?scope=project:dubnium", m.ID), "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func() answer { return s.do(request[0], request[1], request[2], "If-Match", "*") }
			if a := ask(); a.status != http.StatusOK {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
			tap.Cut("B")
			a := ask()
			tap.Cut("")
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || into[memory.Failure](t, a).Error.Code != "unavailable" {
				t.Errorf("%d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
			}
			if a := ask(); a.status != http.StatusOK {
				t.Errorf("afterwards: %d %s", a.status, a.body)
			}
		})
	}
}
