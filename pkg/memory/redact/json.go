package redact

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// keyRule is the rule of values that are secrets by the name of their member.
const keyRule = "named-value"

// Value redacts a decoded JSON value (nil, bool, json.Number, float64, string,
// []any, map[string]any): every string, every member's name, and what a member
// called password, token and the like holds. field is where the value is, the
// beginning of each Finding's Field; a JSON pointer follows it. The argument is
// not changed.
func Value(v any, field string) (any, []Finding) {
	w := walker{}
	return w.value(v, field, ""), w.found
}

type walker struct {
	found []Finding
}

// value redacts v; name is the member's name that holds it, empty in arrays and
// at the top.
func (w *walker) value(v any, path, name string) any {
	switch v := v.(type) {
	case string:
		return w.text(v, path, name)
	case json.Number, float64, int, int64:
		// A password of digits is one too.
		if strongKey.MatchString(name) && keyHolds(name) {
			return w.take(path)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = w.value(e, path+"/"+strconv.Itoa(i), name)
		}
		return out
	case map[string]any:
		return w.object(v, path)
	}
	return v
}

func (w *walker) object(o map[string]any, path string) any {
	out := make(map[string]any, len(o))
	// {"name": "DB_PASSWORD", "value": "…"}
	label := ""
	for _, k := range []string{"name", "key", "Name", "Key"} {
		if s, ok := o[k].(string); ok && keyHolds(s) {
			label = s
		}
	}
	for _, k := range slices.Sorted(maps.Keys(o)) {
		safe, found := Text(k)
		for n := 2; ; n++ {
			if _, taken := out[safe]; !taken {
				break
			}
			base, _, _ := strings.Cut(safe, "#")
			safe = base + "#" + strconv.Itoa(n)
		}
		below := path + "/" + pointer(safe)
		for _, f := range found {
			f.Field = below
			w.found = append(w.found, f)
		}
		name := k
		if label != "" && strings.EqualFold(k, "value") {
			name = label
		}
		out[safe] = w.value(o[k], below, name)
	}
	return out
}

// text redacts a string; where the member's name says what it is, all of it.
func (w *walker) text(s, path, name string) string {
	redacted, found := Text(s)
	if name != "" && keyHolds(name) && placeholder.ReplaceAllLiteralString(redacted, "") != "" {
		strong := strongKey.MatchString(name)
		if isSecret(name, s, strong, false, true) && hasWordByte(placeholder.ReplaceAllLiteralString(redacted, "")) {
			return w.take(path)
		}
	}
	for _, f := range found {
		f.Field = path
		w.found = append(w.found, f)
	}
	return redacted
}

func (w *walker) take(path string) string {
	mark := Placeholder(keyRule)
	w.found = append(w.found, Finding{Rule: keyRule, Field: path, Length: len(mark)})
	return mark
}

var (
	strongKey = regexp.MustCompile(`(?i)(?:` + strongNames + `)`)
	anyKey    = regexp.MustCompile(`(?i)(?:` + strongNames + `|` + weakNames + `|authorization|cookie)`)
)

// keyHolds reports a member's name whose value is a secret.
func keyHolds(name string) bool {
	if len(name) > 200 {
		return false
	}
	for _, m := range anyKey.FindAllStringIndex(name, 4) {
		if names(name, m[0], name[m[0]:m[1]], name[m[1]:]) {
			return true
		}
	}
	return false
}

// pointer escapes a member's name for a JSON pointer (RFC 6901).
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
