package apid

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/memory"
)

// accept connects to a listener, and gives the end that was accepted.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	out, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = out.Close()
		_ = in.Close()
	})
	return in
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	all, err := listen(config.MemoryAPI{Socket: path, Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d listeners with port 0, want the socket alone", len(all))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the socket is %s: everybody may connect", info.Mode())
	}

	who := caller(hostfs.Root(""), accept(t, all[0]))
	if !who.Known || int(who.UID) != os.Getuid() || int(who.GID) != os.Getgid() || int(who.PID) != os.Getpid() {
		t.Errorf("the caller is %+v, and not this process", who)
	}

	if _, err := listenUnix(path); err == nil || !strings.Contains(err.Error(), "another memory service answers") {
		t.Errorf("a second service: %v", err)
	}
	// A killed service leaves its socket behind.
	all[0].(*net.UnixListener).SetUnlinkOnClose(false)
	if err := all[0].Close(); err != nil {
		t.Fatal(err)
	}
	again, err := listenUnix(path)
	if err != nil {
		t.Fatalf("after a killed service: %v", err)
	}
	_ = again.Close()

	if _, err := listenUnix(filepath.Join(t.TempDir(), "none", "api.sock")); err == nil || !strings.Contains(err.Error(), "with --directory") {
		t.Errorf("a folder that there is not: %v", err)
	}
}

func TestListenTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if who := caller(hostfs.Root(""), accept(t, l)); who != (memory.Caller{}) {
		t.Errorf("the caller over TCP is %+v: nothing is known of it", who)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := listen(config.MemoryAPI{Socket: filepath.Join(t.TempDir(), "s"), Host: "127.0.0.1", Port: port}); err == nil || !strings.Contains(err.Error(), "memory.api.port") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestLocal(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "192.168.1.4:1": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if local(a) != want {
			t.Errorf("%s is local: %v", addr, !want)
		}
	}
}
