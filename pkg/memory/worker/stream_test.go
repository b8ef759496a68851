package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/ryjen/dubnium/tests/redis"
)

func newStream(t testing.TB, url string) *Stream {
	t.Helper()
	s, err := NewStream(url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func rows(entries []entry) []int64 {
	var all []int64
	for _, e := range entries {
		all = append(all, e.row)
	}
	return all
}

// TestStream walks entries from the relay to two workers, one of which dies.
func TestStream(t *testing.T) {
	server := redis.Start(t)
	s := newStream(t, server.URL)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.add(ctx, 1, []int64{1}); !errors.Is(err, errGone) {
		t.Errorf("add without a stream: %v", err)
	}
	if _, err := s.read(ctx, 1, "a", 2, time.Millisecond); !errors.Is(err, errGone) {
		t.Errorf("read without a stream: %v", err)
	}
	for _, want := range []bool{true, false} {
		if made, err := s.ensure(ctx, 1); err != nil || made != want {
			t.Fatalf("ensure: made %v, not %v, %v", made, want, err)
		}
	}
	must(s.add(ctx, 1, []int64{11, 12, 13}))
	must(s.client.XAdd(ctx, &goredis.XAddArgs{Stream: s.key(1), Values: []any{"stranger", "-4"}}).Err())

	a, err := s.read(ctx, 1, "a", 2, time.Second)
	must(err)
	b, err := s.read(ctx, 1, "b", 9, time.Second)
	must(err)
	if d := cmp.Diff([][]int64{{11, 12}, {13, 0}}, [][]int64{rows(a), rows(b)}); d != "" {
		t.Errorf("read by two (-want +got):\n%s", d)
	}
	must(s.finish(ctx, 1, b))
	must(s.finish(ctx, 1, b)) // once more changes nothing
	must(s.leave(ctx, 1, "a"))
	must(s.leave(ctx, 1, "b"))

	// What "a" was given and did not end, "c" takes over, and nobody else loses it.
	taken, _, err := s.reclaim(ctx, 1, "c", time.Hour, "0-0", 10)
	if err != nil || len(taken) != 0 {
		t.Errorf("reclaimed %v before their time, %v", taken, err)
	}
	taken, next, err := s.reclaim(ctx, 1, "c", 0, "0-0", 1)
	must(err)
	rest, last, err := s.reclaim(ctx, 1, "c", 0, next, 1)
	must(err)
	if d := cmp.Diff([]int64{11, 12}, append(rows(taken), rows(rest)...)); d != "" {
		t.Errorf("reclaimed (-want +got):\n%s", d)
	}
	if next == "0-0" || last != "0-0" {
		t.Errorf("the cursor goes to %s and %s", next, last)
	}
	if n, err := s.length(ctx, 1); err != nil || n != 2 {
		t.Errorf("%d entries are not acknowledged, %v", n, err)
	}
	must(s.finish(ctx, 1, append(taken, rest...)))
	if n, err := s.length(ctx, 1); err != nil || n != 0 {
		t.Errorf("%d entries are left, %v", n, err)
	}
	must(s.sweep(ctx, 1, time.Hour))
	consumers := func() (names []string) {
		all, err := s.client.XInfoConsumers(ctx, s.key(1), s.group).Result()
		must(err)
		for _, c := range all {
			names = append(names, c.Name)
		}
		return names
	}
	if d := cmp.Diff([]string{"a", "c"}, consumers()); d != "" {
		t.Errorf("consumers (-want +got):\n%s", d)
	}
	must(s.sweep(ctx, 1, -time.Second))
	if d := cmp.Diff([]string(nil), consumers()); d != "" {
		t.Errorf("consumers after a sweep (-want +got):\n%s", d)
	}
}

// TestStreamWithoutServer holds that a server which is gone, or hangs, is an
// error within a bounded time.
func TestStreamWithoutServer(t *testing.T) {
	server := redis.Start(t)
	s := newStream(t, server.URL)
	if _, err := s.ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := s.length(t.Context(), 1); err == nil {
		t.Error("a server that is gone has a length")
	}
	server.Restart()
	if made, err := s.ensure(t.Context(), 1); err != nil || !made {
		t.Errorf("after a restart: made %v, %v", made, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := s.read(ctx, 1, "a", 1, time.Hour); err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("a read past its context ended after %v with %v", time.Since(start), err)
	}
}

func TestNewStreamRefuses(t *testing.T) {
	for _, url := range []string{"", "http://host", "redis://user:hunter2@[::1"} {
		if _, err := NewStream(url, "test"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := NewStream("redis://127.0.0.1:6379", ""); err == nil {
		t.Error("an empty prefix is taken")
	}
}
