package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

func TestDSN(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	for name, text := range map[string]string{"one": "postgres://a@b/c\n", "more": "  host=/x  \nand a note\n", "empty": "\npostgres://a@b/c\n", "huge": strings.Repeat("x", maxDSN+1)} {
		if err := os.WriteFile(root.Path("/"+name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		cfg       config.MemoryDatabase
		want, why string
	}{
		"in the configuration": {config.MemoryDatabase{DSN: "host=/y", DSNFile: "/one"}, "host=/y", ""},
		"in a file":            {config.MemoryDatabase{DSNFile: "/one"}, "postgres://a@b/c", ""},
		"the first line":       {config.MemoryDatabase{DSNFile: "/more"}, "host=/x", ""},
		"an empty first line":  {config.MemoryDatabase{DSNFile: "/empty"}, "", "/empty: its first line is empty"},
		"no file":              {config.MemoryDatabase{DSNFile: "/none"}, "", "read memory.database.dsnFile"},
		"no end":               {config.MemoryDatabase{DSNFile: "/huge"}, "", "read memory.database.dsnFile"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DSN(root, c.cfg)
			if got != c.want || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("it is %q, %v", got, err)
			}
		})
	}
}

// TestSystemd holds what systemd is told, in order: ready, that we live, again
// and again, and the end.
func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	hears := func(want string) {
		t.Helper()
		if err := systemd.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		n, err := systemd.Read(buf)
		if got := string(buf[:n]); err != nil || got != want {
			t.Fatalf("systemd hears %q, %v, not %q", got, err, want)
		}
	}
	Ready(slog.New(slog.DiscardHandler))
	hears("READY=1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Watchdog(ctx) }()
	hears("WATCHDOG=1")
	hears("WATCHDOG=1")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for { // what it said before its end
		if err := systemd.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := systemd.Read(make([]byte, 64)); err != nil {
			break
		}
	}
	Stopping(slog.New(slog.DiscardHandler))
	hears("STOPPING=1")
}

// TestWithoutSystemd holds that a watchdog that nobody wants waits for the end.
func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Watchdog(ctx); err != nil {
		t.Error(err)
	}
	Ready(slog.New(slog.DiscardHandler))
}
