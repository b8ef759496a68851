package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/memory"
)

// maxTags bounds the entity tags of one header.
const maxTags = 32

// noVersion is a condition that no version fulfils.
const noVersion = -1

// tag is an entity tag (RFC 9110, 8.8.3): what stands between its quotes.
type tag struct {
	opaque string
	weak   bool
}

// parseTags reads the value of If-Match or If-None-Match: a list of entity tags,
// of which elements may be empty, or * for any. It is false of anything else.
func parseTags(value string) (tags []tag, any, ok bool) {
	value = strings.Trim(value, " \t")
	if value == "*" {
		return nil, true, true
	}
	for more := true; more; {
		value = strings.TrimLeft(value, " \t")
		t := tag{}
		value, t.weak = strings.CutPrefix(value, "W/")
		quoted, found := strings.CutPrefix(value, `"`)
		switch {
		case found:
			var closed bool
			if t.opaque, value, closed = strings.Cut(quoted, `"`); !closed || strings.ContainsFunc(t.opaque, notInTag) {
				return nil, false, false
			}
			tags = append(tags, t)
		case t.weak:
			return nil, false, false
		}
		value = strings.TrimLeft(value, " \t")
		if value, more = strings.CutPrefix(value, ","); !more && value != "" {
			return nil, false, false
		}
	}
	return tags, false, len(tags) <= maxTags
}

// notInTag is true of what may not stand in a tag.
func notInTag(c rune) bool { return c < 0x21 || c == 0x7f }

// match reads If-Match, which compares strongly: a weak tag, and one that is
// none of ours, is no version.
func (q *request) match(r *http.Request, c condition) error {
	values := r.Header.Values("If-Match")
	switch {
	case len(values) == 0 && c == mustMatch:
		return errPrecondition
	case len(values) == 0, c == unconditional:
		return nil
	}
	tags, all, ok := parseTags(strings.Join(values, ","))
	if !ok {
		return memory.FieldErrorf("If-Match", "malformed", `is no list of at most %d entity tags: send the ETag as it was read, with its quotes ("1"), or *`, maxTags)
	}
	if all {
		return nil
	}
	for _, t := range tags {
		if n, err := strconv.Atoi(t.opaque); err == nil && !t.weak && n > 0 && strconv.Itoa(n) == t.opaque {
			q.Versions = append(q.Versions, n)
		}
	}
	if len(q.Versions) == 0 {
		q.Versions = []int{noVersion}
	}
	slices.Sort(q.Versions)
	return nil
}

// notModified tells whether a client that sends If-None-Match, which compares
// weakly, has what a tag stands for.
func notModified(r *http.Request, opaque string) bool {
	tags, all, ok := parseTags(strings.Join(r.Header.Values("If-None-Match"), ","))
	return ok && (all || slices.ContainsFunc(tags, func(t tag) bool { return t.opaque == opaque }))
}
