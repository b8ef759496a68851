package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
)

// linesType is the media type of JSON lines.
const linesType = "application/x-ndjson"

// stream registers an operation whose body or answer is not held in memory.
func stream[Out any](a *API, r route, f func(w http.ResponseWriter, req *http.Request, q *request) error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	a.doc.add(r, reflect.TypeFor[none](), reflect.TypeFor[Out]())
	a.mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
		q, err := parse(req, r.params)
		if err == nil {
			err = endless(w)
		}
		if err == nil {
			err = f(w, req, q)
		}
		if err == nil {
			return
		}
		if out, ok := w.(*recorder); ok && out.status != 0 {
			// The answer has begun: all that is left is to break it off, so that
			// nobody takes it for whole.
			a.log.Error("an answer was broken off", "path", req.Pattern, "error", redacted(err))
			panic(http.ErrAbortHandler)
		}
		a.fail(w, req, err)
	})
}

// endless takes the server's deadlines off a request that streams; one that
// stands still is ended by the connection's own.
func endless(w http.ResponseWriter) error {
	c := http.NewResponseController(w)
	err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}))
	if errors.Is(err, http.ErrNotSupported) {
		return nil // a test's recorder has none
	}
	return err
}

func (a *API) transfers() {
	a.artifacts()
	s := a.service
	stream[none](a, route{method: get, path: memory.PathExport, id: "export", summary: "Export a scope as JSON lines", params: []param{pScope}, gives: linesType},
		func(w http.ResponseWriter, r *http.Request, q *request) error {
			out := &late{w: w, kind: linesType}
			return s.Export(r.Context(), q.Scope, out)
		})
	stream[memory.Imported](a, route{method: post, path: memory.PathImport, id: "import", summary: "Import what an export wrote", takes: linesType},
		func(w http.ResponseWriter, r *http.Request, _ *request) error {
			kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err != nil || kind != linesType {
				return errLinesType
			}
			done, err := s.Import(r.Context(), r.Body)
			if err != nil {
				return err
			}
			a.answer(w, r, route{status: http.StatusOK}, done)
			return nil
		})
}

// late writes the header when the first byte comes, so that an error before it
// can still be answered.
type late struct {
	w     http.ResponseWriter
	kind  string
	begun bool
}

func (l *late) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", l.kind)
		l.w.WriteHeader(http.StatusOK)
	}
	return l.w.Write(p)
}

func (a *API) artifacts() {
	s := a.service
	stream[memory.Artifact](a, route{
		method: post, path: memory.PathArtifacts, id: "new-artifact", summary: "Store the content of an artifact", status: http.StatusCreated, takes: "application/octet-stream",
		params: []param{
			pScope,
			{name: "artifact_type", doc: "What it is: image, document, log; document without it."},
			{name: "name", doc: "Its name, for people."},
			{name: "sensitivity", doc: "Its label; internal without it."},
			{name: "sha256", doc: "The digest that the content must have."},
		},
	}, func(w http.ResponseWriter, r *http.Request, q *request) error {
		if r.ContentLength > a.maxUp {
			return memory.ErrTooLarge
		}
		kind := r.Header.Get("Content-Type")
		if kind == "" {
			kind = "application/octet-stream"
		}
		artifact, err := s.NewArtifact(r.Context(), memory.Artifact{
			Scope: q.Scope, ArtifactType: q.Text["artifact_type"], Name: q.Text["name"], Sensitivity: q.Text["sensitivity"], SHA256: q.Text["sha256"], MediaType: kind,
		}, http.MaxBytesReader(w, r.Body, a.maxUp))
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return memory.ErrTooLarge
		}
		if err != nil {
			return err
		}
		a.answer(w, r, route{status: http.StatusCreated}, artifact)
		return nil
	})
	handle(a, route{method: get, path: memory.PathArtifacts, id: "list-artifacts", summary: "List the artifacts of a scope", params: []param{pScope, pLimit, pCursor}},
		func(ctx context.Context, q *request, _ none) (memory.Page[memory.Artifact], error) {
			size, err := q.pageSize()
			if err != nil {
				return memory.Page[memory.Artifact]{}, err
			}
			rows, err := s.ListArtifacts(ctx, memory.ScopeList{Scope: q.Scope, After: q.After, Limit: size})
			return page(q, rows, func(a memory.Artifact) memory.Position { return memory.Position{At: a.CreatedAt, ID: a.ID} }), err
		})
	handle(a, route{method: get, path: memory.PathArtifacts + "/{id}", id: "get-artifact", summary: "What is known of an artifact", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Artifact, error) {
			return s.Artifact(ctx, q.Scope, q.ID)
		})
	stream[none](a, route{method: get, path: memory.PathArtifacts + "/{id}/content", id: "get-content", summary: "The content of an artifact", params: []param{pID, pScope}, gives: "application/octet-stream"},
		func(w http.ResponseWriter, r *http.Request, q *request) error {
			artifact, content, err := s.Content(r.Context(), q.Scope, q.ID)
			if err != nil {
				return err
			}
			defer content.Close()
			// It is somebody's upload: no browser is to make more of it than a file.
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Disposition", "attachment")
			w.Header().Set("Content-Security-Policy", "sandbox")
			w.Header().Set("Content-Length", strconv.FormatInt(artifact.SizeBytes, 10))
			w.Header().Set("ETag", `"`+artifact.SHA256+`"`)
			_, err = io.Copy(w, content)
			return err
		})
}
