// Package embeddings stands in for a vLLM server that serves an embedding
// model: the HTTP shapes of /v1/embeddings, a bounded rate, and what goes wrong.
// Its vectors are made from the hash of a text.
package embeddings

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Poison is what a text holds that the model can't embed.
const Poison = "☠"

// Behaviour is what the server does.
type Behaviour struct {
	// Status answers every request with that status, unless it is 0 or 200.
	Status int
	// EachRequest and EachText are how long an answer takes. One request is
	// served at a time, as on one GPU.
	EachRequest, EachText time.Duration
	// PoisonBreaks makes it break off the connection at a poisonous text, where
	// it otherwise answers with status 400.
	PoisonBreaks bool
}

// Server is a running stand-in.
type Server struct {
	// URL is the base of its API.
	URL        string
	Dimensions int

	gpu      sync.Mutex
	mu       sync.Mutex
	does     Behaviour
	times    map[string]int
	clients  map[string]int
	requests int
}

// Start starts one on addr, such as 127.0.0.1:0.
func Start(t testing.TB, addr string, dimensions int) *Server {
	t.Helper()
	s := &Server{Dimensions: dimensions, times: map[string]int{}, clients: map[string]int{}}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.embed))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	s.URL = server.URL + "/v1"
	return s
}

// Does changes what it does.
func (s *Server) Does(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.does = b
}

// Times says how often each text was given a vector, and how many requests
// there were.
func (s *Server) Times() (times map[string]int, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times), s.requests
}

// Clients says how many texts each address had embedded.
func (s *Server) Clients() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.clients)
}

func (s *Server) embed(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Model string   `json:"model"`
		Input []string `json:"input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/v1/embeddings" {
		refuse(w, http.StatusBadRequest, "the request is no request for embeddings")
		return
	}
	s.mu.Lock()
	does := s.does
	s.requests++
	s.mu.Unlock()
	if does.Status != 0 && does.Status != http.StatusOK {
		refuse(w, does.Status, "told to")
		return
	}
	for _, text := range asked.Input {
		if strings.Contains(text, Poison) {
			if does.PoisonBreaks {
				panic(http.ErrAbortHandler)
			}
			refuse(w, http.StatusBadRequest, "This model's maximum context length is 512 tokens.")
			return
		}
	}
	s.gpu.Lock()
	select {
	case <-time.After(does.EachRequest + time.Duration(len(asked.Input))*does.EachText):
	case <-r.Context().Done():
	}
	s.gpu.Unlock()
	answer := map[string]any{"object": "list", "id": "embd-0", "created": 1764000000, "model": asked.Model}
	var data []map[string]any
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	s.mu.Lock()
	s.clients[client] += len(asked.Input)
	for i, text := range asked.Input {
		s.times[text]++
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": s.vector(text)})
	}
	s.mu.Unlock()
	answer["data"] = data
	answer["usage"] = map[string]any{"prompt_tokens": 9, "total_tokens": 9, "completion_tokens": 0, "prompt_tokens_details": nil}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// vector is the same for the same text.
func (s *Server) vector(text string) []float64 {
	h := fnv.New64a()
	fmt.Fprint(h, text)
	random := rand.New(rand.NewPCG(h.Sum64(), 1))
	v := make([]float64, s.Dimensions)
	for i := range v {
		v[i] = random.NormFloat64()
	}
	return v
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"message": message, "type": "BadRequestError", "param": nil, "code": status,
	}})
}
