package httpapi_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/httpapi"
)

// FuzzBodies sends bodies to the requests that take one, over a real database:
// whatever comes, the answer is JSON, and never a fault of ours.
func FuzzBodies(f *testing.F) {
	paths := []string{"/memory/store", "/memory/store-batch", "/memory/retrieve", "/memory/audit", "/memory/expire", "/memory/sessions", "/memory/tasks", "/memory/provenance"}
	s := newSite(f)
	api := httpapi.New(s.svc, httpapi.Options{})
	f.Add(uint8(0), good)
	f.Add(uint8(1), `{"memories":[`+good+`]}`)
	f.Add(uint8(2), `{"query":"nightly build & ' | : * (","scope":"project:dubnium","limit":3,"as_of":"2026-01-01T00:00:00Z"}`)
	f.Add(uint8(2), `{"query":"\ud800 \u0001","scope":"project:\u202e"}`)
	f.Add(uint8(4), `{"now":"9999-12-31T23:59:59.999999999Z"}`)
	f.Add(uint8(5), `{"scope":"session:a","metadata":{"":{"a":[1e400,-0.0,null]}}}`)
	f.Add(uint8(6), `{"scope":"agent:a","state":{"\\u0000":"x"},"session_id":"11111111-1111-4111-8111-111111111111"}`)
	f.Fuzz(func(t *testing.T, n uint8, body string) {
		req := httptest.NewRequest("POST", paths[int(n)%len(paths)], strings.NewReader(body))
		req.Host = "localhost"
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("%d %s for %q", w.Code, w.Body, body)
		}
		if w.Code >= 400 {
			var failure memory.Failure
			if err := json.Unmarshal(w.Body.Bytes(), &failure); err != nil || failure.Error.Code == "" {
				t.Fatalf("%d %s is no error of ours: %v", w.Code, w.Body, err)
			}
		}
	})
}
