package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/service"
)

// BenchmarkService prints what the service takes over a real database in a
// scope of 500 memories: compare its rows with each other, on one machine.
func BenchmarkService(b *testing.B) {
	var stages service.Stages
	rounds := 0
	s := newService(b, func(o *service.Options) {
		o.Observe = func(st service.Stages) {
			stages.Candidates += st.Candidates
			stages.Rank += st.Rank
			stages.Record += st.Record
			rounds++
		}
	})
	drafts := make([]memory.Draft, 500)
	for i := range drafts {
		drafts[i] = draft(fmt.Sprintf("Turn %d: Caroline told Melanie about the disk of machine %d and its backups.", i, i*7%100))
	}
	if _, err := s.StoreBatch(b.Context(), memory.StoreBatch{Memories: drafts}, nil); err != nil {
		b.Fatal(err)
	}
	n := 0
	b.Run("retrieve", func(b *testing.B) {
		for b.Loop() {
			n++
			ask(b, s, fmt.Sprintf("what about the backups of machine %d?", n%100))
		}
		for name, took := range map[string]time.Duration{"candidates": stages.Candidates, "rank": stages.Rank, "record": stages.Record} {
			b.ReportMetric(float64(took.Microseconds())/float64(rounds), name+"-us/op")
		}
	})
	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			n++
			put(b, s, draft(fmt.Sprintf("Another thing, number %d, happened.", n), func(d *memory.Draft) { d.Scope = "project:other" }))
		}
	})
	b.Run("store-100", func(b *testing.B) {
		for b.Loop() {
			batch := make([]memory.Draft, 100)
			for i := range batch {
				n++
				batch[i] = draft(fmt.Sprintf("Another thing, number %d, happened.", n), func(d *memory.Draft) { d.Scope = "project:third" })
			}
			if _, err := s.StoreBatch(b.Context(), memory.StoreBatch{Memories: batch}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
