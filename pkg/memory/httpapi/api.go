// Package httpapi is the memory service over HTTP: net/http's ServeMux, JSON in
// and out, and an OpenAPI document made from the same Go types. What is asked
// is decided in package service; here is only what HTTP adds: bounds on what is
// read, conditions, keys for requests that are sent again, pages, metrics.
//
// An error is JSON with a code, and the field and reason of each fault in the
// request; it never repeats a value of the request and never holds a stack.
package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/redact"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// Bounds on a request.
const (
	maxBody      = 1 << 20
	maxBatchBody = 64 << 20
	// requestWithin bounds all but what streams.
	requestWithin = 30 * time.Second
)

// API serves a memory service.
type API struct {
	service *service.Service
	log     *slog.Logger
	mux     *http.ServeMux
	doc     *document
	meters  *Meters
	maxUp   int64
}

// Options are what an API needs beside its service.
type Options struct {
	// Log takes what has to be looked at; nil is slog.Default().
	Log *slog.Logger
	// Meters counts; nil is a set of its own. The service's Observe is its
	// Retrieval.
	Meters *Meters
	// Version is that of the program, for the OpenAPI document.
	Version string
	// MaxUpload bounds an artifact, in bytes; 0 is 256 MiB.
	MaxUpload int64
}

// New makes the handler of a service.
func New(s *service.Service, o Options) *API {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Meters == nil {
		o.Meters = NewMeters()
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = 256 << 20
	}
	a := &API{service: s, log: o.Log, mux: http.NewServeMux(), doc: newDocument(o.Version), meters: o.Meters, maxUp: o.MaxUpload}
	a.routes()
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	out := &recorder{ResponseWriter: w}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			a.log.Error("a request ended in a fault of ours", "path", r.Pattern, "panic", redacted(p))
			if out.status == 0 {
				a.fail(out, r, errFault)
			}
		}
		a.meters.request(r.Pattern, out.status, time.Since(begin))
	}()
	if !ours(r) {
		a.fail(out, r, errHost)
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		a.fail(out, r, errPath) // the mux would lead elsewhere, in HTML
		return
	}
	handler, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.nowhere(out, r, handler)
		return
	}
	a.mux.ServeHTTP(out, r)
}

// ours is false of a request that a web page of somebody else's host name sent
// over TCP (DNS rebinding): over a unix socket the kernel says who asks.
func ours(r *http.Request) bool {
	if memory.CallerOf(r.Context()).Known {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || host == "memory" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// nowhere answers what no pattern matches: handler says whether another method
// would.
func (a *API) nowhere(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	probe := &blank{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		a.fail(w, r, errMethod)
		return
	}
	a.fail(w, r, errPath)
}

// blank takes an answer and keeps its header alone.
type blank struct{ header http.Header }

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(int)             {}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what is below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// bounded is the context of a request that does not stream.
func bounded(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), requestWithin)
}

// redacted is a value for the log, without secrets that it may quote.
func redacted(v any) string {
	text, ok := v.(string)
	if err, isErr := v.(error); isErr {
		text, ok = err.Error(), true
	}
	if !ok {
		text = "of another type"
	}
	text, _ = redact.Text(text)
	return text
}
