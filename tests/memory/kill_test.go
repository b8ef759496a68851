package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
)

// storers store memories, some singly and some in batches, until they are
// told to end, whatever becomes of the service.
type storers struct {
	mu     sync.Mutex
	acked  []string // what the service said that it had stored
	failed atomic.Int64
	end    context.CancelFunc
	done   sync.WaitGroup
}

func (b box) storers(n int) *storers {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*patience)
	s := &storers{end: cancel}
	b.t.Cleanup(cancel)
	for w := range n {
		s.done.Go(func() {
			c := b.client()
			for i := 0; ctx.Err() == nil; i++ {
				var ids []string
				var err error
				text := fmt.Sprintf("Storer %d says %d.", w, i)
				if w%2 == 0 {
					var got memory.Stored
					if got, err = c.Store(ctx, draft(text)); err == nil {
						ids = []string{got.ID.String()}
					}
				} else {
					var got memory.StoredBatch
					if got, err = c.StoreBatch(ctx, []memory.Draft{draft(text), draft(text + " And on."), draft(text + " And so on.")}); err == nil {
						for _, one := range got.Results {
							ids = append(ids, one.ID.String())
						}
					}
				}
				if err != nil {
					s.failed.Add(1)
					time.Sleep(5 * time.Millisecond) // nothing was promised
					continue
				}
				s.mu.Lock()
				s.acked = append(s.acked, ids...)
				s.mu.Unlock()
			}
		})
	}
	return s
}

// count is how many memories were acknowledged so far.
func (s *storers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// stop ends them and gives what was acknowledged.
func (s *storers) stop() []string {
	s.end()
	s.done.Wait()
	return s.acked
}

// works waits until more memories are acknowledged.
func (b box) works(s *storers) {
	b.t.Helper()
	before := s.count()
	b.Eventually(b.t, patience, func() error {
		if now := s.count(); now < before+20 {
			return fmt.Errorf("%d memories were stored, then %d", before, now)
		}
		return nil
	})
}

// postmaster is the process of the private database.
func (b box) postmaster() string {
	b.t.Helper()
	for _, p := range b.children(service) {
		if f := strings.Fields(p); len(f) > 3 && strings.HasSuffix(f[2], "/postgres") && f[3] == "-D" {
			return f[1]
		}
	}
	b.t.Fatalf("no Postgres among %v", b.children(service))
	return ""
}

// backend is one of the processes that serve the service's connections.
func (b box) backend() string {
	b.t.Helper()
	for _, p := range b.children(service) {
		if f := strings.Fields(p); len(f) > 4 && f[2] == "postgres:" && f[4] == "dubnium_memory" {
			return f[1]
		}
	}
	b.t.Fatalf("no backend among %v", b.children(service))
	return ""
}

// TestKill kills what the service consists of while memories are stored. What
// was acknowledged is there afterwards, and all of it is embedded once.
func TestKill(t *testing.T) {
	b := boot(t, "\n[memory]\nenable = true\n", false)
	b.up(socket, service, timer) // from the boot on
	b.is(worker, "inactive")     // the service embeds by itself
	kills := []struct {
		name string
		kill func()
		// restarts tells that systemd has to start the service again.
		restarts bool
	}{
		{"the service", func() { b.must("", "systemctl", "kill", "--kill-whom=main", "--signal=KILL", service) }, true},
		{"the database", func() { b.must("", "kill", "-KILL", b.postmaster()) }, true},
		{"one of the database's processes", func() { b.must("", "kill", "-KILL", b.backend()) }, false},
		{"all of the unit", func() { b.must("", "systemctl", "kill", "--kill-whom=all", "--signal=KILL", service) }, true},
	}
	const rounds = 2
	s := b.storers(4)
	for round := range rounds {
		for _, k := range kills {
			pid := b.pid(service)
			b.works(s) // and then the moment is drawn
			time.Sleep(rand.N(50 * time.Millisecond))
			k.kill()
			at := s.count()
			if k.restarts {
				b.Eventually(t, patience, func() error {
					if p := b.show(service, "ActiveState", "MainPID"); p["ActiveState"] != "active" || p["MainPID"] == fmt.Sprint(pid) {
						return fmt.Errorf("after %s was killed, the service, which was process %d, is %v", k.name, pid, p)
					}
					return nil
				})
			}
			b.works(s)
			if now := b.pid(service); !k.restarts && now != pid {
				t.Errorf("%s was killed, and the service, which was process %d, is %d", k.name, pid, now)
			}
			// systemd gives up on what ends five times in ten seconds, rightly.
			b.must("", "systemctl", "reset-failed", service)
			t.Logf("round %d: %s was killed after %d memories", round, k.name, at)
		}
	}
	acked := s.stop()
	b.holds(acked...)
	embedded := b.settled()
	ids := b.ids()
	for model, n := range embedded {
		if n != int64(len(ids)) {
			t.Errorf("%s has %d vectors of %d memories", model, n, len(ids))
		}
	}
	t.Logf("%d kills, %d memories acknowledged, %d requests failed, %d memories stored, 0 lost", rounds*len(kills), len(acked), s.failed.Load(), len(ids))
}
