// Package nvml builds a libnvidia-ml.so.1 for tests: a real shared library
// whose answers come from a file. What the file may say is told in its source,
// library/nvml.c.
package nvml

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed library/nvml.c
var source string

// Library is a built library in a folder of its own.
type Library struct {
	// Dir is the folder, for LD_LIBRARY_PATH.
	Dir string
	// Path is the library itself.
	Path string
}

// Build compiles the library with gcc and gives it its first answers. Old
// makes it the library of an older driver.
func Build(t testing.TB, old bool, answers ...string) Library {
	t.Helper()
	dir := t.TempDir()
	l := Library{Dir: dir, Path: filepath.Join(dir, "libnvidia-ml.so.1")}
	args := []string{"-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-o", l.Path, "-x", "c", "-"}
	if old {
		args = append([]string{"-DOLD"}, args...)
	}
	cmd := exec.Command("gcc", args...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the fake NVML: %v\n%s", err, out)
	}
	l.Answer(t, answers...)
	return l
}

// Answer replaces the library's answers, one a line.
func (l Library) Answer(t testing.TB, lines ...string) {
	t.Helper()
	data := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(l.Dir, "answers"), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Copy is the same library in another folder, with answers of its own.
func (l Library) Copy(t testing.TB, answers ...string) Library {
	t.Helper()
	data, err := os.ReadFile(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := Library{Dir: dir, Path: filepath.Join(dir, filepath.Base(l.Path))}
	if err := os.WriteFile(c.Path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Answer(t, answers...)
	return c
}
