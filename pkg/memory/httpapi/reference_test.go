package httpapi_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

// TestReferences holds that an id that the scope does not have, or has already,
// is refused with its field, the id and what to do.
func TestReferences(t *testing.T) {
	s := newSite(t)
	const nothing, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	const in = "?scope=project:dubnium"
	taken := s.store(good).ID.String()
	session := into[memory.Session](t, s.do("POST", "/memory/sessions", `{"scope":"project:dubnium"}`)).ID.String()
	task := into[memory.Task](t, s.do("POST", "/memory/tasks", `{"scope":"project:dubnium"}`)).ID.String()
	with := func(fields string) string {
		return strings.Replace(strings.Replace(good, "nightly", "weekly", 1), `"scope"`, fields+`,"scope"`, 1)
	}
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		want               []string // field, reason, id, a part of what to do
	}{
		"an artifact of a memory": {"POST", "/memory/store", with(`"artifact_refs":["` + nothing + `"]`), 404, []string{"artifact_refs[0] not-found " + nothing, "POST /memory/artifacts"}},
		"all that is missing":     {"POST", "/memory/store", with(`"task_id":"` + nothing + `","artifact_refs":["` + nothing + `","` + other + `"]`), 404, []string{"task_id not-found " + nothing, "POST /memory/tasks", "artifact_refs[0] not-found " + nothing, "", "artifact_refs[1] not-found " + other, ""}},
		"a task of a batch":       {"POST", "/memory/store-batch", `{"memories":[` + good + `,` + with(`"task_id":"`+nothing+`"`) + `]}`, 404, []string{"memories[1].task_id not-found " + nothing, ""}},
		"a session's id as task":  {"POST", "/memory/store", with(`"task_id":"` + session + `"`), 404, []string{"task_id not-found " + session, ""}},
		"of one that is there":    {"POST", "/memory/store", strings.Replace(good, `"scope"`, `"artifact_refs":["`+nothing+`"],"scope"`, 1), 404, []string{"artifact_refs[0] not-found " + nothing, ""}},
		"in place of another":     {"POST", "/memory/memories/" + taken + "/supersede" + in, with(`"task_id":"` + nothing + `"`), 404, []string{"task_id not-found " + nothing, ""}},
		"the other":               {"POST", "/memory/memories/" + nothing + "/supersede" + in, with(`"speaker":"bob"`), 404, []string{"id not-found " + nothing, ""}},
		"a memory's id":           {"POST", "/memory/store", with(`"id":"` + taken + `"`), 409, []string{"id taken " + taken, "leave it out"}},
		"one of a batch":          {"POST", "/memory/store-batch", `{"memories":[` + with(`"id":"`+taken+`"`) + `]}`, 409, []string{"memories[0].id taken " + taken, ""}},
		"a session's id":          {"POST", "/memory/sessions", `{"scope":"project:dubnium","id":"` + session + `"}`, 409, []string{"id taken " + session, "leave it out"}},
		"a task's id":             {"POST", "/memory/tasks", `{"scope":"project:dubnium","id":"` + task + `"}`, 409, []string{"id taken " + task, "PATCH /memory/tasks/" + task}},
		"a task's session":        {"POST", "/memory/tasks", `{"scope":"project:dubnium","session_id":"` + nothing + `"}`, 404, []string{"session_id not-found " + nothing, "POST /memory/sessions"}},
		"of a memory":             {"POST", "/memory/provenance", `{"scope":"project:dubnium","memory_id":"` + nothing + `","source_identity":"ci","source_event":{}}`, 404, []string{"memory_id not-found " + nothing, ""}},
		"of an artifact":          {"POST", "/memory/provenance", `{"scope":"project:dubnium","artifact_id":"` + nothing + `","source_identity":"ci","source_event":{}}`, 404, []string{"artifact_id not-found " + nothing, ""}},
		"of an event":             {"POST", "/memory/provenance", `{"scope":"project:dubnium","retrieval_event_id":"` + nothing + `","source_identity":"ci","source_event":{}}`, 404, []string{"retrieval_event_id not-found " + nothing, ""}},
		"a memory":                {"GET", "/memory/memories/" + nothing + in, "", 404, []string{"id not-found " + nothing, ""}},
		"in another scope":        {"POST", "/memory/memories/" + taken + "/verify?scope=project:other", "", 404, []string{"id not-found " + taken, ""}},
		"a session":               {"GET", "/memory/sessions/" + nothing + in, "", 404, []string{"id not-found " + nothing, "no session"}},
		"a window":                {"GET", "/memory/sessions/" + nothing + "/window" + in, "", 404, []string{"id not-found " + nothing, ""}},
		"a task":                  {"GET", "/memory/tasks/" + nothing + in, "", 404, []string{"id not-found " + nothing, "no task"}},
		"checkpoints":             {"GET", "/memory/tasks/" + nothing + "/checkpoints" + in, "", 404, []string{"id not-found " + nothing, ""}},
		"an artifact":             {"GET", "/memory/artifacts/" + nothing + in, "", 404, []string{"id not-found " + nothing, "no artifact"}},
		"a content":               {"GET", "/memory/artifacts/" + nothing + "/content" + in, "", 404, []string{"id not-found " + nothing, ""}},
		"an event":                {"GET", "/memory/retrieval-events/" + nothing + in, "", 404, []string{"id not-found " + nothing, "no retrieval event"}},
		"a replay":                {"POST", "/memory/retrieval-events/" + nothing + "/replay" + in, "", 404, []string{"id not-found " + nothing, ""}},
		"a model":                 {"POST", "/memory/models/nothing/activate", "", 404, []string{"name not-found ", "GET /memory/models"}},
	} {
		a := s.do(tc.method, tc.path, tc.body)
		failure := into[memory.Failure](t, a).Error
		code := map[int]string{404: "not-found", 409: "conflict"}[tc.status]
		if a.status != tc.status || failure.Code != code || len(failure.Fields) != len(tc.want)/2 {
			t.Errorf("%s: %d %s, want %d with %d fields", name, a.status, a.body, tc.status, len(tc.want)/2)
			continue
		}
		for i, f := range failure.Fields {
			what, next := tc.want[2*i], tc.want[2*i+1]
			head, id, _ := strings.Cut(what, " ")
			reason, id, _ := strings.Cut(id, " ")
			if f.Field != head || f.Reason != reason || !strings.Contains(f.Message, id) || !strings.Contains(f.Message, next) {
				t.Errorf("%s: %+v, want %q and %q", name, f, what, next)
			}
		}
	}
	if page := into[memory.Page[memory.Memory]](t, s.do("GET", "/memory/memories"+in, "")); len(page.Items) != 1 {
		t.Errorf("%d memories are there", len(page.Items))
	}
	if s.log.Len() > 0 {
		t.Errorf("faults of callers are in the log: %s", s.log)
	}
}

