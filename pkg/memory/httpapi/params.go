package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// param is a parameter of the query or of the path.
type param struct {
	name, doc string
	kind      kind
	inPath    bool
	required  bool
	words     []string // of which it is one; empty is any text
}

type kind int

const (
	text kind = iota
	identifier
	number
	cursor
	scope
)

// The parameters that several operations have.
var (
	pID       = param{name: "id", kind: identifier, inPath: true, required: true, doc: "The id, a UUID."}
	pScope    = param{name: "scope", kind: scope, required: true, doc: "The scope that it belongs to, such as project:dubnium. What is in another scope is not found."}
	pAnyScope = param{name: "scope", kind: scope, doc: "Only of this scope; without it, of all."}
	pLimit    = param{name: "limit", kind: number, doc: "The length of the page, 1 to 500; 50 without it."}
	pCursor   = param{name: "cursor", kind: cursor, doc: "next_cursor of the page before, asked with the same filters."}
)

func words[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = string(w)
	}
	return out
}

// parse reads the parameters of a request. Those that are not in the list are
// refused, and so is one that comes twice.
func parse(r *http.Request, params []param) (*request, error) {
	q := &request{Limit: memory.DefaultPage, Text: map[string]string{}, IDs: map[string]uuid.UUID{}}
	var wrong memory.Invalid
	add := func(field, reason, format string, args ...any) {
		wrong = append(wrong, memory.FieldError{Field: field, Reason: reason, Message: fmt.Sprintf(format, args...)})
	}
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, memory.FieldErrorf("query", "malformed", "is no query string")
	}
	for name, values := range given {
		i := slices.IndexFunc(params, func(p param) bool { return p.name == name && !p.inPath })
		switch {
		case i < 0:
			add(quotable(name), "unknown-field", "is no parameter of this request")
		case len(values) > 1:
			add(name, "too-many", "is given more than once")
		}
	}
	q.filter = filterOf(r, given)
	for _, p := range params {
		value, there := given.Get(p.name), given.Has(p.name)
		if p.inPath {
			value, there = r.PathValue(p.name), true
		}
		if !there || p.kind == cursor && value == "" {
			if p.required {
				add(p.name, "required", "is missing")
			}
			continue
		}
		if reason, message := q.set(p, value); reason != "" {
			add(p.name, reason, "%s", message)
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b memory.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return nil, wrong
	}
	return q, nil
}

// set takes one parameter, or says what is wrong with it.
func (q *request) set(p param, value string) (reason, message string) {
	switch p.kind {
	case identifier:
		id, err := uuid.Parse(value)
		if err != nil || len(value) != 36 {
			return "not-an-id", "is no UUID"
		}
		if p.name == "id" {
			q.ID = id
		}
		q.IDs[p.name] = id
	case number:
		n, err := strconv.Atoi(value)
		if err != nil {
			return "malformed", "is no number"
		}
		if p.name == pLimit.name {
			q.Limit = n
		}
		q.Text[p.name] = value
	case cursor:
		at, err := q.position(value)
		if err != nil {
			return "malformed", err.Error()
		}
		q.After = at
	case scope:
		q.Scope = memory.Scope(value)
		if err := q.Scope.Check(); err != nil {
			return "malformed", err.Error()
		}
	default:
		if len(p.words) > 0 && !slices.Contains(p.words, value) {
			return "not-one-of", "is none of " + strings.Join(p.words, ", ")
		}
		if strings.ContainsRune(value, 0) {
			return "nul-byte", "holds a NUL byte"
		}
		q.Text[p.name] = value
	}
	return "", ""
}

// int gives a number that was parsed, or 0.
func (q *request) int(name string) int {
	n, _ := strconv.Atoi(q.Text[name])
	return n
}

// filterOf names a list by its path and filters.
func filterOf(r *http.Request, given url.Values) string {
	kept := url.Values{}
	for name, values := range given {
		if name != pCursor.name && name != pLimit.name {
			kept[name] = values
		}
	}
	sum := sha256.Sum256([]byte(r.URL.Path + "?" + kept.Encode()))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// mark is what a cursor holds.
type mark struct {
	At     time.Time `json:"t"`
	ID     uuid.UUID `json:"i"`
	Filter string    `json:"f"`
}

// position reads a cursor of this list.
func (q *request) position(cursor string) (*memory.Position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	var m mark
	if err != nil || len(raw) > 512 || json.Unmarshal(raw, &m) != nil {
		return nil, fmt.Errorf("is no cursor: begin without one")
	}
	if m.Filter != q.filter {
		return nil, fmt.Errorf("belongs to a list with other filters: begin without one")
	}
	return &memory.Position{At: m.At, ID: m.ID}, nil
}

// page makes a page of a list that was asked for one row more than limit.
func page[T any](q *request, rows []T, at func(T) memory.Position) memory.Page[T] {
	p := memory.Page[T]{Items: rows}
	if p.Items == nil {
		p.Items = []T{}
	}
	if len(rows) <= q.Limit {
		return p
	}
	p.Items = rows[:q.Limit]
	last := at(p.Items[q.Limit-1])
	raw, err := json.Marshal(mark{At: last.At, ID: last.ID, Filter: q.filter})
	if err != nil {
		panic("a position is an instant and an id: " + err.Error())
	}
	p.Next = base64.RawURLEncoding.EncodeToString(raw)
	return p
}

// pageSize checks the limit of a page and gives what to ask the service for:
// one row more, which says whether there is another page.
func (q *request) pageSize() (int, error) {
	if q.Limit < 1 || q.Limit > memory.MaxPage {
		return 0, memory.FieldErrorf(pLimit.name, "out-of-range", "is not between 1 and %d", memory.MaxPage)
	}
	return q.Limit + 1, nil
}
