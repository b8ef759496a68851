package eventlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Check tells whether the log at path can be appended to, without changing
// anything: it can be opened for that, or created when it is missing, and its
// file system has MinFree bytes left. A transition that could not be recorded
// is not begun.
func Check(path string) error {
	if err := check(path); err != nil {
		return fmt.Errorf("check that %s can be appended to: %w", path, err)
	}
	return nil
}

func check(path string) error {
	at, missing := path, false
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at, missing = filepath.Dir(path), true
		if err := unix.Faccessat(unix.AT_FDCWD, at, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return &fs.PathError{Op: "create a file in", Path: at, Err: err}
		}
	case err != nil:
		return err
	default:
		if err := errors.Join(regular(f), f.Close()); err != nil {
			return err
		}
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(at, &stat); err != nil {
		return &fs.PathError{Op: "statfs", Path: at, Err: err}
	}
	return enough(stat, os.Geteuid() == 0, missing)
}

// enough tells whether a file system has room for more events. privileged
// writers may use the blocks that are kept for root; create asks for an inode
// too. A file system that reports no blocks at all (a tmpfs without a limit)
// has no bound, one that reports no inodes makes them as needed.
func enough(stat unix.Statfs_t, privileged, create bool) error {
	blocks := stat.Bavail
	if privileged {
		blocks = stat.Bfree
	}
	// Every file system that is mounted has a block size below MinFree, so this
	// can't overflow where it matters.
	if need := uint64(MinFree / max(stat.Frsize, 1)); stat.Blocks > 0 && blocks < need {
		return fmt.Errorf("%d bytes are free and %d are asked for: %w", blocks*uint64(stat.Frsize), MinFree, unix.ENOSPC)
	}
	if create && stat.Files > 0 && stat.Ffree == 0 {
		return fmt.Errorf("no inode is free: %w", unix.ENOSPC)
	}
	return nil
}
