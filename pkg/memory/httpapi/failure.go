package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

// httpError is an error of HTTP's own.
type httpError struct {
	status        int
	code, message string
}

// Error is the message.
func (e *httpError) Error() string { return e.message }

// The errors that HTTP adds to those of package memory.
var (
	errPath         = &httpError{http.StatusNotFound, "not-found", "there is nothing at this path: /openapi.json lists what there is"}
	errMethod       = &httpError{http.StatusMethodNotAllowed, "method", "this path has other methods: the header Allow lists them"}
	errHost         = &httpError{http.StatusMisdirectedRequest, "host", "the service answers to its own name only: ask 127.0.0.1, ::1 or localhost"}
	errContentType  = &httpError{http.StatusUnsupportedMediaType, "unsupported-media-type", "the body must be JSON: send Content-Type: application/json"}
	errLinesType    = &httpError{http.StatusUnsupportedMediaType, "unsupported-media-type", "the body must be JSON lines: send Content-Type: application/x-ndjson"}
	errPrecondition = &httpError{http.StatusPreconditionRequired, "precondition-required", "say which version is meant: send If-Match with the ETag that was read, or * for any"}
	errFault        = &httpError{http.StatusInternalServerError, "internal", "the service failed: its journal says more"}
)

// What is left of the body of a request that is refused is read up to drainMost
// bytes and for drainWithin, since many clients send all of it before they read
// the answer, and would find the connection closed instead.
const (
	drainMost   = 64 << 20
	drainWithin = 5 * time.Second
)

func drain(w http.ResponseWriter, body io.Reader) {
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(drainWithin)) != nil {
		return // a test's recorder has no deadlines
	}
	_, _ = io.CopyN(io.Discard, body, drainMost) // the answer goes out anyway
	_ = c.SetReadDeadline(time.Time{})
}

// fail answers with an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	// Who asks first whether to send it, need not send it.
	if r.Body != nil && r.Body != http.NoBody && r.Header.Get("Expect") == "" {
		drain(w, r.Body)
	}
	status, body := a.failure(r, err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	text, err := json.Marshal(memory.Failure{Error: body})
	if err != nil {
		text = []byte(`{"error":{"code":"internal","message":"the service failed"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Del("ETag")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// failure gives the status and the body that an error stands for.
func (a *API) failure(r *http.Request, err error) (int, memory.FailureBody) {
	var own *httpError
	var invalid memory.Invalid
	var tooLong *http.MaxBytesError
	var reference *memory.ReferenceError
	plain := func(status int, code string) (int, memory.FailureBody) {
		return status, memory.FailureBody{Code: code, Message: err.Error()}
	}
	switch {
	case errors.As(err, &own):
		return plain(own.status, own.code)
	case errors.As(err, &invalid):
		status := http.StatusUnprocessableEntity
		code := "invalid"
		if len(invalid) == 1 && invalid[0].Field == bodyField {
			status, code = http.StatusBadRequest, "malformed"
		}
		return status, memory.FailureBody{Code: code, Message: "the request has faults", Fields: invalid}
	case errors.Is(err, memory.ErrTooLarge):
		return http.StatusRequestEntityTooLarge, memory.FailureBody{Code: "too-large", Message: fmt.Sprintf("the content is larger than %s, the most that memory.artifacts.maxSize allows", size(a.maxUp))}
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, memory.FailureBody{Code: "too-large", Message: fmt.Sprintf("the body is larger than %s, the most that this path takes: send less at a time", size(tooLong.Limit))}
	case errors.Is(err, memory.ErrDamaged):
		a.log.Error("an artifact is damaged", "path", r.Pattern, "error", redacted(err))
		return http.StatusInternalServerError, memory.FailureBody{Code: "damaged", Message: memory.ErrDamaged.Error()}
	case errors.As(err, &reference) && errors.Is(err, memory.ErrNotFound):
		return http.StatusNotFound, memory.FailureBody{Code: "not-found", Message: "something that the request names is not there", Fields: reference.Fields}
	case errors.As(err, &reference):
		return http.StatusConflict, memory.FailureBody{Code: "conflict", Message: memory.ErrConflict.Error(), Fields: reference.Fields}
	case errors.Is(err, memory.ErrNotFound):
		return http.StatusNotFound, memory.FailureBody{Code: "not-found", Message: memory.ErrNotFound.Error(), Fields: named(r)}
	case errors.Is(err, memory.ErrVersion):
		tags, message := r.Header.Values("If-Match"), memory.ErrVersion.Error()
		if len(tags) == 0 {
			return http.StatusConflict, memory.FailureBody{Code: "version", Message: message}
		}
		if strings.Contains(strings.Join(tags, ","), "W/") {
			message += "; a weak tag (W/) stands for no version"
		}
		return http.StatusPreconditionFailed, memory.FailureBody{Code: "version", Message: message}
	case errors.Is(err, memory.ErrKeyReused):
		return http.StatusUnprocessableEntity, memory.FailureBody{
			Code: "idempotency-mismatch", Message: "the idempotency key was used for another request",
			Fields: memory.FieldErrorf("Idempotency-Key", "taken", "is that of another request of yours: give this one a key of its own"),
		}
	case errors.Is(err, memory.ErrIncomplete):
		return http.StatusConflict, memory.FailureBody{Code: "incomplete", Message: memory.ErrIncomplete.Error()}
	case errors.Is(err, memory.ErrConflict):
		return http.StatusConflict, memory.FailureBody{Code: "conflict", Message: memory.ErrConflict.Error()}
	case errors.Is(err, memory.ErrUnavailable):
		a.log.Warn("the database does not answer", "path", r.Pattern, "error", redacted(err))
		return http.StatusServiceUnavailable, memory.FailureBody{Code: "unavailable", Message: memory.ErrUnavailable.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return http.StatusBadRequest, memory.FailureBody{Code: "malformed", Message: "the body broke off: send it again"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, memory.FailureBody{Code: "unavailable", Message: "it took too long: try again"}
	}
	a.log.Error("a request failed", "path", r.Pattern, "error", redacted(err))
	return errFault.status, memory.FailureBody{Code: errFault.code, Message: errFault.message}
}

// things are what the ids in paths stand for.
var things = []struct{ below, name string }{
	{memory.PathMemories, "memory"},
	{memory.PathSessions, "session"},
	{memory.PathTasks, "task"},
	{memory.PathArtifacts, "artifact"},
	{memory.PathEvents, "retrieval event"},
}

// named is the id in the path of a request that found nothing; nil without one.
func named(r *http.Request) memory.Invalid {
	id, err := uuid.Parse(r.PathValue(pID.name))
	if err != nil {
		return nil
	}
	for _, t := range things {
		if strings.HasPrefix(r.URL.Path, t.below+"/") {
			return memory.Invalid{memory.NotFound(pID.name, t.name, id, "")}
		}
	}
	return nil
}

// size is a number of bytes in the largest unit that holds it whole.
func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB"} {
		if n%1024 != 0 || n == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%d GiB", n)
}
