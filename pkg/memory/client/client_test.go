package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/memory"
)

var id = uuid.MustParse("0198c7f0-5d5e-7c0e-8f3a-3d2b8a1e9f10")

const scope = memory.Scope("project:x")

// serve makes a client of a server that answers so.
func serve(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	c, err := URL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refuse answers with an error of the API.
func refuse(status int, f memory.FailureBody) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(memory.Failure{Error: f})
	}
}

func TestErrors(t *testing.T) {
	fields := memory.Invalid{{Field: "scope", Reason: "required", Message: "is missing"}, {Field: "summary", Reason: "empty", Message: "is empty"}}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		is     error
		want   string
	}{
		"fields":      {refuse(400, memory.FailureBody{Code: "invalid", Fields: fields}), nil, "scope is missing; summary is empty"},
		"not found":   {refuse(404, memory.FailureBody{Code: "not-found", Message: "there is no such memory"}), memory.ErrNotFound, "there is no such memory"},
		"version":     {refuse(412, memory.FailureBody{Code: "version", Message: "x"}), memory.ErrVersion, "read it again"},
		"no database": {refuse(503, memory.FailureBody{Code: "unavailable", Message: "x"}), memory.ErrUnavailable, "the database does not answer"},
		"conflict":    {refuse(409, memory.FailureBody{Code: "conflict", Message: "it contradicts"}), nil, "answered 409 conflict: it contradicts"},
		"a fault":     {refuse(500, memory.FailureBody{Code: "internal", Message: "a fault"}), nil, "answered 500 internal: a fault"},
		"proxy": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>Bad gateway", http.StatusBadGateway)
		}, nil, "502 Bad Gateway without an error of the memory API: is this another service?"},
		"another API": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"detail": "Not Found"}`, http.StatusNotFound)
		}, nil, "is this another service?"},
		"no JSON":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Welcome") }, nil, "read its answer"},
		"another JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, nil, "read its answer"},
		"nothing":      {func(http.ResponseWriter, *http.Request) {}, nil, "read its answer"},
		"hangs up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "EOF"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, nil, "unexpected EOF"},
		"redirects for ever": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/memory", http.StatusFound) }, nil, "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			client := serve(t, c.answer)
			_, err := client.Memory(t.Context(), scope, id)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it is %v, not %q", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	var unreachable *UnreachableError
	if _, err := given.Memory(ctx, scope, id); !errors.Is(err, context.Canceled) || errors.As(err, &unreachable) {
		t.Errorf("a request that the caller gave up: %v", err)
	}
	var invalid memory.Invalid
	_, err := serve(t, refuse(400, memory.FailureBody{Code: "invalid", Fields: fields})).Store(t.Context(), memory.Draft{})
	if !errors.As(err, &invalid) {
		t.Fatalf("it is %#v", err)
	}
	if diff := cmp.Diff(fields, invalid); diff != "" {
		t.Error(diff)
	}
}

// TestWrongService holds that what answers in another way is told as what
// can't be asked, with the place, and not as a refusal.
func TestWrongService(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	_, err := c.Health(t.Context())
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || unreachable.Where != c.Where() || !strings.Contains(err.Error(), c.Where()) {
		t.Errorf("it is %v", err)
	}
	if errors.Is(err, memory.ErrNotFound) {
		t.Errorf("%v is told as a memory that is not there", err)
	}
}

func TestReadiness(t *testing.T) {
	want := memory.Readiness{Checks: []memory.Check{{Name: "database", Message: "does not answer", Remedy: "start it"}}}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(want)
	})
	got, err := c.Ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHugeAnswer holds that an answer without an end is given up.
func TestHugeAnswer(t *testing.T) {
	sent := make(chan int64, 1)
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		var n int64
		_, _ = io.WriteString(w, `{"summary": "`)
		for chunk := strings.Repeat("x", 1<<20); ; {
			more, err := io.WriteString(w, chunk)
			if n += int64(more); err != nil {
				sent <- n
				return
			}
		}
	})
	_, err := c.Memory(t.Context(), scope, id)
	if err == nil || !strings.Contains(err.Error(), "its answer is longer than 64 MiB") {
		t.Errorf("it is %v", err)
	}
	if n := <-sent; n > 2*maxAnswer {
		t.Errorf("it took %d MiB", n>>20)
	}
}

// TestHugeRefusal is the same for an answer that is an error.
func TestHugeRefusal(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for chunk := strings.Repeat("x", 1<<20); ; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	if _, err := c.Memory(t.Context(), scope, id); err == nil || !strings.Contains(err.Error(), "is this another service?") {
		t.Errorf("it is %v", err)
	}
}

