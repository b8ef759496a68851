package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseLog(t *testing.T) {
	for name, test := range map[string]struct {
		log   string
		want  []time.Duration
		wrong string
	}{
		"two":      {"0 0 1500 3 1700000000 12\n1 0 20 0 1700000000 99\n", []time.Duration{1500 * time.Microsecond, 20 * time.Microsecond}, ""},
		"none":     {"\n", nil, ""},
		"short":    {"0 1\n", nil, "fewer than three"},
		"skipped":  {"0 0 skipped 3 1700000000 12\n", nil, "no time"},
		"negative": {"0 0 -1 3\n", nil, "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseLog([]byte(test.log))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != (test.wrong != "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%v, want %q", err, test.wrong)
			}
		})
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte("0 0 1500 3 1700000000 12\n"))
	f.Add([]byte("0 0 9223372036854775808\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		times, err := parseLog(data)
		if err != nil && times != nil {
			t.Error("times with an error")
		}
		for _, d := range times {
			if d < 0 || d > time.Hour {
				t.Errorf("%v", d)
			}
		}
	})
}

func TestSummarise(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(100-i)*time.Millisecond)
	}
	want := figures{51 * time.Millisecond, 96 * time.Millisecond, 100 * time.Millisecond, 50, 100}
	if diff := cmp.Diff(want, summarise(times, 2*time.Second), cmp.AllowUnexported(figures{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(figures{}, summarise(nil, time.Second), cmp.AllowUnexported(figures{})); diff != "" {
		t.Error(diff)
	}
}

// TestDrive holds that each client does its own operations one after the
// other, and that the first error of each ends it and is told.
func TestDrive(t *testing.T) {
	var busy [3]atomic.Int32
	f, err := drive(t.Context(), 3, 50*time.Millisecond, func(_ context.Context, client, _ int) error {
		if busy[client].Add(1) != 1 {
			t.Error("a client does two things at once")
		}
		defer busy[client].Add(-1)
		return nil
	})
	if err != nil || f.n == 0 || f.rate <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
	broken := errors.New("broken")
	if _, err := drive(t.Context(), 2, time.Hour, func(context.Context, int, int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestNumbers(t *testing.T) {
	got, err := numbers("1000, 20")
	if diff := cmp.Diff([]int{1000, 20}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, text := range []string{"", "1,", "0", "-1", "ten", "1e3", "100000001"} {
		if got, err := numbers(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestWriter holds that texts are the same in every run and as skewed as a
// language: half of what is said is a few hundred words.
func TestWriter(t *testing.T) {
	a, b, other := newWriter(7), newWriter(7), newWriter(8)
	first := a.sentence()
	if first != b.sentence() || first == other.sentence() {
		t.Error("a seed does not decide the text")
	}
	counts, all := map[string]int{}, 0
	for range 2000 {
		for word := range strings.FieldsSeq(a.sentence()) {
			counts[word]++
			all++
		}
	}
	if len(counts) < 3000 || len(counts) > all/3 {
		t.Errorf("%d different words of %d", len(counts), all)
	}
	if q := a.question(); !strings.HasSuffix(q, "?") || len(strings.Fields(q)) < 7 {
		t.Errorf("%q", q)
	}
}

// TestPart holds what a part of the data is: sessions of twenty with their
// neighbours, the same in every run.
func TestPart(t *testing.T) {
	p := part{scope: wide, rows: 45, seed: 3}
	all := p.make()
	if diff := cmp.Diff(all, p.make(), cmp.AllowUnexported(made{})); diff != "" {
		t.Error(diff)
	}
	m := all[21]
	want := made{ordinal: 2, previous: all[20].text, next: all[22].text, around: "\n" + all[23].text}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(made{}), cmpopts.IgnoreFields(made{}, "id", "session", "text", "speaker", "at")); diff != "" {
		t.Error(diff)
	}
	if all[19].session == all[20].session || all[20].session != all[39].session || all[20].previous != "" {
		t.Error("a session has twenty turns, and neighbours are of one session")
	}
}

func TestFill(t *testing.T) {
	got := fill("Lookup", "{scope}", quoted("project:it's"), "{question}", "'q'", "{terms}", "", "{most}", "10")
	if !strings.Contains(got, "'project' || chr(58) || 'it''s'") || strings.Contains(got, "{scope}") || strings.Contains(got, "{most}") {
		t.Error(got)
	}
}
