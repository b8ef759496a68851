package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// asked is one request as a server saw it.
type asked struct {
	Path, Auth string
	Model      string   `json:"model"`
	Input      []string `json:"input"`
	Format     string   `json:"encoding_format"`
}

// serve answers with handle, and keeps what was asked.
func serve(t *testing.T, handle func(w http.ResponseWriter, a asked)) (url string, seen *[]asked) {
	t.Helper()
	seen = new([]asked)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := asked{Path: r.Method + " " + r.URL.Path, Auth: r.Header.Get("Authorization")}
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Errorf("the request is no JSON: %v", err)
		}
		*seen = append(*seen, a)
		handle(w, a)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1", seen
}

// vllm answers as vLLM does: element 0 of each vector is the text's length.
func vllm(w http.ResponseWriter, a asked) {
	w.Header().Set("Content-Type", "application/json")
	var data []string
	for i, text := range a.Input {
		data = append(data, fmt.Sprintf(`{"index":%d,"object":"embedding","embedding":[%d.0,-0.5,0.25]}`, i, len(text)))
	}
	fmt.Fprintf(w, `{"id":"embd-9f","object":"list","created":1764000000,"model":%q,"data":[%s],"usage":{"prompt_tokens":9,"total_tokens":9,"completion_tokens":0,"prompt_tokens_details":null}}`,
		a.Model, strings.Join(data, ","))
}

