package flock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// holderEnv makes the test binary a process that takes the lock on the file
// that it names, says so and holds it until its standard input ends.
const holderEnv = "FLOCK_TEST_HOLDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(holderEnv); path != "" {
		os.Exit(holdLock(path))
	}
	os.Exit(m.Run())
}

func holdLock(path string) int {
	l, err := TryAcquire(path, fmt.Appendf(nil, "%d compute\n", os.Getpid()))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	if err := l.Release(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// startHolder starts the other process and waits until it holds the lock.
// Closing the returned writer makes it release the lock and end.
func startHolder(t *testing.T, path string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), holderEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	return cmd, in
}

func wantHolder(t *testing.T, path string, want Holder) {
	t.Helper()
	got, err := ReadHolder(hostfs.Root(""), path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAcquireAndRelease(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "lock")
	wantHolder(t, path, Holder{UID: -1})

	record := fmt.Sprintf("%d studio-local\n", os.Getpid())
	l, err := TryAcquire(path, []byte(record))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fileMode {
		t.Errorf("mode %v, want %v despite the umask", info.Mode(), os.FileMode(fileMode))
	}
	wantHolder(t, path, Holder{Held: true, PID: os.Getpid(), UID: os.Geteuid(), Record: []byte(record)})

	// The lock belongs to the open file, so it also excludes this process.
	if _, err := TryAcquire(path, []byte("1 intruder\n")); !errors.Is(err, ErrHeld) {
		t.Errorf("a second lock: %v, want %v", err, ErrHeld)
	}
	wantHolder(t, path, Holder{Held: true, PID: os.Getpid(), UID: os.Geteuid(), Record: []byte(record)})

	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	wantHolder(t, path, Holder{UID: -1, Record: []byte{}})
	if err := l.Release(); err == nil {
		t.Error("a second release passed")
	}

	// A shorter record leaves nothing of a longer one.
	if err := os.WriteFile(path, []byte(strings.Repeat("old ", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err = TryAcquire(path, []byte("7 x\n")); err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if got, err := os.ReadFile(path); err != nil || string(got) != "7 x\n" {
		t.Errorf("record %q, %v", got, err)
	}
}

func TestOtherProcessReleases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd, in := startHolder(t, path)
	record := fmt.Sprintf("%d compute\n", cmd.Process.Pid)
	held := Holder{Held: true, PID: cmd.Process.Pid, UID: os.Geteuid(), Record: []byte(record)}
	wantHolder(t, path, held)
	if _, err := TryAcquire(path, []byte("1 intruder\n")); !errors.Is(err, ErrHeld) {
		t.Errorf("while another process holds the lock: %v, want %v", err, ErrHeld)
	}
	wantHolder(t, path, held)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	wantHolder(t, path, Holder{UID: -1, Record: []byte{}})
}

func TestLockDiesWithItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd, _ := startHolder(t, path)
	record := fmt.Sprintf("%d compute\n", cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the holder ended by itself: %v", err)
	}
	// The record stays as evidence, the lock does not.
	wantHolder(t, path, Holder{UID: -1, Record: []byte(record)})
	l, err := TryAcquire(path, []byte("next\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	wantHolder(t, path, Holder{Held: true, PID: os.Getpid(), UID: os.Geteuid(), Record: []byte("next\n")})
}

// Looking for the holder leaves the lock free at every moment: a controller
// that tries meanwhile never fails.
func TestReadHolderNeverLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
				if _, err := ReadHolder(hostfs.Root(""), path); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 300 {
		l, err := TryAcquire(path, []byte("record\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A reader's squatting lock is told apart from a controller's by its user.
func TestSquatterIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := TryAcquire(path, []byte("1 x\n")); !errors.Is(err, ErrHeld) {
		t.Errorf("got %v, want %v", err, ErrHeld)
	}
	wantHolder(t, path, Holder{Held: true, PID: os.Getpid(), UID: os.Geteuid(), Record: []byte{}})
}

// A lock on a file that lost its name excludes nobody, so it doesn't count.
func TestLockFollowsTheName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	old, err := TryAcquire(path, []byte("old\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Release()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(old.file.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if same, err := lock(f, path); err != nil || same {
		t.Errorf("a file without a name: same %v, %v, want false", same, err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if same, err := lock(f, path); err != nil || same {
		t.Errorf("a file whose name went to another: same %v, %v, want false", same, err)
	}
	l, err := TryAcquire(path, []byte("new\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	wantHolder(t, path, Holder{Held: true, PID: os.Getpid(), UID: os.Geteuid(), Record: []byte("new\n")})
}

func TestAcquireErrors(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"none/lock": "no such file",
		"fifo":      "not a regular file",
		"link":      "too many levels of symbolic links",
		".":         "is a directory",
	} {
		_, err := TryAcquire(filepath.Join(dir, name), nil)
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrHeld) {
			t.Errorf("lock %s: %v, want %q", name, err, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a link was followed and its target created")
	}
}

// On overlay stat and the kernel's list of locks disagree about the device.
func TestHolderOnOverlay(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"lower", "other", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(source, target, kind, options string) {
		t.Helper()
		if err := unix.Mount(source, target, kind, 0, options); err != nil {
			t.Fatalf("this test needs root and mounts of its own: mount %s: %v", kind, err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(target, 0); err != nil {
				t.Errorf("unmount %s: %v", target, err)
			}
		})
	}
	other, merged := filepath.Join(dir, "other"), filepath.Join(dir, "merged")
	mount("flock-test", other, "tmpfs", "")
	for _, sub := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(other, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount("flock-test", merged, "overlay",
		fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", filepath.Join(dir, "lower"), other, other))

	path := filepath.Join(merged, "lock")
	cmd, in := startHolder(t, path)
	record := fmt.Sprintf("%d compute\n", cmd.Process.Pid)
	wantHolder(t, path, Holder{Held: true, PID: cmd.Process.Pid, UID: os.Geteuid(), Record: []byte(record)})
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	wantHolder(t, path, Holder{UID: -1, Record: []byte{}})
}
