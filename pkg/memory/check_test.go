package memory

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func draft(edit func(*Draft)) Draft {
	d := Draft{
		MemoryType: Episodic, Summary: "the build was moved to Go", Scope: "project:dubnium", Source: "conversation",
	}
	edit(&d)
	return d
}

// wrong is field and reason of all that was refused.
func wrong(err error) []string {
	var invalid Invalid
	if !errors.As(err, &invalid) {
		return nil
	}
	var all []string
	for _, f := range invalid {
		all = append(all, f.Field+" "+f.Reason)
	}
	return all
}

func nest(depth int) Object {
	o := Object{"end": true}
	for range depth - 1 {
		o = Object{"in": map[string]any(o)}
	}
	return o
}

func TestDraft(t *testing.T) {
	year := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		edit func(*Draft)
		want []string
	}{
		"good":                {func(*Draft) {}, nil},
		"longest":             {func(d *Draft) { d.Summary = strings.Repeat("ä", MaxSummary) }, nil},
		"too long":            {func(d *Draft) { d.Summary = strings.Repeat("a", MaxSummary+1) }, []string{"summary too-long"}},
		"blank":               {func(d *Draft) { d.Summary = " \n" }, []string{"summary required"}},
		"not text":            {func(d *Draft) { d.Summary = "a\xff" }, []string{"summary not-utf8"}},
		"NUL":                 {func(d *Draft) { d.Source = "a\x00b" }, []string{"source nul-byte"}},
		"NUL in a member":     {func(d *Draft) { d.Metadata = Object{"a": []any{"\x00"}} }, []string{"metadata nul-byte"}},
		"NUL in a key":        {func(d *Draft) { d.Metadata = Object{"\x00": 1.0} }, []string{"metadata nul-byte"}},
		"deepest":             {func(d *Draft) { d.Metadata = nest(MaxObjectDepth - 1) }, nil},
		"too deep":            {func(d *Draft) { d.Metadata = nest(MaxObjectDepth + 1) }, []string{"metadata too-deep"}},
		"large object":        {func(d *Draft) { d.Provenance = Object{"a": strings.Repeat("x", MaxObjectBytes)} }, []string{"provenance too-long"}},
		"no class":            {func(d *Draft) { d.MemoryType = "" }, []string{"memory_type required"}},
		"other class":         {func(d *Draft) { d.MemoryType = "Episodic" }, []string{"memory_type not-one-of"}},
		"no scope":            {func(d *Draft) { d.Scope = "" }, []string{"scope required"}},
		"other scope":         {func(d *Draft) { d.Scope = "team:x" }, []string{"scope malformed"}},
		"scope without name":  {func(d *Draft) { d.Scope = "project:" }, []string{"scope malformed"}},
		"scope with space":    {func(d *Draft) { d.Scope = "project: x" }, []string{"scope malformed"}},
		"scope in upper case": {func(d *Draft) { d.Scope = "Project:x" }, []string{"scope malformed"}},
		"invisible scope":     {func(d *Draft) { d.Scope = "project:a\u200bb" }, []string{"scope malformed"}},
		"score":               {func(d *Draft) { d.Importance = 1.01; d.Confidence = -0.1 }, []string{"importance out-of-range", "confidence out-of-range"}},
		"no number":           {func(d *Draft) { d.Importance = math.NaN() }, []string{"importance out-of-range"}},
		"year 12000":          {func(d *Draft) { d.TTL = &year }, []string{"ttl out-of-range"}},
		"validation":          {func(d *Draft) { d.ValidationStatus = "ok" }, []string{"validation_status not-one-of"}},
		"fact with no basis":  {func(d *Draft) { d.MemoryType = Semantic }, []string{"provenance not-promotable", "confidence not-promotable"}},
		"fact": {func(d *Draft) {
			d.MemoryType = Semantic
			d.Confidence = 0.9
			d.Provenance = Object{"origin": "operator"}
		}, nil},
		"everything at a time": {func(d *Draft) { *d = Draft{} }, []string{"memory_type required", "summary required", "scope required", "source required"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, wrong(draft(test.edit).Check())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRetrieve(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*Retrieve)
		want []string
	}{
		"good":             {func(*Retrieve) {}, nil},
		"no query":         {func(r *Retrieve) { r.Query = "" }, []string{"query required"}},
		"long query":       {func(r *Retrieve) { r.Query = strings.Repeat("q", MaxQuery+1) }, []string{"query too-long"}},
		"no label":         {func(r *Retrieve) { r.AllowedSensitivity = []string{} }, []string{"allowed_sensitivity empty"}},
		"empty label":      {func(r *Retrieve) { r.AllowedSensitivity = []string{""} }, []string{"allowed_sensitivity[0] required"}},
		"limit 33":         {func(r *Retrieve) { r.Limit = 33 }, []string{"limit out-of-range"}},
		"limit -1":         {func(r *Retrieve) { r.Limit = -1 }, []string{"limit out-of-range"}},
		"purpose":          {func(r *Retrieve) { r.Purpose = "attack" }, []string{"purpose not-one-of"}},
		"requester":        {func(r *Retrieve) { r.Requester = &Requester{ActorType: "robot"} }, []string{"requester.actor_type not-one-of", "requester.actor_id required"}},
		"class":            {func(r *Retrieve) { r.MemoryTypes = []Type{"x"} }, []string{"memory_types[0] not-one-of"}},
		"classes":          {func(r *Retrieve) { r.MemoryTypes = make([]Type, 1e6) }, []string{"memory_types too-many"}},
		"negative budget":  {func(r *Retrieve) { r.TokenBudget = -1 }, []string{"token_budget out-of-range"}},
		"SQL is only text": {func(r *Retrieve) { r.Query = "'; DROP TABLE memories; --" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := Retrieve{Query: "q", Scope: "project:x"}.Normal()
			test.edit(&r)
			if diff := cmp.Diff(test.want, wrong(r.Check())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPromotion(t *testing.T) {
	basis := Object{"origin": "operator"}
	for name, test := range map[string]struct {
		from Memory
		to   Type
		want []string
	}{
		"working to episodic":     {Memory{MemoryType: Working, Status: Live, Provenance: basis}, Episodic, nil},
		"without provenance":      {Memory{MemoryType: Working, Status: Live}, Episodic, []string{"provenance not-promotable"}},
		"two steps":               {Memory{MemoryType: Working, Status: Live, Provenance: basis, Confidence: 1, ValidationStatus: Verified}, Semantic, []string{"memory_type not-promotable"}},
		"down":                    {Memory{MemoryType: Episodic, Status: Live}, Working, []string{"memory_type not-promotable"}},
		"reviewed":                {Memory{MemoryType: Episodic, Status: Live, Provenance: basis, Confidence: .7, ValidationStatus: Verified}, Semantic, nil},
		"not reviewed":            {Memory{MemoryType: Episodic, Status: Live, Provenance: basis, Confidence: .7, ValidationStatus: Unverified}, Semantic, []string{"validation_status not-promotable"}},
		"rejected":                {Memory{MemoryType: Working, Status: Live, Provenance: basis, ValidationStatus: Rejected}, Episodic, []string{"status not-promotable"}},
		"superseded":              {Memory{MemoryType: Working, Status: Superseded, Provenance: basis}, Episodic, []string{"status not-promotable"}},
		"to a class that is none": {Memory{MemoryType: Working, Status: Live}, "truth", []string{"memory_type not-one-of"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, wrong(CheckPromotion(test.from, test.to))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContentHash(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	same := at.In(time.FixedZone("", 7200))
	base := draft(func(d *Draft) { d.OccurredAt = &at })
	equal := draft(func(d *Draft) { d.OccurredAt = &same; d.Importance = 1; d.Source = "other" })
	if base.ContentHash() != equal.ContentHash() {
		t.Error("the same words at the same instant are not the same memory")
	}
	for name, other := range map[string]Draft{
		"text":    draft(func(d *Draft) { d.Summary += "."; d.OccurredAt = &at }),
		"instant": draft(func(*Draft) {}),
		"speaker": draft(func(d *Draft) { d.Speaker = "Ann"; d.OccurredAt = &at }),
	} {
		if base.ContentHash() == other.ContentHash() {
			t.Errorf("another %s is the same memory", name)
		}
	}
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"project:x", "project:", ":x", "personal:é", "agent:a\u202eb", "workflow:%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scope := Scope(s)
		if scope.Check() == nil && (len(scope.Kind()) == 0 || strings.ContainsAny(s, "\x00\n\t")) {
			t.Errorf("%q passes", s)
		}
	})
}
