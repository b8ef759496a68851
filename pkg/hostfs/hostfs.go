// Package hostfs reads the machine's files below a root, so that the same code
// looks at the running machine and at a fixture tree in a test. Outside this
// package nothing spells /proc, /sys, /run or /etc as an absolute path of its
// own.
package hostfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Root is the folder that stands for "/". The zero value is the running
// machine.
type Root string

// DefaultLimit bounds a file that a reader takes whole. Nothing that the
// kernel or Dubnium writes and that we read whole comes near it.
const DefaultLimit = 4 << 20

// ErrTooLarge says that a file holds more than its reader is willing to take.
var ErrTooLarge = errors.New("larger than its reader takes")

// ErrNotRegular says that a name is no regular file: a FIFO or a device in the
// place of a kernel file would block its reader for ever.
var ErrNotRegular = errors.New("not a regular file")

// Real tells whether the root is the running machine.
func (r Root) Real() bool { return r == "" || r == "/" }

// Path is the path of name, an absolute path on the machine, below the root.
func (r Root) Path(name ...string) string {
	return filepath.Join(append([]string{"/", string(r)}, name...)...)
}

// ReadFile reads a whole regular file of at most DefaultLimit bytes. It never
// blocks in open: the file is opened non-blocking and looked at first.
func (r Root) ReadFile(name string) ([]byte, error) {
	return r.ReadLimited(name, DefaultLimit)
}

// ReadLimited is ReadFile with a limit of its own, in bytes.
func (r Root) ReadLimited(name string, limit int64) ([]byte, error) {
	path := r.Path(name)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrNotRegular}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: over %d bytes", ErrTooLarge, limit)}
	}
	return data, nil
}

// ReadDirNames lists the names in a folder, unsorted.
func (r Root) ReadDirNames(name string) ([]string, error) {
	f, err := os.Open(r.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Stat follows links.
func (r Root) Stat(name string) (fs.FileInfo, error) { return os.Stat(r.Path(name)) }

// Readlink gives the target of a symbolic link as it is written.
func (r Root) Readlink(name string) (string, error) { return os.Readlink(r.Path(name)) }

// Absent tells whether err says that a file does not exist, which is a fact
// about the machine and no failure to look.
func Absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
