package store_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/tests/postgres"
)

// BenchmarkAdd stores memories of sessions of 20, one and a hundred a call.
func BenchmarkAdd(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b)
			text := corpus(b, s, scope, 1000, 1)
			n, session := 0, uuid.New()
			b.ResetTimer()
			for range b.N {
				entries := make([]store.Entry, size)
				for i := range entries {
					if n++; n%20 == 0 {
						session = uuid.New()
					}
					entries[i] = entry(fmt.Sprint(text(), text(), text(), n), in(session))
				}
				add(b, s, entries...)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// byHand is what a person would write in psql for the same words: no row
// security, no filters but the scope's.
const byHand = `SELECT m.id, m.summary, tsvectorsend(m.tsv) FROM memories m
	WHERE m.scope_id = (SELECT id FROM scopes WHERE path = $1) AND m.status = 'live' AND m.sensitivity = 'internal'
	AND m.tsv @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM question_terms($2))
	ORDER BY ts_rank('{0.15, 0.2, 0.4, 1}', m.tsv, (SELECT string_agg(query::text, ' | ')::tsquery FROM question_terms($2))) DESC LIMIT 400`

// BenchmarkCandidates asks a small and a large scope, and the same by hand. The
// size of the large one is 10000, or DUBNIUM_BENCH_ROWS.
func BenchmarkCandidates(b *testing.B) {
	large := 10000
	if text := os.Getenv("DUBNIUM_BENCH_ROWS"); text != "" {
		var err error
		if large, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range []int{1000, large} {
		db := postgres.New(b)
		s := db.Open(b, store.Options{})
		question := corpus(b, s, scope, size, 1)
		if err := s.Upkeep(b.Context()); err != nil {
			b.Fatal(err)
		}
		conn, err := pgx.Connect(b.Context(), db.AdminDSN)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Exec(b.Context(), "ANALYZE"); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for range b.N {
				if _, err := s.Candidates(b.Context(), ask(question())); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(size, "/by-hand"), func(b *testing.B) {
			for range b.N {
				rows, err := conn.Query(b.Context(), byHand, string(scope), question())
				if err != nil {
					b.Fatal(err)
				}
				for rows.Next() {
				}
				if err := rows.Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := conn.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
