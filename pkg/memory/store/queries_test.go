package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/memory/store"
)

// TestQueriesAreUsed holds that each file has a caller, and that SQL is in
// files only.
func TestQueriesAreUsed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	names := store.QueryNames()
	if len(names) < 50 {
		t.Errorf("%d queries", len(names))
	}
	for _, name := range names {
		if !strings.Contains(code, `"`+name+`"`) {
			t.Errorf("queries/%s.sql is used by nothing", name)
		}
	}
	for _, word := range []string{"SELECT ", "INSERT ", "UPDATE ", "DELETE FROM"} {
		for line := range strings.Lines(code) {
			if strings.Contains(line, word) && !strings.Contains(line, "//") {
				t.Errorf("SQL outside a file: %s", line)
			}
		}
	}
}
