package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// embedWithin bounds how long the memories may take to be embedded.
const embedWithin = 20 * time.Second

// remember shows the memory service: a memory is stored, embedded, found, and
// what was found is on record and can be asked again.
func (w walker) remember() error {
	const scope = "project:dubnium"
	store := func(text string) []string { return []string{"ai-memory", "store", "--scope", scope, text} }
	err := w.show(
		step{"The agents' memory: one command, and it is there, with a Postgres of its own", 0, words("systemctl start dubnium-memory-api")},
		step{"Store: secrets stay out, the same again is the same one", 0, store("Desktop is the mode that a boot begins with.")},
		step{"", 0, store("The studio's overlay lies over the desktop; the token is sk-live-0123456789abcdef0123456789abcdef.")},
		step{"", 0, store("Going to compute ends every graphical session first.")},
		step{"", 0, store("Desktop is the mode that a boot begins with.")},
	)
	if err != nil {
		return err
	}
	if err := w.embedded(); err != nil {
		return err
	}
	err = w.show(
		step{"Embed: done beside, by word vectors that are part of the program", 0, words("ai-memory queue")},
		step{"Retrieve: candidates with their evidence, never a prompt", 0, []string{
			"ai-memory", "retrieve", "--scope", scope, "--query", "Which mode is on after a boot?", "--limit", "2", "--purpose", "ask", "--explain",
		}},
		step{"Another scope sees nothing of it", 0, []string{"ai-memory", "retrieve", "--scope", "project:other", "--query", "boot"}},
		step{"Event: what was returned, to whom", 0, []string{"ai-memory", "events", "--scope", scope}},
	)
	if err != nil {
		return err
	}
	event, err := w.event(scope)
	if err != nil {
		return err
	}
	return w.show(step{"Replay: the same question, the same filters, the same answer", 0, []string{"ai-memory", "replay", "--scope", scope, event}})
}

// embedded waits until nothing waits to be embedded.
func (w walker) embedded() error {
	ctx, cancel := context.WithTimeout(w.ctx, embedWithin)
	defer cancel()
	for {
		var queue struct {
			Pending  int64
			Streamed int64
			Models   []struct{ Missing int64 }
		}
		if err := w.ask(ctx, &queue, "ai-memory", "queue", "--json"); err != nil {
			return err
		}
		if queue.Pending+queue.Streamed == 0 && len(queue.Models) == 1 && queue.Models[0].Missing == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s, this still waits to be embedded: %+v", embedWithin, queue)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// event is the id of the newest retrieval in a scope.
func (w walker) event(scope string) (string, error) {
	var page struct{ Items []struct{ ID string } }
	if err := w.ask(w.ctx, &page, "ai-memory", "events", "--scope", scope, "--json"); err != nil {
		return "", err
	}
	if len(page.Items) == 0 {
		return "", errors.New("the retrieval left no event")
	}
	return page.Items[0].ID, nil
}

// ask runs a command that prints JSON.
func (w walker) ask(ctx context.Context, out any, argv ...string) error {
	r := w.m.Run(ctx, argv...)
	if r.Code != 0 {
		return errors.New(r.String())
	}
	if err := json.Unmarshal([]byte(r.Stdout), out); err != nil {
		return fmt.Errorf("read what %s printed: %w", typed(argv), err)
	}
	return nil
}
