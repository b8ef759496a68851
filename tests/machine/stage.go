package machine

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed files
var files embed.FS

func embedded(name string) string {
	b, err := files.ReadFile("files/" + name)
	if err != nil {
		panic(err) // a file of this package
	}
	return string(b)
}

// stage writes files below scratch and returns the layers of a machine's root, the lowest first.
func stage(scratch, tree string, harness []File, opts Options) (layers []string, err error) {
	root := filepath.Join(tree, "root")
	layers = []string{root}
	own := layer{filepath.Join(scratch, "stage", "own"), root}
	if err := own.files(harness); err != nil {
		return nil, err
	}
	layers = append(layers, own.dir)
	for _, dir := range opts.Overlay {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("lay %s over the root: %w", dir, err)
		}
		if info, err := os.Stat(abs); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("lay %s over the root: not a folder (%v): install into it first", dir, err)
		}
		layers = append(layers, abs)
	}
	top := layer{filepath.Join(scratch, "stage", "top"), root}
	if opts.BinDir != "" {
		if err := top.binaries(opts.BinDir); err != nil {
			return nil, err
		}
	}
	if err := top.files(opts.Files); err != nil {
		return nil, err
	}
	return append(layers, top.dir), nil
}

// ownFiles are the container's harness: the unit for commands and the stand-in display manager, enabled.
func ownFiles(opts Options) []File {
	const units = "/usr/lib/systemd/system/"
	own := []File{{Path: units + "dubnium-harness.service", Content: embedded("dubnium-harness.service")}}
	if !opts.NoDesktop {
		own = append(own,
			File{Path: units + "headless-dm.service", Content: embedded("headless-dm.service")},
			File{Path: "/etc/systemd/system/display-manager.service", Link: units + "headless-dm.service"},
			File{Path: "/etc/systemd/system/graphical.target.wants/headless-dm.service", Link: units + "headless-dm.service"})
	}
	return own
}

// layer is a folder that is laid over the root of a tree.
type layer struct{ dir, tree string }

func (l layer) files(list []File) error {
	if err := l.mkdir("/"); err != nil {
		return err
	}
	for _, f := range list {
		if !filepath.IsAbs(f.Path) {
			return fmt.Errorf("stage %q: a file's path in the machine starts with /", f.Path)
		}
		if err := l.file(f); err != nil {
			return fmt.Errorf("stage %s: %w", f.Path, err)
		}
	}
	return nil
}

func (l layer) file(f File) error {
	path, err := l.resolve(f.Path)
	if err != nil {
		return err
	}
	switch top, _, _ := strings.Cut(path[1:], "/"); top {
	case "run", "tmp", "dev", "proc", "sys":
		return fmt.Errorf("/%s is a file system of its own in a running machine: write the file after the boot", top)
	}
	if err := l.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	host := filepath.Join(l.dir, path)
	if err := os.Remove(host); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.Link != "" {
		return os.Symlink(f.Link, host)
	}
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	if err := os.WriteFile(host, []byte(f.Content), mode); err != nil {
		return err
	}
	return os.Chmod(host, mode) // past the umask
}

// resolve follows the tree's links to folders (/bin, /lib, /var/run): a folder of a layer would
// take the link's place, and hide all that is behind it.
func (l layer) resolve(path string) (string, error) {
	done := "/"
	parts := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for hops := 0; len(parts) > 1; {
		next := filepath.Join(done, parts[0])
		parts = parts[1:]
		target, err := os.Readlink(filepath.Join(l.tree, next))
		if err != nil {
			done = next
			continue
		}
		if hops++; hops > 20 {
			return "", errors.New("too many symbolic links in its folders")
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(done, target)
		}
		done, parts = "/", append(strings.Split(strings.Trim(filepath.Clean(target), "/"), "/"), parts...)
	}
	return filepath.Join(done, parts[0]), nil
}

// mkdir makes a folder and its parents like those of the tree: a merged folder has the mode and
// owner of its topmost layer.
func (l layer) mkdir(path string) error {
	if path != "/" {
		if err := l.mkdir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	host := filepath.Join(l.dir, path)
	if err := os.Mkdir(host, 0o755); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(l.tree, path))
	if err != nil {
		return os.Chmod(host, 0o755)
	}
	uid, gid := owner(info)
	return errors.Join(os.Chown(host, uid, gid), os.Chmod(host, info.Mode()))
}

// binaries puts a folder's files into /usr/bin, without copying them where it can.
func (l layer) binaries(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("stage binaries: %w: build them first", err)
	}
	if err := l.mkdir("/usr/bin"); err != nil {
		return fmt.Errorf("stage binaries: %w", err)
	}
	for _, entry := range list {
		if !entry.Type().IsRegular() {
			continue
		}
		from, to := filepath.Join(dir, entry.Name()), filepath.Join(l.dir, "usr/bin", entry.Name())
		if os.Link(from, to) == nil {
			continue
		}
		if err := copyFile(from, to); err != nil {
			return fmt.Errorf("stage %s: %w", from, err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
