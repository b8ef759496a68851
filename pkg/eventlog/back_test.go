package eventlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameBackwards holds that reading from the end tells what reading from the
// beginning tells, in the opposite order.
func sameBackwards(t *testing.T, data []byte) {
	t.Helper()
	want, wantBad, err := collect(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, bad, err := gather(func(fn each) error { return splitBack(bytes.NewReader(data), int64(len(data)), fn) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" || bad != wantBad {
		t.Errorf("%d bad lines, want %d (-forwards +backwards): %s", bad, wantBad, diff)
	}
}

// readBack is Read from the end: newest first.
func readBack(path string, fn func(line string) error) (bad int, err error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return Back(r, text, fn)
}

func TestSplitBack(t *testing.T) {
	fill := func(n int) string { return `{"f":"` + strings.Repeat("x", n-len(`{"f":""}`)-1) + `"}` }
	var many strings.Builder
	for n := range 4000 {
		many.WriteString(fill(100+n%700) + "\n")
	}
	for name, in := range map[string]string{
		"empty":                     "",
		"newlines":                  "\n\n \n",
		"one":                       "{\"a\":1}\n",
		"torn at the end":           "{\"a\":1}\n{\"b\":",
		"no newline at the end":     "{\"a\":1}\n{\"b\":2}",
		"torn in the middle":        "{\"a\":1}\n{\"a\n{\"a\":3}\n",
		"the longest":               "{\"a\":1}\n" + fill(MaxLine) + "\n{\"b\":1}\n",
		"the longest, no newline":   fill(MaxLine),
		"one too long":              "{\"a\":1}\n" + fill(MaxLine+1) + "\n{\"b\":1}\n",
		"one too long, no newline":  fill(MaxLine + 1),
		"far too long in between":   "{\"a\":1}\n" + strings.Repeat("x", 3*MaxLine+17) + "\n{\"b\":1}\n",
		"far too long at the front": strings.Repeat("x", 3*MaxLine+17) + "\n{\"b\":1}\n",
		"far too long at the end":   "{\"a\":1}\n" + strings.Repeat("x", 3*MaxLine+17),
		"two too long":              strings.Repeat("x", 2*MaxLine) + "\n" + strings.Repeat("y", 2*MaxLine) + "\n",
		"many chunks":               many.String(),
	} {
		t.Run(name, func(t *testing.T) { sameBackwards(t, []byte(in)) })
	}
}

func TestReadBackStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	appendAll(t, path, event{N: 1}, event{N: 2}, event{N: 3})
	enough := errors.New("enough")
	var got []string
	_, err := readBack(path, func(line string) error {
		if got = append(got, line); len(got) == 2 {
			return enough
		}
		return nil
	})
	if diff := cmp.Diff([]string{`{"writer":"","n":3}`, `{"writer":"","n":2}`}, got); diff != "" || err != enough {
		t.Errorf("%v %s", err, diff)
	}
	if bad, err := readBack(path+".none", func(string) error { return errors.New("an event") }); bad != 0 || err != nil {
		t.Errorf("a log that doesn't exist: %d, %v", bad, err)
	}
	if _, err := readBack(filepath.Dir(path), func(string) error { return nil }); err == nil {
		t.Error("a folder passes for a log")
	}
}

// readLengths is readBack without keeping anything.
func readLengths(path string, fn func(n int) error) (bad int, err error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return Back(r, func(line []byte) (int, bool) { return len(line), isEvent(line) }, fn)
}

// TestBackIsBounded holds that reading a long log back takes memory for a line,
// not for the log.
func TestBackIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	line := []byte(`{"f":"` + strings.Repeat("x", 1000) + "\"}\n")
	if err := os.WriteFile(path, bytes.Repeat(line, 32<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			lines := 0
			if _, err := readLengths(path, func(int) error { lines++; return nil }); err != nil || lines != 32<<10 {
				b.Fatal(lines, err)
			}
		}
	})
	if got := r.AllocedBytesPerOp(); got > (4+3*workers)*maxBatch {
		t.Errorf("%d bytes for a log of %d, want at most %d", got, len(line)<<15, (4+3*workers)*maxBatch)
	}
}

func FuzzSplitBack(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"a\n{\"a\":3}\n"))
	f.Add([]byte("\n\n12\n {} \n{}\x00"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) { sameBackwards(t, data) })
}
