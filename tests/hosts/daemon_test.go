package hosts_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/tests/hosts"
)

// TestBusOutlivesThreads holds that the end of the thread on which a machine
// was started does not end its bus.
func TestBusOutlivesThreads(t *testing.T) {
	var h *hosts.Host
	started := make(chan int)
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	start := func() {
		runtime.LockOSThread() // and never unlock: the thread ends with us
		thread := unix.Gettid()
		if thread == unix.Getpid() {
			started <- 0
			<-ended // the first thread never ends: keep it from being chosen again
			return
		}
		h = hosts.Start(t, "empty")
		started <- thread
	}
	thread := 0
	for thread == 0 {
		go start()
		thread = <-started
	}
	for end := time.Now().Add(10 * time.Second); unix.Tgkill(unix.Getpid(), thread, 0) == nil; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("thread %d does not end", thread)
		}
	}
	if err := ask(t, h, sessionsCall()); err != nil {
		t.Errorf("after the end of the thread: %v", err)
	}
}
