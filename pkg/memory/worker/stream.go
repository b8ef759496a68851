package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout bounds a call to Redis that does not wait for entries.
const redisTimeout = 2 * time.Second

// rowField is the field of an entry that holds the row's number.
const rowField = "row"

// Stream hands numbers of rows to whichever worker is free, over Redis
// Streams (or Valkey's). It holds nothing that the outbox does not: it may lose
// everything at any time.
//
// An entry is deleted in the same transaction as it is acknowledged, and never
// otherwise: the length of a stream is what is still to be done.
type Stream struct {
	client *redis.Client
	prefix string
	group  string
}

// NewStream gives the stream at a server, such as unix:///run/valkey/valkey.sock
// or redis://127.0.0.1:6379/0; see [redis.ParseURL]. The prefix begins the names
// of its keys; databases that share a server need one each. It does not connect.
func NewStream(url, prefix string) (*Stream, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		// The URL may hold a password.
		return nil, errors.New("the URL of Redis is none: give one such as unix:///run/valkey/valkey.sock or redis://127.0.0.1:6379/0")
	}
	if prefix == "" {
		return nil, errors.New("the prefix of the keys in Redis is empty")
	}
	quiet()
	options.DialTimeout = redisTimeout
	options.ReadTimeout = redisTimeout
	options.WriteTimeout = redisTimeout
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1 // the caller knows better what is worth trying again
	options.DialerRetries = 1
	options.ClientName = "dubnium"
	return &Stream{client: redis.NewClient(options), prefix: prefix, group: "embed"}, nil
}

// quiet keeps the client from writing to stderr what it returns as an error
// too.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Close ends its connections.
func (s *Stream) Close() error { return s.client.Close() }

// key names the stream of a model.
func (s *Stream) key(model int32) string {
	return fmt.Sprintf("%s:embed:%d", s.prefix, model)
}

// entry is one message.
type entry struct {
	id  string
	row int64
}

// ensure makes the stream and its group, and tells whether they were not
// there: then whatever had been handed over is gone.
func (s *Stream) ensure(ctx context.Context, model int32) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err = s.client.XGroupCreateMkStream(ctx, s.key(model), s.group, "0").Err()
	switch {
	case err == nil:
		return true, nil
	case redis.HasErrorPrefix(err, "BUSYGROUP"):
		return false, nil
	}
	return false, fmt.Errorf("make the group of %s in Redis: %w", s.key(model), err)
}

// add appends the rows.
func (s *Stream) add(ctx context.Context, model int32, rows []int64) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, row := range rows {
			// NOMKSTREAM: a stream without its group would be read by nobody.
			p.XAdd(ctx, &redis.XAddArgs{Stream: s.key(model), NoMkStream: true, Values: []any{rowField, row}})
		}
		return nil
	})
	if errors.Is(err, redis.Nil) { // what XADD NOMKSTREAM says of a stream that is gone
		err = errGone
	}
	if err != nil {
		return fmt.Errorf("add %d entries to %s in Redis: %w", len(rows), s.key(model), err)
	}
	return nil
}

// errGone is a stream, or its group, that somebody or a restart removed.
var errGone = errors.New("the stream is gone")

// length is how many entries are not acknowledged.
func (s *Stream) length(ctx context.Context, model int32) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	n, err := s.client.XLen(ctx, s.key(model)).Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis for the length of %s: %w", s.key(model), err)
	}
	return n, nil
}

// read waits up to block for entries that nobody was given.
func (s *Stream) read(ctx context.Context, model int32, consumer string, count int, block time.Duration) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, block+redisTimeout)
	defer cancel()
	streams, err := s.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: s.group, Consumer: consumer, Streams: []string{s.key(model), ">"}, Count: int64(count), Block: block,
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case redis.HasErrorPrefix(err, "NOGROUP"):
		err = errGone
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from Redis: %w", s.key(model), err)
	}
	var entries []entry
	for _, stream := range streams {
		entries = append(entries, parseEntries(stream.Messages)...)
	}
	return entries, nil
}

// reclaim takes over up to count entries that were given to a consumer at
// least idle ago and never acknowledged. The cursor is where to go on, "0-0"
// after the last.
func (s *Stream) reclaim(ctx context.Context, model int32, consumer string, idle time.Duration, cursor string, count int) ([]entry, string, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	messages, next, err := s.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: s.key(model), Group: s.group, Consumer: consumer, MinIdle: idle, Start: cursor, Count: int64(count),
	}).Result()
	if redis.HasErrorPrefix(err, "NOGROUP") {
		err = errGone
	}
	if err != nil {
		return nil, "", fmt.Errorf("take over entries of %s in Redis: %w", s.key(model), err)
	}
	return parseEntries(messages), next, nil
}

// finish acknowledges entries and deletes them.
func (s *Stream) finish(ctx context.Context, model int32, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, s.key(model), s.group, ids...)
		p.XDel(ctx, s.key(model), ids...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("acknowledge %d entries of %s in Redis: %w", len(ids), s.key(model), err)
	}
	return nil
}

// leave removes a consumer, unless entries are still in its name.
func (s *Stream) leave(ctx context.Context, model int32, consumer string) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	pending, err := s.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: s.key(model), Group: s.group, Start: "-", End: "+", Count: 1, Consumer: consumer,
	}).Result()
	if err == nil && len(pending) == 0 {
		err = s.client.XGroupDelConsumer(ctx, s.key(model), s.group, consumer).Err()
	}
	if err != nil {
		return fmt.Errorf("leave the group of %s in Redis: %w", s.key(model), err)
	}
	return nil
}

// sweep removes consumers that have no entries and were not seen for the
// time: workers that were killed.
func (s *Stream) sweep(ctx context.Context, model int32, unseen time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	consumers, err := s.client.XInfoConsumers(ctx, s.key(model), s.group).Result()
	if err != nil {
		return fmt.Errorf("list the consumers of %s in Redis: %w", s.key(model), err)
	}
	for _, c := range consumers {
		if c.Pending == 0 && c.Idle > unseen {
			if err := s.client.XGroupDelConsumer(ctx, s.key(model), s.group, c.Name).Err(); err != nil {
				return fmt.Errorf("remove the consumer %s of %s in Redis: %w", c.Name, s.key(model), err)
			}
		}
	}
	return nil
}

// parseEntries reads messages. One that names no row, which nobody of us
// wrote, has the row 0, which no outbox has.
func parseEntries(messages []redis.XMessage) []entry {
	entries := make([]entry, len(messages))
	for i, m := range messages {
		text, _ := m.Values[rowField].(string)
		row, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil || row < 0 {
			row = 0
		}
		entries[i] = entry{m.ID, row}
	}
	return entries
}
