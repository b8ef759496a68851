package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// route is one operation of the API: what the mux, the reader of requests and
// the OpenAPI document have to know of it.
type route struct {
	method, path string
	id           string // of the operation
	summary      string
	params       []param
	status       int   // of success; 0 is 200
	limit        int64 // of the body; 0 is maxBody
	// condition says what If-Match is to it.
	condition condition
	// check looks at the body as it came, for what its decoded form does not
	// tell; nil does not.
	check func(body []byte) error
	// keyed operations take an Idempotency-Key.
	keyed bool
	// media is the type of the body and of the answer, where it is no JSON.
	takes, gives string
}

type condition int

const (
	unconditional condition = iota
	mayMatch                // If-Match holds the change to a version
	mustMatch               // and has to be there
)

// none is the body of a request or an answer that has none.
type none struct{}

// handle registers an operation whose body and answer are JSON.
func handle[In, Out any](a *API, r route, f func(ctx context.Context, q *request, in In) (Out, error)) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	a.doc.add(r, reflect.TypeFor[In](), reflect.TypeFor[Out]())
	a.mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := bounded(req)
		defer cancel()
		var in In
		q, err := a.read(w, req, &r, &in)
		if err != nil {
			a.fail(w, req, err)
			return
		}
		out, err := f(ctx, q, in)
		if err != nil {
			a.fail(w, req, err)
			return
		}
		a.answer(w, req, r, out)
	})
}

// read takes the parameters, the headers and the body of a request.
func (a *API) read(w http.ResponseWriter, req *http.Request, r *route, in any) (*request, error) {
	q, err := parse(req, r.params)
	if err != nil {
		return nil, err
	}
	if err := q.match(req, r.condition); err != nil {
		return nil, err
	}
	limit := r.limit
	if limit == 0 {
		limit = maxBody
	}
	var body []byte
	if _, empty := in.(*none); empty {
		err = noBody(w, req)
	} else if body, err = readBody(w, req, limit); err == nil {
		err = decode(body, in)
	}
	if err == nil && r.check != nil {
		err = r.check(body)
	}
	if err != nil {
		return nil, err
	}
	return q, q.idempotency(req, r.keyed, body)
}

// noBody refuses a body where none is taken; an empty object is none.
func noBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength)
	if err != nil {
		return err
	}
	if s := strings.TrimSpace(string(body)); s != "" && s != "{}" {
		return memory.FieldErrorf(bodyField, "unknown-field", "is there, and this request takes none")
	}
	return nil
}

// answer writes a success.
func (a *API) answer(w http.ResponseWriter, r *http.Request, rt route, out any) {
	if tag := etag(out); tag != "" {
		w.Header().Set("ETag", tag)
		if r.Method == http.MethodGet && notModified(r, strings.Trim(tag, `"`)) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if _, empty := out.(none); empty {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := json.Marshal(out)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	status := rt.status
	if r, ok := out.(memory.Readiness); ok && !r.Ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// etag is the version of what has one.
func etag(v any) string {
	version := 0
	switch v := v.(type) {
	case memory.Memory:
		version = v.Version
	case memory.Task:
		version = v.Version
	}
	if version == 0 {
		return ""
	}
	return `"` + strconv.Itoa(version) + `"`
}

// held carries a change out for the versions that If-Match names, in their
// order: a version only grows, so one that is named all the while is met.
func held[T any](q *request, change func(version int) (T, error)) (T, error) {
	if len(q.Versions) == 0 {
		return change(0)
	}
	var out T
	var err error
	for _, v := range q.Versions {
		if out, err = change(v); !errors.Is(err, memory.ErrVersion) {
			break
		}
	}
	return out, err
}

// maxKey bounds an idempotency key.
const maxKey = 255

// idempotency reads the header of that name.
func (q *request) idempotency(r *http.Request, keyed bool, body []byte) error {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return nil
	}
	bad := func(reason, message string) error {
		return memory.Invalid{{Field: "Idempotency-Key", Reason: reason, Message: message}}
	}
	switch {
	case !keyed:
		return bad("unknown-field", "is not taken by this request: only stores are kept by key; the others name an id or a version")
	case len(key) > maxKey:
		return bad("too-long", "is longer than 255 characters")
	case strings.ContainsFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e }):
		return bad("malformed", "holds something beside printable ASCII")
	}
	caller := "tcp"
	if c := memory.CallerOf(r.Context()); c.Known {
		caller = "uid:" + strconv.FormatUint(uint64(c.UID), 10)
	}
	h := sha256.New()
	h.Write([]byte(r.URL.Path + "?" + r.URL.RawQuery + "\n"))
	h.Write(body)
	q.Key = &memory.Idempotency{Caller: caller, Key: key, Fingerprint: [sha256.Size]byte(h.Sum(nil))}
	return nil
}

// request is what was asked beside the body.
type request struct {
	ID    uuid.UUID
	Scope memory.Scope
	Limit int
	After *memory.Position
	// Versions are those of If-Match, in their order; none is any.
	Versions []int
	Key      *memory.Idempotency
	// Text has the further parameters that were given, IDs those that are ids.
	Text map[string]string
	IDs  map[string]uuid.UUID
	// filter names the list that a cursor belongs to.
	filter string
}

// uuidOf gives an optional id.
func (q *request) uuidOf(name string) *uuid.UUID {
	if id, ok := q.IDs[name]; ok {
		return &id
	}
	return nil
}
