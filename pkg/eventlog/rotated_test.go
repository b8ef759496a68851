package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rotate renames the log as logrotate does.
func rotate(t *testing.T, path string) {
	t.Helper()
	for n := 9; n >= 0; n-- {
		from := path
		if n > 0 {
			from = fmt.Sprintf("%s.%d", path, n)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", path, n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func number(n int) string { return fmt.Sprintf(`{"writer":"","n":%d}`, n) }

// TestRotated holds that the past goes on in the logs that were rotated away,
// in both directions, and that none counts twice.
func TestRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	both := func(name string, want ...string) {
		t.Helper()
		var all []string
		if _, err := readAll(path, func(line string) error { all = append(all, line); return nil }); err != nil {
			t.Fatal(err)
		}
		var back []string
		if _, err := readBack(path, func(line string) error { back = append(back, line); return nil }); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(back)
		if diff := cmp.Diff(want, all) + cmp.Diff(want, back); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	both("no log at all")
	appendAll(t, path, event{N: 1}, event{N: 2})
	rotate(t, path)
	both("only one that was rotated away", number(1), number(2))
	appendAll(t, path, event{N: 3})
	rotate(t, path)
	appendAll(t, path, event{N: 4})
	both("two of them", number(1), number(2), number(3), number(4))
	// As a reader sees it between whose two looks the log is renamed.
	if err := os.Rename(path+".1", path+".3"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".2", path+".4"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".3", path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".4", path+".3"); err != nil {
		t.Fatal(err)
	}
	both("renamed meanwhile", number(1), number(2), number(3), number(4))
	if err := os.Remove(path + ".2"); err != nil {
		t.Fatal(err)
	}
	both("a gap ends it", number(4))
}

// TestSince holds that each event is read once over rotations, and what is done
// when its place is gone.
func TestSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	at := Position{}
	next := func(want ...string) {
		t.Helper()
		var got []string
		to, _, err := Since(path, at, text, func(line string) error { got = append(got, line); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %+v: %s", at, diff)
		}
		at = to
	}
	next()
	appendAll(t, path, event{N: 1})
	next(number(1))
	next()
	appendAll(t, path, event{N: 2})
	rotate(t, path)
	next(number(2))
	next()
	appendAll(t, path, event{N: 3})
	rotate(t, path)
	appendAll(t, path, event{N: 4})
	next(number(3), number(4))
	at = Position{}
	next(number(1), number(2), number(3), number(4))
	// Its log is gone: what is left to count is in the one that is written.
	at = Position{Inode: 1, Offset: 5}
	next(number(4))
	at.Offset += 1000
	next(number(4))
	at.Offset -= 2
	next(number(4))
}

// TestReadAhead holds that what is read ahead of the reader, and parsed at the
// same time, comes in order, and that a reader who has enough ends it all.
func TestReadAhead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var content strings.Builder
	const many = 50_000
	for n := range many {
		fmt.Fprintf(&content, "{\"n\":%d,\"f\":%q}\n", n, strings.Repeat("x", n%97))
		if n%1000 == 0 {
			content.WriteString("torn\n")
		}
	}
	if err := os.WriteFile(path, []byte(content.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	parse := func(line []byte) (string, bool) {
		values := make([][]byte, 1)
		ok := Object(line, []string{"n"}, values)
		return string(values[0]), ok
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	enough := errors.New("enough")
	for _, last := range []int{0, 1, 700, many - 1} {
		n := 0
		bad, err := All(r, parse, func(got string) error {
			if got != fmt.Sprint(n) {
				t.Fatalf("event %d is %s", n, got)
			}
			if n++; n > last {
				return enough
			}
			return nil
		})
		if want := last/1000 + 1; err != enough || bad != want && bad != want-1 || n != last+1 {
			t.Errorf("%d events, %d bad lines (want %d), %v", n, bad, want, err)
		}
	}
	n := many
	if bad, err := Back(r, parse, func(got string) error {
		if n--; got != fmt.Sprint(n) {
			t.Fatalf("event %d is %s", n, got)
		}
		return nil
	}); err != nil || n != 0 || bad != many/1000 {
		t.Errorf("%d left, %d bad lines, %v", n, bad, err)
	}
}
