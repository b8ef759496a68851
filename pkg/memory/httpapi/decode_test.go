package httpapi

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
)

// faults gives field and reason of each fault.
func faults(err error) []string {
	var invalid memory.Invalid
	if !errors.As(err, &invalid) {
		return nil
	}
	all := []string{}
	for _, f := range invalid {
		all = append(all, f.Field+" "+f.Reason)
	}
	return all
}

func TestDecode(t *testing.T) {
	secret := "gh" + "p_abcdefghijklmnopqrstuvwxyz0123456789"
	for _, tc := range []struct {
		name, body string
		into       any
		want       []string
	}{
		{"empty", "", new(memory.Draft), []string{"body required"}},
		{"space", " \n", new(memory.Draft), []string{"body required"}},
		{"broken", `{"summary": "x"`, new(memory.Draft), []string{"body malformed"}},
		{"half of a pair", `{"summary": "\udc00"}`, new(memory.Draft), []string{"body not-utf8"}},
		{"a pair", `{"summary": "\ud83d\ude00 \\ud800"}`, new(memory.Draft), nil},
		{"two documents", `{} {}`, new(memory.Draft), []string{"body malformed"}},
		{"array", `[]`, new(memory.Draft), []string{"body malformed"}},
		{"not UTF-8", "{\"summary\": \"\xff\"}", new(memory.Draft), []string{"body not-utf8"}},
		{"unknown field", `{"summery": "x"}`, new(memory.Draft), []string{"summery unknown-field"}},
		{"unknown field that is a secret", `{"` + secret + `": 1}`, new(memory.Draft), []string{"[REDACTED:github-token] unknown-field"}},
		{"nested unknown field", `{"requester": {"actor": "x"}}`, new(memory.Retrieve), []string{"requester.actor unknown-field"}},
		{"wrong kinds", `{"summary": 1, "importance": "high", "artifact_refs": {}, "metadata": []}`, new(memory.Draft), []string{"artifact_refs malformed", "importance malformed", "metadata malformed", "summary malformed"}},
		{"no id", `{"session_id": "x"}`, new(memory.Draft), []string{"session_id not-an-id"}},
		{"no id in a list", `{"artifact_refs": ["x"]}`, new(memory.Draft), []string{"artifact_refs[0] not-an-id"}},
		{"no timestamp", `{"ttl": "tomorrow"}`, new(memory.Draft), []string{"ttl malformed"}},
		{"timestamp without a zone", `{"ttl": "2026-05-28T00:00:00"}`, new(memory.Draft), []string{"ttl malformed"}},
		{"in a batch", `{"memories": [{}, {"id": 5}]}`, new(memory.StoreBatch), []string{"memories[1].id not-an-id"}},
		{"fraction", `{"limit": 1.5}`, new(memory.Retrieve), []string{"limit malformed"}},
		{"too large a number", `{"limit": 1e99}`, new(memory.Retrieve), []string{"limit malformed"}},
		{"too deep", `{"metadata": ` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + "}", new(memory.Draft), []string{"body too-deep"}},
		{"brackets in a string", `{"summary": "` + strings.Repeat("[", 99) + `\""}`, new(memory.Draft), nil},
		{"good", `{"summary": "x", "scope": "project:a", "ttl": null, "metadata": {"n": 12345678901234567890}}`, new(memory.Draft), nil},
	} {
		err := decode([]byte(tc.body), tc.into)
		got := faults(err)
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
	}
}

// TestNumbersStayWhole holds that a number of metadata is not rounded.
func TestNumbersStayWhole(t *testing.T) {
	var d memory.Draft
	if err := decode([]byte(`{"metadata":{"n":12345678901234567890}}`), &d); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d.Metadata)
	if diff := cmp.Diff(`{"n":12345678901234567890}`, string(text)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// FuzzDecode holds that what is refused is refused in fields, and that no value
// of the body is in the answer.
func FuzzDecode(f *testing.F) {
	f.Add(`{"summary":"VALUE","scope":"project:a"}`)
	f.Add(`{"ttl":"VALUE"}`)
	f.Add(`{"metadata":{"a":[1,{"b":"VALUE"}]},"id":"VALUE"}`)
	f.Add(`{"memories":[{"summary":3}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, into := range []any{new(memory.Draft), new(memory.Retrieve), new(memory.StoreBatch)} {
			err := decode([]byte(body), into)
			if err == nil {
				continue
			}
			var invalid memory.Invalid
			if !errors.As(err, &invalid) || len(invalid) == 0 {
				t.Fatalf("%v is no list of fields", err)
			}
			for _, field := range invalid {
				if strings.Contains(field.Message, "VALUE") {
					t.Fatalf("%v repeats a value", field)
				}
			}
		}
	})
}

func TestParse(t *testing.T) {
	params := []param{pScope, pLimit, pCursor, {name: "status", words: []string{"live"}}, {name: "session_id", kind: identifier}}
	for _, tc := range []struct {
		name, query string
		want        []string
	}{
		{"good", "scope=project:a&limit=5&status=live&session_id=11111111-1111-4111-8111-111111111111", nil},
		{"no scope", "", []string{"scope required"}},
		{"wrong scope", "scope=dubnium", []string{"scope malformed"}},
		{"twice", "scope=project:a&scope=project:b", []string{"scope too-many"}},
		{"unknown", "scope=project:a&foo=1", []string{"foo unknown-field"}},
		{"limit", "scope=project:a&limit=many", []string{"limit malformed"}},
		{"word", "scope=project:a&status=dead", []string{"status not-one-of"}},
		{"id", "scope=project:a&session_id=1", []string{"session_id not-an-id"}},
		{"id in braces", "scope=project:a&session_id={11111111-1111-4111-8111-111111111111}", []string{"session_id not-an-id"}},
		{"cursor", "scope=project:a&cursor=xyz", []string{"cursor malformed"}},
		{"escape", "scope=%zz", []string{"query malformed"}},
		{"nul", "scope=project:a%00b", []string{"scope malformed"}},
	} {
		_, err := parse(httptest.NewRequest("GET", "/memory/memories?"+tc.query, nil), params)
		if diff := cmp.Diff(tc.want, faults(err)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, diff)
		}
	}
}

// TestCursor holds that a cursor leads to where it was made, and nowhere else.
func TestCursor(t *testing.T) {
	params := []param{pScope, pLimit, pCursor}
	q, err := parse(httptest.NewRequest("GET", "/memory/sessions?scope=project:a&limit=1", nil), params)
	if err != nil {
		t.Fatal(err)
	}
	at := memory.Position{At: memory.Earliest, ID: [16]byte{1}}
	first := page(q, []int{1, 2}, func(int) memory.Position { return at })
	if len(first.Items) != 1 || first.Next == "" {
		t.Fatalf("%+v is no first page of two", first)
	}
	again, err := parse(httptest.NewRequest("GET", "/memory/sessions?limit=2&scope=project:a&cursor="+first.Next, nil), params)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&at, again.After); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = parse(httptest.NewRequest("GET", "/memory/sessions?scope=project:b&cursor="+first.Next, nil), params)
	if diff := cmp.Diff([]string{"cursor malformed"}, faults(err)); diff != "" {
		t.Errorf("with another filter (-want +got)\n%s", diff)
	}
	if last := page(again, []int{1, 2}, func(int) memory.Position { return at }); last.Next != "" {
		t.Errorf("the last page goes on at %q", last.Next)
	}
}
