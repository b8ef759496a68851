package memory_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
)

// TestService walks the life of the service on one machine, in order.
func TestService(t *testing.T) {
	b := boot(t, "", true)
	var first string

	t.Run("the first connection makes everything", func(t *testing.T) {
		b := b.on(t)
		b.must("", "systemctl", "start", socket)
		b.is(service, "inactive")
		got := decoded[memory.Stored](b, "", "ai-memory", "store", "--scope", string(project), "--json", "The first words on a fresh machine.")
		b.is(service, "active")
		first = got.ID.String()
		b.settled()

		want := map[string]string{"ActiveState": "active", "Slice": "platform.slice", "User": "dubnium-memory", "NRestarts": "0"}
		if diff := cmp.Diff(want, b.show(service, "ActiveState", "Slice", "User", "NRestarts")); diff != "" {
			t.Error(diff)
		}
		all := b.children(service)
		for _, p := range all {
			if !strings.HasPrefix(p, "dubnium-memory ") {
				t.Errorf("it runs as another user: %s", p)
			}
		}
		if !strings.Contains(strings.Join(all, "\n"), "/postgres -D /var/lib/dubnium-memory/postgres/data") {
			t.Errorf("no private Postgres among %s", strings.Join(all, "\n"))
		}
		if got := b.must("", "stat", "--format=%a %U", "/var/lib/dubnium-memory", "/var/lib/dubnium-memory/postgres/data"); got != "700 dubnium-memory\n700 dubnium-memory\n" {
			t.Errorf("its folders are %q", got)
		}
		if got := b.must("", "ss", "--no-header", "--tcp", "--listening", "--numeric", "sport = :5432"); got != "" {
			t.Errorf("its Postgres listens on a network: %s", got)
		}
	})

	t.Run("a stopped service begins at the next connection", func(t *testing.T) {
		b := b.on(t)
		b.must("", "systemctl", "stop", service)
		b.is(socket, "active")
		want := map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
		if diff := cmp.Diff(want, b.show(service, "ActiveState", "Result", "ExecMainStatus")); diff != "" {
			t.Error(diff)
		}
		b.holds(first)
		b.is(service, "active")
		if log := b.Journal("--unit=" + service); strings.Contains(log, "not properly shut down") || !strings.Contains(log, "database system is shut down") {
			t.Errorf("a stop was not clean: %s", log)
		}
	})

	t.Run("systemctl start makes everything too", func(t *testing.T) {
		b := b.on(t)
		b.must("", "systemctl", "stop", service, socket)
		if _, err := b.ReadFile(b.cfg.Memory.API.Socket); err == nil {
			t.Error("the socket is left behind")
		}
		b.must("", "mv", "/var/lib/dubnium-memory", "/var/lib/before")
		b.must("", "systemctl", "start", service)
		b.is(socket, "active")
		if ids := b.ids(); len(ids) != 0 {
			t.Errorf("a fresh database holds %v", ids)
		}
		doctor := b.must("", "ai-memory", "doctor")
		if strings.Contains(doctor, "wrong") {
			t.Error(doctor)
		}
		b.must("", "systemctl", "stop", service)
		b.must("", "rm", "-r", "/var/lib/dubnium-memory")
		b.must("", "mv", "/var/lib/before", "/var/lib/dubnium-memory")
		b.must("", "systemctl", "start", service)
		b.holds(first)
	})

	t.Run("who may use it", func(t *testing.T) { b.on(t).people() })
	t.Run("who asked", func(t *testing.T) { b.on(t).callers() })
	t.Run("a restart refuses nobody", func(t *testing.T) { b.on(t).restart(first) })

	t.Run("what is expired goes once a day", func(t *testing.T) {
		b := b.on(t)
		past := time.Now().Add(-time.Hour)
		d := draft("It was true for a while.")
		d.TTL = &past
		stored, err := b.client().Store(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		// As the timer would, without the wait for the night.
		if err := b.WriteFile("/run/systemd/system/"+timer+".d/soon.conf", "[Timer]\nOnCalendar=\nRandomizedDelaySec=0\nOnActiveSec=100ms\nAccuracySec=10ms\n"); err != nil {
			t.Fatal(err)
		}
		b.must("", "systemctl", "daemon-reload")
		b.must("", "systemctl", "start", timer)
		b.Eventually(t, patience, func() error {
			if p := b.show(expiry, "ExecMainExitTimestampMonotonic", "Result", "ActiveState"); p["ExecMainExitTimestampMonotonic"] == "0" || p["ActiveState"] != "inactive" {
				return fmt.Errorf("it is %v", p)
			}
			return nil
		})
		if log := b.Journal("--unit=" + expiry); !strings.Contains(log, "1 marked as expired by") {
			t.Errorf("it says %s", log)
		}
		if m, err := b.client().Memory(t.Context(), project, stored.ID); err != nil || m.Status != memory.Expired {
			t.Errorf("it is %s, %v", m.Status, err)
		}
		b.holds(first)
	})

	t.Run("modes come and go", func(t *testing.T) { b.on(t).modes(first) })
	t.Run("what hangs is started again", func(t *testing.T) { b.on(t).watchdog(first) })

	t.Run("exposure", func(t *testing.T) {
		b := b.on(t)
		for _, unit := range []string{service, worker, expiry} {
			out := b.must("", "systemd-analyze", "security", "--no-pager", unit)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			t.Log(lines[len(lines)-1])
		}
	})
}

// people holds that members of the operators' group may use the socket and
// others may not, who still have the port.
func (b box) people() {
	b.must("", "usermod", "--append", "--groups", "dubnium", "operator")
	at := "unix://" + b.cfg.Memory.API.Socket
	b.must("operator", "ai-memory", "store", "--url", at, "--scope", string(project), "An operator stores this.")
	r := b.run("guest", "ai-memory", "store", "--url", at, "--scope", string(project), "A guest stores this.")
	if r.Code != int(exitcode.Inspection) || !strings.Contains(r.Stderr, "permission denied") {
		b.t.Errorf("a guest at the socket: %s", r)
	}
	if r := b.run("guest", "ai-memory", "doctor"); !strings.Contains(r.Stdout, "usermod -aG dubnium") {
		b.t.Errorf("the doctor does not tell a guest what to do: %s", r)
	}
	b.must("guest", "ai-memory", "store", "--url", "http://127.0.0.1:8090", "--scope", string(project), "A guest stores this over TCP.")
	// Without --url the port is what is left.
	b.must("guest", "ai-memory", "retrieve", "--scope", string(project), "--query", "guest")
}

// callers holds that an event tells who asked, by the kernel's word.
func (b box) callers() {
	ask := []string{"ai-memory", "retrieve", "--scope", string(project), "--query", "words", "--json"}
	by := func(user string, argv ...string) memory.Caller {
		b.t.Helper()
		got := decoded[memory.Retrieved](b, user, argv...)
		got.Event.Caller.PID = 0
		// The event that was stored says the same as the answer.
		read := decoded[memory.EventHits](b, "", "ai-memory", "events", "--scope", string(project), got.Event.ID.String(), "--json")
		read.Caller.PID = 0
		if diff := cmp.Diff(got.Event.Caller, read.Caller); diff != "" {
			b.t.Error(diff)
		}
		return got.Event.Caller
	}
	for _, c := range []struct {
		name string
		got  memory.Caller
		want memory.Caller
	}{
		{"an agent's unit", by("", append([]string{"systemd-run", "--quiet", "--pipe", "--wait", "--unit=agent", "--uid=operator"}, ask...)...), memory.Caller{Known: true, UID: 1001, GID: 37, Unit: "agent.service"}},
		{"root", by("", ask...), memory.Caller{Known: true, Unit: "dubnium-harness.service"}},
		{"TCP", by("guest", append(ask, "--url", "http://127.0.0.1:8090")...), memory.Caller{}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			b.t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// restart stores without a pause while the service is restarted: whoever
// connects meanwhile waits, and nothing that was there is lost.
func (b box) restart(first string) {
	before := b.pid(service)
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var stored []string
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// A client of its own: each request connects anew.
				got, err := b.client().Store(ctx, draft(fmt.Sprintf("Number %d of client %d, while it restarts.", i, w)))
				if err != nil {
					b.t.Errorf("client %d: %v", w, err)
					return
				}
				mu.Lock()
				stored = append(stored, got.ID.String())
				mu.Unlock()
			}
		})
	}
	for range 2 {
		b.must("", "systemctl", "restart", service)
	}
	close(stop)
	wg.Wait()
	if b.pid(service) == before {
		b.t.Error("it was not restarted")
	}
	b.holds(append(stored, first)...)
	b.t.Logf("%d memories were stored over two restarts, by 4 clients that connect for each", len(stored))
}

