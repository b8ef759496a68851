package record

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnfinished holds that what other boots left open is found, over a
// rotation and behind what came later, and that this boot's is left alone.
func TestUnfinished(t *testing.T) {
	s := store(t)
	add := func(boot, id string, kind Type) {
		t.Helper()
		if err := s.Append(Event{SchemaVersion: 1, ID: id, BootID: boot, Type: kind, Reason: "of " + boot}); err != nil {
			t.Fatal(err)
		}
	}
	found := func(want ...string) {
		t.Helper()
		open, err := s.Unfinished("now")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ev := range open {
			got = append(got, ev.ID+" "+ev.Reason)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	found()
	add("a", "1", TypeIntent)
	add("a", "1", TypeTransition)
	found()
	add("b", "2", TypeIntent)
	found("2 of b")
	if err := os.Rename(s.Root.Path(EventsFile), s.Root.Path(EventsFile)+".1"); err != nil {
		t.Fatal(err)
	}
	add("c", "3", TypeIntent)
	add("now", "4", TypeIntent)
	found("2 of b", "3 of c")
	for n := range near - 2 {
		add("c", fmt.Sprint("x", n), TypeTransition)
	}
	found("2 of b", "3 of c")
	add("now", "3", TypeTransition)
	found("2 of b")
	add("now", "2", TypeTransition)
	found()
}

// TestEnded holds that an end is found where one is, and that a long history is
// not read for one that there is not.
func TestEnded(t *testing.T) {
	s := store(t)
	ended := func(id string, want bool) {
		t.Helper()
		if got, err := s.Ended(id); err != nil || got != want {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	ended("1", false)
	for _, e := range []Event{{ID: "1", Type: TypeIntent}, {ID: "1", Type: TypeTransition}, {ID: "2", Type: TypeIntent}} {
		if err := s.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	ended("1", true)
	ended("2", false)
	ended("3", false)
	for n := range 2 * near {
		if err := s.Append(Event{ID: fmt.Sprint("x", n), Type: TypeTransition}); err != nil {
			t.Fatal(err)
		}
	}
	events := 0
	if err := s.lately(func(Head) (bool, error) { events++; return false, nil }); err != nil || events != near+1 {
		t.Errorf("%d of %d events were read, %v", events, 2*near+3, err)
	}
	events = 0
	if err := s.lately(func(Head) (bool, error) { events++; return true, nil }); err != nil || events != 2*near+3 {
		t.Errorf("%d of %d events were read, although all are open: %v", events, 2*near+3, err)
	}
}
