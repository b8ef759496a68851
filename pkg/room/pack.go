package room

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// packFlags make the same image of the same files, whoever owns them, whenever
// they were made, whether or not they are linked to each other, and on however
// many processors.
var packFlags = []string{
	"-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-reproducible",
	"-all-root", "-all-time", "0", "-mkfs-time", "0", "-no-hardlinks", "-no-xattrs",
}

// Pack makes an image of a folder with mksquashfs, and gives its SHA-256. The
// image is not there unless it is complete.
func Pack(ctx context.Context, dir, file string) (digest string, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", exitcode.Errorf(exitcode.Usage, "%s is no folder to make an image of", dir)
	}
	if _, err := os.Lstat(file); !hostfs.Absent(err) {
		return "", exitcode.Errorf(exitcode.Usage, "%s is there already: remove it, or name another file", file)
	}
	program, err := exec.LookPath("mksquashfs")
	if err != nil {
		return "", exitcode.Errorf(exitcode.Inspection, "make an image: there is no mksquashfs; install squashfs-tools")
	}
	part := file + ".part"
	defer func() { err = errors.Join(err, removed(part)) }()
	cmd := exec.CommandContext(ctx, program, append([]string{dir, part}, packFlags...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // SOURCE_DATE_EPOCH would contradict the flags
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", exitcode.Errorf(exitcode.Inspection, "make an image of %s: mksquashfs: %w: %s", dir, err, strings.TrimSpace(cutLong(string(out))))
	}
	f, err := os.Open(part)
	if err != nil {
		return "", exitcode.With(exitcode.Inspection, err)
	}
	defer f.Close()
	if digest, err = Digest(ctx, f); err == nil {
		err = errors.Join(os.Chmod(part, 0o644), f.Sync())
	}
	if err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		return "", exitcode.With(exitcode.Inspection, fmt.Errorf("finish the image: %w", err))
	}
	return digest, nil
}

// removed removes a file that may be there.
func removed(file string) error {
	if err := os.Remove(file); err != nil && !hostfs.Absent(err) {
		return exitcode.With(exitcode.Inspection, err)
	}
	return nil
}

// cutLong keeps the end of what a program said.
func cutLong(s string) string {
	const most = 1000
	return strings.ToValidUTF8(s[max(0, len(s)-most):], "")
}
