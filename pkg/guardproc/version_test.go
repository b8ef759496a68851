package guardproc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestVersion(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]string{
		`[ "$1" = --version ] && echo "mode 1.2.3 (commit x)"`: "1.2.3 (commit x)",
		"echo mode":             "",
		"exit 3":                "",
		"echo mode 1; kill $$":  "",
		"echo mode 1; exit 1\n": "",
	} {
		if got, err := Version(t.Context(), write(text)); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := Version(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Version(ctx, write("exec sleep 60")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that hangs: %v", err)
	}
}
