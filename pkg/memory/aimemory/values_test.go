package aimemory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/memory"
)

func TestInstant(t *testing.T) {
	now := time.Date(2026, 5, 28, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-05-28T08:00:00+02:00": "2026-05-28T06:00:00Z", "2026-05-28": "2026-05-28T00:00:00Z", "2026-05-28 09:30": "2026-05-28T09:30:00Z",
		"30d": "2026-06-27T10:00:00Z", "12h": "2026-05-28T22:00:00Z", "90m": "2026-05-28T11:30:00Z", "0d": "2026-05-28T10:00:00Z", "-1h": "2026-05-28T09:00:00Z",
		"": "", "soon": "error", "d": "error", "-1d": "error", "36501d": "error", "12": "error", "2026-13-01": "error", "1e9d": "error",
	} {
		got, err := instant("--ttl", text, now)
		is := ""
		switch {
		case err != nil:
			is = "error"
		case got != nil:
			is = got.UTC().Format(time.RFC3339)
		}
		if is != want {
			t.Errorf("%q is %s (%v), not %s", text, is, err, want)
		}
	}
}

func TestObject(t *testing.T) {
	for text, ok := range map[string]bool{`{"a": 1}`: true, "": true, `[1]`: false, `{`: false, `{} {}`: false, `"a"`: false} {
		if _, err := object("--metadata", text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFill holds that what an object says comes before the flags, and the
// flags before the defaults.
func TestFill(t *testing.T) {
	given := memory.Draft{Scope: "project:flag", Source: "flag", Importance: 0.3, Metadata: memory.Object{"by": "flag"}}
	for name, c := range map[string]struct{ draft, want memory.Draft }{
		"nothing said": {
			memory.Draft{Summary: "s"},
			memory.Draft{Summary: "s", MemoryType: memory.Episodic, Scope: "project:flag", Source: "flag", Importance: 0.3, Metadata: memory.Object{"by": "flag"}},
		},
		"all said": {
			memory.Draft{Summary: "s", MemoryType: memory.Working, Scope: "project:own", Source: "own", Importance: 0.9, Metadata: memory.Object{}},
			memory.Draft{Summary: "s", MemoryType: memory.Working, Scope: "project:own", Source: "own", Importance: 0.9, Metadata: memory.Object{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, fill(c.draft, given)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := fill(memory.Draft{}, memory.Draft{}); got.Source != "operator" || got.MemoryType != memory.Episodic {
		t.Errorf("the defaults are %+v", got)
	}
}

func TestParts(t *testing.T) {
	for want, p := range map[string]map[string]float64{
		"lexical 1.000":                                {"lexical": 1},
		"lexical 1.000 * recency 1.050":                {"lexical": 1, "recency": 1.05},
		"lexical 1.000 + vector 0.500":                 {"vector": 0.5, "lexical": 1},
		"(lexical 1.000 + vector 0.500) * speaker 1.2": {"vector": 0.5, "lexical": 1, "speaker": 1.2},
		"0 + answer 0.300":                             {"answer": 0.3},
	} {
		if got := parts(p); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
}
