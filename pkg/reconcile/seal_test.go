package reconcile

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// TestSealAfterABootThatCouldNot fills the disk while a boot would close the
// record of the one before it: the next request that finds room does, whatever
// comes of the request, once.
func TestSealAfterABootThatCouldNot(t *testing.T) {
	w := newWorld(t, mode.Desktop)
	e := newEngine(t, w)
	fill, free := onSmallDisk(t, e)
	if err := e.Store.Append(record.Event{Type: record.TypeIntent, ID: "before", BootID: "another", Requested: mode.Compute, Prior: mode.StateDesktop}); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := e.Boot(t.Context()); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a boot on a full disk: %v, want ENOSPC", err)
	}
	if _, err := e.Run(t.Context(), mode.Desktop); err != nil {
		t.Errorf("a full disk keeps a request from its answer that has nothing to do: %v", err)
	}
	free()
	var ended []string
	next := *e
	next.Ended = func(ev record.Event) { ended = append(ended, ev.ID+" "+string(ev.Outcome)) }
	for _, id := range []string{"t2", "t3"} {
		next.ID = id
		if _, err := next.Run(t.Context(), mode.Desktop); err != nil {
			t.Fatal(err)
		}
	}
	_ = next.Boot(t.Context()) // there is no systemd in this root
	want := []string{"before intent ", "before transition interrupted", "t1 transition noop", "t2 transition noop", "t3 transition noop"}
	if diff := cmp.Diff(want, summary(t, e)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"before interrupted", "t2 noop", "t3 noop"}, ended); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
