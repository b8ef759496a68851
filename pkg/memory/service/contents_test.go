package service

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ryjen/dubnium/pkg/memory"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "artifacts")
	f, err := NewFolder(dir, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("content"))
	want := hex.EncodeToString(sum[:])
	for range 2 { // the same again is the same
		got, size, err := f.Put(strings.NewReader("content"))
		if err != nil || got != want || size != 7 {
			t.Fatalf("%s, %d, %v", got, size, err)
		}
	}
	r, err := f.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "content" {
		t.Errorf("%q, %v", text, err)
	}
	if _, _, err := f.Put(strings.NewReader("more than ten bytes")); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("%v for content beyond the bound", err)
	}
	if _, _, err := f.Put(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v for content that breaks off", err)
	}
	for _, name := range []string{"", "../../etc/passwd", strings.Repeat("0", 64), strings.ToUpper(want)} {
		if _, err := f.Open(name); !errors.Is(err, memory.ErrNotFound) {
			t.Errorf("%v for %q", err, name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, want[:2], want), []byte("c0ntent"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(want); !errors.Is(err, memory.ErrDamaged) {
		t.Errorf("%v for a file that was changed", err)
	}
	if _, _, err := f.Put(strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	mended, err := f.Open(want)
	if err != nil {
		t.Fatalf("after the content was sent again: %v", err)
	}
	defer mended.Close()
	files := 0
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
			if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is open to others (%v)", d.Name(), err)
			}
		}
		return err
	})
	if err != nil || files != 1 {
		t.Errorf("%d files are left, %v: want one", files, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err == nil {
		t.Error("a folder that is gone passes its check")
	}
}
