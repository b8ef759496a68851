package workerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Bounds of a scrape.
const (
	scrapeWithin = 10 * time.Second
	idleWithin   = 2 * time.Minute
)

// listenMetrics listens on an address of this machine.
func listenMetrics(address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("answer /metrics on %q: it is no address of this machine alone with a port; write one such as 127.0.0.1:8092", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("answer /metrics: %w; another worker of this machine may be there: give this one its own with --metrics", err)
	}
	return l, nil
}

// serveMetrics answers GET /metrics until ctx ends. It closes the listener.
func serveMetrics(ctx context.Context, l net.Listener, write func(io.Writer)) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		write(w)
		metrics.WriteProcessMetrics(w)
	})
	web := &http.Server{Handler: mux, ReadTimeout: scrapeWithin, WriteTimeout: scrapeWithin, IdleTimeout: idleWithin}
	stop := context.AfterFunc(ctx, func() { _ = web.Close() }) // a scrape is asked again
	defer stop()
	if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer /metrics: %w", err)
	}
	return nil
}
