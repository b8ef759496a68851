package memory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// external is a machine whose Postgres and Valkey are the distribution's own.
const external = `
[memory.database]
dsn = "postgresql:///dubnium_memory?host=/run/postgresql"
unit = "postgresql.service"

[memory.redis]
url = "redis://127.0.0.1:6379/0"
unit = "valkey-server.service"
`

// stream is the key of the stream of the first model.
const stream = "dubnium:embed:1"

// TestExternal runs the service and its worker over the distribution's units.
func TestExternal(t *testing.T) {
	b := boot(t, external, false)
	for _, unit := range []string{"postgresql.service", "valkey-server.service"} {
		b.is(unit, "inactive")
	}

	t.Run("starting it starts what it needs, in order", func(t *testing.T) {
		b := b.on(t)
		b.must("", "systemctl", "start", service, worker)
		for _, unit := range []string{"postgresql@17-main.service", "valkey-server.service", database, service, worker} {
			b.is(unit, "active")
		}
		for _, p := range b.children(service) {
			if strings.Contains(p, "postgres") {
				t.Errorf("it runs a Postgres of its own: %s", p)
			}
		}
		// Again, it finds everything there. What needs it is restarted with it.
		b.must("", "systemctl", "restart", database)
		b.up(database, service, worker)
		if doctor := b.must("", "ai-memory", "doctor"); strings.Contains(doctor, "wrong") {
			t.Error(doctor)
		}
	})

	// stored makes n memories.
	stored := func(t *testing.T, b box, what string, n int) {
		t.Helper()
		for i := range n {
			b.store(fmt.Sprintf("%s, number %d.", what, i))
		}
	}
	// embedded fails the test unless all memories are, once each.
	embedded := func(t *testing.T, b box) {
		t.Helper()
		got, all := b.settled(), len(b.ids())
		for model, n := range got {
			if n != int64(all) {
				t.Errorf("%s has %d vectors of %d memories", model, n, all)
			}
		}
		if len(got) != 1 {
			t.Errorf("models: %v", got)
		}
	}
	// added is how many entries the stream ever had.
	added := func(t *testing.T, b box) string {
		t.Helper()
		lines := strings.Split(b.must("", "valkey-cli", "--raw", "XINFO", "STREAM", stream), "\n")
		for i, line := range lines {
			if line == "entries-added" && i+1 < len(lines) {
				return lines[i+1]
			}
		}
		t.Fatalf("the stream does not say how many entries it had: %v", lines)
		return ""
	}

	t.Run("the worker embeds what comes through the stream", func(t *testing.T) {
		b := b.on(t)
		stored(t, b, "Through the stream", 30)
		embedded(t, b)
		if got := added(t, b); got == "0" || got == "" {
			t.Errorf("the stream had %q entries", got)
		} else {
			t.Logf("30 memories: %s entries of the stream", got)
		}
	})

	t.Run("without Valkey the work goes on", func(t *testing.T) {
		b := b.on(t)
		b.must("", "systemctl", "mask", "--runtime", "valkey-server.service") // else systemd starts it again
		b.must("", "systemctl", "kill", "--signal=KILL", "valkey-server.service")
		stored(t, b, "While the queue is away", 20)
		b.is(service, "active")
		b.is(worker, "active")
		embedded(t, b)
		b.must("", "systemctl", "unmask", "--runtime", "valkey-server.service")
		b.must("", "systemctl", "start", "valkey-server.service")
		stored(t, b, "When the queue is back", 20)
		embedded(t, b)
		// An administrator stops it.
		api := b.pid(service)
		b.must("", "systemctl", "stop", "valkey-server.service")
		stored(t, b, "While the queue is stopped", 5)
		embedded(t, b)
		if now := b.pid(service); now != api {
			t.Errorf("the service was process %d, is %d", api, now)
		}
		b.is(worker, "active")
		b.must("", "systemctl", "start", "valkey-server.service")
	})

	t.Run("a restart of the database restarts what needs it", func(t *testing.T) {
		b := b.on(t)
		before := b.ids()
		b.must("", "systemctl", "restart", "postgresql.service")
		b.up(database, service, worker)
		b.holds(before...)
	})

	t.Run("a database that is killed comes back", func(t *testing.T) {
		b := b.on(t)
		s := b.storers(2)
		b.Eventually(t, patience, func() error {
			if s.count() < 20 {
				return fmt.Errorf("%d stored", s.count())
			}
			return nil
		})
		api := b.pid(service)
		b.must("", "systemctl", "kill", "--kill-whom=all", "--signal=KILL", "postgresql@17-main.service")
		b.Eventually(t, patience, func() error {
			if got := b.state("postgresql@17-main.service"); got != "failed" { // Debian leaves it to a person
				return fmt.Errorf("the database is %s", got)
			}
			return nil
		})
		b.must("", "systemctl", "start", "postgresql@17-main.service")
		at := s.count()
		b.Eventually(t, patience, func() error {
			if s.count() <= at+4 {
				return fmt.Errorf("%d stored, then %d", at, s.count())
			}
			return nil
		})
		b.holds(s.stop()...)
		embedded(t, b)
		if now := b.pid(service); now != api {
			t.Errorf("the service was process %d, is %d", api, now)
		}
	})

	t.Run("it stops cleanly", func(t *testing.T) {
		b := b.on(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		start := time.Now()
		if r := b.Run(ctx, "systemctl", "stop", worker, service); r.Code != 0 {
			t.Fatal(r)
		}
		for _, unit := range []string{worker, service} {
			want := map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
			if diff := cmp.Diff(want, b.show(unit, "ActiveState", "Result", "ExecMainStatus")); diff != "" {
				t.Errorf("%s: %s", unit, diff)
			}
		}
		t.Logf("both stopped in %.1f s", time.Since(start).Seconds())
	})
}
