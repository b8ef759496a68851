// Package atomicfile replaces small files so that a reader, or a machine that
// loses power, sees the old content or the new one, whole, and nothing else.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write makes data the content of the file path, with exactly the permissions
// mode, whatever the umask is. When it returns nil, content and name are on
// the disk. When it returns an error, the old file is untouched, or, if only
// the last step failed, replaced but perhaps not yet durable.
//
// The new content is written to a file ".NAME.RANDOM.new" in the same folder
// and renamed. That name is created exclusively, so a link that somebody
// planted there is never followed; a link at path itself is replaced, not
// written through. A writer that is killed leaves such a file behind, which
// nobody reads and no later Write minds.
func Write(path string, data []byte, mode fs.FileMode) error {
	if mode != mode.Perm() {
		return fmt.Errorf("write %s: mode %v has more than permission bits", path, mode)
	}
	folder, name := filepath.Split(path)
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("write %q: names no file", path)
	}
	if folder == "" {
		folder = "."
	}
	// The folder is held open, so that all steps work in the same one even if
	// it is moved meanwhile.
	dir, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer dir.Close()
	dirfd := int(dir.Fd())

	temp := "." + name + "." + rand.Text() + ".new"
	if err := stage(dirfd, temp, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := unix.Renameat(dirfd, temp, dirfd, name); err != nil {
		err = fmt.Errorf("write %s: rename %s: %w", path, temp, err)
		return errors.Join(err, discard(dirfd, temp))
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write %s: make the new name durable: %w", path, err)
	}
	return nil
}

// stage writes data to the file temp, which must not exist yet in any form. On
// an error nothing of its own is left.
func stage(dirfd int, temp string, data []byte, mode fs.FileMode) (err error) {
	// Readable by its owner alone until it is complete: mode may be narrower
	// than any default, and the content a secret.
	fd, err := unix.Openat(dirfd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: temp, Err: err}
	}
	f := os.NewFile(uintptr(fd), temp)
	defer func() {
		if err != nil {
			err = errors.Join(err, discard(dirfd, temp))
		}
	}()
	err = fill(f, data, mode)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// fill gives a new file its content and its permissions and waits until both
// are on the disk.
func fill(f *os.File, data []byte, mode fs.FileMode) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

// discard removes a file that did not become the new content.
func discard(dirfd int, temp string) error {
	if err := unix.Unlinkat(dirfd, temp, 0); err != nil {
		return fmt.Errorf("remove %s: %w", temp, err)
	}
	return nil
}