func openai(t *testing.T, url string, change func(*OpenAIConfig)) *OpenAI {
	t.Helper()
	config := OpenAIConfig{URL: url, Model: "m", Preset: Preset{Dimensions: 3}, Timeout: 5 * time.Second}
	if change != nil {
		change(&config)
	}
	o, err := NewOpenAI(config)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOpenAIAsks(t *testing.T) {
	url, seen := serve(t, vllm)
	preset, ok := PresetOf("nomic-ai/Nomic-Embed-Text-v1.5")
	if !ok {
		t.Fatal("the preset of nomic-embed-text is not found")
	}
	preset.Dimensions = 3
	o := openai(t, url+"/", func(c *OpenAIConfig) { c.Preset, c.Batch, c.Key = preset, 2, "sesame" })
	vectors, err := o.Embed(context.Background(), []string{"a", "bb", "ccc"}, Document)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Embed(context.Background(), []string{"d"}, Query); err != nil {
		t.Fatal(err)
	}
	want := []asked{
		{"POST /v1/embeddings", "Bearer sesame", "m", []string{"search_document: a", "search_document: bb"}, "float"},
		{"POST /v1/embeddings", "Bearer sesame", "m", []string{"search_document: ccc"}, "float"},
		{"POST /v1/embeddings", "Bearer sesame", "m", []string{"search_query: d"}, "float"},
	}
	if d := cmp.Diff(want, *seen); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if len(vectors) != 3 {
		t.Fatalf("%d vectors for 3 texts", len(vectors))
	}
	for i, v := range vectors {
		if n := cosine(v, v); n < 0.9999 || n > 1.0001 || len(v) != 3 {
			t.Errorf("vector %d has %d dimensions and the squared length %v", i, len(v), n)
		}
	}
}

func TestOpenAIErrors(t *testing.T) {
	type result struct {
		Fault  Fault
		Index  int
		Status int
		After  time.Duration
		Says   string
	}
	answer := func(status int, body string, headers ...string) func(http.ResponseWriter, asked) {
		return func(w http.ResponseWriter, _ asked) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body) //nolint:errcheck // the client may have gone
		}
	}
	vectors := func(list ...string) func(http.ResponseWriter, asked) {
		var data []string
		for i, v := range list {
			data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":%s}`, i, v))
		}
		return answer(200, `{"object":"list","data":[`+strings.Join(data, ",")+`]}`)
	}
	tests := []struct {
		name   string
		handle func(http.ResponseWriter, asked)
		want   result
	}{
		{
			"vLLM: over the context", answer(400, `{"object":"error","message":"This model's maximum context length is 512 tokens. However, you requested 600 tokens in the input for embedding generation. Please reduce the length of the input.","type":"BadRequestError","param":null,"code":400}`),
			result{Item, -1, 400, 0, "maximum context length is 512 tokens"},
		},
		{
			"vLLM: nested error", answer(400, `{"error":{"message":"This model's maximum context length is 512 tokens.","type":"BadRequestError","param":null,"code":400}}`),
			result{Item, -1, 400, 0, "maximum context length"},
		},
		{
			"vLLM: unknown model", answer(404, `{"object":"error","message":"The model `+"`m`"+` does not exist.","type":"NotFoundError","param":null,"code":404}`),
			result{Outage, -1, 404, 0, "The model `m` does not exist."},
		},
		{
			"vLLM: engine died", answer(500, `{"object":"error","message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}`),
			result{Doubt, -1, 500, 0, "EngineCore"},
		},
		{
			"llama-server: over the context", answer(400, `{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":600,"n_ctx":512}}`),
			result{Item, -1, 400, 0, "exceeds the available context size"},
		},
		{
			"llama-server: over the batch size", answer(500, `{"error":{"code":500,"message":"input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}`),
			result{Doubt, -1, 500, 0, "too large to process"},
		},
		{
			"llama-server: loading", answer(503, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`),
			result{Outage, -1, 503, 0, "Loading model"},
		},
		{
			"FastAPI: the reason quotes the text", answer(422, `{"detail":[{"type":"x","input":["first secret text of a person"]}]}`),
			result{Item, -1, 422, 0, "its reason quotes the text"},
		},
		{
			"too many requests", answer(429, "slow down\n\x1b[31m", "Retry-After", "7"),
			result{Outage, -1, 429, 7 * time.Second, "slow down [31m"},
		},
		{
			"sent away for a year", answer(503, "", "Retry-After", "31536000"),
			result{Outage, -1, 503, maxRetryAfter, "no reason given"},
		},
		{"wrong key", answer(401, `{"error":"Unauthorized"}`), result{Outage, -1, 401, 0, "Unauthorized"}},
		{"bad gateway", answer(502, "<html>bad gateway"), result{Outage, -1, 502, 0, "<html>bad gateway"}},
		{"redirect", answer(307, "", "Location", "http://192.0.2.1/"), result{Outage, -1, 307, 0, "status 307"}},
		{"no JSON", answer(200, "hello"), result{Outage, -1, 0, 0, "not JSON"}},
		{"a vector short", vectors("[1,2,3]"), result{Outage, -1, 0, 0, "1 vectors, not 2"}},
		{"another width", vectors("[1,2,3]", "[1,2]"), result{Outage, -1, 0, 0, "2 dimensions, not 3"}},
		{"zero", vectors("[1,2,3]", "[0,0,0]"), result{Item, 1, 0, 0, "a vector is zero"}},
		{"null for NaN", vectors("[1,null,3]", "[1,2,3]"), result{Item, 0, 0, 0, "null"}},
		{"over float32", vectors("[1,2,3]", "[1e39,0,0]"), result{Item, 1, 0, 0, "no list of numbers"}},
		{"no list", vectors(`"AACAPwAAAEA="`, "[1,2,3]"), result{Item, 0, 0, 0, "no list of numbers"}},
		{
			"an index twice", answer(200, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}`),
			result{Outage, -1, 0, 0, "vector 1 has the index 0"},
		},
		{
			"an index beyond", answer(200, `{"data":[{"index":2,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}`),
			result{Outage, -1, 0, 0, "vector 0 has the index 2"},
		},
		{"without end", func(w http.ResponseWriter, _ asked) {
			chunk := []byte(strings.Repeat("1,", 1<<14))
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, result{Outage, -1, 0, 0, "over 65776 bytes"}},
		{"broken off", func(w http.ResponseWriter, _ asked) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"data":[`) //nolint:errcheck
		}, result{Doubt, -1, 0, 0, "unexpected EOF"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := serve(t, tt.handle)
			vectors, err := openai(t, url, func(c *OpenAIConfig) { c.Key = "sesame" }).
				Embed(context.Background(), []string{"first secret text of a person", "second"}, Document)
			var e *Error
			if !errors.As(err, &e) || vectors != nil {
				t.Fatalf("got %d vectors and the error %v", len(vectors), err)
			}
			got := result{e.Fault, e.Index, e.Status, e.RetryAfter, tt.want.Says}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("error %q (-want +got):\n%s", err, d)
			}
			if !strings.Contains(err.Error(), tt.want.Says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error says %q, not %q", err, tt.want.Says)
			}
		})
	}
}

// TestOpenAIAnswersInAnyOrder holds that vectors go by their index.
func TestOpenAIAnswersInAnyOrder(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, _ asked) {
		io.WriteString(w, `{"data":[{"index":1,"embedding":[0,2,0]},{"index":0,"embedding":[3,0,0]}]}`) //nolint:errcheck
	})
	got, err := openai(t, url, nil).Embed(context.Background(), []string{"a", "b"}, Document)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]float32{{1, 0, 0}, {0, 1, 0}}, got, cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Errorf("vectors (-want +got):\n%s", d)
	}
}

// TestOpenAIHalves holds that a single text over the context is embedded by
// its beginning, and that a batch is not.
func TestOpenAIHalves(t *testing.T) {
	url, seen := serve(t, func(w http.ResponseWriter, a asked) {
		for _, text := range a.Input {
			if len(text) > 300 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
		}
		vllm(w, a)
	})
	o := openai(t, url, nil)
	long := strings.Repeat("wörter ", 143)
	if _, err := o.Embed(context.Background(), []string{long}, Document); err != nil {
		t.Fatal(err)
	}
	var lengths []int
	for _, a := range *seen {
		lengths = append(lengths, len(a.Input[0]))
	}
	if d := cmp.Diff([]int{1144, 572, 286}, lengths); d != "" {
		t.Errorf("lengths that were tried (-want +got):\n%s", d)
	}
	if _, err := o.Embed(context.Background(), []string{"a", long}, Document); FaultOf(err) != Item {
		t.Errorf("a batch with a long text: %v", err)
	}
}

// TestOpenAIOutages holds what is nobody's text's fault.
func TestOpenAIOutages(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	_, err = openai(t, "http://"+closed+"/v1", nil).Embed(context.Background(), []string{"a"}, Document)
	if FaultOf(err) != Outage || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}

	held := make(chan struct{})
	url, _ := serve(t, func(http.ResponseWriter, asked) { <-held })
	t.Cleanup(func() { close(held) })
	slow := openai(t, url, func(c *OpenAIConfig) { c.Timeout = 30 * time.Millisecond })
	_, err = slow.Embed(context.Background(), []string{"a"}, Document)
	if FaultOf(err) != Doubt || !strings.Contains(err.Error(), "no answer within 30ms") {
		t.Errorf("no answer in time: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = slow.Embed(ctx, []string{"a"}, Document); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx ended: %v", err)
	}
	if _, err = slow.Embed(context.Background(), []string{"a", " \n"}, Document); FaultOf(err) != Item {
		t.Errorf("an empty text: %v", err)
	}
}

func TestNewOpenAIRefuses(t *testing.T) {
	for _, config := range []OpenAIConfig{
		{Model: "m", Preset: Preset{Dimensions: 3}},
		{URL: "unix:///run/x", Model: "m", Preset: Preset{Dimensions: 3}},
		{URL: "http://user:pw@host/v1", Model: "m", Preset: Preset{Dimensions: 3}},
		{URL: "http://host/v1?x=y", Model: "m", Preset: Preset{Dimensions: 3}},
		{URL: "http://host/v1", Preset: Preset{Dimensions: 3}},
		{URL: "http://host/v1", Model: "m"},
		{URL: "http://host/v1", Model: "m", Preset: Preset{Dimensions: 3}, Batch: -1},
	} {
		if o, err := NewOpenAI(config); err == nil {
			t.Errorf("%+v gave %v", config, o)
		} else if strings.Contains(err.Error(), "pw@") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[0.1,-2e-3]}]}`))
	f.Add([]byte(`{"data":[{"embedding":[1,null]},{"embedding":"x"}]}`))
	f.Add([]byte(`{"error":{"message":"no"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if reason := reasonIn(data); reason == "" || strings.ContainsAny(reason, "\n\r\x1b") {
			t.Errorf("the reason is %q", reason)
		}
		vectors, err := parseAnswer(data, 2, 2)
		if (err == nil) != (len(vectors) == 2) {
			t.Fatalf("%d vectors and the error %v", len(vectors), err)
		}
		for _, v := range vectors {
			if n := cosine(v, v); len(v) != 2 || n < 0.999 || n > 1.001 {
				t.Errorf("the vector %v has the squared length %v", v, n)
			}
		}
	})
}
