package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// process is a server that was started for the measurement.
type process struct {
	cmd  *exec.Cmd
	said *tail
	// took is how long it was until it answered.
	took time.Duration
	// most is the most memory that it had resident when it was stopped, in KiB.
	most int
	http *http.Client
	done chan struct{}
}

// startWithin bounds the start of a server.
const startWithin = 60 * time.Second

// start starts a server that listens on a unix socket and waits until it
// answers ready with 200.
func start(ctx context.Context, ready, socket string, cmd *exec.Cmd) (*process, error) {
	var dialer net.Dialer
	p := &process{cmd: cmd, said: &tail{}, done: make(chan struct{}), http: &http.Client{Timeout: 15 * time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	// Its own children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(p.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := p.get(ctx, ready); err == nil {
			p.took = time.Since(begin)
			return p, nil
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("start %s: it ended: %s", cmd.Path, p.said)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("start %s: it does not answer: %s", cmd.Path, p.said), p.stop())
		case <-tick.C:
		}
	}
}

// stopWithin bounds the end of a server.
const stopWithin = 20 * time.Second

// stop ends a server and its children.
func (p *process) stop() error {
	if p.most == 0 {
		p.most = resident(p.cmd.Process.Pid)
	}
	_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // a child that outlived it
		return nil
	case <-time.After(stopWithin):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v: %s", p.cmd.Path, stopWithin, p.said)
	}
}

// peak is the most memory that a stopped server had resident, in MiB.
func (p *process) peak() float64 { return float64(p.most) / 1024 }

// resident reads VmHWM of proc_pid_status(5), in KiB. What getrusage(2) tells of
// an ended child is not less than what its parent had when it was made.
func resident(pid int) int {
	text, err := hostfs.Root("").ReadLimited(fmt.Sprintf("/proc/%d/status", pid), 64<<10)
	if err != nil {
		return 0 // it has ended by itself, which its caller will tell
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return n
		}
	}
	return 0
}

func (p *process) get(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path, nil)
	if err != nil {
		return err
	}
	return p.do(r)
}

// post sends a JSON body; what comes back is read and forgotten.
func (p *process) post(ctx context.Context, path string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	return p.do(r)
}

func (p *process) do(r *http.Request) error {
	answer, err := p.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // what there is
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, answer.Status, text)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// tail keeps the end of what a server says.
type tail struct{ text []byte }

const tailBytes = 4096

// Write keeps the last bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(len(t.text)-tailBytes, 0):]
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.text)) }

// build builds memory-api as it is shipped.
func build(ctx context.Context, into string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", into, "./cmd/memory-api")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build memory-api: %w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}