// modes holds that the service stays up through every change of mode, by the
// controller and by hand.
func (b box) modes(first string) {
	pid := b.pid(service)
	for _, change := range [][]string{
		{"systemctl", "isolate", "compute.target"},
		{"systemctl", "isolate", "desktop.target"},
		{"systemctl", "start", "headless-dm.service"},
		{"mode", "request", "compute"},
		{"mode", "request", "desktop"},
	} {
		b.must("", change...)
		b.is(service, "active")
		b.is(socket, "active")
		b.is(timer, "active")
		if now := b.pid(service); now != pid {
			b.t.Fatalf("%v: the service was process %d, and is %d", change, pid, now)
		}
		if change[0] == "systemctl" && change[1] == "start" {
			if _, err := b.WaitSession(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.holds(first)
}

// watchdog stops the process in its tracks: systemd notices and starts it
// again.
func (b box) watchdog(first string) {
	if err := b.WriteFile("/run/systemd/system/"+service+".d/soon.conf", "[Service]\nWatchdogSec=4s\n"); err != nil {
		b.t.Fatal(err)
	}
	b.must("", "systemctl", "daemon-reload")
	b.must("", "systemctl", "restart", service)
	b.settled()
	pid := b.pid(service)
	b.must("", "kill", "-STOP", fmt.Sprint(pid))
	b.Eventually(b.t, patience, func() error {
		if p := b.show(service, "ActiveState", "MainPID", "NRestarts"); p["ActiveState"] != "active" || p["MainPID"] == fmt.Sprint(pid) {
			return fmt.Errorf("it is %v", p)
		}
		return nil
	})
	if log := b.Journal("--unit=" + service); !strings.Contains(log, "Watchdog timeout") {
		b.t.Errorf("it was not the watchdog: %s", log)
	}
	b.holds(first)
	_ = unix.Unlink(b.Path("/run/systemd/system/" + service + ".d/soon.conf"))
	b.must("", "systemctl", "daemon-reload")
}
