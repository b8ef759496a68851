package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// The bounds of a bundle. A large model has some hundred files in one folder.
const (
	maxEntries = 4096
	maxDepth   = 4 // folders below the bundle's own
)

// tree is what was read of a folder.
type tree struct {
	dir  string // as it was asked for
	real string // the same below the root, without links

	entries []entry

	modelType string
	configErr error
	indexErr  error
	format    Format
	weights   []weight
}

// entry is a file, a link or something odd below the folder; folders have no
// entry.
type entry struct {
	name    string // relative, with slashes
	regular bool   // a file, or a link to one inside the folder
	size    int64  // bytes
	fault   Fault  // what its name, its link or its head tells
	what    string
	next    string
}

// walk reads the folder name below the tree's, and those in it.
func (t *tree) walk(ctx context.Context, name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s is %d folders deep, which no bundle is: point vllm.model at the bundle itself", name, depth)
	}
	names, err := list(filepath.Join(t.real, name))
	if err != nil {
		return err
	}
	for _, leaf := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		below := path.Join(name, leaf)
		info, err := os.Lstat(filepath.Join(t.real, below))
		if absent(err) {
			continue // gone since
		}
		if err != nil {
			return err
		}
		if info.IsDir() {
			if leaf == ".git" {
				continue
			}
			if err := t.walk(ctx, below, depth+1); err != nil {
				return err
			}
			continue
		}
		if len(t.entries) >= maxEntries {
			return fmt.Errorf("it holds over %d files, which no bundle does: point vllm.model at the bundle itself", maxEntries)
		}
		e, err := t.look(below, info)
		if err != nil {
			return err
		}
		t.entries = append(t.entries, e)
	}
	return nil
}

// list gives the names in a folder, sorted, and not endlessly many.
func list(dir string) ([]string, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("%s holds over %d names, which no bundle does: point vllm.model at the bundle itself", dir, maxEntries)
	}
	slices.Sort(names)
	return names, nil
}

// look tells what one file or link is.
func (t *tree) look(name string, info os.FileInfo) (entry, error) {
	e := entry{name: name, regular: info.Mode().IsRegular(), size: info.Size()}
	if info.Mode()&os.ModeSymlink != 0 {
		if err := t.follow(&e); err != nil || e.fault != "" {
			return e, err
		}
	}
	switch {
	case strings.HasSuffix(name, ".incomplete"):
		e.fault, e.what = Incomplete, "is of a download that has not ended"
		e.next = "let it end, or remove the file and seed the bundle again"
	case e.regular && e.size < maxPointer:
		head, err := t.head(name, maxPointer)
		if err != nil {
			return e, err
		}
		if pointer(head) {
			e.fault, e.what = Pointer, "is a pointer of git-lfs and not the file itself"
			e.next = "run git lfs pull where the bundle was made, and copy it again"
		}
	}
	return e, nil
}

// follow tells where a link leads.
func (t *tree) follow(e *entry) error {
	at := filepath.Join(t.real, e.name)
	target, err := os.Readlink(at)
	if err != nil {
		return err
	}
	if intoBlobs(target) {
		e.fault, e.what, e.next = CacheTree, "is a link into the blobs of a hub cache ("+target+")", materialise
		return nil
	}
	info, err := os.Stat(at)
	switch {
	case absent(err):
		e.fault, e.what, e.next = DanglingLink, "is a link that leads nowhere ("+target+")", seedAgain
		return nil
	case err != nil:
		return err
	}
	e.regular, e.size = info.Mode().IsRegular(), info.Size()
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(t.real, real); err != nil || !filepath.IsLocal(inside) {
		e.fault, e.what, e.next = OutsideLink, "is a link that leaves the folder ("+target+")", materialise
	}
	return nil
}

// head reads the first bytes of a file, n at most.
func (t *tree) head(name string, n int) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(t.real, name), os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, &os.PathError{Op: "read", Path: name, Err: hostfs.ErrNotRegular})
	}
	return io.ReadAll(io.LimitReader(f, int64(n)))
}

// maxPointer bounds a pointer of git-lfs, in bytes.
const maxPointer = 1024

// pointer tells whether a small file stands for a large one in git-lfs.
func pointer(head []byte) bool { return bytes.HasPrefix(head, []byte("version https://git-lfs")) }

// intoBlobs tells whether a link is one of a hub cache's snapshots. Copied
// without what it leads to, it still says where it came from.
func intoBlobs(target string) bool {
	dir, blob := path.Split(path.Clean(target))
	return path.Base(dir) == "blobs" && blobName.MatchString(blob)
}

// A blob is called by its hash: 40 digits of git, 64 of git-lfs.
var blobName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// hubModel is how a hub cache calls the folder of a model.
var hubModel = regexp.MustCompile(`^(models|datasets|spaces)--.`)

// cache tells whether the folder is a hub cache or a part of one.
func (t *tree) cache() *Problem {
	names, err := list(t.real)
	if err != nil {
		return nil // the walk tells of it
	}
	is := func(what, next string) *Problem {
		p := t.problem(CacheTree, "", what, next)
		return &p
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	switch {
	case has("snapshots") && (has("blobs") || has("refs")):
		return is("is a model in a Hugging Face hub cache (refs, blobs, snapshots)", "make plain files of it with rsync -aL "+path.Join(t.dir, "snapshots", t.revision())+"/ BUNDLE/")
	case slices.ContainsFunc(names, hubModel.MatchString) || has(".locks"):
		return is("is a Hugging Face hub cache (models--OWNER--MODEL)", materialise)
	case hubModel.MatchString(filepath.Base(t.real)):
		return is("is what is left of a model in a Hugging Face hub cache", materialise)
	case filepath.Base(filepath.Dir(t.real)) == "snapshots" && hubModel.MatchString(filepath.Base(filepath.Dir(filepath.Dir(t.real)))):
		return is("is a snapshot in a Hugging Face hub cache", "make plain files of it with rsync -aL "+t.dir+"/ BUNDLE/")
	}
	return nil
}

// revision is the one that a hub cache calls main, or a word for it.
func (t *tree) revision() string {
	head, err := t.head("refs/main", 65)
	if rev := strings.TrimSpace(string(head)); err == nil && blobName.MatchString(rev) {
		return rev
	}
	return "REVISION"
}
