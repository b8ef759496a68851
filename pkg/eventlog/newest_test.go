package eventlog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNewest holds that of a log, over its rotations, just the newest lines that
// fit are read, whole, and that what is left out is told.
func TestNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	line := func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) + "\n" } // 8 bytes
	for name, lines := range map[string][]int{path + ".2": {1, 2}, path + ".1": {3, 4}, path: {5, 6, 7}} {
		var text strings.Builder
		for _, n := range lines {
			text.WriteString(line(n))
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		n    int64
		want []int
		left int64
	}{
		{1000, []int{1, 2, 3, 4, 5, 6, 7}, 0},
		{56, []int{1, 2, 3, 4, 5, 6, 7}, 0},
		{55, []int{2, 3, 4, 5, 6, 7}, 8},
		{41, []int{3, 4, 5, 6, 7}, 16},
		{24, []int{5, 6, 7}, 32},
		{23, []int{6, 7}, 40},
		{16, []int{6, 7}, 40},
		{7, nil, 56},
	} {
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		left, err := r.Newest(tt.n)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		bad, err := All(r, text, func(s string) error { got = append(got, s); return nil })
		for _, n := range tt.want {
			want = append(want, strings.TrimSpace(line(n)))
		}
		if diff := cmp.Diff(want, got); diff != "" || bad != 0 || err != nil || left != tt.left {
			t.Errorf("the newest %d bytes: %d bad, %v, %d left out, want %d: %s", tt.n, bad, err, left, tt.left, diff)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
