package eventlog

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gather is what a way to read lines gives, as text.
func gather(lines func(each) error) (events []string, bad int, err error) {
	bad, err = ordered(lines, text, func(line string) error {
		events = append(events, line)
		return nil
	})
	return events, bad, err
}

func text(line []byte) (string, bool) { return string(line), isEvent(line) }

func collect(r io.Reader) (events []string, bad int, err error) {
	return gather(func(fn each) error { return split(r, fn) })
}

// readAll reads the log at path, oldest first.
func readAll(path string, fn func(line string) error) (bad int, err error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return All(r, text, fn)
}

func TestScan(t *testing.T) {
	fill := func(n int) string { return `{"f":"` + strings.Repeat("x", n-len(`{"f":""}`)-1) + `"}` }
	longest, tooLong := fill(MaxLine), fill(MaxLine+1)
	for _, tt := range []struct {
		name, in string
		want     []string
		bad      int
	}{
		{"empty", "", nil, 0},
		{"only newlines", "\n\n \n", nil, 0},
		{"good, no newline at the end", "{\"a\":1}\n{\"a\":2}", []string{`{"a":1}`, `{"a":2}`}, 0},
		{"torn in the middle", "{\"a\":1}\n{\"a\n{\"a\":3}\n", []string{`{"a":1}`, `{"a":3}`}, 1},
		{"two in one line", "{\"a\":1}{\"a\":2}\n", nil, 1},
		{"no objects", "12\n[]\nnull\n\"x\"\n", nil, 4},
		{"carriage returns", "{\"a\":1}\r\n", []string{"{\"a\":1}\r"}, 0},
		{"zeros of a crashed file system", "{\"a\":1}\n\x00\x00\x00\x00", []string{`{"a":1}`}, 1},
		{"the longest line", longest + "\n{\"a\":2}\n", []string{longest, `{"a":2}`}, 0},
		{"one byte longer", "{\"a\":1}\n" + tooLong + "\n{\"a\":2}\n", []string{`{"a":1}`, `{"a":2}`}, 1},
		{"far too long, at the end", "{\"a\":1}\n" + strings.Repeat("x", 3*MaxLine), []string{`{"a":1}`}, 1},
		{"far too long, in the middle", strings.Repeat("x", 3*MaxLine) + "\n{\"a\":2}\n", []string{`{"a":2}`}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, bad, err := collect(strings.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, events); diff != "" || bad != tt.bad {
				t.Errorf("%d bad lines, want %d, %s", bad, tt.bad, diff)
			}
		})
	}
}

func TestReadStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1}, event{N: 2}, event{N: 3})
	enough, calls := errors.New("enough"), 0
	_, err := readAll(path, func(string) error {
		if calls++; calls == 2 {
			return enough
		}
		return nil
	})
	if err != enough || calls != 2 {
		t.Errorf("%d calls and %v, want 2 and the callback's own error", calls, err)
	}
	if _, err := readAll(filepath.Dir(path), func(string) error { return nil }); err == nil {
		t.Error("a folder passes for a log")
	}
}

// FuzzScan compares the stream reader with the plain reading of the whole: cut
// at newlines, keep what is an object.
func FuzzScan(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"a\n{\"a\":3}\n"))
	f.Add([]byte("\n\n12\n {} \n{}\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []string
		wantBad := 0
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			switch {
			case len(bytes.TrimSpace(line)) == 0:
			case isEvent(line):
				want = append(want, string(line))
			default:
				wantBad++
			}
		}
		events, bad, err := collect(halfReader{bytes.NewReader(data)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, events); diff != "" || bad != wantBad {
			t.Errorf("%d bad lines, want %d, %s", bad, wantBad, diff)
		}
	})
}

// halfReader gives less than it is asked for, as a pipe or a signal would.
type halfReader struct{ r io.Reader }

func (h halfReader) Read(p []byte) (int, error) { return h.r.Read(p[:(len(p)+1)/2]) }
