// Package contents keeps the contents of artifacts as files that are named by
// their SHA-256, in a folder of two levels: the same content is kept once, and
// a file that is there is whole. Which scope may see which content is not
// known here.
package contents

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ryjen/dubnium/pkg/memory"
)

// incoming is the folder of what has not arrived in full. What is left in it
// by a process that was killed is removed at the next start.
const incoming = "incoming"

// Folder is a place for contents. It may be used by many goroutines, and by
// one process at a time.
type Folder struct {
	dir  string
	most int64
}

// Open makes the folder where there is none. A content of more than most bytes
// is refused.
func Open(dir string, most int64) (*Folder, error) {
	in := filepath.Join(dir, incoming)
	if err := os.RemoveAll(in); err != nil {
		return nil, fmt.Errorf("open the artifacts: %w", err)
	}
	if err := os.MkdirAll(in, 0o700); err != nil {
		return nil, fmt.Errorf("open the artifacts: %w", err)
	}
	return &Folder{dir: dir, most: most}, nil
}

// Put keeps a content and gives its digest, 64 hexadecimal digits, and its
// size. When it returns nil the content is on the disk. One that is longer than
// the bound is [memory.ErrTooLarge].
func (f *Folder) Put(r io.Reader) (digest string, size int64, err error) {
	file, err := os.CreateTemp(filepath.Join(f.dir, incoming), "")
	if err != nil {
		return "", 0, fmt.Errorf("store an artifact: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // gone already when all went well
	}()
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(file, sum), io.LimitReader(r, f.most+1))
	if err != nil {
		return "", 0, fmt.Errorf("store an artifact: %w", err)
	}
	if size > f.most {
		return "", 0, fmt.Errorf("%w: at most %d bytes", memory.ErrTooLarge, f.most)
	}
	digest = hex.EncodeToString(sum.Sum(nil))
	if err := f.keep(file, digest); err != nil {
		return "", 0, fmt.Errorf("store an artifact: %w", err)
	}
	return digest, size, nil
}

// keep gives a file that has arrived its name.
func (f *Folder) keep(file *os.File, digest string) error {
	to := f.path(digest)
	if _, err := os.Stat(to); err == nil {
		return nil // there already, and whole
	}
	if err := file.Chmod(0o400); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	dir := filepath.Dir(to)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncFolder(f.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(file.Name(), to); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *Folder) path(digest string) string { return filepath.Join(f.dir, digest[:2], digest) }

// Open gives a content by its digest; [memory.ErrNotFound] when it is not
// here. What is read is compared with the digest: a file that the disk has
// damaged ends with an error in the place of the end of the file.
func (f *Folder) Open(digest string) (io.ReadCloser, error) {
	if len(digest) != hex.EncodedLen(sha256.Size) || strings.Trim(digest, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("open an artifact: its digest is no SHA-256: %w", memory.ErrNotFound)
	}
	file, err := os.Open(f.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open an artifact: its content is gone: %w", memory.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open an artifact: %w", err)
	}
	return &checked{file: file, want: digest, sum: sha256.New()}, nil
}

// checked reads a file and compares it with its name.
type checked struct {
	file *os.File
	want string
	sum  interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// Read reads; the end comes only when the content is what its name says.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	_, _ = c.sum.Write(p[:n]) // never fails (hash.Hash)
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.sum.Sum(nil)) != c.want {
		return n, fmt.Errorf("the artifact's file is damaged: its content is not %s", c.want)
	}
	return n, err
}

// Close ends the reading.
func (c *checked) Close() error { return c.file.Close() }
