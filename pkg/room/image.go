package room

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// openImage opens an image that root alone can change.
func openImage(root hostfs.Root, path string) (*os.File, error) {
	// A FIFO in its place must not hold us up.
	f, err := os.OpenFile(root.Path(path), os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refusef("open the image: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, refusef("look at the image: %w", err)
	}
	if wrong := wrongFile(info); wrong != "" {
		f.Close()
		return nil, refusef("the image %s %s", path, wrong)
	}
	return f, nil
}

// wrongFile says why a file can't be an image, "" if it can.
func wrongFile(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "is no regular file; pack a folder into one with room image"
	case !ok || st.Uid != 0:
		return "is not root's, so that somebody else could change it while the room runs; chown root it"
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("can be written to by others (mode %04o), who could change it while the room runs; chmod 644 it", info.Mode().Perm())
	}
	return ""
}

// Digest is the SHA-256 of all of r, as 64 digits.
func Digest(ctx context.Context, r io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{sum}, bounded{ctx, r}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// bounded ends a long read with its context.
type bounded struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (b bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// verified opens a room's image and holds that its content is the right one.
// The descriptor is what the content was read from, and what is mounted.
func (h Host) verified(ctx context.Context, name string) (*os.File, error) {
	r := h.Rooms.Named[name]
	image := h.Image(r)
	f, err := openImage(h.Root, image)
	if err != nil {
		return nil, err
	}
	got, err := Digest(ctx, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read the image %s: %w", image, err)
	}
	if got != r.SHA256 {
		f.Close()
		return nil, refusef("the image %s has the SHA-256 %s, and %s is %s: nothing of it is run; put the right image there, or correct the key if the new one is meant",
			image, got, key(name, "sha256"), r.SHA256)
	}
	return f, nil
}
