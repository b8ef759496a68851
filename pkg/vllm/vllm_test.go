package vllm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	patience = 200 * time.Millisecond
	slack    = 3 * time.Second
)

// serve answers every request with what answer writes, and gives the address.
func serve(t *testing.T, answer func(path string, w net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				line, err := in.ReadString('\n')
				for err == nil {
					var header string
					if header, err = in.ReadString('\n'); header == "\r\n" {
						answer(strings.Fields(line)[1], c)
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func text(s string) func(string, net.Conn) {
	return func(_ string, w net.Conn) { _, _ = io.WriteString(w, s) }
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAsk(t *testing.T) {
	tests := map[string]struct {
		answer string
		want   Health // empty for an error
	}{
		"healthy":           {"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: uvicorn\r\n\r\n", Healthy},
		"healthy, 1.0":      {"HTTP/1.0 200 OK\r\n\r\n", Healthy},
		"no reason phrase":  {"HTTP/1.1 200\r\n\r\n", Healthy},
		"loading":           {"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", Loading},
		"a fault":           {"HTTP/1.1 500 Internal Server Error\r\n\r\n", ""},
		"another server":    {"HTTP/1.1 404 Not Found\r\n\r\n", ""},
		"no HTTP":           {"SSH-2.0-OpenSSH_9.2\r\n", ""},
		"nothing":           {"", ""},
		"half a line":       {"HTTP/1.1 20", ""},
		"half the headers":  {"HTTP/1.1 200 OK\r\nserver: uvi", ""},
		"half the body":     {"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", ""},
		"odd length":        {"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", ""},
		"huge length":       {"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", ""},
		"endless headers":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", 1<<16), ""},
		"endless line":      {"HTTP/1.1 200 OK" + strings.Repeat("x", 1<<20), ""},
		"huge body":         {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2<<20), ""},
		"odd encoding":      {"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", ""},
		"odd chunk":         {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", ""},
		"endless chunks":    {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n", 20), ""},
		"huge chunk":        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7fffffff\r\nx", ""},
		"chunk that lies":   {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", ""},
		"chunks that stop":  {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", ""},
		"chunked and sound": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", Healthy},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Ask(t.Context(), serve(t, text(tt.answer)))
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it waited: %v", err)
			}
		})
	}
	var status *StatusError
	if _, err := Ask(t.Context(), serve(t, text("HTTP/1.1 500 X\r\n\r\n"))); !errors.As(err, &status) || status.Status != 500 {
		t.Errorf("got %v, want a StatusError", err)
	}
}

func TestNobodyListens(t *testing.T) {
	addr := closedPort(t)
	if got, err := Ask(t.Context(), addr); got != Unreachable || err != nil {
		t.Errorf("Ask: got %q, %v", got, err)
	}
	if _, err := Metrics(t.Context(), addr); !refused(err) {
		t.Errorf("Metrics: got %v", err)
	}
	if _, err := Models(t.Context(), addr); !refused(err) {
		t.Errorf("Models: got %v", err)
	}
}

// TestSlowServers: nothing waits beyond its deadline.
func TestSlowServers(t *testing.T) {
	release := make(chan struct{})
	trickle := func(_ string, w net.Conn) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for _, b := range []byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", 1<<16)) {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-release:
				return
			}
		}
	}
	hang := func(before string) func(string, net.Conn) {
		return func(_ string, w net.Conn) {
			_, _ = io.WriteString(w, before)
			<-release
		}
	}
	servers := map[string]func(string, net.Conn){
		"says nothing":    hang(""),
		"stops in a line": hang("HTTP/1.1 2"),
		"never ends":      hang("HTTP/1.1 200 OK\r\n\r\nabc"),
		"trickles":        trickle,
	}
	addrs := map[string]string{}
	for name, answer := range servers {
		addrs[name] = serve(t, answer)
	}
	// Registered last and so run first: the servers' own clean-up waits for
	// the answers that this releases.
	t.Cleanup(func() { close(release) })
	for name, addr := range addrs {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		start := time.Now()
		_, err := Ask(ctx, addr)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want the deadline", name, err)
		}
		if took := time.Since(start); took > patience+slack {
			t.Errorf("%s: took %v", name, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Ask(ctx, addrs["says nothing"])
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	case <-time.After(slack):
		t.Error("a cancelled question does not return")
	}
}

const metricsText = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen"} 3.0
vllm:num_requests_running{engine="1",model_name="odd\"}{ name"} 1.0 1779926400000
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="qwen"} 2.0
vllm:num_requests_waiting_by_reason{engine="0"} 99
vllm:gpu_cache_usage_perc{model_name="qwen"} NaN
process_open_fds 91.0
`

func TestParseMetrics(t *testing.T) {
	const both = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
	tests := map[string]struct {
		text string
		want Load
		ok   bool
	}{
		"two engines":       {metricsText, Load{Running: 4, Waiting: 2}, true},
		"no labels":         {both, Load{}, true},
		"CRLF and tabs":     {"vllm:num_requests_running\t1\r\nvllm:num_requests_waiting 1e1\r\n", Load{1, 10}, true},
		"fraction":          {"vllm:num_requests_running 0.1\nvllm:num_requests_waiting 0\n", Load{1, 0}, true},
		"no last newline":   {"vllm:num_requests_running 7\nvllm:num_requests_waiting 5", Load{7, 5}, true},
		"empty":             {"", Load{}, false},
		"one missing":       {"vllm:num_requests_running 0\n", Load{}, false},
		"the other missing": {"vllm:num_requests_waiting 0\n", Load{}, false},
		"only comments":     {"# TYPE vllm:num_requests_running gauge\n# TYPE vllm:num_requests_waiting gauge\n", Load{}, false},
		"not a number":      {both + "vllm:num_requests_running{a=\"b\"} NaN\n", Load{}, false},
		"negative":          {both + "vllm:num_requests_running{a=\"b\"} -1\n", Load{}, false},
		"infinite":          {both + "vllm:num_requests_running{a=\"b\"} +Inf\n", Load{}, false},
		"too many":          {both + "vllm:num_requests_running{a=\"b\"} 1e300\n", Load{}, false},
		"no value":          {both + "vllm:num_requests_running{a=\"b\"}\n", Load{}, false},
		"open labels":       {both + "vllm:num_requests_running{a=\"b} 3\n", Load{}, false},
		"text":              {both + "vllm:num_requests_waiting three\n", Load{}, false},
		"HTML":              {"<html>vllm:num_requests_running</html>", Load{}, false},
	}
	for name, tt := range tests {
		got, err := parseMetrics([]byte(tt.text))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	addr := serve(t, func(path string, w net.Conn) {
		if path != "/metrics" {
			fmt.Fprint(w, "HTTP/1.1 404 Not Found\r\n\r\n")
			return
		}
		half := len(metricsText) / 2 // chunked, though HTTP/1.0 was asked for
		fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n",
			half, metricsText[:half], len(metricsText)-half, metricsText[half:])
	})
	load, err := Metrics(t.Context(), addr)
	if want := (Load{Running: 4, Waiting: 2}); err != nil || load != want {
		t.Errorf("Metrics: got %+v, %v; want %+v", load, err, want)
	}
	if load.Idle() || !(Load{}).Idle() || (Load{Waiting: 1}).Idle() {
		t.Error("Idle is wrong")
	}
	for _, answer := range []string{"HTTP/1.1 401 Unauthorized\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>"} {
		addr := serve(t, text(answer))
		if got, err := Metrics(t.Context(), addr); err == nil {
			t.Errorf("%q: got the load %+v", answer, got)
		}
	}
}

func TestAddr(t *testing.T) {
	for host, want := range map[string]string{"127.0.0.1": "127.0.0.1:8000", "::1": "[::1]:8000", "[::1]": "[::1]:8000", "localhost": "localhost:8000"} {
		if got := Addr(host, 8000); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add([]byte(metricsText))
	f.Add([]byte("vllm:num_requests_running{"))
	f.Add([]byte("vllm:num_requests_waiting{a=\"\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		load, err := parseMetrics(data)
		if err == nil && (load.Running < 0 || load.Waiting < 0) {
			t.Fatalf("less than no requests: %+v", load)
		}
		if err == nil && !bytes.Contains(data, []byte(runningGauge)) {
			t.Fatalf("a load out of nothing: %+v", load)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 503\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readResponse(bytes.NewReader(data))
		if err == nil && (r.status < 100 || r.status > 999 || len(r.body) > len(data)) {
			t.Fatalf("status %d with %d bytes out of %d", r.status, len(r.body), len(data))
		}
	})
}

func TestModels(t *testing.T) {
	many := func(n int) string {
		return `{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"m"},`, n), ",") + `]}`
	}
	for name, tt := range map[string]struct {
		body string
		want []string // nil for an error
	}{
		"as vLLM has it":   {`{"object":"list","data":[{"id":"coder","object":"model","created":1,"owned_by":"vllm","root":"/m/coder","parent":null,"max_model_len":4096,"permission":[{}]}]}`, []string{"coder"}},
		"with adapters":    {`{"data":[{"id":"coder"},{"id":"coder-sql","parent":"coder"}]}`, []string{"coder", "coder-sql"}},
		"none":             {`{"data":[]}`, []string{}},
		"of another kind":  {`{"object":7,"data":[7,null,"x",{"id":7},{"name":"x"},{"id":""},{"id":"m","id2":[]}],"more":{}}`, []string{"m"}},
		"a name too long":  {`{"data":[{"id":"` + strings.Repeat("x", 257) + `"},{"id":"m"}]}`, []string{"m"}},
		"very many":        {many(5000), slices.Repeat([]string{"m"}, 64)},
		"no list":          {`{"object":"list"}`, nil},
		"null":             {`{"data":null}`, nil},
		"another document": {`["m"]`, nil},
		"a page":           {`<html>`, nil},
		"half of it":       {many(3)[:20], nil},
		"nothing":          {``, nil},
	} {
		got, err := Models(t.Context(), serve(t, text("HTTP/1.1 200 OK\r\n\r\n"+tt.body)))
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	var status *StatusError
	if _, err := Models(t.Context(), serve(t, text("HTTP/1.1 401 Unauthorized\r\n\r\n"))); !errors.As(err, &status) || status.Status != 401 {
		t.Errorf("with a key that it asks for: %v", err)
	}
}

func FuzzParseModels(f *testing.F) {
	for _, s := range []string{`{"data":[{"id":"m"},{"id":7}]}`, `{"data":null}`, "[]", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseModels(data)
		if (names == nil) != (err != nil) || len(names) > maxModels {
			t.Errorf("%q, %v", names, err)
		}
		for _, n := range names {
			if n == "" || len(n) > maxModelName {
				t.Errorf("the name %q", n)
			}
		}
	})
}
