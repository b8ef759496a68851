package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/tests/hosts"
)

// patience is what a test gives a call that must not hang, slack what the call
// may take beyond its deadline on a busy machine.
const (
	patience = 200 * time.Millisecond
	slack    = 3 * time.Second
)

func dial(t *testing.T, root hostfs.Root) *bus.Conn {
	t.Helper()
	conn, err := bus.Dial(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func call(dest, member string, args ...any) *bus.Call {
	return &bus.Call{
		Dest: "org.freedesktop." + dest, Path: dbus.ObjectPath("/org/freedesktop/" + dest),
		Method: "org.freedesktop." + dest + ".Manager." + member, Args: args,
	}
}

func TestBatch(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	if got := conn.RoundTrips(); got != 1 {
		t.Errorf("signing on took %d round trips, want 1", got)
	}
	good := call("login1", "ListSessions")
	units := call("systemd1", "ListUnitsByNames", []string{"desktop.target"})
	unknownMember := call("login1", "Frobnicate")
	unknownObject := bus.GetAll("org.freedesktop.login1", "/org/freedesktop/login1/session/_399", "org.freedesktop.login1.Session")
	unknownName := &bus.Call{Dest: "org.example.Nobody", Path: "/", Method: "org.example.Nobody.Call"}
	malformed := &bus.Call{Dest: "org.freedesktop.login1", Path: "no path", Method: "a.b"}
	if err := conn.Batch(t.Context(), good, units, unknownMember, unknownObject, unknownName, malformed); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		call *bus.Call
		want func(error) bool
	}{
		{"good", good, func(err error) bool { return err == nil && len(good.Body) == 1 }},
		{"another service", units, func(err error) bool { return err == nil && len(units.Body) == 1 }},
		{"unknown member", unknownMember, bus.IsUnknownMethod},
		{"unknown object", unknownObject, bus.IsUnknownObject},
		{"unknown name", unknownName, func(err error) bool { return bus.ErrorName(err) == "org.freedesktop.DBus.Error.ServiceUnknown" }},
		{"malformed", malformed, func(err error) bool { return err != nil && bus.ErrorName(err) == "" }},
	} {
		if !tt.want(tt.call.Err) {
			t.Errorf("%s: got %v, body %v", tt.name, tt.call.Err, tt.call.Body)
		}
	}
	if trips, messages := conn.RoundTrips(), conn.Messages(); trips != 2 || messages != 5 {
		t.Errorf("%d round trips with %d messages, want 2 with 5", trips, messages)
	}
}

func TestAccessDenied(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	for _, name := range []string{
		"org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
	} {
		h.Login.Refuse("ListSessions", name)
		c := call("login1", "ListSessions")
		if err := conn.Batch(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if !bus.IsAccessDenied(c.Err) || bus.IsUnknownObject(c.Err) {
			t.Errorf("%s: got %v", name, c.Err)
		}
	}
}

// TestManyCalls sends more calls than the daemon lets wait at one time.
func TestManyCalls(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	var calls []*bus.Call
	for range 250 {
		calls = append(calls, call("login1", "ListSessions"))
	}
	if err := conn.Batch(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	for i, c := range calls {
		if c.Err != nil || len(c.Body) != 1 {
			t.Fatalf("call %d: %v, body %v", i, c.Err, c.Body)
		}
	}
	if got := conn.RoundTrips(); got != 1+3 {
		t.Errorf("%d round trips, want 4", got)
	}
}

// TestHangingServiceKeepsTheRest: one service that hangs costs its own answers
// only, and the connection can be used afterwards.
func TestHangingServiceKeepsTheRest(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	h.HangLogin()
	hangs, answers := call("login1", "ListSessions"), call("systemd1", "ListUnitsByNames", []string{"desktop.target"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := conn.Batch(ctx, hangs, answers)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "org.freedesktop.login1") {
		t.Errorf("the batch: got %v", err)
	}
	if !errors.Is(hangs.Err, context.DeadlineExceeded) {
		t.Errorf("the call that hangs: got %v", hangs.Err)
	}
	if answers.Err != nil || len(answers.Body) != 1 {
		t.Errorf("the call that was answered: %v, body %v", answers.Err, answers.Body)
	}
	h.Resume()
	again := call("login1", "ListSessions")
	if err := conn.Batch(t.Context(), again); err != nil || again.Err != nil {
		t.Errorf("afterwards: %v, %v", err, again.Err)
	}
}

// atOnce fails the test unless f returns soon after patience has passed, and
// leaves no goroutine behind.
func atOnce(t *testing.T, name string, f func(ctx context.Context) error) {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	err := f(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: got %v, want the deadline", name, err)
	}
	if took := time.Since(start); took > patience+slack {
		t.Errorf("%s took %v, with a deadline of %v", name, took, patience)
	}
	// One that is about to end is given the time to.
	for runtime.NumGoroutine() > before && time.Since(start) < patience+slack {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%s left %d goroutines behind", name, after-before)
	}
}

func TestStoppedBus(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	h.StopBus()
	atOnce(t, "Batch", func(ctx context.Context) error { return conn.Batch(ctx, call("login1", "ListSessions")) })
	atOnce(t, "Dial", func(ctx context.Context) error {
		_, err := bus.Dial(ctx, h.Root())
		return err
	})
	// More than a socket takes: the write itself blocks.
	big := call("systemd1", "ListUnitsByNames", []string{strings.Repeat("x", 512<<10)})
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // building it takes time too
	defer cancel()
	if err := conn.Batch(ctx, big); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that the bus does not take: got %v, want the deadline", err)
	}
	h.ContinueBus()
	c := call("login1", "ListSessions")
	err := conn.Batch(t.Context(), c)
	if err == nil || c.Err == nil {
		t.Errorf("a connection on which half a message was sent is used again: %v, %v, %v", err, c.Err, big.Err)
	}
}

func TestCancel(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn := dial(t, h.Root())
	h.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- conn.Batch(ctx, call("login1", "ListSessions")) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	case <-time.After(slack):
		t.Fatal("a cancelled batch does not return")
	}
}

func TestNoBus(t *testing.T) {
	_, err := bus.Dial(t.Context(), hostfs.Root(t.TempDir()))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the socket is not there", err)
	}
}

func TestAddress(t *testing.T) {
	h := hosts.Start(t, "empty")
	socket := h.Root().Path("run/dbus/system_bus_socket")
	for _, tt := range []struct {
		address string
		ok      bool
	}{
		{"unix:path=" + socket, true},
		{"unix:path=" + socket + ",guid=0123", true},
		{"tcp:host=localhost,port=1;unix:path=" + socket, true},
		{"unix:path=/nonexistent;unix:guid=1,path=" + socket, true},
		{"unix:path=" + strings.ReplaceAll(socket, "_", "%5f"), true},
		{"unix:abstract=nobody-listens-here", false},
		{"unix:guid=0123", false},
		{"unix:path=%zz", false},
		{"nonsense", false},
	} {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", tt.address)
		conn, err := bus.Dial(t.Context(), "")
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.address, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	// The variable speaks of the running machine only.
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
	dial(t, h.Root())
}

func TestDialGodbus(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	conn, err := bus.DialGodbus(t.Context(), h.Root())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Object("org.freedesktop.login1", "/org/freedesktop/login1").
		CallWithContext(t.Context(), "org.freedesktop.login1.Manager.TerminateSession", 0, "99").Err
	if !bus.IsUnknownObject(err) {
		t.Errorf("an error of godbus: got %v (%s)", err, bus.ErrorName(err))
	}
	h.StopBus()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	if _, err := bus.DialGodbus(ctx, h.Root()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stopped bus: got %v", err)
	}
	// A writer that blocks must not keep Close from returning.
	blocked := make(chan error, 1)
	go func() {
		blocked <- conn.Object("org.freedesktop.login1", "/").
			CallWithContext(ctx, "a.b.c", 0, strings.Repeat("x", 8<<20)).Err
	}()
	if err := <-blocked; err == nil {
		t.Error("8 MiB went into a bus that takes none")
	}
	_ = conn.Close()
	if took := time.Since(start); took > patience+2*slack {
		t.Errorf("it took %v", took)
	}
}

func BenchmarkDial(b *testing.B) {
	h := hosts.Start(b, "idle-desktop")
	for b.Loop() {
		conn, err := bus.Dial(b.Context(), h.Root())
		if err != nil {
			b.Fatal(err)
		}
		_ = conn.Close()
	}
}

func BenchmarkBatch(b *testing.B) {
	h := hosts.Start(b, "idle-desktop")
	conn, err := bus.Dial(b.Context(), h.Root())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for _, n := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var calls []*bus.Call
				for range n {
					calls = append(calls, call("login1", "ListSessions"))
				}
				if err := conn.Batch(b.Context(), calls...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
