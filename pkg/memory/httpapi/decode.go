package httpapi

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/redact"
)

// bodyField is the field of a fault that is in no single one.
const bodyField = "body"

// maxDepth bounds how deep a body nests: metadata of MaxObjectDepth in a draft
// in a batch, with room.
const maxDepth = memory.MaxObjectDepth + 8

// readBody reads a JSON body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return nil, errContentType
	}
	return readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
}

// readAll reads r, of which length is expected.
func readAll(r io.Reader, length int64) ([]byte, error) {
	var b bytes.Buffer
	if length > 0 && length <= maxBody {
		b.Grow(int(length) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// decode reads a JSON document into v, a pointer to a struct. What is wrong is
// memory.Invalid, with the path of each field and without any value.
func decode(body []byte, v any) error {
	if err := checkText(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return explain(body, v)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return memory.FieldErrorf(bodyField, "malformed", "has something after its end")
	}
	return nil
}

// checkText refuses what a decoder would mend or choke on: an empty body, bytes
// that are no UTF-8, and deep nesting.
func checkText(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return memory.FieldErrorf(bodyField, "required", "is empty: send a JSON object")
	case !utf8.Valid(body):
		return memory.FieldErrorf(bodyField, "not-utf8", "is not valid UTF-8")
	case halved(body):
		return memory.FieldErrorf(bodyField, "not-utf8", "holds an escape that is half of a character: \\u with a surrogate without the other")
	case depth(body) > maxDepth:
		return memory.FieldErrorf(bodyField, "too-deep", "nests deeper than %d", maxDepth)
	}
	return nil
}

// halved is true of JSON with an escape of half a surrogate pair, for which a
// decoder puts another character.
func halved(body []byte) bool {
	for at := 0; ; {
		next := bytes.IndexByte(body[at:], '\\')
		if next < 0 {
			return false
		}
		at += next
		first := escaped(body[at:])
		switch {
		case first < 0:
			at += 2
			if at > len(body) {
				return false
			}
		case !utf16.IsSurrogate(first):
			at += 6
		case utf16.DecodeRune(first, escaped(body[at+6:])) == utf8.RuneError:
			return true
		default:
			at += 12
		}
	}
}

// escaped is the character of an escape that text begins with, \u and four
// digits, or less than 0.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// depth is how deep brackets nest outside of strings.
func depth(body []byte) int {
	now, deepest := 0, 0
	quoted, escaped := false, false
	for _, c := range body {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// explain says what is wrong with a body that could not be decoded into v: the
// decoder tells of one fault, not always where, and quotes values.
func explain(body []byte, v any) error {
	var any any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&any); err != nil {
		var syntax *json.SyntaxError
		at := int64(len(body)) // it ends early
		if errors.As(err, &syntax) {
			at = syntax.Offset
		}
		return memory.FieldErrorf(bodyField, "malformed", "is no JSON: it breaks at byte %d", at)
	}
	var e explainer
	e.value("", any, reflect.TypeOf(v).Elem())
	if len(e.wrong) == 0 {
		return memory.FieldErrorf(bodyField, "malformed", "is not of the form that the service takes: see /openapi.json")
	}
	return e.wrong
}

// explainer compares decoded JSON with the type that it should fit.
type explainer struct{ wrong memory.Invalid }

// maxFaults bounds how many are listed.
const maxFaults = 50

func (e *explainer) add(path, reason, message string) {
	if len(e.wrong) < maxFaults {
		if path == "" {
			path = bodyField
		}
		e.wrong = append(e.wrong, memory.FieldError{Field: path, Reason: reason, Message: message})
	}
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType = reflect.TypeFor[time.Time]()
)

func (e *explainer) value(path string, v any, t reflect.Type) {
	if v == nil {
		return // null is the same as being left out
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == timeType:
		s, ok := v.(string)
		if _, err := time.Parse(time.RFC3339, s); !ok || err != nil {
			e.add(path, "malformed", "is no timestamp of RFC 3339, such as 2026-05-28T00:00:00Z")
		}
	case reflect.PointerTo(t).Implements(textType):
		s, ok := v.(string)
		if !ok || reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)) != nil {
			e.add(path, "not-an-id", "is no UUID")
		}
	default:
		e.kind(path, v, t)
	}
}

func (e *explainer) kind(path string, v any, t reflect.Type) {
	switch t.Kind() {
	case reflect.Struct:
		o, ok := v.(map[string]any)
		if !ok {
			e.add(path, "malformed", "is no object")
			return
		}
		e.object(path, o, t)
	case reflect.Slice:
		l, ok := v.([]any)
		if !ok {
			e.add(path, "malformed", "is no array")
			return
		}
		for i, element := range l {
			e.value(fmt.Sprintf("%s[%d]", path, i), element, t.Elem())
		}
	case reflect.Map:
		if _, ok := v.(map[string]any); !ok {
			e.add(path, "malformed", "is no object")
		}
	case reflect.String:
		if _, ok := v.(string); !ok {
			e.add(path, "malformed", "is no string")
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			e.add(path, "malformed", "is neither true nor false")
		}
	default:
		n, ok := v.(json.Number)
		if !ok || json.Unmarshal([]byte(n), reflect.New(t).Interface()) != nil {
			e.add(path, "malformed", "is no number of the kind that it should be")
		}
	}
}

func (e *explainer) object(path string, o map[string]any, t reflect.Type) {
	fields := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	for name, v := range o {
		below := name
		if path != "" {
			below = path + "." + name
		}
		if ft, ok := fields[name]; ok {
			e.value(below, v, ft)
			continue
		}
		e.add(quotable(below), "unknown-field", "is no field of this request")
	}
}

// quotable is a name that a caller sent, fit to be sent back: what looks like a
// secret is taken out, and it is not long.
func quotable(name string) string {
	name, _ = redact.Text(name)
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return name
}
