package workerd

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	for _, address := range []string{"", "0.0.0.0:0", "127.0.0.1", "192.0.2.1:8092", "localhost:1", ":8092"} {
		if l, err := listenMetrics(address); err == nil || !strings.Contains(err.Error(), "no address of this machine") {
			t.Errorf("%q: %v, %v", address, l, err)
		}
	}
	l, err := listenMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenMetrics(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--metrics") {
		t.Errorf("an address that is taken: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveMetrics(ctx, l, func(w io.Writer) { _, _ = io.WriteString(w, "dubnium_embed_stream_up 1\n") })
	}()
	answer, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "dubnium_embed_stream_up 1\n") || !strings.Contains(string(text), "process_resident_memory_bytes") {
		t.Errorf("%s, %v: %s", answer.Status, err, text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
