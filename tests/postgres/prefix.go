package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// nobody runs what refuses to run as root.
const nobody = 65534

// Prefix is the folder that scripts/database filled; it never builds it, a test
// must not take a minute by surprise.
func Prefix() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if !filepath.IsAbs(file) { // -trimpath
		dir, _ = os.Getwd()
	}
	script := ""
	for ; dir != "/"; dir = filepath.Dir(dir) {
		script = filepath.Join(dir, "scripts", "database")
		if _, err := os.Stat(script); err == nil {
			break
		}
	}
	out, err := exec.Command(script, "--path").Output()
	prefix := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("look for the tests' Postgres in %s (%s --path): %w: run `scripts/setup test` to put it there", prefix, script, err)
	}
	return prefix, nil
}

// Binaries is the folder of its programs.
func Binaries(t testing.TB) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func binaries() (string, error) {
	prefix, err := Prefix()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(prefix, "usr/lib/postgresql/*/bin"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d versions of Postgres in %s: remove the folder and run scripts/database", len(found), prefix)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// Redis is the path of redis-server.
func Redis(t testing.TB) string {
	t.Helper()
	prefix, err := Prefix()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(prefix, "usr/bin/redis-server")
}

// Credential is the user that a server runs as: us, or nobody when we are root,
// as which Postgres refuses to run.
func Credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// Folder makes a folder for a server's files that its user can reach, with a
// path short enough for a socket, and removes it with the test.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func folder() (string, error) {
	// t.TempDir can be entered by its owner only.
	dir, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return "", err
	}
	return dir, errors.Join(os.Chmod(dir, 0o755))
}

const folderPrefix = "dubnium-postgres-"
