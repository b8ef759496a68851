package apid

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
)

// kept records what is asked to be removed; so many expired memories are there.
type kept struct {
	asked   []string
	expired int64
}

func (k *kept) note(what string, before time.Time) {
	k.asked = append(k.asked, fmt.Sprintf("%s before %s", what, before.Format(time.DateTime)))
}

func (k *kept) RemoveKeys(_ context.Context, before time.Time) (int64, error) {
	k.note("keys", before)
	return 0, nil
}

func (k *kept) RemoveExpired(_ context.Context, before time.Time, most int) (int64, error) {
	k.note("memories", before)
	n := min(int64(most), k.expired)
	k.expired -= n
	return n, nil
}

func (k *kept) RemoveEvents(_ context.Context, before time.Time, _ int) (int64, error) {
	k.note("events", before)
	return 0, nil
}

func TestRetain(t *testing.T) {
	now := time.Date(2026, 5, 28, 12, 0, 0, 0, time.UTC)
	const keys, memories, events = "keys before 2026-05-27 12:00:00", "memories before 2026-04-28 12:00:00", "events before 2026-02-27 12:00:00"
	for name, c := range map[string]struct {
		cfg     config.MemoryRetention
		expired int64
		want    []string
	}{
		"events for ever":       {config.MemoryRetention{}, 0, []string{keys, memories}},
		"events for 90 days":    {config.MemoryRetention{EventDays: 90}, 0, []string{keys, memories, events}},
		"more than one batch":   {config.MemoryRetention{}, retainBatch + 1, []string{keys, memories, memories}},
		"one batch and no more": {config.MemoryRetention{}, retainBatch, []string{keys, memories, memories}},
	} {
		t.Run(name, func(t *testing.T) {
			db := &kept{expired: c.expired}
			if err := retain(t.Context(), db, c.cfg, now); err != nil || db.expired != 0 {
				t.Fatal(db.expired, err)
			}
			if diff := cmp.Diff(c.want, db.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}
