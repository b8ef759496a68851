package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/httpapi"
	"github.com/ryjen/dubnium/pkg/memory/service"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// site is a service behind real HTTP, over a real database.
type site struct {
	t   testing.TB
	url string
	log *bytes.Buffer
	svc *service.Service
	// artifacts is the folder of their contents.
	artifacts string
}

func newSite(t testing.TB) *site {
	t.Helper()
	return newSiteOn(t, postgres.New(t).Open(t, store.Options{}))
}

func newSiteOn(t testing.TB, db *store.Store) *site {
	t.Helper()
	artifacts := t.TempDir()
	folder, err := service.NewFolder(artifacts, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	meters := httpapi.NewMeters()
	svc, err := service.New(db, folder, service.Options{Observe: meters.Retrieval})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, log: new(bytes.Buffer), svc: svc, artifacts: artifacts}
	api := httpapi.New(svc, httpapi.Options{Log: slog.New(slog.NewTextHandler(s.log, nil)), Meters: meters, Version: "1.2.3", MaxUpload: 1 << 20})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers come as name and value.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// into decodes a body.
func into[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	return v
}

const good = `{"memory_type":"episodic","summary":"The nightly build moved to systemd timers.","scope":"project:dubnium","source":"conversation","provenance":{"origin":"agent"}}`

func (s *site) store(body string) memory.Stored {
	s.t.Helper()
	a := s.do("POST", "/memory/store", body)
	if a.status != http.StatusOK {
		s.t.Fatalf("store: %d %s", a.status, a.body)
	}
	return into[memory.Stored](s.t, a)
}

// TestRunbook walks the requests of the founding runbooks.
func TestRunbook(t *testing.T) {
	s := newSite(t)
	if a := s.do("GET", "/healthz", ""); a.status != 200 || strings.TrimSpace(a.body) != `{"status":"ok"}` {
		t.Errorf("health: %d %s", a.status, a.body)
	}
	stored := s.store(`{"session_id":"11111111-1111-4111-8111-111111111111","memory_type":"episodic","summary":"Condensed interaction summary about Dubnium memory",
		"scope":"project:dubnium","importance":0.82,"confidence":0.76,"sensitivity":"internal","validation_status":"verified","ttl":null,"source":"conversation",
		"provenance":{"origin":"agent","model":"qwen","extractor_version":"1"}}`)
	a := s.do("POST", "/memory/retrieve", `{"query":"What is Dubnium memory for?","scope":"project:dubnium","allowed_sensitivity":["internal"],"require_verified":true,"limit":8,
		"purpose":"review","requester":{"actor_type":"agent","actor_id":"anthesis-reviewer"},"envelope_id":"env-20260528-001"}`)
	got := into[memory.Retrieved](t, a)
	if a.status != 200 || len(got.Memories) != 1 || got.Memories[0].ID != stored.ID {
		t.Fatalf("retrieve: %d %s", a.status, a.body)
	}
	for _, field := range []string{`"retrieval_event":{"id":`, `"returned_memory_ids":["` + stored.ID.String(), `"returned_artifact_ids":[]`, `"metadata":{"allowed_sensitivity":["internal"],"require_verified":true`, `"artifact_refs":[]`} {
		if !strings.Contains(a.body, field) {
			t.Errorf("the answer has no %s: %s", field, a.body)
		}
	}
	events := into[memory.Page[memory.RetrievalEvent]](t, s.do("GET", "/memory/retrieval-events", ""))
	if len(events.Items) != 1 || events.Items[0].ID != got.Event.ID {
		t.Errorf("events: %+v", events)
	}
	if a := s.do("POST", "/memory/expire", `{"now":"2026-05-28T00:00:00Z"}`); a.status != 200 || into[memory.Expiry](t, a).Expired != 0 {
		t.Errorf("expire: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/retrieval-events/"+got.Event.ID.String()+"/replay?scope=project:dubnium", ""); !into[memory.Replay](t, a).Same {
		t.Errorf("replay: %d %s", a.status, a.body)
	}
	if a := s.do("GET", "/readyz", ""); a.status != 200 || !into[memory.Readiness](t, a).Ready {
		t.Errorf("ready: %d %s", a.status, a.body)
	}
	metrics := s.do("GET", "/metrics", "").body
	for _, want := range []string{`dubnium_memory_requests_total{method="POST",path="/memory/store",code="200"} 1`, `dubnium_memory_stored_total{result="new"} 1`, "dubnium_memory_retrieval_stage_seconds"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// TestBadInput is what the service refuses: with a JSON error that names field
// and reason, repeats no value, and stores nothing.
func TestBadInput(t *testing.T) {
	s := newSite(t)
	long := strings.Repeat("SECRETVALUE", 800)
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	store := func(name, body string, status int, want ...string) []any {
		return []any{name, "POST", "/memory/store", body, status, want}
	}
	retrieve := func(name, fields string, want ...string) []any {
		return []any{name, "POST", "/memory/retrieve", `{"query":"SECRETVALUE","scope":"project:dubnium"` + fields + `}`, 422, want}
	}
	for _, tc := range [][]any{
		store("malformed JSON", `{"summary": "SECRETVALUE"`, 400, "body malformed"),
		store("no JSON at all", `SECRETVALUE`, 400, "body malformed"),
		store("a list", `["SECRETVALUE"]`, 400, "body malformed"),
		store("two documents", good+good, 400, "body malformed"),
		store("no UTF-8", "{\"summary\":\"SECRETVALUE\xff\"}", 400, "body not-utf8"),
		store("oversize", `{"summary":"`+strings.Repeat("a", 2<<20)+`"}`, 413),
		store("deep nesting", edit(`"origin":"agent"`, `"a":`+strings.Repeat(`{"a":`, 50)+`1`+strings.Repeat("}", 50)), 400, "body too-deep"),
		store("nesting past the object's bound", edit(`"origin":"agent"`, `"a":`+strings.Repeat(`{"a":`, 18)+`1`+strings.Repeat("}", 18)), 422, "provenance too-deep"),
		store("unknown field", edit(`"source"`, `"SECRETVALUES"`), 422, "SECRETVALUES unknown-field"),
		store("a field of the answer", edit(`"scope"`, `"version":3,"scope"`), 422, "version unknown-field"),
		store("id", edit(`"scope"`, `"id":"SECRETVALUE","scope"`), 422, "id not-an-id"),
		store("session id", edit(`"scope"`, `"session_id":"' OR 1=1","scope"`), 422, "session_id not-an-id"),
		store("artifact id", edit(`"scope"`, `"artifact_refs":["SECRETVALUE"],"scope"`), 422, "artifact_refs[0] not-an-id"),
		store("NUL", edit("nightly", `nightly\u0000`), 422, "summary nul-byte"),
		store("NUL in metadata", edit(`"agent"`, `"SECRETVALUE\u0000"`), 422, "provenance nul-byte"),
		store("NUL in a scope", edit("dubnium", `dubnium\u0000`), 422, "scope malformed"),
		store("empty summary", edit("The nightly build moved to systemd timers.", " "), 422, "summary required"),
		store("long summary", edit("The nightly", long), 422, "summary too-long"),
		store("half of a character", edit("nightly", `night\ud800ly`), 400, "body not-utf8"),
		store("a label of spaces", edit(`"scope"`, `"sensitivity":"  ","scope"`), 422, "sensitivity required"),
		store("long source", edit("conversation", long), 422, "source too-long"),
		store("type", edit("episodic", "SECRETVALUE"), 422, "memory_type not-one-of"),
		store("no type", edit(`"memory_type":"episodic",`, ""), 422, "memory_type required"),
		store("wrong scope", edit("project:dubnium", "SECRETVALUE"), 422, "scope malformed"),
		store("scope kind in capitals", edit("project:", "Project:"), 422, "scope malformed"),
		store("score", edit(`"scope"`, `"importance":1.5,"scope"`), 422, "importance out-of-range"),
		store("score that is no number", edit(`"scope"`, `"confidence":"SECRETVALUE","scope"`), 422, "confidence malformed"),
		store("timestamp", edit(`"scope"`, `"ttl":"SECRETVALUE","scope"`), 422, "ttl malformed"),
		store("year", edit(`"scope"`, `"occurred_at":"0000-01-01T00:00:00Z","scope"`), 422, "occurred_at out-of-range"),
		store("status", edit(`"scope"`, `"validation_status":"SECRETVALUE","scope"`), 422, "validation_status not-one-of"),
		store("semantic without evidence", edit("episodic", "semantic"), 422, "confidence not-promotable"),
		store("several", edit("episodic", "x")[:20]+`,"summary":"","scope":"x","source":""}`, 400, "body malformed"),
		store("an artifact that is not there", edit(`"scope"`, `"artifact_refs":["11111111-1111-4111-8111-111111111111"],"scope"`), 404, "artifact_refs[0] not-found"),
		store("a task that is not there", edit(`"scope"`, `"task_id":"11111111-1111-4111-8111-111111111111","scope"`), 404, "task_id not-found"),
		retrieve("no label", `,"allowed_sensitivity":[]`, "allowed_sensitivity empty"),
		retrieve("empty label", `,"allowed_sensitivity":[""]`, "allowed_sensitivity[0] required"),
		retrieve("limit 0", `,"limit":0`, "limit out-of-range"),
		retrieve("limit 33", `,"limit":33`, "limit out-of-range"),
		retrieve("limit -1", `,"limit":-1`, "limit out-of-range"),
		retrieve("limit 1e9", `,"limit":1e9`, "limit malformed"),
		retrieve("purpose", `,"purpose":"SECRETVALUE"`, "purpose not-one-of"),
		retrieve("actor", `,"requester":{"actor_type":"SECRETVALUE","actor_id":"x"}`, "requester.actor_type not-one-of"),
		retrieve("actor without an id", `,"requester":{"actor_type":"agent"}`, "requester.actor_id required"),
		retrieve("budget", `,"token_budget":-5`, "token_budget out-of-range"),
		{"empty query", "POST", "/memory/retrieve", `{"query":"","scope":"project:dubnium"}`, 422, []string{"query required"}},
		{"long query", "POST", "/memory/retrieve", `{"query":"` + long + `","scope":"project:dubnium"}`, 422, []string{"query too-long"}},
		{"empty batch", "POST", "/memory/store-batch", `{"memories":[]}`, 422, []string{"memories empty"}},
		{"one of a batch", "POST", "/memory/store-batch", `{"memories":[` + good + `,` + edit("episodic", "SECRETVALUE") + `]}`, 422, []string{"memories[1].memory_type not-one-of"}},
		{"expire at no time", "POST", "/memory/expire", `{"now":"SECRETVALUE"}`, 422, []string{"now malformed"}},
		{"no scope", "GET", "/memory/memories", "", 422, []string{"scope required"}},
		{"an id that is none", "GET", "/memory/memories/SECRETVALUE?scope=project:dubnium", "", 422, []string{"id not-an-id"}},
		{"an id that is not there", "GET", "/memory/memories/11111111-1111-4111-8111-111111111111?scope=project:dubnium", "", 404, []string{"id not-found"}},
		{"unknown parameter", "GET", "/memory/memories?scope=project:dubnium&order=SECRETVALUE", "", 422, []string{"order unknown-field"}},
		{"page of 501", "GET", "/memory/memories?scope=project:dubnium&limit=501", "", 422, []string{"limit out-of-range"}},
		{"page of 0", "GET", "/memory/memories?scope=project:dubnium&limit=0", "", 422, []string{"limit out-of-range"}},
		{"cursor", "GET", "/memory/memories?scope=project:dubnium&cursor=SECRETVALUE", "", 422, []string{"cursor malformed"}},
		{"no such path", "GET", "/memory/SECRETVALUE", "", 404, []string(nil)},
		{"a path with dots", "GET", "/memory/x/../memories?scope=project:dubnium", "", 404, []string(nil)},
		{"a path with two slashes", "GET", "/memory//memories?scope=project:dubnium", "", 404, []string(nil)},
		{"method", "DELETE", "/memory/store", "", 405, []string(nil)},
		{"session title", "POST", "/memory/sessions", `{"scope":"project:dubnium","title":"` + long + `"}`, 422, []string{"title too-long"}},
		{"task status", "POST", "/memory/tasks", `{"scope":"project:dubnium","status":"SECRETVALUE"}`, 422, []string{"status not-one-of"}},
		{"two subjects", "POST", "/memory/provenance", `{"scope":"project:dubnium","source_identity":"ci","source_event":{},"memory_id":"11111111-1111-4111-8111-111111111111","artifact_id":"11111111-1111-4111-8111-111111111111"}`, 422, []string{"memory_id required"}},
		{"model", "POST", "/memory/models", `{"name":"m","provider":"SECRETVALUE","dimensions":0}`, 422, []string{"provider not-one-of", "dimensions out-of-range"}},
	} {
		name, method, path, body, status, want := tc[0].(string), tc[1].(string), tc[2].(string), tc[3].(string), tc[4].(int), tc[5].([]string)
		a := s.do(method, path, body)
		if a.status != status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, status)
			continue
		}
		failure := into[memory.Failure](t, a)
		got := []string(nil)
		for _, f := range failure.Error.Fields {
			got = append(got, f.Field+" "+f.Reason)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if failure.Error.Code == "" || failure.Error.Message == "" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v as %s", name, failure, a.header.Get("Content-Type"))
		}
		if strings.Contains(strings.ReplaceAll(a.body, "SECRETVALUES", ""), "SECRETVALUE") || strings.Contains(a.body, "goroutine") || strings.Contains(a.body, ".go:") {
			t.Errorf("%s: the answer repeats a value or has a stack: %s", name, a.body)
		}
	}
	for _, body := range []string{"text/plain", "application/json; charset=latin1", "multipart/form-data", ""} {
		if a := s.do("POST", "/memory/store", good, "Content-Type", body); a.status != http.StatusUnsupportedMediaType || into[memory.Failure](t, a).Error.Code != "unsupported-media-type" {
			t.Errorf("content type %q: %d %s", body, a.status, a.body)
		}
	}
	if a := s.do("POST", "/memory/store", strings.Repeat(" ", 2<<20)); a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, "larger than 1 MiB") {
		t.Errorf("oversize: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/store", good, "Content-Encoding", "gzip"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("content encoding: %d %s", a.status, a.body)
	}
	page := into[memory.Page[memory.Memory]](t, s.do("GET", "/memory/memories?scope=project:dubnium", ""))
	if len(page.Items) != 0 {
		t.Errorf("%d memories were stored", len(page.Items))
	}
	if s.log.Len() > 0 {
		t.Errorf("faults of callers are in the log: %s", s.log)
	}
}

// TestSQLInEveryString stores and asks with SQL in every string there is.
func TestSQLInEveryString(t *testing.T) {
	s := newSite(t)
	for _, evil := range []string{`'; DROP TABLE memories; --`, `\'; DELETE FROM memories WHERE ''='`, `%' OR '1'='1`, `$1`, `"; SELECT pg_sleep(10); --`, `x:* & !y | (`, `{1,2}`, `\\`, `':A'`} {
		quoted, err := json.Marshal(evil)
		if err != nil {
			t.Fatal(err)
		}
		v := strings.Trim(string(quoted), `"`)
		body := fmt.Sprintf(`{"memory_type":"episodic","summary":"disk %s","scope":"project:%s","source":"%s","speaker":"%s","sensitivity":"%s","provenance":{"%s":"%s"},"metadata":{"a":"%s"}}`,
			v, strings.TrimSpace(v), v, v, v, v, v, v)
		stored := s.store(body)
		a := s.do("POST", "/memory/retrieve", fmt.Sprintf(`{"query":"disk %s","scope":"project:%s","allowed_sensitivity":["%s"],"envelope_id":"%s","requester":{"actor_type":"agent","actor_id":"%s"}}`, v, strings.TrimSpace(v), v, v, v))
		got := into[memory.Retrieved](t, a)
		if len(got.Memories) != 1 || got.Memories[0].ID != stored.ID || got.Memories[0].Summary != "disk "+evil {
			t.Errorf("%q: %d %s", evil, a.status, a.body)
		}
	}
	if s.store(good).Existing {
		t.Error("the table is not as it was")
	}
}

func TestConditions(t *testing.T) {
	s := newSite(t)
	m := s.store(good)
	one := "/memory/memories/" + m.ID.String()
	const in = "?scope=project:dubnium"
	a := s.do("GET", one+in, "")
	if a.header.Get("ETag") != `"1"` {
		t.Errorf("ETag %q", a.header.Get("ETag"))
	}
	if a := s.do("GET", one+in, "", "If-None-Match", `"1"`); a.status != http.StatusNotModified || a.body != "" {
		t.Errorf("not modified: %d %s", a.status, a.body)
	}
	for match, want := range map[string]int{`W/"1"`: 304, `"7", "1"`: 304, `*`: 304, `"11"`: 200, `"x,\"1\""`: 200, `x"1"`: 200} {
		if a := s.do("GET", one+in, "", "If-None-Match", match); a.status != want {
			t.Errorf("unless it is %s: %d, want %d", match, a.status, want)
		}
	}
	for _, tc := range []struct {
		name, method, path, body, match string
		status                          int
		code                            string
	}{
		{"of an older version", "POST", one + "/verify" + in, "", `"7"`, 412, "version"},
		{"of a weak tag", "POST", one + "/verify" + in, "", `W/"1"`, 412, "version"},
		{"of weak tags alone", "POST", one + "/verify" + in, "", `W/"1", W/"2"`, 412, "version"},
		{"of no tag at all", "POST", one + "/verify" + in, "", `empty`, 412, "version"},
		{"of older versions", "POST", one + "/verify" + in, "", `"7", "8"`, 412, "version"},
		{"of * in a list", "POST", one + "/verify" + in, "", `*, "1"`, 422, "invalid"},
		{"of a list that is cut off", "POST", one + "/verify" + in, "", `"1", "2`, 422, "invalid"},
		{"of tags without a comma", "POST", one + "/verify" + in, "", `"1" "2"`, 422, "invalid"},
		{"of a tag in another form", "POST", one + "/verify" + in, "", `"01"`, 412, "version"},
		{"of what is not there", "POST", "/memory/memories/11111111-1111-4111-8111-111111111111/verify" + in, "", `W/"1"`, 404, "not-found"},
		{"of no tag of ours", "POST", one + "/verify" + in, "", `"abc"`, 412, "version"},
		{"of a tag without its quotes", "POST", one + "/verify" + in, "", `1`, 422, "invalid"},
		{"of a list with the version", "POST", one + "/verify" + in, "", `"9" ,, W/"x,y", "1"`, 200, ""},
		{"of a list with an older one", "POST", one + "/reject" + in, `{"reason":"stale-fact"}`, `"1", "9"`, 412, "version"},
		{"of any, with room", "POST", one + "/verify" + in, "", ` * `, 200, ""},
		{"of the version", "POST", one + "/verify" + in, "", `"3"`, 200, ""},
		{"without", "POST", one + "/reject" + in, `{"reason":"stale-fact"}`, "", 200, ""},
		{"of any", "POST", one + "/verify" + in, "", `*`, 200, ""},
		{"with a body", "POST", one + "/verify" + in, `{"x":1}`, "", 400, "malformed"},
		{"promotion", "POST", one + "/promote" + in, `{"memory_type":"semantic"}`, `"6"`, 422, "invalid"},
		{"delete without", "DELETE", one + in, "", "", 428, "precondition-required"},
		{"delete an older version", "DELETE", one + in, "", `"1"`, 412, "version"},
		{"delete from another scope", "DELETE", one + "?scope=project:other", "", `*`, 404, "not-found"},
		{"delete a version by a list", "DELETE", one + in, "", `"5", "6"`, 204, ""},
		{"delete again", "DELETE", one + in, "", `"6"`, 404, "not-found"},
	} {
		headers := []string{}
		if tc.match == "empty" {
			headers = []string{"If-Match", ""}
		} else if tc.match != "" {
			headers = []string{"If-Match", tc.match}
		}
		a := s.do(tc.method, tc.path, tc.body, headers...)
		if a.status != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.name, a.status, a.body, tc.status)
		} else if tc.code != "" && into[memory.Failure](t, a).Error.Code != tc.code {
			t.Errorf("%s: %s, want %s", tc.name, a.body, tc.code)
		}
	}
	task := into[memory.Task](t, s.do("POST", "/memory/tasks", `{"scope":"project:dubnium","title":"x","state":{"step":1}}`))
	of := "/memory/tasks/" + task.ID.String()
	if a := s.do("PATCH", of+in, `{"status":"running"}`); a.status != 428 {
		t.Errorf("change a task without a version: %d %s", a.status, a.body)
	}
	if a := s.do("PATCH", of+in, `{"status":"running","state":{"step":2}}`, "If-Match", `"1"`); a.status != 200 || a.header.Get("ETag") != `"2"` {
		t.Errorf("change a task: %d %s", a.status, a.body)
	}
	if a := s.do("PATCH", of+in, `{"status":"running"}`, "If-Match", `"1", "2", "3"`); a.status != 200 || a.header.Get("ETag") != `"3"` {
		t.Errorf("change a task of a list of versions: %d %s", a.status, a.body)
	}
	if a := s.do("PATCH", of+in, `{"status":"done"}`, "If-Match", `"1"`); a.status != 412 {
		t.Errorf("change a task again: %d %s", a.status, a.body)
	}
	checkpoints := into[memory.Page[memory.Checkpoint]](t, s.do("GET", of+"/checkpoints"+in, ""))
	if len(checkpoints.Items) != 2 || checkpoints.Items[0].Sequence != 1 || checkpoints.Items[0].Status != memory.TaskQueued || fmt.Sprint(checkpoints.Items[0].State["step"]) != "1" {
		t.Errorf("checkpoints %+v", checkpoints)
	}
}

