package guards

import (
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/vllm"
	"github.com/ryjen/dubnium/tests/hosts"
)

// lockID names a file as /proc/locks does.
func lockID(info fs.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
}

// metrics listens as a vLLM server does and answers each question with what
// answer gives; an empty answer never comes.
func metrics(t *testing.T, answer func() string) func(*config.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				if _, err := conn.Read(buf); err != nil {
					return
				}
				text := answer()
				if text == "" {
					_, _ = conn.Read(buf) // until the other side gives up
					return
				}
				fmt.Fprint(conn, text)
			}()
		}
	}()
	return at(listener.Addr())
}

func at(addr net.Addr) func(*config.Config) {
	host, port, _ := net.SplitHostPort(addr.String())
	n, _ := strconv.Atoi(port)
	return func(c *config.Config) { c.VLLM.Host, c.VLLM.Port = host, n }
}

func gauges(running, waiting int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running{engine=\"0\"} %d.0\nvllm:num_requests_waiting{engine=\"0\"} %d.0\n", running, waiting)
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) func(*config.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return at(listener.Addr())
}

func TestVLLMDrainable(t *testing.T) {
	d := VLLMDrainable
	always := func(text string) func(*config.Config) { return metrics(t, func() string { return text }) }
	state := func(s string) func(*hosts.Host) {
		return func(h *hosts.Host) { h.Systemd.SetUnit("vllm.service", hosts.Props{"ActiveState": s}) }
	}
	up := func(server func(*config.Config), reason, message string) looking {
		return looking{guard: d, host: "compute", config: server, reason: reason, message: message}
	}
	in := func(s string, l looking) looking { l.change = state(s); return l }
	hanging := up(always(""), "deadline", "vllm.service is active, but its requests can't be counted")
	hanging.within = silent
	holds(t, merge(deadBus(d), map[string]looking{
		"a desktop":                 {guard: d, host: "idle-desktop", config: nobody(t), reason: "not-running"},
		"the unit failed":           in("failed", up(nobody(t), "not-running", "")),
		"no such unit":              {guard: d, host: "compute", config: func(c *config.Config) { c.VLLM.Unit = "other.service" }, reason: "not-running"},
		"idle":                      up(always(gauges(0, 0)), "idle", ""),
		"one runs":                  up(always(gauges(1, 0)), "requests-in-flight", "1 requests running and 0 waiting"),
		"one waits":                 up(always(gauges(0, 1)), "requests-in-flight", "0 requests running and 1 waiting"),
		"starting":                  in("activating", up(nobody(t), "not-serving", "activating")),
		"stopping":                  in("deactivating", up(nobody(t), "not-serving", "deactivating")),
		"stopping, one runs":        in("deactivating", up(always(gauges(1, 0)), "requests-in-flight", "")),
		"a state that nobody knows": in("levitating", up(always(gauges(2, 3)), "requests-in-flight", "2 requests running and 3 waiting")),

		"nobody listens":         up(nobody(t), "not-serving", "nobody listens"),
		"garbled":                up(always("HTTP/1.1 200 OK\r\n\r\n<html>"), "source-unreadable", "may be missing"),
		"no HTTP":                up(always("SSH-2.0\r\n"), "source-unreadable", "no HTTP"),
		"not found":              up(always("HTTP/1.1 404 Not Found\r\n\r\n"), "source-unreadable", "status 404"),
		"only half of it":        up(always("HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running 0\n"), "source-unreadable", "may be missing"),
		"no number":              up(always("HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n"), "source-unreadable", "NaN"),
		"garbled while stopping": in("deactivating", up(always("x"), "source-unreadable", "")),
		"never answers":          hanging,
	}))
}

// TestDrainIsWaitedFor tells the guard to wait, and how long.
func TestDrainIsWaitedFor(t *testing.T) {
	const most = time.Second
	tests := map[string]struct {
		busyLooks int32 // how many answers tell of a request
		wait      time.Duration
		then      string
		cutOff    bool
		reason    string
		waits     bool
	}{
		"nothing to wait for":                   {0, most, config.DrainFail, false, "idle", false},
		"it drains":                             {2, most, config.DrainStop, false, "drained", true},
		"it does not":                           {1 << 20, 300 * time.Millisecond, config.DrainFail, false, "drain-overdue", true},
		"it does not, and may be cut off":       {1 << 20, 300 * time.Millisecond, config.DrainStop, false, "given-up", true},
		"a look outlasts the wait":              {1 << 20, time.Millisecond, config.DrainStop, false, "given-up", true},
		"nobody waits":                          {2, 0, config.DrainFail, false, "requests-in-flight", false},
		"it does not, and nobody answers":       {1 << 20, 300 * time.Millisecond, config.DrainAsk, false, "drain-overdue", true},
		"an operator cuts it off":               {1 << 20, most, config.DrainAsk, true, "cut-off", false},
		"an operator cuts it off, nobody waits": {1 << 20, 0, config.DrainAsk, true, "cut-off", false},
		"nothing to cut off":                    {0, most, config.DrainAsk, true, "idle", false},
		"an operator may not":                   {1 << 20, 300 * time.Millisecond, config.DrainFail, true, "drain-overdue", true},
		"an operator may not, nobody waits":     {1 << 20, 0, config.DrainFail, true, "requests-in-flight", false},
		"an operator need not":                  {1 << 20, 300 * time.Millisecond, config.DrainStop, true, "given-up", true},
		"nobody waits, and may be cut off":      {2, 0, config.DrainStop, false, "requests-in-flight", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, "compute")
			var looks atomic.Int32
			cfg := config.Default()
			cfg.VLLM.DrainThen = tt.then
			metrics(t, func() string {
				if looks.Add(1) <= tt.busyLooks {
					return gauges(1, 4)
				}
				return gauges(0, 0)
			})(&cfg)
			start := time.Now()
			r := guard.Run(t.Context(), VLLMDrainable, guard.Env{Root: h.Root(), Config: cfg, Target: VLLMDrainable.Target, Wait: tt.wait, CutOff: tt.cutOff})
			took := time.Since(start)
			witness(t, VLLMDrainable, r.Reason)
			contract(t, VLLMDrainable, r)
			waited := !strings.Contains(string(r.Evidence), `"waited_ms":0`)
			if r.Reason != tt.reason || waited != tt.waits || took > tt.wait+2*time.Second {
				t.Errorf("%s after %v: %s\n%s", r.Reason, took, r.Message, r.Evidence)
			}
		})
	}
}

// TestDrainWaitIsConfigured holds where the patience comes from.
func TestDrainWaitIsConfigured(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.DrainTimeout = config.Duration(42 * time.Second)
	if got := VLLMDrainable.Wait(cfg); got != 42*time.Second {
		t.Errorf("it waits %v", got)
	}
}

// TestJudgeDrainAtItsLimits holds the comparisons of a guard that waits.
func TestJudgeDrainAtItsLimits(t *testing.T) {
	const wait = time.Second
	tests := []struct {
		name     string
		load     vllm.Load
		waitedMS int64
		want     string
	}{
		{"right before the end", vllm.Load{Running: 1}, 999, "requests-in-flight"},
		{"at the end", vllm.Load{Running: 1}, 1000, "drain-overdue"},
		{"idle at the end", vllm.Load{}, 1000, "drained"},
		{"idle at once", vllm.Load{}, 0, "idle"},
	}
	for _, tt := range tests {
		d := drain{ev: drainEvidence{Unit: "vllm.service", Active: "active", WaitedMS: tt.waitedMS}, load: tt.load}
		if v := judgeDrain(d, wait, false); v.Reason != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, v.Reason, tt.want)
		}
	}
}
