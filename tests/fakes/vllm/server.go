package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// engineArg makes this program the second process.
const engineArg = "VLLM::EngineCore"

type server struct {
	options
	behaviour
	loaded           time.Time
	running, waiting atomic.Int64
	finished         atomic.Int64
}

func newServer(o options, b behaviour) *server {
	if b.ServedModelName != "" {
		o.name = b.ServedModelName
	}
	return &server{options: o, behaviour: b, loaded: time.Now().Add(time.Duration(b.LoadMS) * time.Millisecond)}
}

func (s *server) ready() bool { return !s.NeverHealthy && !time.Now().Before(s.loaded) }

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /ping", s.health)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"version": "0.0.0+dubnium"})
	})
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("POST /v1/completions", s.complete)
	return mux
}

// health answers like vLLM's: an empty body.
func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	if !s.ready() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *server) models(w http.ResponseWriter, _ *http.Request) {
	reply(w, 200, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": s.name, "object": "model", "created": s.loaded.Unix(), "owned_by": "vllm",
		"root": s.model, "parent": nil, "max_model_len": 4096,
	}}})
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, m := range []struct {
		name, kind, help string
		value            int64
	}{
		{"vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", s.running.Load()},
		{"vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", s.waiting.Load()},
		{"vllm:request_success_total", "counter", "Count of successfully processed requests.", s.finished.Load()},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s{engine=\"0\",model_name=%q} %.1f\n",
			m.name, m.help, m.name, m.kind, m.name, s.name, float64(m.value))
	}
}

// complete holds the request in flight. Of many at once, all but one wait.
func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Model  string          `json:"model"`
		Prompt json.RawMessage `json:"prompt"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		replyError(w, http.StatusBadRequest, "BadRequestError", err.Error())
		return
	}
	if request.Model != s.name {
		replyError(w, http.StatusNotFound, "NotFoundError", fmt.Sprintf("The model `%s` does not exist.", request.Model))
		return
	}
	if !s.ready() {
		replyError(w, http.StatusServiceUnavailable, "ServiceUnavailableError", "the model is still loading")
		return
	}
	s.waiting.Add(1)
	if s.running.Add(1) > 1 {
		s.running.Add(-1)
		defer s.waiting.Add(-1)
	} else {
		s.waiting.Add(-1)
		defer s.running.Add(-1)
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(time.Duration(s.HoldMS) * time.Millisecond):
	}
	s.finished.Add(1)
	reply(w, 200, map[string]any{
		"id": "cmpl-0", "object": "text_completion", "created": time.Now().Unix(), "model": s.name,
		"choices": []any{map[string]any{"index": 0, "text": " done", "logprobs": nil, "finish_reason": "stop"}},
		"usage":   map[string]any{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
	})
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}

func replyError(w http.ResponseWriter, code int, kind, message string) {
	reply(w, code, map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
}

// serve answers until ctx is done and no request is in flight. vLLM opens its port when the model
// is loaded; this one does so at once, so that "up, but not healthy" can be seen.
func serve(ctx context.Context, o options, b behaviour) error {
	if b.IgnoreTerm {
		ctx = context.WithoutCancel(ctx)
	}
	s := newServer(o, b)
	listener, err := net.Listen("tcp", o.address())
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.address(), err)
	}
	if b.SpawnChild {
		end, err := spawn(b)
		if err != nil {
			return err
		}
		defer end()
	}
	srv := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- srv.Shutdown(context.Background()) })
	fmt.Printf("INFO: stand-in for vLLM serves %s on http://%s\n", s.name, listener.Addr())
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", o.address(), err)
	}
	return <-stopped
}

// spawn starts the second process, and returns what ends it.
func spawn(b behaviour) (end func(), err error) {
	cmd := exec.Command("/proc/self/exe", engineArg)
	cmd.Args[0] = engineArg
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the engine process: %w", err)
	}
	return func() {
		if b.ChildOutlives {
			return
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if !b.IgnoreTerm {
			cmd.Wait()
		}
	}, nil
}

// engine is the second process. It does nothing, as long as it may.
func engine(ctx context.Context, b behaviour) int {
	if b.IgnoreTerm || b.ChildOutlives {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Hour): // so that a forgotten one goes away
	}
	return 0
}
