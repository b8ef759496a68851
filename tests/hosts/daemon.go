package hosts

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// config lets anyone own any name and talk to anyone: what is tested is our
// side of the wire, not the distribution's policy.
const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
  </policy>
</busconfig>
`

// daemon is a dbus-daemon process.
type daemon struct {
	cmd     *exec.Cmd
	address string
	exited  chan struct{}
}

// startDaemon starts a bus below root and waits until it takes connections.
func startDaemon(t testing.TB, root string) *daemon {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatalf("fixture machines need a dbus-daemon, run `make setup`: %v", err)
	}
	socket := filepath.Join(root, "run", "dbus", "system_bus_socket")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		address: "unix:path=" + dbus.EscapeBusAddressValue(socket),
		exited:  make(chan struct{}),
	}
	file := filepath.Join(root, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, d.address), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	d.cmd = exec.Command(program, "--config-file="+file, "--nofork", "--nopidfile", "--nosyslog", "--print-address=1")
	d.cmd.Stderr = &stderr
	// So that a test binary that is killed leaves no daemon.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := onLastingThread(d.cmd.Start); err != nil {
		t.Fatal(err)
	}
	// The address is printed once the socket listens.
	_, readErr := stdout.Read(make([]byte, 512))
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() { d.kill(t) })
	if readErr != nil {
		d.kill(t)
		t.Fatalf("dbus-daemon did not start: %s", stderr.String())
	}
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		t.Fatalf("dbus-daemon does not listen: %v", err)
	}
	_ = conn.Close()
	return d
}

// lasting is a thread that does not end before the process does: Pdeathsig
// tells of the end of the thread that started a child, and Go ends threads, such
// as those that changed their user.
var lasting = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onLastingThread runs f there.
func onLastingThread(f func() error) error {
	result := make(chan error, 1)
	lasting() <- func() { result <- f() }
	return <-result
}

func (d *daemon) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("send signal %d to the dbus-daemon: %v", sig, err)
	}
}

// kill ends the daemon, stopped or not, and waits for its end.
func (d *daemon) kill(t testing.TB) {
	t.Helper()
	_ = d.cmd.Process.Kill() // it may be gone already
	select {
	case <-d.exited:
	case <-time.After(10 * time.Second):
		t.Errorf("dbus-daemon %d does not die", d.cmd.Process.Pid)
	}
}
