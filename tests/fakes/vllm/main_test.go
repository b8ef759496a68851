package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/vllm"
)

func TestParseArgs(t *testing.T) {
	for name, test := range map[string]struct {
		args string
		want options
	}{
		"defaults":      {"serve m", options{"m", "0.0.0.0", "8000", "m"}},
		"as in a unit":  {"serve org/m --host 127.0.0.1 --port 8100", options{"org/m", "127.0.0.1", "8100", "org/m"}},
		"joined":        {"serve m --host=::1 --port=1 --served-model-name=n", options{"m", "::1", "1", "n"}},
		"unknown flags": {"serve m --gpu-memory-utilization 0.9 --enforce-eager --port 1 --dtype=auto -tp 2", options{"m", "0.0.0.0", "1", "m"}},
		"model flag":    {"serve --model m --port 1", options{"m", "0.0.0.0", "1", "m"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseArgs(strings.Fields(test.args))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"", "chat m", "serve", "serve --port 1", "serve m --port"} {
		if o, err := parseArgs(strings.Fields(bad)); err == nil {
			t.Errorf("%q: no error, %+v", bad, o)
		}
	}
}

func TestReadBehaviour(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.json")
	getenv := func(string) string { return path }
	if b, err := readBehaviour(getenv); err != nil || b != (behaviour{}) {
		t.Errorf("without a file: %+v, %v", b, err)
	}
	os.WriteFile(path, []byte(`{"load_ms": 5, "spawn_child": true}`), 0o644)
	if b, err := readBehaviour(getenv); err != nil || b != (behaviour{LoadMS: 5, SpawnChild: true}) {
		t.Errorf("got %+v, %v", b, err)
	}
	os.WriteFile(path, []byte(`{"load_msec": 5}`), 0o644)
	if _, err := readBehaviour(getenv); err == nil || !strings.Contains(err.Error(), "load_msec") {
		t.Errorf("unknown key: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	s := newServer(options{model: "org/m", name: "m"}, behaviour{HoldMS: 60_000})
	web := httptest.NewServer(s.routes())
	defer web.Close()

	s.loaded = time.Now().Add(time.Hour)
	if code, _ := get(t, web.URL+"/health"); code != 503 {
		t.Errorf("/health while loading: %d", code)
	}
	s.loaded = time.Now()
	if code, body := get(t, web.URL+"/health"); code != 200 || body != "" {
		t.Errorf("/health: %d %q", code, body)
	}
	_, body := get(t, web.URL+"/v1/models")
	var list struct {
		Object string
		Data   []struct{ ID, Root, Object string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || list.Object != "list" || len(list.Data) != 1 || list.Data[0].ID != "m" || list.Data[0].Root != "org/m" {
		t.Errorf("/v1/models: %s, %v", body, err)
	}
	// Dubnium's own client understands it.
	if names, err := vllm.Models(t.Context(), strings.TrimPrefix(web.URL, "http://")); err != nil || !slices.Equal(names, []string{"m"}) {
		t.Errorf("the models are %q, %v", names, err)
	}
	if code, body := post(t, web.URL, "other"); code != 404 || !strings.Contains(body, "does not exist") {
		t.Errorf("another model: %d %s", code, body)
	}

	// One request runs, another waits, and both show until they end.
	for range 2 {
		go http.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(`{"model":"m","prompt":"x"}`))
	}
	want := []string{`vllm:num_requests_running{engine="0",model_name="m"} 1.0`, `vllm:num_requests_waiting{engine="0",model_name="m"} 1.0`}
	until(t, func() error {
		_, body := get(t, web.URL+"/metrics")
		for _, line := range want {
			if !strings.Contains(body, line+"\n") {
				return fmt.Errorf("no %s in:\n%s", line, body)
			}
		}
		return nil
	})
	web.CloseClientConnections() // the clients go away
	http.DefaultClient.CloseIdleConnections()
	until(t, func() error {
		if n, w := s.running.Load(), s.waiting.Load(); n != 0 || w != 0 {
			return fmt.Errorf("running %d, waiting %d", n, w)
		}
		return nil
	})
	s.HoldMS = 0
	if code, body := post(t, web.URL, "m"); code != 200 || !strings.Contains(body, `"finish_reason":"stop"`) {
		t.Errorf("completion: %d %s", code, body)
	}
	s.NeverHealthy = true
	if code, _ := get(t, web.URL+"/health"); code != 503 {
		t.Errorf("/health, never healthy: %d", code)
	}
}

// TestProcess runs the real thing: its life as a process is what units are tested with.
func TestProcess(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "vllm")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, test := range map[string]struct {
		behaviour string
		args      string
		term      bool
		want      int
	}{
		"ends on SIGTERM":       {`{"spawn_child": true}`, "serve m --host 127.0.0.1 --port 0", true, 0},
		"ignores SIGTERM":       {`{"ignore_term": true}`, "serve m --host 127.0.0.1 --port 0", true, -1},
		"fails at start":        {`{"exit_code_at_start": 3}`, "serve m", false, 3},
		"can't have its port":   {`{}`, "serve m --host 192.0.2.1", false, 1},
		"bad command line":      {`{}`, "chat", false, 2},
		"unreadable behaviour":  {`{`, "serve m", false, 2},
		"leaves its child over": {`{"spawn_child": true, "child_outlives": true}`, "serve m --host 127.0.0.1 --port 0", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := filepath.Join(t.TempDir(), "b.json")
			if err := os.WriteFile(config, []byte(test.behaviour), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bin, strings.Fields(test.args)...)
			cmd.Env = []string{"DUBNIUM_FAKE_VLLM=" + config}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the child too
			ended := make(chan int, 1)
			go func() {
				cmd.Wait()
				ended <- cmd.ProcessState.ExitCode()
			}()
			if test.term {
				until(t, func() error {
					if b, _ := os.ReadFile(out.Name()); !bytes.Contains(b, []byte("serves m on")) {
						return fmt.Errorf("it says %q", b)
					}
					return nil
				})
				cmd.Process.Signal(syscall.SIGTERM)
			}
			limit := 10 * time.Second
			if test.want < 0 {
				limit = 300 * time.Millisecond
			}
			got := -1
			select {
			case got = <-ended:
			case <-time.After(limit):
			}
			if got != test.want {
				b, _ := os.ReadFile(out.Name())
				t.Errorf("exit status %d, want %d; it says\n%s", got, test.want, b)
			}
			if alone := syscall.Kill(-cmd.Process.Pid, 0) != nil; got >= 0 && alone != !strings.Contains(test.behaviour, "child_outlives") {
				t.Errorf("its child is gone: %v", alone)
			}
		})
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func post(t *testing.T, url, model string) (int, string) {
	t.Helper()
	resp, err := http.Post(url+"/v1/completions", "application/json", strings.NewReader(fmt.Sprintf(`{"model":%q,"prompt":"x"}`, model)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func until(t *testing.T, cond func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
