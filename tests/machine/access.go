package machine

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Path is where the host finds a file of the machine. A link with an absolute target leads astray:
// name the file that it stands for.
func (m *Machine) Path(path string) string {
	return filepath.Join("/proc", strconv.Itoa(m.leader), "root", path)
}

// BusAddress is the address of the machine's system bus for a client on the host, which is root there.
func (m *Machine) BusAddress() string {
	return "unix:path=" + m.Path("/run/dbus/system_bus_socket")
}

// ReadFile reads a file of the machine.
func (m *Machine) ReadFile(path string) ([]byte, error) {
	return os.ReadFile(m.Path(path))
}

// WriteFile replaces or makes a file of the machine and the folders it needs; a new file is root's, mode 0644.
func (m *Machine) WriteFile(path, content string) error {
	return m.WriteFileMode(path, content, 0o644)
}

// WriteFileMode is WriteFile with a mode, for a file that is there already too.
func (m *Machine) WriteFileMode(path, content string, mode fs.FileMode) error {
	host := m.Path(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return fmt.Errorf("write %s in %s: %w", path, m.name, err)
	}
	if err := os.WriteFile(host, []byte(content), mode); err != nil {
		return fmt.Errorf("write %s in %s: %w", path, m.name, err)
	}
	return os.Chmod(host, mode)
}

// Journal returns what journalctl prints with these arguments, or why it couldn't.
func (m *Machine) Journal(args ...string) string {
	if m.stop == nil {
		return "the machine is down"
	}
	r := m.Run(context.Background(), append([]string{"journalctl", "--quiet", "--no-pager"}, args...)...)
	if r.Code != 0 {
		return r.String()
	}
	return r.Stdout
}

// Eventually calls cond until it returns nil, and fails the test with its last error when d is
// over. For what has no event to wait for.
func (m *Machine) Eventually(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := cond()
		if err == nil {
			return
		}
		if time.Since(start) > d {
			t.Fatalf("machine: still not so after %s: %v", d, err)
		}
		select {
		case <-m.exited:
			t.Fatalf("machine: it went down while waiting, and this was still not so: %v", err)
		case <-time.After(pause):
		}
	}
}

// Dial connects to an address within the machine's own network.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this function, and its namespace with it
		conn, err := m.dial(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func (m *Machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ns, err := os.Open(filepath.Join("/proc", strconv.Itoa(m.leader), "ns", "net"))
	if err != nil {
		return nil, fmt.Errorf("enter the network of %s: %w", m.name, err)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the network of %s: %w", m.name, err)
	}
	d := net.Dialer{FallbackDelay: -1} // no second goroutine: it would dial from the host's network
	return d.DialContext(ctx, network, address)
}