// TestReferencesOfAClient holds that a caller behind the API tells the same
// cases apart, and is told the same.
func TestReferencesOfAClient(t *testing.T) {
	s := newSite(t)
	c, err := client.URL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	first := s.store(good)
	d := memory.Draft{MemoryType: memory.Episodic, Summary: "x", Scope: "project:dubnium", Source: "note", ID: &first.ID}
	var invalid memory.Invalid
	if _, err := c.Store(t.Context(), d); !errors.Is(err, memory.ErrConflict) || errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), "id is "+first.ID.String()+", which another memory of this scope has") {
		t.Errorf("an id that is taken: %v", err)
	}
	d.ID, d.TaskID = nil, &first.ID
	if _, err := c.Store(t.Context(), d); !errors.Is(err, memory.ErrNotFound) || !strings.HasPrefix(err.Error(), "task_id is "+first.ID.String()) {
		t.Errorf("a task that is not there: %v", err)
	}
	if _, err := c.NewModel(t.Context(), memory.NewModel{Name: "m", Provider: "builtin", Dimensions: 8}); err != nil {
		t.Fatal(err)
	}
	_, err = c.NewModel(t.Context(), memory.NewModel{Name: "m", Provider: "builtin", Dimensions: 16})
	want := "name is that of another model, which has 8 dimensions, the provider builtin and its own prefixes: give this one another name"
	if !errors.Is(err, memory.ErrConflict) || err.Error() != want {
		t.Errorf("another model of the name: %s", cmp.Diff(want, err.Error()))
	}
}

// TestTwins holds that what a verification or a promotion would make the same
// as another memory is refused with the other's id.
func TestTwins(t *testing.T) {
	s := newSite(t)
	const in = "?scope=project:dubnium"
	first := s.store(good).ID.String()
	if a := s.do("POST", "/memory/memories/"+first+"/reject"+in, `{"reason":"stale-fact"}`); a.status != 200 {
		t.Fatal(a.body)
	}
	second := s.store(good).ID.String()
	refused := func(what string, a answer, other string) {
		t.Helper()
		failure := into[memory.Failure](t, a).Error
		if a.status != 409 || len(failure.Fields) != 1 || failure.Fields[0].Field != "id" || failure.Fields[0].Reason != "duplicate" || !strings.Contains(failure.Fields[0].Message, other) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	refused("verify", s.do("POST", "/memory/memories/"+first+"/verify"+in, ""), second)
	third := s.store(strings.Replace(good, "episodic", "working", 1)).ID.String()
	refused("promote", s.do("POST", "/memory/memories/"+third+"/promote"+in, `{"memory_type":"episodic"}`), second)
	if a := s.do("POST", "/memory/memories/"+second+"/reject"+in, `{"reason":"stale-fact"}`); a.status != 200 {
		t.Fatal(a.body)
	}
	if a := s.do("POST", "/memory/memories/"+third+"/promote"+in, `{"memory_type":"episodic"}`); a.status != 200 {
		t.Errorf("promote without a twin: %d %s", a.status, a.body)
	}
}
