package memoryfaults

import (
	"testing"

	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/tests/fakes/embeddings"
)

// TestKilledAtEachStep kills the worker, Redis and Postgres while the worker
// stands at each of its steps, and has what is left to finish the work.
func TestKilledAtEachStep(t *testing.T) {
	w := newWorld(t)
	m := w.register(outbox.Active)
	const each = 20
	stored := 0
	for _, step := range []string{
		"hand.after",                  // marked as handed over, not in the stream
		"claim.before", "claim.after", // in the stream and given to the worker; claimed
		"embed.before", "embed.after", // sent to the provider; the vectors are here
		"complete.before", "complete.after", // written, the entry not acknowledged
	} {
		for _, victim := range []string{"worker", "redis", "postgres"} {
			if !t.Run(step+" "+victim, func(t *testing.T) {
				w.t = t
				w.provider = embeddings.Start(t, "127.0.0.1:0", dimensions)
				r := w.role("first")
				r.Pause = step
				p := start(t, r, nil)
				p.expect("running")
				w.add(step+victim, 0, each)
				stored += each
				p.expect("at " + step)
				switch victim {
				case "worker":
					p.kill()
					p = start(t, w.role("second"), nil)
				case "redis":
					w.redis.Kill()
					w.redis.Restart()
					p.proceed()
				case "postgres":
					w.killPostgres()
					p.proceed()
				}
				w.settled()
				again := w.verify(m, int64(stored))
				t.Logf("%d memories: all have one vector, %d were sent to the provider twice", each, again)
				p.stop(t)
			}) {
				return
			}
		}
	}
}