// TestDeadline holds that a service that accepts and never answers is given up
// with the caller's deadline, which the error still tells.
func TestDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, callers := Unix(path).Memory(ctx, scope, id)
	_, own := Unix(path).Within(50*time.Millisecond).Memory(t.Context(), scope, id)
	for _, err := range []error{callers, own} {
		var unreachable *UnreachableError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unreachable) {
			t.Errorf("it is %v", err)
		}
	}
	if !strings.Contains(own.Error(), "gave up after 50ms") {
		t.Errorf("it does not tell how long it waited: %v", own)
	}
}

// TestStreamsAreNotBounded holds that a transfer may take as long as it does.
func TestStreamsAreNotBounded(t *testing.T) {
	sent := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-sent
		_, _ = io.WriteString(w, "all of it")
	}).Within(time.Nanosecond)
	lines, err := c.Export(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	close(sent)
	if got, err := io.ReadAll(lines); err != nil || string(got) != "all of it" {
		t.Errorf("it gave %q, %v", got, err)
	}
}

// TestRequests holds what is sent.
func TestRequests(t *testing.T) {
	type request struct{ Method, Path, Body, IfMatch, Key, Type string }
	var got request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = request{r.Method, r.URL.String(), string(body), r.Header.Get("If-Match"), r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type")}
		_, _ = io.WriteString(w, "{}")
	})
	for name, r := range map[string]struct {
		ask  func(context.Context) error
		want request
	}{
		"a change of a version": {
			func(ctx context.Context) error { _, err := c.Verify(ctx, scope, id, IfMatch(3)); return err },
			request{Method: "POST", Path: "/memories/" + id.String() + "/verify?scope=project%3Ax", IfMatch: `"3"`},
		},
		"a named request": {
			func(ctx context.Context) error {
				_, err := c.Reject(ctx, scope, id, memory.Reject{Reason: "stale-fact"}, Idempotent("k"))
				return err
			},
			request{Method: "POST", Path: "/memories/" + id.String() + "/reject?scope=project%3Ax", Body: `{"reason":"stale-fact"}`, Key: "k", Type: "application/json"},
		},
		"a page": {
			func(ctx context.Context) error {
				_, err := c.Sessions(ctx, List{Scope: "agent:a&b", Limit: 7, Cursor: "c+/="})
				return err
			},
			request{Method: "GET", Path: "/sessions?cursor=c%2B%2F%3D&limit=7&scope=agent%3Aa%26b"},
		},
		"content": {
			func(ctx context.Context) error {
				_, err := c.Upload(ctx, NewArtifact{Scope: scope, Type: "log", Name: "a b"}, strings.NewReader("text"))
				return err
			},
			request{Method: "POST", Path: "/artifacts?artifact_type=log&name=a+b&scope=project%3Ax", Body: "text", Type: "application/octet-stream"},
		},
		"a model's name with a slash": {
			func(ctx context.Context) error { _, err := c.ActivateModel(ctx, "BAAI/bge", false); return err },
			request{Method: "POST", Path: "/models/BAAI%2Fbge/activate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			got.Path = strings.TrimPrefix(got.Path, "/memory")
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestURL(t *testing.T) {
	for address, where := range map[string]string{
		"http://127.0.0.1:8090/": "http://127.0.0.1:8090/", "unix:///run/x": "/run/x", "https://memory.example": "https://memory.example",
		"unix:x": "", "127.0.0.1:8090": "", "": "", "gopher://x": "", "http://": "", "http://[::1": "", "unix://": "",
	} {
		c, err := URL(address)
		switch {
		case where == "" && (err == nil || !strings.Contains(err.Error(), "write http://HOST:PORT or unix:///PATH")):
			t.Errorf("%q: %v", address, err)
		case where != "" && (err != nil || c.Where() != where):
			t.Errorf("%q: %v, %v", address, c, err)
		}
	}
}

// TestConfigured holds that the socket comes first, that the port stands in for
// one that can't be used, and that the reason is told.
func TestConfigured(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	api := config.MemoryAPI{Socket: "/api.sock", Host: "::1", Port: 8090}
	c, why := Configured(root, api)
	if c.Where() != "http://[::1]:8090" || !errors.Is(why, os.ErrNotExist) {
		t.Errorf("without a socket: %s, %v", c.Where(), why)
	}
	api.Port = 0
	if c, why = Configured(root, api); c.Where() != root.Path("/api.sock") || why != nil {
		t.Errorf("with neither: %s, %v", c.Where(), why)
	}
	l, err := net.Listen("unix", root.Path("/api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	api.Port = 8090
	if c, why = Configured(root, api); c.Where() != root.Path("/api.sock") || why != nil {
		t.Errorf("with a socket: %s, %v", c.Where(), why)
	}
}

// TestNotAdmitted says what to do about a socket that others may use.
func TestNotAdmitted(t *testing.T) {
	err := &UnreachableError{Where: "/run/x/api.sock", Err: &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}}
	if text := err.Error(); !strings.Contains(text, "group dubnium") || strings.Contains(text, "systemctl status") {
		t.Error(text)
	}
}
