package machine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary stand for a test process that is killed while its machine runs.
func TestMain(m *testing.M) {
	if os.Getenv("DUBNIUM_MACHINE_VICTIM") != "" {
		victim()
	}
	os.Exit(m.Run())
}

func victim() {
	m, err := Boot(context.Background(), Options{NoDesktop: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(m.name, m.leader)
	select {}
}

// remains lists what there is of a machine on this host.
func remains(name string, leader int) (left []string) {
	for _, dir := range append([]string{os.TempDir(), "/run/systemd/nspawn", "/run/systemd/nspawn/propagate"}, hierarchies...) {
		found, _ := filepath.Glob(filepath.Join(dir, name+"*"))
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, []byte(name)) {
			left = append(left, "mount "+string(line))
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		cmdline, _ := os.ReadFile(path)
		if bytes.Contains(cmdline, []byte("--machine="+name)) || path == fmt.Sprintf("/proc/%d/cmdline", leader) {
			left = append(left, path+" "+string(cmdline))
		}
	}
	return left
}

func TestTwoMachinesAndNothingLeft(t *testing.T) {
	t.Parallel()
	loops := loopNodes()
	var machines [2]*Machine
	failed := make(chan error, len(machines))
	for i := range machines {
		go func() {
			var err error
			machines[i], err = Boot(t.Context(), Options{LoopDevices: true})
			failed <- err
		}()
	}
	for range machines {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range machines {
		t.Cleanup(func() { m.Close() })
		m.MustRun(t, "hostnamectl", "hostname", fmt.Sprintf("box%d", i))
		if err := m.WriteFile("/etc/mine", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range machines {
		if got, want := m.MustRun(t, "sh", "-c", "cat /etc/hostname /etc/mine"), fmt.Sprintf("box%d\n%d", i, i); got != want {
			t.Errorf("machine %d has %q, want %q", i, got, want)
		}
		if len(remains(m.name, m.leader)) == 0 {
			t.Error("the search for remains finds nothing of a running machine")
		}
	}
	// A unit in the machine uses a loop device: the host keeps its own.
	m := machines[0]
	m.MustRun(t, "sh", "-c", "truncate -s 1M /root/disk && losetup -f /root/disk && losetup -D")

	for _, m := range machines {
		leader := m.leader
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if left := remains(m.name, leader); len(left) > 0 {
			t.Errorf("left of %s:\n%s", m.name, strings.Join(left, "\n"))
		}
		if err := m.Close(); err != nil {
			t.Errorf("closing it again: %v", err)
		}
	}
	if got := loopNodes(); len(got) < len(loops) {
		t.Errorf("loop devices of the host: %v, before %v", got, loops)
	}
}

// TestCloseIsClean: a shutdown runs the stop commands of services.
func TestCloseIsClean(t *testing.T) {
	t.Parallel()
	m := Start(t, Options{NoDesktop: true})
	m.MustRun(t, "systemd-run", "--unit=last", "--property=ExecStop=/bin/sh -c 'echo last word >>/root/words'", "sleep", "infinity")
	if err := m.WriteFile("/root/words", ""); err != nil {
		t.Fatal(err)
	}
	words, err := os.Open(m.Path("/root/words"))
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if got := contents(words); got != "last word\n" {
		t.Errorf("the service wasn't stopped, it says %q; the console:\n%s", got, m.Console())
	}
}

// TestCloseIsBounded: a service that ignores SIGTERM can't hold a test up.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	m := Start(t, Options{NoDesktop: true})
	m.MustRun(t, "systemd-run", "--unit=stubborn", "bash", "-c", "trap '' TERM; touch /run/stubborn; while :; do sleep 1000; done")
	m.Eventually(t, 10*time.Second, func() error {
		_, err := m.ReadFile("/run/stubborn")
		return err
	})
	name, leader, start := m.name, m.leader, time.Now()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d < closeTimeout || d > 2*closeTimeout {
		t.Errorf("it took %s", d)
	}
	if left := remains(name, leader); len(left) > 0 {
		t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
}

// TestKilledTest: the machine of a killed test process goes down, and the next boot removes what is left.
func TestKilledTest(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DUBNIUM_MACHINE_VICTIM=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	var name string
	var leader int
	if n, _ := fmt.Sscan(line, &name, &leader); n != 2 {
		t.Fatalf("the victim says %q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for {
		sweep()
		left := remains(name, leader)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left of %s:\n%s", name, strings.Join(left, "\n"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
