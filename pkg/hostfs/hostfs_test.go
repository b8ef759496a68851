package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		root Root
		name []string
		want string
	}{
		{"", []string{"/proc/meminfo"}, "/proc/meminfo"},
		{"", []string{"proc", "meminfo"}, "/proc/meminfo"},
		{"/", []string{"/proc"}, "/proc"},
		{"/srv/fixture", []string{"/proc/1", "stat"}, "/srv/fixture/proc/1/stat"},
		{"/srv/fixture/", []string{"proc"}, "/srv/fixture/proc"},
		{"/srv/fixture", nil, "/srv/fixture"},
		{"srv", []string{"x"}, "/srv/x"},
	} {
		if got := tt.root.Path(tt.name...); got != tt.want {
			t.Errorf("%q and %q: %s, want %s", tt.root, tt.name, got, tt.want)
		}
	}
	for root, real := range map[Root]bool{"": true, "/": true, "/srv": false} {
		if root.Real() != real {
			t.Errorf("%q: the running machine: %v", root, !real)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	root := Root(dir)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "text\n")
	write("empty", "")
	write("ten", strings.Repeat("x", 10))
	write("eleven", strings.Repeat("x", 11))
	for name, err := range map[string]error{
		"pipe":   unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
		"link":   os.Symlink("plain", filepath.Join(dir, "link")),
		"loop":   os.Symlink("loop", filepath.Join(dir, "loop")),
		"dead":   os.Symlink("nowhere", filepath.Join(dir, "dead")),
		"folder": os.Mkdir(filepath.Join(dir, "folder"), 0o755),
		"zero":   os.Symlink("/dev/zero", filepath.Join(dir, "zero")),
		"piped":  os.Symlink("pipe", filepath.Join(dir, "piped")),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, tt := range map[string]struct {
		want string
		err  error
	}{
		"plain": {"text\n", nil}, "empty": {"", nil}, "ten": {"xxxxxxxxxx", nil}, "link": {"text\n", nil},
		"eleven": {"", ErrTooLarge}, "pipe": {"", ErrNotRegular}, "piped": {"", ErrNotRegular}, "folder": {"", ErrNotRegular},
		"zero": {"", ErrNotRegular}, "none": {"", fs.ErrNotExist}, "dead": {"", fs.ErrNotExist}, "loop": {"", unix.ELOOP},
		"plain/below": {"", unix.ENOTDIR},
	} {
		begin := time.Now()
		data, err := root.ReadLimited("/"+name, 10)
		if string(data) != tt.want || !errors.Is(err, tt.err) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %q, %v after %v; want %q, %v", name, data, err, time.Since(begin), tt.want, tt.err)
		}
		if err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
		if Absent(err) != errors.Is(tt.err, fs.ErrNotExist) {
			t.Errorf("%s: absent is %v: %v", name, Absent(err), err)
		}
	}
	// A file of a size that lies: those of /proc say 0.
	if data, err := Root("").ReadFile("/proc/self/status"); err != nil || len(data) == 0 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if err := os.Truncate(filepath.Join(dir, "plain"), DefaultLimit+1); err != nil {
		t.Fatal(err)
	}
	if _, err := root.ReadFile("plain"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file over the default limit: %v", err)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	root := Root(dir)
	for _, name := range []string{"b", "a", "c/d"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	names, err := root.ReadDirNames("/")
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"a", "b", "c", "l"}) {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := root.ReadDirNames("/none"); !Absent(err) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if info, err := root.Stat("/l"); err != nil || !info.IsDir() {
		t.Errorf("a link is not followed: %v, %v", info, err)
	}
	if to, err := root.Readlink("/l"); err != nil || to != "a" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}
