package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is what workers listen on.
const channel = "dubnium_outbox"

// wakeEvery bounds how often the others are told of new rows. A NOTIFY inside
// each write would be simpler, but Postgres lets only one transaction at a time
// commit with one, and concurrent writers would wait for each other's disk.
const wakeEvery = 20 * time.Millisecond

// wake tells the workers of other processes about rows that have been added.
// What a crash between the commit and the telling leaves untold is found by the
// next telling, or when a worker looks by itself.
type wake struct {
	added chan struct{} // holds one
	done  chan struct{}
	ended sync.WaitGroup

	config *pgx.ConnConfig
	// turn holds one while nobody uses conn, which listens and is nil until Await.
	turn chan struct{}
	conn *pgx.Conn
}

func newWake(config *pgx.ConnConfig) *wake {
	w := &wake{added: make(chan struct{}, 1), done: make(chan struct{}), config: config.Copy(), turn: make(chan struct{}, 1)}
	w.turn <- struct{}{}
	return w
}

// now notes that rows were added.
func (w *wake) now() {
	select {
	case w.added <- struct{}{}:
	default: // noted already
	}
}

// tell tells the others, until close.
func (w *wake) tell(notify func(context.Context) error) {
	w.ended.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		pause := time.NewTicker(wakeEvery)
		defer pause.Stop()
		for {
			select {
			case <-w.added:
				bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
				_ = notify(bounded) // the database is away; workers look by themselves
				cancel()
			case <-w.done:
				return
			}
			select {
			case <-pause.C:
			case <-w.done:
				return
			}
		}
	})
}

// close waits for the end of an Await under way, whose ctx has to end.
func (w *wake) close() {
	close(w.done)
	w.ended.Wait()
	<-w.turn
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = w.conn.Close(ctx) // it goes with us
	}
}

// Await returns when rows may have been added to the outbox since the last
// call, by any process, or when ctx ends. Of several calls at once, one is told.
func (s *Store) Await(ctx context.Context) error {
	w := s.wake
	select {
	case <-w.turn:
		defer func() { w.turn <- struct{}{} }()
	case <-ctx.Done():
		return failed(ctx.Err(), "wait for jobs")
	}
	if w.conn == nil || w.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, w.config)
		if err != nil {
			return failed(err, "wait for jobs")
		}
		if _, err := conn.Exec(ctx, query("Listen")); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // the first error says more
			return failed(err, "wait for jobs")
		}
		w.conn = conn
		return nil // what was added before we listened
	}
	_, err := w.conn.WaitForNotification(ctx)
	return failed(err, "wait for jobs")
}

// notify tells all listeners that rows were added.
func (s *Store) notify(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, query("Notify"), channel)
	return err
}
