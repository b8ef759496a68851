package memory

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// list collects what is wrong with a request.
type list struct{ found Invalid }

func (l *list) add(field, reason, format string, args ...any) {
	l.found = append(l.found, FieldError{field, reason, fmt.Sprintf(format, args...)})
}

// err is nil when nothing is wrong.
func (l *list) err() error {
	if len(l.found) == 0 {
		return nil
	}
	return l.found
}

// text checks a string of at most limit characters.
func (l *list) text(field, value string, limit int, required bool) {
	switch {
	case required && strings.TrimSpace(value) == "":
		l.add(field, "required", "is empty")
	case !utf8.ValidString(value):
		l.add(field, "not-utf8", "is not valid UTF-8")
	case strings.ContainsRune(value, 0):
		l.add(field, "nul-byte", "holds a NUL byte, which Postgres cannot store")
	case utf8.RuneCountInString(value) > limit:
		l.add(field, "too-long", "is longer than %d characters", limit)
	}
}

func (l *list) score(field string, v float64) {
	if math.IsNaN(v) || v < 0 || v > 1 {
		l.add(field, "out-of-range", "is not between 0 and 1")
	}
}

func (l *list) scope(field string, s Scope) {
	if err := s.Check(); err != nil {
		reason := "malformed"
		if s == "" {
			reason = "required"
		}
		l.add(field, reason, "%v", err)
	}
}

func (l *list) instant(field string, t *time.Time) {
	if t != nil && (t.Before(Earliest) || t.After(Latest)) {
		l.add(field, "out-of-range", "is not a year from 1 to 9999")
	}
}

// word checks a value of a closed list.
func word[T ~string](l *list, field string, v T, allowed []T, required bool) {
	if v == "" && !required {
		return
	}
	if !slices.Contains(allowed, v) {
		names := make([]string, len(allowed))
		for i, a := range allowed {
			names[i] = string(a)
		}
		reason := "not-one-of"
		if v == "" {
			reason = "required"
		}
		l.add(field, reason, "is none of %s", strings.Join(names, ", "))
	}
}

// object checks the size, the depth and the strings of a JSON object.
func (l *list) object(field string, o Object) {
	if o == nil {
		return
	}
	if reason, message := checkValue(map[string]any(o), 1); reason != "" {
		l.add(field, reason, "%s", message)
		return
	}
	text, err := json.Marshal(o)
	if err != nil {
		l.add(field, "malformed", "is no JSON object: %v", err)
	} else if len(text) > MaxObjectBytes {
		l.add(field, "too-long", "is longer than %d bytes of JSON", MaxObjectBytes)
	}
}

func checkValue(v any, depth int) (reason, message string) {
	if depth > MaxObjectDepth {
		return "too-deep", fmt.Sprintf("nests deeper than %d", MaxObjectDepth)
	}
	switch v := v.(type) {
	case string:
		switch {
		case !utf8.ValidString(v):
			return "not-utf8", "holds a string that is not valid UTF-8"
		case strings.ContainsRune(v, 0):
			return "nul-byte", "holds a NUL byte, which Postgres cannot store"
		}
	case map[string]any:
		for key, member := range v {
			if reason, message = checkValue(key, depth); reason != "" {
				return reason, message
			}
			if reason, message = checkValue(member, depth+1); reason != "" {
				return reason, message
			}
		}
	case []any:
		for _, member := range v {
			if reason, message = checkValue(member, depth+1); reason != "" {
				return reason, message
			}
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "malformed", "holds a number that JSON cannot write"
		}
	}
	return "", ""
}

// Check returns [Invalid] with all that is wrong with the draft, or nil.
func (d Draft) Check() error {
	var l list
	word(&l, "memory_type", d.MemoryType, Types, true)
	l.text("summary", d.Summary, MaxSummary, true)
	l.scope("scope", d.Scope)
	l.text("source", d.Source, MaxSource, true)
	l.text("speaker", d.Speaker, MaxSpeaker, false)
	l.score("importance", d.Importance)
	l.score("confidence", d.Confidence)
	l.text("sensitivity", d.Sensitivity, MaxSensitivity, d.Sensitivity != "")
	word(&l, "validation_status", d.ValidationStatus, Validations, false)
	l.instant("ttl", d.TTL)
	l.instant("occurred_at", d.OccurredAt)
	l.object("provenance", d.Provenance)
	l.object("metadata", d.Metadata)
	if len(d.ArtifactRefs) > MaxArtifacts {
		l.add("artifact_refs", "too-many", "names more than %d artifacts", MaxArtifacts)
	}
	if d.MemoryType == Semantic {
		l.semantic(d.Provenance, d.Confidence)
	}
	return l.err()
}

