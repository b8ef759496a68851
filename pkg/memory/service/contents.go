package service

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ryjen/dubnium/pkg/memory"
)

// Folder keeps contents as files named by their digest, in folders of its first
// two digits. A file is there whole or not at all: it is written beside its
// place, synced, and renamed.
type Folder struct {
	path string
	most int64
}

// NewFolder makes the folder, for its owner alone. A content of more than most
// bytes is refused.
func NewFolder(path string, most int64) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the artifacts: %w", err)
	}
	return &Folder{path: path, most: most}, nil
}

// Check says whether contents can be written.
func (f *Folder) Check() error {
	probe, err := os.CreateTemp(f.path, "incoming-*")
	if err != nil {
		return fmt.Errorf("write to the folder of the artifacts: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// Put stores what r gives. The same content is stored once.
func (f *Folder) Put(r io.Reader) (digest string, size int64, err error) {
	tmp, err := os.CreateTemp(f.path, "incoming-*")
	if err != nil {
		return "", 0, fmt.Errorf("store an artifact: %w", err)
	}
	defer func() {
		_ = tmp.Close()
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(tmp, h), io.LimitReader(r, f.most+1))
	if err != nil {
		return "", 0, fmt.Errorf("store an artifact: %w", err)
	}
	if size > f.most {
		return "", 0, memory.ErrTooLarge
	}
	digest = hex.EncodeToString(h.Sum(nil))
	return digest, size, f.place(tmp, digest)
}

// place gives a written file its name. One that is there already is replaced:
// it is the same, or was damaged.
func (f *Folder) place(tmp *os.File, digest string) error {
	to := f.file(digest)
	dir := filepath.Dir(to)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store an artifact: %w", err)
	}
	if err := errors.Join(tmp.Sync(), os.Rename(tmp.Name(), to), syncFolder(dir), syncFolder(f.path)); err != nil {
		return fmt.Errorf("store an artifact: %w", err)
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open gives a content, which has to be closed. It is read once before, so that
// nothing is given that was not stored.
func (f *Folder) Open(digest string) (io.ReadCloser, error) {
	if !isDigest(digest) {
		return nil, memory.ErrNotFound
	}
	file, err := os.Open(f.file(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the content is not in the folder of the artifacts: %w", memory.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read an artifact: %w", err)
	}
	if err := verify(file, digest); err != nil {
		return nil, errors.Join(fmt.Errorf("read the artifact %s: %w", digest, err), file.Close())
	}
	return file, nil
}

// verify reads a file, which must have the digest, and goes back to its start.
func verify(file io.ReadSeeker, digest string) error {
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != digest {
		return memory.ErrDamaged
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}

func (f *Folder) file(digest string) string { return filepath.Join(f.path, digest[:2], digest) }

func isDigest(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size && hex.EncodeToString(raw) == s
}
