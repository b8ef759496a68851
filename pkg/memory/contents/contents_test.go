package contents

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ryjen/dubnium/pkg/memory"
)

func open(t *testing.T, dir string, most int64) *Folder {
	t.Helper()
	f, err := Open(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, f *Folder, digest string) ([]byte, error) {
	t.Helper()
	r, err := f.Open(digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// files counts what the folder holds beside folders.
func files(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPut(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1<<20)
	for _, content := range [][]byte{nil, []byte("hello"), bytes.Repeat([]byte("x"), 1<<20)} {
		digest, size, err := f.Put(bytes.NewReader(content))
		if err != nil || size != int64(len(content)) {
			t.Fatalf("%d bytes: %d, %v", len(content), size, err)
		}
		got, err := read(t, f, digest)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d: %v", len(content), len(got), err)
		}
	}
	if got, want := digestOf(t, f, "hello"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; got != want {
		t.Errorf("the digest of hello is %s, want %s", got, want)
	}
	if n := files(t, dir); n != 3 {
		t.Errorf("%d files for 3 contents, one of them twice", n)
	}
	if _, _, err := f.Put(bytes.NewReader(make([]byte, 1<<20+1))); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	if _, _, err := f.Put(io.MultiReader(strings.NewReader("a"), broken{})); !errors.Is(err, errBroken) {
		t.Errorf("a reader that breaks: %v", err)
	}
	if n := files(t, dir); n != 3 {
		t.Errorf("%d files after two refusals", n)
	}
}

func digestOf(t *testing.T, f *Folder, content string) string {
	t.Helper()
	digest, _, err := f.Put(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 100)
	digest := digestOf(t, f, "the truth")
	path := f.path(digest)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("the truly"), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, f, digest); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file reads as %v", err)
	}
}

func TestNotThere(t *testing.T) {
	f := open(t, t.TempDir(), 100)
	for _, digest := range []string{"", "..", strings.Repeat("a", 64), "../../../../etc/passwd", strings.Repeat("A", 64)} {
		if _, err := f.Open(digest); !errors.Is(err, memory.ErrNotFound) {
			t.Errorf("%q: %v", digest, err)
		}
	}
}

// TestKilled holds that what a killed service left half-way is gone after the
// next start, and that what it had stored is there.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	digest := digestOf(t, open(t, dir, 100), "kept")
	if err := os.WriteFile(filepath.Join(dir, incoming, "half"), []byte("hal"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir, 100)
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files after the start", n)
	}
	if got, err := read(t, f, digest); err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1<<20)
	content := bytes.Repeat([]byte("same"), 1000)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, _, err := f.Put(bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files of one content", n)
	}
}