// semantic is what a fact needs before it may be called one.
func (l *list) semantic(provenance Object, confidence float64) {
	if len(provenance) == 0 {
		l.add("provenance", "not-promotable", "is empty: a semantic memory names where it comes from")
	}
	if confidence <= 0 {
		l.add("confidence", "not-promotable", "is 0: a semantic memory says how sure it is")
	}
}

// CheckPromotion says whether m may become a memory of class to: only the next
// class up, never a rejected memory, and a semantic one only when it has been
// verified and has provenance and confidence.
func CheckPromotion(m Memory, to Type) error {
	var l list
	word(&l, "memory_type", to, Types, true)
	from, up := slices.Index(Types, m.MemoryType), slices.Index(Types, to)
	if up >= 0 && up != from+1 {
		l.add("memory_type", "not-promotable", "is %s: promotion goes working, episodic, semantic, one step at a time", m.MemoryType)
	}
	if m.ValidationStatus == Rejected || m.Status != Live {
		l.add("status", "not-promotable", "is %s and %s: only a live memory that was not rejected is promoted", m.Status, m.ValidationStatus)
	}
	switch to {
	case Episodic:
		if len(m.Provenance) == 0 {
			l.add("provenance", "not-promotable", "is empty: an episodic memory names where it comes from")
		}
	case Semantic:
		l.semantic(m.Provenance, m.Confidence)
		if m.ValidationStatus != Verified {
			l.add("validation_status", "not-promotable", "is %s: a semantic memory has been reviewed", m.ValidationStatus)
		}
	}
	return l.err()
}

// Normal is the request with its defaults filled in.
func (r Retrieve) Normal() Retrieve {
	if r.Limit == 0 {
		r.Limit = DefaultLimit
	}
	if r.AllowedSensitivity == nil {
		r.AllowedSensitivity = []string{DefaultSensitivity}
	}
	return r
}

// Check returns [Invalid] with all that is wrong with the request, or nil. It
// is asked of a request with its defaults filled in.
func (r Retrieve) Check() error {
	var l list
	l.text("query", r.Query, MaxQuery, true)
	l.scope("scope", r.Scope)
	switch n := len(r.AllowedSensitivity); {
	case n == 0:
		l.add("allowed_sensitivity", "empty", "is empty: name the labels that may be returned")
	case n > MaxLabels:
		l.add("allowed_sensitivity", "too-many", "names more than %d labels", MaxLabels)
	}
	for i, label := range r.AllowedSensitivity {
		l.text(fmt.Sprintf("allowed_sensitivity[%d]", i), label, MaxSensitivity, true)
	}
	if len(r.MemoryTypes) > len(Types) {
		l.add("memory_types", "too-many", "names more than the %d classes", len(Types))
	} else {
		for i, t := range r.MemoryTypes {
			word(&l, fmt.Sprintf("memory_types[%d]", i), t, Types, true)
		}
	}
	if r.Limit < 1 || r.Limit > MaxLimit {
		l.add("limit", "out-of-range", "is not between 1 and %d", MaxLimit)
	}
	if r.TokenBudget < 0 || r.TokenBudget > MaxTokenBudget {
		l.add("token_budget", "out-of-range", "is not between 0 and %d", MaxTokenBudget)
	}
	word(&l, "purpose", r.Purpose, Purposes, false)
	if r.Requester != nil {
		word(&l, "requester.actor_type", r.Requester.ActorType, ActorTypes, true)
		l.text("requester.actor_id", r.Requester.ActorID, MaxActorID, true)
	}
	l.text("envelope_id", r.EnvelopeID, MaxEnvelopeID, false)
	l.instant("as_of", r.AsOf)
	return l.err()
}
