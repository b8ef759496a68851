// Package redis runs a private redis-server for a test: on a unix socket in a
// folder of its own, with nothing on the disk, gone with the test.
package redis

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/postgres"
)

// startTimeout bounds how long a server may take to answer.
const startTimeout = 20 * time.Second

// Server is a running server.
type Server struct {
	// URL is where it listens, as [github.com/redis/go-redis/v9.ParseURL] reads it.
	URL string
	// Socket is the same as a path.
	Socket string

	t       testing.TB
	program string
	args    []string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start starts a server. Further arguments go to its command line, such as
// --port and --bind where a unix socket can't be reached.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	dir := postgres.Folder(t)
	socket := filepath.Join(dir, "redis.sock")
	s := &Server{URL: "unix://" + socket, Socket: socket, t: t, program: postgres.Redis(t)}
	s.args = append([]string{
		"--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no", "--port", "0",
	}, args...)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// Kill ends it with SIGKILL, if it runs. All that it held is gone.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("kill redis-server: %v", err)
	}
	<-s.ended
	s.cmd = nil
}

// Signal sends it a signal, such as SIGSTOP.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal redis-server: %v", err)
	}
}

// Restart starts it again after Kill, and waits until it listens.
func (s *Server) Restart() {
	s.t.Helper()
	cmd := exec.Command(s.program, s.args...)
	// Should the test's process be killed, the server goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.program, err)
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // it is killed
		close(ended)
	}(s.ended)
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("redis-server does not listen on %s: %v", s.Socket, err)
		case <-s.ended:
			s.t.Fatalf("redis-server ended at once: %v", cmd.ProcessState)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
