package atomicfile

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// writerEnv makes the test binary a process that replaces the file that it
// names for ever.
const writerEnv = "ATOMICFILE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		os.Exit(writeForEver(path))
	}
	os.Exit(m.Run())
}

// contents are the two whole contents that the endless writer alternates
// between; they differ in length and in every byte.
func contents() [2][]byte {
	return [2][]byte{bytes.Repeat([]byte("a"), 5000), bytes.Repeat([]byte("b"), 90000)}
}

func writeForEver(path string) int {
	for i := 0; ; i++ {
		if err := Write(path, contents()[i%2], 0o644); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			return 1
		}
		if i == 1 {
			os.Stdout.WriteString("ready\n")
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteReplaces(t *testing.T) {
	// The umask belongs to the process, so this test is not parallel.
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	for _, mode := range []fs.FileMode{0o644, 0o600, 0o755, 0o666, 0o400} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "desired")
			for _, content := range []string{"desktop\n", "", "compute\n"} {
				if err := Write(path, []byte(content), mode); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(content, string(got)); diff != "" {
					t.Error(diff)
				}
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode() != mode {
					t.Errorf("mode %v, want %v", info.Mode(), mode)
				}
			}
			if diff := cmp.Diff([]string{"desired"}, names(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWriteInTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Write("current", []byte("desktop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"current"}, names(t, ".")); diff != "" {
		t.Error(diff)
	}
}

func TestWriteReplacesALinkAndNotItsTarget(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "current")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", path); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("desktop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target now holds %q, %v", got, err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("path is %v, %v, want a regular file", info, err)
	}
}

// Whatever stands at the temporary name, a link to a file, a dangling link or a
// file, is neither followed nor written nor removed.
func TestStageRefusesAPlantedName(t *testing.T) {
	dir := t.TempDir()
	victim, dangling := filepath.Join(dir, "victim"), filepath.Join(dir, "dangling")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{".link": victim, ".dangling": dangling} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, dir)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, temp := range []string{".link", ".dangling", "victim"} {
		if err := stage(int(d.Fd()), temp, []byte("x"), 0o644); !errors.Is(err, fs.ErrExist) {
			t.Errorf("stage at %s: %v, want %v", temp, err, fs.ErrExist)
		}
	}
	if diff := cmp.Diff(before, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target now holds %q, %v", got, err)
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		mode       fs.FileMode
		want       error
		text       string
	}{
		{"no folder", filepath.Join(dir, "none", "x"), 0o644, fs.ErrNotExist, ""},
		{"the folder is a file", filepath.Join(file, "x"), 0o644, unix.ENOTDIR, ""},
		{"path is a folder", folder, 0o644, unix.EISDIR, ""},
		{"no name", dir + "/", 0o644, nil, "names no file"},
		{"dots", dir + "/..", 0o644, nil, "names no file"},
		{"set-uid", filepath.Join(dir, "x"), 0o755 | fs.ModeSetuid, nil, "more than permission bits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Write(tt.path, []byte("x"), tt.mode)
			if err == nil {
				t.Fatal("want an error")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %q, want %q in its chain", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want %q in it", err, tt.text)
			}
		})
	}
	if diff := cmp.Diff([]string{"file", "folder"}, names(t, dir)); diff != "" {
		t.Errorf("a failed write left something: %s", diff)
	}
}

func TestFullDiskKeepsTheOldContent(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("atomicfile-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("this test needs root and a tmpfs of its own: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}()
	path := filepath.Join(dir, "current")
	if err := Write(path, []byte("desktop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, make([]byte, 1<<20), 0o644); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a file larger than the disk: %v, want ENOSPC", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "desktop\n" {
		t.Errorf("the file now holds %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"current"}, names(t, dir)); diff != "" {
		t.Errorf("a failed write left something: %s", diff)
	}
}

// A writer is killed wherever it happens to be. Whoever reads meanwhile and
// afterwards sees a whole content, and the next writer is not in the way.
func TestKilledWriter(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "current")
	whole := func() {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c := contents(); !bytes.Equal(got, c[0]) && !bytes.Equal(got, c[1]) {
			t.Fatalf("a reader saw %d bytes that are neither content", len(got))
		}
	}
	for range 8 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("the writer said %q, %v", line, err)
		}
		for range 50 {
			whole()
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		whole()
	}
	if err := Write(path, []byte("desktop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "desktop\n" {
		t.Errorf("after the killed writers the file holds %q, %v", got, err)
	}
}