func TestIdempotency(t *testing.T) {
	s := newSite(t)
	first := s.do("POST", "/memory/store", good, "Idempotency-Key", "k1")
	again := s.do("POST", "/memory/store", good, "Idempotency-Key", "k1")
	if first.status != 200 || again.body != first.body {
		t.Errorf("again: %d %s, first %s", again.status, again.body, first.body)
	}
	if a := s.do("POST", "/memory/store", strings.Replace(good, "nightly", "weekly", 1), "Idempotency-Key", "k1"); a.status != 422 || into[memory.Failure](t, a).Error.Code != "idempotency-mismatch" {
		t.Errorf("another request: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/store-batch", `{"memories":[`+good+`]}`, "Idempotency-Key", "k1"); a.status != 422 {
		t.Errorf("another path: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/store", good, "Idempotency-Key", strings.Repeat("k", 300)); a.status != 422 {
		t.Errorf("a long key: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/retrieve", `{"query":"x","scope":"project:dubnium"}`, "Idempotency-Key", "k2"); a.status != 422 {
		t.Errorf("where none is taken: %d %s", a.status, a.body)
	}
	reused := s.do("POST", "/memory/store-batch", `{"memories":[`+good+`]}`, "Idempotency-Key", "k1")
	if f := into[memory.Failure](t, reused).Error.Fields; len(f) != 1 || f[0].Field != "Idempotency-Key" || f[0].Reason != "taken" {
		t.Errorf("a key that is taken: %s", reused.body)
	}
	if a := s.do("POST", "/memory/store", good, "Idempotency-Key", "k3"); !into[memory.Stored](t, a).Existing {
		t.Errorf("the same with another key: %d %s", a.status, a.body)
	}
}

// TestPages walks a list page by page while more is stored.
func TestPages(t *testing.T) {
	s := newSite(t)
	want := map[string]bool{}
	for i := range 7 {
		want[s.store(strings.Replace(good, "nightly", fmt.Sprint("number ", i), 1)).ID.String()] = true
	}
	s.store(strings.Replace(good, "project:dubnium", "project:other", 1))
	got := map[string]bool{}
	cursor := ""
	for n := 0; ; n++ {
		p := into[memory.Page[memory.Memory]](t, s.do("GET", "/memory/memories?scope=project:dubnium&limit=3&cursor="+cursor, ""))
		for _, m := range p.Items {
			if got[m.ID.String()] {
				t.Errorf("%s comes twice", m.ID)
			}
			got[m.ID.String()] = true
		}
		if cursor = p.Next; cursor == "" {
			break
		}
		if n > 10 {
			t.Fatal("the list has no end")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestArtifactsAndTransfer(t *testing.T) {
	s := newSite(t)
	a := s.do("POST", "/memory/artifacts?scope=project:dubnium&artifact_type=log&name=build.log", "<script>alert(1)</script>", "Content-Type", "text/html")
	artifact := into[memory.Artifact](t, a)
	if a.status != 201 || artifact.SizeBytes != 25 || artifact.MediaType != "text/html" {
		t.Fatalf("upload: %d %s", a.status, a.body)
	}
	content := s.do("GET", "/memory/artifacts/"+artifact.ID.String()+"/content?scope=project:dubnium", "")
	if content.body != "<script>alert(1)</script>" || content.header.Get("Content-Type") != "application/octet-stream" || content.header.Get("Content-Disposition") != "attachment" {
		t.Errorf("content: %d %v %s", content.status, content.header, content.body)
	}
	if a := s.do("GET", "/memory/artifacts/"+artifact.ID.String()+"/content?scope=project:other", ""); a.status != 404 {
		t.Errorf("from another scope: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/artifacts?scope=project:dubnium&sha256="+strings.Repeat("0", 64), "x", "Content-Type", "text/plain"); a.status != 422 {
		t.Errorf("another digest: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/artifacts?scope=project:dubnium", strings.Repeat("x", 2<<20), "Content-Type", "text/plain"); a.status != 413 || !strings.Contains(a.body, "larger than 1 MiB, the most that memory.artifacts.maxSize allows") {
		t.Errorf("too large: %d %s", a.status, a.body)
	}
	s.store(strings.Replace(good, `"scope"`, `"artifact_refs":["`+artifact.ID.String()+`"],"scope"`, 1))
	got := into[memory.Retrieved](t, s.do("POST", "/memory/retrieve", `{"query":"nightly build","scope":"project:dubnium"}`))
	if len(got.Event.ReturnedArtifactIDs) != 1 || len(got.Memories) != 1 || len(got.Memories[0].Artifacts) != 1 {
		t.Errorf("retrieved %+v", got)
	}
	stored := filepath.Join(s.artifacts, artifact.SHA256[:2], artifact.SHA256)
	if err := os.WriteFile(stored, []byte("<script>alert(2)</script>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := s.do("GET", "/memory/artifacts/"+artifact.ID.String()+"/content?scope=project:dubnium", ""); a.status != 500 || into[memory.Failure](t, a).Error.Code != "damaged" {
		t.Errorf("content that was changed on the disk: %d %s", a.status, a.body)
	}
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	if a := s.do("GET", "/memory/artifacts/"+artifact.ID.String()+"/content?scope=project:dubnium", ""); a.status != 500 || into[memory.Failure](t, a).Error.Code != "damaged" {
		t.Errorf("content that was removed from the disk: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/memory/artifacts?scope=project:dubnium", content.body, "Content-Type", "text/plain"); a.status != 201 {
		t.Errorf("the same content again: %d %s", a.status, a.body)
	}
	out := s.do("GET", "/memory/export?scope=project:dubnium", "")
	if out.status != 200 || out.header.Get("Content-Type") != "application/x-ndjson" || strings.Count(out.body, "\n") != 5 {
		t.Errorf("export: %d %s", out.status, out.body)
	}
	other := newSite(t)
	if a := other.do("POST", "/memory/import", out.body, "Content-Type", "application/x-ndjson"); a.status != 200 || into[memory.Imported](t, a).Memories != 1 {
		t.Errorf("import: %d %s", a.status, a.body)
	}
	if a := other.do("POST", "/memory/import", out.body); a.status != 415 {
		t.Errorf("import as JSON: %d %s", a.status, a.body)
	}
	if again := other.do("GET", "/memory/export?scope=project:dubnium", ""); again.body != out.body {
		t.Errorf("it exports otherwise: %s", cmp.Diff(out.body, again.body))
	}
	if a := s.do("GET", "/memory/export?scope=nothing", ""); a.status != 422 {
		t.Errorf("export no scope: %d %s", a.status, a.body)
	}
}

// TestHostNames holds that a page of another host name reaches nothing.
func TestHostNames(t *testing.T) {
	s := newSite(t)
	for host, want := range map[string]int{"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost:8090": 200, "127.0.0.1": 200, "[::1]:8090": 200, "8.8.8.8": 421} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// TestOpenAPI holds that the document has every path of package memory's list,
// and that what it refers to is there.
func TestOpenAPI(t *testing.T) {
	s := newSite(t)
	a := s.do("GET", "/openapi.json", "")
	doc := into[struct {
		OpenAPI    string
		Paths      map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}](t, a)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for path, methods := range map[string][]string{
		"/memory/store": {"post"}, "/memory/store-batch": {"post"}, "/memory/retrieve": {"post"}, "/memory/audit": {"post"}, "/memory/retrieval-events": {"get"},
		"/memory/retrieval-events/{id}": {"get"}, "/memory/retrieval-events/{id}/replay": {"post"}, "/memory/memories": {"get"}, "/memory/memories/{id}": {"get", "delete"},
		"/memory/memories/{id}/verify": {"post"}, "/memory/memories/{id}/reject": {"post"}, "/memory/memories/{id}/promote": {"post"}, "/memory/memories/{id}/supersede": {"post"},
		"/memory/expire": {"post"}, "/memory/sessions": {"get", "post"}, "/memory/sessions/{id}": {"get"}, "/memory/sessions/{id}/window": {"get"}, "/memory/sessions/{id}/end": {"post"},
		"/memory/tasks": {"get", "post"}, "/memory/tasks/{id}": {"get", "patch"}, "/memory/tasks/{id}/checkpoints": {"get"}, "/memory/artifacts": {"get", "post"},
		"/memory/artifacts/{id}": {"get"}, "/memory/artifacts/{id}/content": {"get"}, "/memory/provenance": {"get", "post"}, "/memory/export": {"get"}, "/memory/import": {"post"},
		"/memory/queue": {"get"}, "/memory/queue/dead": {"get"}, "/memory/queue/retry": {"post"}, "/memory/models": {"get", "post"}, "/memory/models/{name}/activate": {"post"},
		"/healthz": {"get"}, "/readyz": {"get"},
	} {
		for _, m := range methods {
			if doc.Paths[path][m] == nil {
				t.Errorf("there is no %s %s", m, path)
			}
		}
	}
	for rest := a.body; ; {
		_, after, found := strings.Cut(rest, `"#/components/schemas/`)
		if !found {
			break
		}
		name, left, _ := strings.Cut(after, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
		rest = left
	}
	if stored := fmt.Sprint(doc.Components.Schemas["Stored"]); !strings.Contains(stored, "does not refer to, and was not made to") || !strings.Contains(stored, "nothing was written") {
		t.Errorf("the schema of what was stored does not say what becomes of a duplicate: %s", stored)
	}
	draft := fmt.Sprint(doc.Components.Schemas["Draft"])
	for _, want := range []string{"maxLength:8000", "[working episodic semantic]"} {
		if !strings.Contains(draft, want) {
			t.Errorf("the schema of a draft has no %s: %s", want, draft)
		}
	}
}
