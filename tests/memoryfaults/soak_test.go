package memoryfaults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
)

// TestKilledAtRandom stores memories in two processes and embeds them in three,
// and kills one of them, Redis or Postgres at random moments. All that the
// storing processes were told is stored must be there, with its vector.
func TestKilledAtRandom(t *testing.T) {
	w := newWorld(t)
	m := w.register(outbox.Active)
	w.provider = embeddings.Start(t, "127.0.0.1:0", dimensions)
	w.provider.Does(embeddings.Behaviour{EachRequest: 2 * time.Millisecond})

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	counted := map[string]int{}
	promised := map[string]bool{}
	collect := func(p *process) {
		for {
			select {
			case line, ok := <-p.lines:
				if !ok {
					return
				}
				promised[line] = true
			default:
				return
			}
		}
	}
	born := 0
	storer := func() *process {
		born++
		r := w.role(fmt.Sprintf("storer-%d", born))
		r.Store = true
		return start(t, r, nil)
	}
	embedder := func() *process {
		born++
		return start(t, w.role(fmt.Sprintf("worker-%d", born)), nil)
	}
	storers := []*process{storer(), storer()}
	workers := []*process{embedder(), embedder(), embedder()}

	began := time.Now()
	for time.Since(began) < 12*time.Second {
		// Whoever is killed shall have been at work: let some memories pass.
		had := w.ask("SELECT count(*) FROM memories")
		pause := had + random.Int64N(30)
		for deadline := time.Now().Add(patience); w.ask("SELECT count(*) FROM memories") < pause; {
			if time.Now().After(deadline) {
				t.Fatal("nothing is stored any more")
			}
			time.Sleep(time.Millisecond)
		}
		switch victim := random.IntN(8); victim {
		case 0:
			counted["postgres"]++
			w.killPostgres()
		case 1, 2:
			counted["redis"]++
			w.redis.Kill()
			w.redis.Restart()
		case 3, 4:
			counted["storer"]++
			i := random.IntN(len(storers))
			storers[i].kill()
			collect(storers[i])
			storers[i] = storer()
		default:
			counted["worker"]++
			i := random.IntN(len(workers))
			workers[i].kill()
			workers[i] = embedder()
		}
	}
	for _, p := range storers {
		p.stop(t)
		collect(p)
	}
	w.settled()
	memories := w.ask("SELECT count(*) FROM memories")
	again := w.verify(m, memories)
	missing := 0
	for id := range promised {
		missing += int(1 - w.ask("SELECT count(*) FROM memories WHERE id = '"+id+"'"))
	}
	if missing > 0 || len(promised) == 0 {
		t.Errorf("of %d memories that were stored, %d are gone", len(promised), missing)
	}
	for _, p := range workers {
		p.stop(t)
	}
	t.Logf("killed %v; %d memories: none lost, each with one vector; %d were sent to the provider twice (%.1f%%)",
		counted, memories, again, 100*float64(again)/float64(memories))
}

// TestKilledWhileStoring kills a process that stores, at random moments: what
// it was told is stored, is there, and whatever is there has its row.
func TestKilledWhileStoring(t *testing.T) {
	w := newWorld(t)
	w.register(outbox.Active)
	w.provider = embeddings.Start(t, "127.0.0.1:0", dimensions)
	told := 0
	for i := range 6 {
		r := w.role(fmt.Sprintf("storer-%d", i))
		r.Store = true
		p := start(t, r, nil)
		for range 5 + rand.IntN(50) {
			if _, ok := <-p.lines; ok {
				told++
			}
		}
		p.kill()
		for range p.lines {
			told++
		}
	}
	memories, rows := w.ask("SELECT count(*) FROM memories"), w.ask("SELECT count(*) FROM outbox o JOIN memories m ON m.id = o.memory_id")
	if memories < int64(told) || rows != memories {
		t.Errorf("%d memories were promised, %d are there, %d have a row in the outbox", told, memories, rows)
	}
	t.Logf("6 processes killed: %d memories promised, %d there (the others were stored while their process died), %d rows", told, memories, rows)
}
