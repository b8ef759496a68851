package holders

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the process that holds devices: with these variables
// it opens or maps them, says so, and lives until its stdin is closed.
const (
	holdEnv = "HOLDERS_TEST_HOLD" // a device to open
	mapEnv  = "HOLDERS_TEST_MAP"  // a device to map and close again
	manyEnv = "HOLDERS_TEST_MANY" // how many descriptors of /dev/null to open
)

func TestMain(m *testing.M) {
	hold, mapped, many := os.Getenv(holdEnv), os.Getenv(mapEnv), os.Getenv(manyEnv)
	if hold == "" && mapped == "" && many == "" {
		os.Exit(m.Run())
	}
	if err := become(hold, mapped, many); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func become(hold, mapped, many string) error {
	if hold != "" {
		if _, err := unix.Open(hold, unix.O_RDWR, 0); err != nil {
			return err
		}
	}
	if mapped != "" {
		fd, err := unix.Open(mapped, unix.O_RDWR, 0)
		if err != nil {
			return err
		}
		if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	n, _ := strconv.Atoi(many)
	for range n {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return err
		}
	}
	return nil
}

// start runs such a process and waits until it holds what it shall.
func start(t testing.TB, env string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env, "GOMAXPROCS=1", "GOGC=off")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the holder said %q: %v", line, err)
	}
	return cmd
}

// memory is a scanner of the machine that looks for /dev/zero and its kin
// (major 1) in place of graphics cards.
func memory(t testing.TB) *scanner {
	t.Helper()
	s := newScanner("", Options{})
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	s.wanted = majors{1: "mem"}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/dev/zero", 0, unix.STATX_BASIC_STATS, &st); err != nil {
		t.Fatal(err)
	}
	s.nodes = map[inode]number{{st.Dev_major, st.Dev_minor, st.Ino}: {st.Rdev_major, st.Rdev_minor, true}}
	return s
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
