package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unicode/utf8"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// MaxFile bounds the file, in bytes.
const MaxFile = 1 << 20

// Load reads the configuration of the machine below root.
//
// An empty path means DefaultPath. The file at DefaultPath may be absent, and
// the configuration is then Default; a file at any other path was asked for by
// name and has to be there. A relative path starts at the working folder, or
// at root where root is not the running machine. Every error is an *Error.
func Load(root hostfs.Root, path string) (Config, error) {
	if path == "" {
		path = DefaultPath
	}
	at := path
	if root.Real() && !filepath.IsAbs(at) {
		abs, err := filepath.Abs(at)
		if err != nil {
			return Config{}, unreadable(path, err)
		}
		at = abs
	}
	data, err := root.ReadLimited(at, MaxFile)
	switch {
	case err == nil:
		return Parse(path, data)
	case hostfs.Absent(err) && path == DefaultPath:
		return Default(), nil
	default:
		return Config{}, unreadable(path, err)
	}
}

// unreadable is the error of a file that could not be had at all.
func unreadable(name string, err error) error {
	var message string
	switch {
	case hostfs.Absent(err):
		message = "there is no such file; name one that exists, or leave --config out to use " + DefaultPath
	case errors.Is(err, hostfs.ErrNotRegular):
		message = "not a regular file; the configuration is one plain file"
	case errors.Is(err, hostfs.ErrTooLarge):
		message = fmt.Sprintf("over %d bytes; no configuration is that large", MaxFile)
	case errors.Is(err, fs.ErrPermission):
		message = "may not be read; guards run without privileges, so the file has to be readable by all (chmod 644)"
	default:
		message = "cannot be read: " + cause(err).Error()
	}
	return &Error{Name: name, Problems: []Problem{{Message: message}}, Err: err}
}

// cause strips the path from err, for a line that names the file already.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// maxBrackets bounds how deep lists and tables can be nested, because the
// parser recurses. A file with every key set has under a hundred.
const maxBrackets = 1000

// unfit says what makes data no text that a TOML parser should look at.
func unfit(data []byte) (Problem, bool) {
	switch {
	case len(data) > MaxFile:
		return Problem{Message: fmt.Sprintf("over %d bytes; no configuration is that large", MaxFile)}, true
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return Problem{Line: 1, Message: "begins with a byte order mark; save the file as UTF-8 without one"}, true
	case bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets:
		return Problem{Message: fmt.Sprintf("more than %d brackets; no configuration has that many", maxBrackets)}, true
	}
	for i, rest := 0, data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			return Problem{Line: 1 + bytes.Count(data[:i], []byte("\n")), Message: fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])}, true
		}
		i, rest = i+n, rest[n:]
	}
	return Problem{}, false
}
