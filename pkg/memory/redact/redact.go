// Package redact takes secrets out of text before it is hashed, stored, indexed
// or queued: passwords in prose and in key=value pairs, user-info of URLs,
// Authorization headers, private keys, JSON web tokens, and the keys of the
// services that mark theirs.
//
// A rule is found by a keyword (one pass of an automaton over the text, which
// is all that clean text costs) and then matched at the keyword by an RE2
// expression with bounded repetition, so time is linear in the text. Escapes of
// JSON strings and of URLs are looked through, and so are characters that have
// no width.
//
// Redacting is idempotent: the text is gone over until nothing is found. What a
// finding tells is the rule and where the placeholder stands; the value, its
// length and hashes of it are nowhere.
package redact

import (
	"regexp"
	"slices"
	"strings"
)

// Finding is one secret that was taken out.
type Finding struct {
	// Rule is the id of the rule that found it, a kebab-case word of Rules.
	Rule string `json:"rule"`
	// Field says in which of several texts it was: the caller's name for it, with
	// a JSON pointer below it where the text was inside a JSON value. Text leaves
	// it empty.
	Field string `json:"field,omitempty"`
	// Offset and Length are where the placeholder stands in the redacted text, in
	// bytes.
	Offset int `json:"offset"`
	Length int `json:"length"`
}

// unsettled is the rule of a text that still yields findings after maxPasses: it
// was made to, and all of it goes.
const unsettled = "unsettled-text"

// maxPasses bounds how often a text is gone over. Two are usual: one that
// finds, one that finds nothing.
const maxPasses = 8

// Placeholder returns what stands in the place of a secret that rule found.
func Placeholder(rule string) string { return "[REDACTED:" + rule + "]" }

// Rules lists the ids that a Finding can have, sorted.
func Rules() []string {
	ids := []string{unsettled, keyRule}
	for _, r := range rules {
		ids = append(ids, r.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// placeholder matches what Placeholder writes, for the ids that exist: a text
// can't hide a secret in brackets of its own.
var placeholder = regexp.MustCompile(`\[REDACTED:(?:` + strings.Join(Rules(), "|") + `)\]`)

// Text returns s without its secrets, and where they were. Any bytes are
// accepted; where s is valid UTF-8, so is the result.
func Text(s string) (string, []Finding) {
	var found []Finding
	for range maxPasses {
		spans := scan(s)
		if len(spans) == 0 {
			return s, found
		}
		s, found = replace(s, spans, found)
	}
	if len(scan(s)) == 0 {
		return s, found
	}
	whole := Placeholder(unsettled)
	return whole, []Finding{{Rule: unsettled, Length: len(whole)}}
}

// span is a secret in a text, [start, end) in bytes. rule is an index into
// rules: of two that overlap, the lower gives its name.
type span struct {
	start, end, rule int
}

// scan returns the secrets of s, in order and apart from one another. What is a
// placeholder already is none.
func scan(s string) []span {
	var spans []span
	v := plainView(s)
	for range maxLayers {
		for _, f := range match(v.text) {
			spans = append(spans, span{v.start(f.start), v.end(f.end), f.rule})
		}
		next, changed := v.decoded()
		if !changed {
			break
		}
		v = next
	}
	return settle(s, spans)
}

// settle widens the spans over placeholders that they cut, drops those that
// hold nothing but placeholders, and joins those that overlap.
func settle(s string, spans []span) []span {
	if len(spans) == 0 {
		return nil
	}
	marks := placeholder.FindAllStringIndex(s, -1)
	kept := spans[:0]
	for _, f := range spans {
		rest := f.end - f.start
		for _, m := range marks {
			if m[0] < f.end && f.start < m[1] {
				rest -= min(m[1], f.end) - max(m[0], f.start)
				f.start, f.end = min(f.start, m[0]), max(f.end, m[1])
			}
		}
		if rest > 0 && hasWordByte(placeholder.ReplaceAllLiteralString(s[f.start:f.end], "")) {
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b span) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return a.rule - b.rule
	})
	joined := kept[:0]
	for _, f := range kept {
		if n := len(joined); n > 0 && f.start < joined[n-1].end {
			joined[n-1].end = max(joined[n-1].end, f.end)
			joined[n-1].rule = min(joined[n-1].rule, f.rule)
			continue
		}
		joined = append(joined, f)
	}
	return joined
}

// hasWordByte reports whether s holds a letter, a digit or a byte beyond ASCII.
func hasWordByte(s string) bool {
	for i := range len(s) {
		if isWord(s[i]) {
			return true
		}
	}
	return false
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// replace puts placeholders where the spans are, and moves the earlier findings
// along; those inside a span are part of the new one.
func replace(s string, spans []span, earlier []Finding) (string, []Finding) {
	var b strings.Builder
	var found []Finding
	at := 0
	keep := func(end int) {
		for _, f := range earlier {
			if f.Offset >= at && f.Offset+f.Length <= end {
				f.Offset += b.Len() - at
				found = append(found, f)
			}
		}
		b.WriteString(s[at:end])
	}
	for _, f := range spans {
		keep(f.start)
		mark := Placeholder(rules[f.rule].id)
		found = append(found, Finding{Rule: rules[f.rule].id, Offset: b.Len(), Length: len(mark)})
		b.WriteString(mark)
		at = f.end
	}
	keep(len(s))
	return b.String(), found
}
