package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/memory/client"
	"github.com/ryjen/dubnium/tests/postgres"
)

// memory starts memory-api over a database of its own, and sets $URL to its
// socket and $CONFIG to its configuration:
//
//	memory
func (s *script) memory(ts *testscript.TestScript, _ bool, _ []string) {
	work := ts.Getenv("WORK")
	socket, file := filepath.Join(work, "api.sock"), filepath.Join(work, "memory.toml")
	text := "[memory.api]\nport = 0\nsocket = " + strconv.Quote(socket) +
		"\n[memory.database]\ndsnFile = " + strconv.Quote(filepath.Join(work, "dsn")) +
		"\n[memory.artifacts]\ndirectory = " + strconv.Quote(filepath.Join(work, "artifacts")) + "\n"
	ts.Check(os.WriteFile(file, []byte(text), 0o644))
	database := postgres.New(s.t)
	database.OneLogin(s.t)
	ts.Check(os.WriteFile(filepath.Join(work, "dsn"), []byte(database.OwnerDSN+"\n"), 0o600))
	program, err := exec.LookPath("memory-api")
	ts.Check(err)
	var said lockedBuffer
	cmd := exec.Command(program, "--config", file)
	cmd.Stderr = &said
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				s.t.Errorf("memory-api ended with %v: %s", err, said.String())
			}
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			s.t.Errorf("memory-api does not stop: %s", said.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if ready, err := client.Unix(socket).Ready(s.t.Context()); err == nil && ready.Ready {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			ts.Fatalf("memory-api ended with %v: %s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			ts.Fatalf("memory-api is not ready: %s", said.String())
		}
	}
	ts.Setenv("URL", "unix://"+socket)
	ts.Setenv("CONFIG", file)
}

// lockedBuffer takes what a process says while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
