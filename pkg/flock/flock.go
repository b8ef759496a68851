// Package flock serialises processes with flock(2) on a file that also says who
// holds the lock. The kernel drops the lock when its holder dies, however it
// dies; what a killed holder leaves is its record, which is evidence and no
// lock.
//
// flock(2) asks for no write permission: whoever may open the file may lock it,
// and would then be in the way of everybody. The file can therefore be opened
// by its owner only; that the lock is held, and by which process, everybody can
// see in /proc/locks.
package flock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrHeld says that another open file holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// fileMode keeps everybody else from opening the file, and thereby from locking
// it.
const fileMode = 0o600

// Lock is a lock that this process holds.
type Lock struct {
	file *os.File
}

// TryAcquire takes the lock on the file path, without waiting, and makes record
// its content. The file is created when it is missing. ErrHeld is in the chain
// of the error when somebody else holds it; the file is then as it was.
//
// For Holder to find a holder's pid in every case, record begins with the pid
// as a decimal number and a space or newline, or is a JSON object with a member
// "pid".
func TryAcquire(path string, record []byte) (*Lock, error) {
	f, err := lockedFile(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := publish(f, record); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: write who holds it: %w", path, err), f.Close())
	}
	return &Lock{file: f}, nil
}

// attempts bounds how often lockedFile starts over.
const attempts = 10

// lockedFile opens and locks the file that path names. Between open and lock
// the name can be given to another file, and a lock on the old one would
// exclude nobody; it then starts over.
func lockedFile(path string) (*os.File, error) {
	for range attempts {
		// A FIFO in the file's place must not hold us up, nor a link lead
		// elsewhere.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
		if err != nil {
			return nil, err
		}
		same, err := lock(f, path)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if same {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the file was replaced %d times while it was being locked", attempts)
}

// lock locks f and tells whether path still names it.
func lock(f *os.File, path string) (same bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("not a regular file")
	}
	if err := retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		if err == unix.EWOULDBLOCK {
			return false, ErrHeld
		}
		return false, err
	}
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(info, named), err
}

// publish replaces the content of f with record and undoes what the umask took
// from a new file. It needs no durability: the record is about a process.
func publish(f *os.File, record []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm() != fileMode {
		if err := f.Chmod(fileMode); err != nil {
			return err
		}
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(record, 0)
	return err
}

// Release empties the record and gives the lock back, in this order, so that
// nobody sees the old record next to a new lock. The lock is given back even if
// an error says that the record could not be emptied. A second Release is an
// error.
func (l *Lock) Release() error {
	err := l.file.Truncate(0)
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock %s: it was released before", l.file.Name())
	}
	// Unlocking, and not only closing, also takes the lock from a child that
	// inherited the open file.
	unlockErr := retry(func() error { return unix.Flock(int(l.file.Fd()), unix.LOCK_UN) })
	if err := errors.Join(err, unlockErr, l.file.Close()); err != nil {
		return fmt.Errorf("unlock %s: %w", l.file.Name(), err)
	}
	return nil
}

// retry repeats a system call that a signal cut off.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
