package bus_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"golang.org/x/sys/unix"
)

// listen makes a root whose bus is f, called once for every connection.
func listen(t *testing.T, f func(net.Conn)) hostfs.Root {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "run/dbus/system_bus_socket")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return hostfs.Root(dir)
}

// TestOddPeers: whatever is at the other end of the socket, Dial returns an
// error, in time.
func TestOddPeers(t *testing.T) {
	const accepted = "DATA\r\nOK 1234deadbeef\r\nAGREE_UNIX_FD\r\n"
	tests := map[string]string{
		"closes at once":              "",
		"closes while it agrees":      "DATA\r\nOK 12",
		"closes after it agreed":      accepted,
		"rejects":                     "REJECTED EXTERNAL DBUS_COOKIE_SHA1\r\n",
		"speaks something else":       "HTTP/1.1 400 Bad Request\r\n\r\n",
		"speaks without end":          strings.Repeat("x", 1<<20),
		"sends no message":            accepted + strings.Repeat("z", 4096),
		"announces a huge message":    accepted + "l\x02\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\x08\x00\x00\x00",
		"sends a message of nonsense": accepted + "l\x02\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			root := listen(t, func(c net.Conn) {
				_, _ = c.Write([]byte(answer))
				_ = c.Close()
			})
			conn, err := bus.Dial(t.Context(), root)
			if err == nil {
				conn.Close()
				t.Fatal("Dial is content")
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Dial waited: %v", err)
			}
			if got, want := bus.IsAccessDenied(err), name == "rejects"; got != want {
				t.Errorf("IsAccessDenied(%v) = %t", err, got)
			}
		})
	}
}

func TestSilentPeers(t *testing.T) {
	for name, answer := range map[string]string{
		"says nothing":             "",
		"agrees and falls silent":  "DATA\r\nOK 12\r\nAGREE_UNIX_FD\r\n",
		"stops within a message":   "DATA\r\nOK 12\r\nAGREE_UNIX_FD\r\nl\x02\x00\x01\x00",
		"stops within the headers": "DATA\r\nOK 12\r\nAGREE_UNIX_FD\r\nl\x02\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x40\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			held := make(chan net.Conn, 2)
			root := listen(t, func(c net.Conn) {
				_, _ = c.Write([]byte(answer))
				held <- c
			})
			atOnce(t, "Dial", func(ctx context.Context) error {
				_, err := bus.Dial(ctx, root)
				return err
			})
			_ = (<-held).Close()
		})
	}
}

// TestFullBacklog: nobody accepts, and the kernel's queue is full.
func TestFullBacklog(t *testing.T) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	short, err := os.MkdirTemp("", "bus-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	if err := os.MkdirAll(short+"/run/dbus", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: short + "/run/dbus/system_bus_socket"}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // the first ones get into the queue and no answer
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		start := time.Now()
		if _, err := bus.Dial(ctx, hostfs.Root(short)); err == nil {
			t.Errorf("dial %d is content", i)
		}
		if took := time.Since(start); took > patience+slack {
			t.Errorf("dial %d took %v", i, took)
		}
		cancel()
	}
}
