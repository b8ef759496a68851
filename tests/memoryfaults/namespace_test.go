package memoryfaults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
)

// insideEnv marks the copy of the test that runs in a network of its own.
const insideEnv = "DUBNIUM_TEST_MEMORY_NETWORK"

// hub is the address of the machine with Redis and the provider.
const hub = "10.99.0.1"

// TestWorkersOnSeveralMachines has three workers, each in a network namespace
// of its own, share one stream. They reach Redis and the provider over the
// network that connects them and nothing else of each other. One is killed, one
// loses its network.
func TestWorkersOnSeveralMachines(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		// In a copy of this process, so that the machine's own network stays as it is.
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m")
		cmd.Env = append(os.Environ(), insideEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("in a network namespace (this needs root): %v", err)
		}
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	command(t, "ip", "link", "add", "hub", "type", "bridge")
	command(t, "ip", "addr", "add", hub+"/24", "dev", "hub")
	command(t, "ip", "link", "set", "hub", "up")

	w := newWorld(t, "--port", "6379", "--bind", hub, "--protected-mode", "no")
	m := w.register(outbox.Active)
	w.provider = embeddings.Start(t, hub+":0", dimensions)

	machines := make([]*process, 3)
	for i := range machines {
		r := w.role(fmt.Sprintf("machine-%d", i))
		r.Redis, r.Wait = "redis://"+hub+":6379/0", true
		machines[i] = start(t, r, func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		})
		pid, cable := fmt.Sprint(machines[i].cmd.Process.Pid), fmt.Sprintf("cable%d", i)
		command(t, "ip", "link", "add", cable, "master", "hub", "type", "veth", "peer", "name", "eth0", "netns", pid)
		command(t, "ip", "link", "set", cable, "up")
		inside := func(args ...string) { command(t, "nsenter", append([]string{"-t", pid, "-n", "ip"}, args...)...) }
		inside("addr", "add", fmt.Sprintf("10.99.0.%d/24", i+2), "dev", "eth0")
		inside("link", "set", "eth0", "up")
		machines[i].proceed()
		machines[i].expect("running")
	}
	const part = 400
	stored := 0
	more := func() {
		w.add("note", stored, stored+part)
		stored += part
	}
	more()
	w.settled()
	w.verify(m, int64(stored))
	served := w.provider.Clients()
	if len(served) != len(machines) {
		t.Errorf("the provider was asked by %v, not by all three machines", served)
	}
	more()
	machines[0].kill()
	command(t, "ip", "link", "set", "cable1", "down")
	more()
	w.settled()
	again := w.verify(m, int64(stored))
	command(t, "ip", "link", "set", "cable1", "up")
	more()
	w.settled()
	w.verify(m, int64(stored))
	t.Logf("%d memories, texts by machine at first %v; one machine killed, one cut off and connected again; %d were sent to the provider twice",
		stored, served, again)
	machines[1].stop(t)
	machines[2].stop(t)
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
