// Package procinfo reads what the kernel tells about memory, load, pressure,
// processes and control groups. Every reader takes the root below which the
// kernel's files lie, and every parser takes bytes and gives a value or an
// error that names the line or field at fault.
//
// What doesn't exist (a process that ended, a kernel without pressure
// accounting, a control group that is gone) is told by a bool, not by an error.
package procinfo

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// gone tells whether err says that what a file describes has ended: the file is
// missing, the process died after the open (ESRCH), the control group was
// removed after it (ENODEV).
func gone(err error) bool {
	return hostfs.Absent(err) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV)
}

// denied tells whether err says that this user may not look.
func denied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// parsed reads the file name below root and parses it; an error names the file.
func parsed[T any](root hostfs.Root, name string, parse func([]byte) (T, error)) (T, error) {
	data, err := root.ReadFile(name)
	if err != nil {
		var zero T
		return zero, err
	}
	value, err := parse(data)
	if err != nil {
		return value, fmt.Errorf("parse %s: %w", name, err)
	}
	return value, nil
}
