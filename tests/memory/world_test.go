// Package memory_test holds what the units of the memory service promise, on a
// booted machine with a real systemd, Postgres and Valkey.
package memory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

const (
	service  = "dubnium-memory-api.service"
	socket   = "dubnium-memory-api.socket"
	worker   = "dubnium-embed-worker.service"
	expiry   = "dubnium-memory-expire.service"
	timer    = "dubnium-memory-expire.timer"
	database = "dubnium-memory-database.service"

	// patience bounds every wait.
	patience = 60 * time.Second

	project = memory.Scope("project:machine")
)

// box is a machine with the memory service installed on it, and not started.
type box struct {
	*machine.Machine
	t   *testing.T
	cfg config.Config
}

// boot boots a machine with a configuration added to that of package loop. Its
// units are what make stage laid out and the generator made of it.
func boot(t *testing.T, more string, desktop bool) box {
	t.Helper()
	const file = "/etc/dubnium/dubnium.toml"
	text := loop.Config + more
	cfg, err := config.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	opts := loop.Options(machine.File{Path: file, Content: text})
	opts.NoDesktop = !desktop
	b := box{machine.Start(t, opts), t, cfg}
	if desktop {
		if _, err := b.WaitSession(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// on gives the box for a subtest.
func (b box) on(t *testing.T) box {
	b.t = t
	return b
}

// run runs a command within the test's patience, as a user ("" is root).
func (b box) run(user string, argv ...string) machine.Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	return b.Exec(ctx, machine.Command{Args: argv, User: user})
}

// must is run for a command that has to succeed.
func (b box) must(user string, argv ...string) string {
	b.t.Helper()
	r := b.run(user, argv...)
	if r.Code != 0 {
		b.t.Fatalf("%s\n%s", r, b.Journal("--lines=40", "--unit=dubnium-*"))
	}
	return r.Stdout
}

// decoded is must for a command that prints JSON.
func decoded[T any](b box, user string, argv ...string) (out T) {
	b.t.Helper()
	text := b.must(user, argv...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.t.Fatalf("%v: %v in %s", argv, err, text)
	}
	return out
}

// show gives properties of a unit.
func (b box) show(unit string, properties ...string) map[string]string {
	b.t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(b.MustRun(b.t, "systemctl", "show", unit, "--property="+strings.Join(properties, ","))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[key] = value
	}
	return got
}

func (b box) state(unit string) string {
	b.t.Helper()
	return b.show(unit, "ActiveState")["ActiveState"]
}

// is fails the test unless a unit has that state.
func (b box) is(unit, want string) {
	b.t.Helper()
	if got := b.state(unit); got != want {
		b.t.Fatalf("%s is %s, not %s:\n%s", unit, got, want, b.Journal("--lines=30", "--unit="+unit))
	}
}

// up waits until units are active.
func (b box) up(units ...string) {
	b.t.Helper()
	b.Eventually(b.t, patience, func() error {
		for _, unit := range units {
			if got := b.state(unit); got != "active" {
				return fmt.Errorf("%s is %s", unit, got)
			}
		}
		return nil
	})
}

// pid is that of a unit's main process, as the machine counts.
func (b box) pid(unit string) int {
	b.t.Helper()
	n, err := strconv.Atoi(b.show(unit, "MainPID")["MainPID"])
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// client asks the service through its socket, as root of the host.
func (b box) client() *client.Client { return client.Unix(b.Path(b.cfg.Memory.API.Socket)) }

// draft is a memory with a text.
func draft(text string) memory.Draft {
	return memory.Draft{MemoryType: memory.Episodic, Summary: text, Scope: project, Source: "test"}
}

// store stores a memory and gives its id.
func (b box) store(text string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	got, err := b.client().Store(ctx, draft(text))
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.Journal("--lines=40", "--unit=dubnium-*"))
	}
	return got.ID.String()
}

// ids are those of all memories of the scope, in order.
func (b box) ids() (ids []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	c := b.client()
	for l := (client.List{Scope: project, Limit: 200}); ; {
		page, err := c.Memories(ctx, l)
		if err != nil {
			b.t.Fatalf("%v\n%s", err, b.Journal("--lines=40", "--unit=dubnium-*"))
		}
		for _, m := range page.Items {
			ids = append(ids, m.ID.String())
		}
		if l.Cursor = page.Next; l.Cursor == "" {
			return ids
		}
	}
}

// holds fails the test unless all of these memories are there.
func (b box) holds(want ...string) {
	b.t.Helper()
	got := b.ids()
	var lost []string
	for _, id := range want {
		if !slices.Contains(got, id) {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		b.t.Fatalf("%d of %d memories are lost: %v", len(lost), len(want), lost)
	}
}

// settled waits until everything is embedded, and gives how many are, by model.
func (b box) settled() map[string]int64 {
	b.t.Helper()
	var q memory.Queue
	b.Eventually(b.t, patience, func() error {
		ctx, cancel := context.WithTimeout(b.t.Context(), patience)
		defer cancel()
		var err error
		if q, err = b.client().Queue(ctx); err != nil {
			return err
		}
		if q.Pending+q.Streamed+q.Dead > 0 {
			return fmt.Errorf("the queue is %+v", q)
		}
		return nil
	})
	embedded := map[string]int64{}
	for _, m := range q.Models {
		embedded[m.Name] = m.Embedded
	}
	return embedded
}

// children are the processes of a unit with their users, one a line.
func (b box) children(unit string) []string {
	b.t.Helper()
	group := b.show(unit, "ControlGroup")["ControlGroup"]
	out := b.MustRun(b.t, "bash", "-c", `ps -o user:20=,pid=,args= -p "$(paste -sd, "$1")"`, "ps", filepath.Join("/sys/fs/cgroup", group, "cgroup.procs"))
	return strings.Split(strings.TrimSpace(out), "\n")
}
