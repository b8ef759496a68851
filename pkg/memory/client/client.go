// Package client speaks the HTTP API of memory-api, over its unix socket or
// over TCP. Its types are those of package memory; its errors are the ones of
// that package, found with errors.Is and errors.As, so that a caller behind
// the API tells the same cases apart as one inside it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/memory"
)

// maxAnswer bounds the body of an answer that is held in memory.
const maxAnswer = 64 << 20

// connectWithin bounds how long the service may take to accept a connection.
const connectWithin = 5 * time.Second

// Client asks one memory service. It may be used by several goroutines.
type Client struct {
	http *http.Client
	base string
	// where names the service for people.
	where string
	// within bounds a request whose bodies are held in memory; 0 is no bound.
	within time.Duration
}

// Within bounds each later request, but for those that stream, whose length is
// nobody's to know.
func (c *Client) Within(d time.Duration) *Client {
	c.within = d
	return c
}

// Unix makes a client of the service behind a socket.
func Unix(path string) *Client {
	dialer := &net.Dialer{Timeout: connectWithin}
	return &Client{base: "http://memory", where: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 8,
	}}}
}

// URL makes a client of the service at an address: http://127.0.0.1:8090, or
// unix:///run/dubnium-memory/api.sock.
func URL(address string) (*Client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("is no URL; write http://HOST:PORT or unix:///PATH")
	case u.Scheme == "unix" && strings.HasPrefix(u.Path, "/"):
		return Unix(u.Path), nil
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, errors.New("is no http URL; write http://HOST:PORT or unix:///PATH")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: connectWithin}).DialContext
	return &Client{base: strings.TrimSuffix(address, "/"), where: address, http: &http.Client{Transport: transport}}, nil
}

// Where names the service for people.
func (c *Client) Where() string { return c.where }

// UnreachableError is a service that could not be asked, or that did not
// answer as the API does.
type UnreachableError struct {
	Where string
	Err   error
}

// Error says what to do about it.
func (e *UnreachableError) Error() string {
	next := "systemctl status dubnium-memory-api tells more"
	if errors.Is(e.Err, fs.ErrPermission) {
		next = "its socket is for members of the group " + config.OperatorsGroup + ", or for the user whose service it is: be one of them"
	}
	return fmt.Sprintf("ask the memory service at %s: %v; %s", e.Where, e.Err, next)
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// StatusError is an answer that is no success and no error of package memory.
type StatusError struct {
	Status int
	Body   memory.FailureBody
}

// Error is what the service said.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the memory service answered %d %s: %s", e.Status, e.Body.Code, e.Body.Message)
}

// said is an error of package memory in the service's words.
type said struct {
	message string
	is      error
}

// Error is what the service said.
func (e *said) Error() string { return e.message }

// Unwrap gives the error of package memory.
func (e *said) Unwrap() error { return e.is }

// refused gives the error that an answer stands for.
func refused(status int, f memory.FailureBody) error {
	switch {
	case f.Code == "not-found" && len(f.Fields) > 0:
		return &memory.ReferenceError{Fields: f.Fields, Err: memory.ErrNotFound}
	case f.Code == "conflict" && len(f.Fields) > 0:
		return &memory.ReferenceError{Fields: f.Fields, Err: memory.ErrConflict}
	case len(f.Fields) > 0:
		return memory.Invalid(f.Fields)
	case f.Code == "not-found":
		return &said{f.Message, memory.ErrNotFound}
	case f.Code == "version":
		return memory.ErrVersion
	case f.Code == "incomplete":
		return &said{f.Message, memory.ErrIncomplete}
	case f.Code == "unavailable":
		return memory.ErrUnavailable
	}
	return &StatusError{Status: status, Body: f}
}

// Option changes a request.
type Option func(*http.Request)

// IfMatch makes a change only of the version that was read.
func IfMatch(version int) Option {
	return func(r *http.Request) { r.Header.Set("If-Match", `"`+strconv.Itoa(version)+`"`) }
}

// Idempotent names the request, so that it can be sent again and is carried
// out once.
func Idempotent(key string) Option {
	return func(r *http.Request) { r.Header.Set("Idempotency-Key", key) }
}

// Header sets a header of the request.
func Header(name, value string) Option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// Stream sends a request whose bodies are not held in memory. The answer is a
// success, and its body has to be closed.
func (c *Client) Stream(ctx context.Context, method, path string, query url.Values, body io.Reader, options ...Option) (*http.Response, error) {
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", path, err)
	}
	for _, o := range options {
		o(request)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // its text is the request line
			err = wrapped.Err
		}
		if errors.Is(ctx.Err(), context.Canceled) { // the caller gave up: nothing is wrong with the service
			return nil, fmt.Errorf("ask the memory service at %s: %w", c.where, ctx.Err())
		}
		return nil, &UnreachableError{c.where, err}
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 || path == memory.PathReady && answer.StatusCode == http.StatusServiceUnavailable {
		return answer, nil // a service that is not ready says why in the same words
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, &UnreachableError{c.where, err}
	}
	var f memory.Failure
	if err := json.Unmarshal(text, &f); err != nil || f.Error.Code == "" {
		return nil, &UnreachableError{c.where, fmt.Errorf("it answered %s without an error of the memory API: is this another service?", answer.Status)}
	}
	return nil, refused(answer.StatusCode, f.Error)
}

// do sends in as JSON, when there is any, and reads the answer into out.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any, options ...Option) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request to %s: %w", path, err)
		}
		body = bytes.NewReader(text)
		options = append(options, Header("Content-Type", "application/json"))
	}
	if c.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.within, fmt.Errorf("gave up after %s: %w", c.within, context.DeadlineExceeded))
		defer cancel()
	}
	answer, err := c.Stream(ctx, method, path, query, body, options...)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		return nil
	}
	if err := decode(answer.Body, out); err != nil {
		return &UnreachableError{c.where, err}
	}
	return nil
}

// ask is do for an answer of a type.
func ask[T any](ctx context.Context, c *Client, method, path string, query url.Values, in any, options ...Option) (T, error) {
	var out T
	err := c.do(ctx, method, path, query, in, &out, options...)
	return out, err
}

// of is the query that names a scope.
func of(scope memory.Scope) url.Values { return url.Values{"scope": {string(scope)}} }

// under is the path of what has an id.
func under(path string, id uuid.UUID, rest ...string) string {
	return strings.Join(append([]string{path, id.String()}, rest...), "/")
}

// List is which part of a list to give.
type List struct {
	Scope memory.Scope
	// Limit is the length of a page; 0 is the service's default.
	Limit  int
	Cursor string
	// Also holds further filters by the name of their query parameter.
	Also url.Values
}

func (l List) query() url.Values {
	q := url.Values{}
	for name, values := range l.Also {
		q[name] = values
	}
	if l.Scope != "" {
		q.Set("scope", string(l.Scope))
	}
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	if l.Cursor != "" {
		q.Set("cursor", l.Cursor)
	}
	return q
}

func decode(r io.Reader, out any) error {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxAnswer:
		return fmt.Errorf("its answer is longer than %d MiB", maxAnswer>>20)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}
