package record

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ryjen/dubnium/pkg/eventlog"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/observe"
)

// CanAppend tells whether the history can take the events of a transition.
func (s Store) CanAppend() error {
	return eventlog.Check(s.Root.Path(EventsFile))
}

// Append adds an event to the history and does not return before it is on the
// disk. One that is too long for a line leaves its evidence out: that it
// happened matters more.
func (s Store) Append(e Event) error {
	err := eventlog.Append(s.Root.Path(EventsFile), e)
	if errors.Is(err, eventlog.ErrTooLong) {
		err = eventlog.Append(s.Root.Path(EventsFile), e.brief())
	}
	return err
}

// brief is an event without the facts that its verdicts rest on.
func (e Event) brief() Event {
	e.Before, e.After = withoutSignals(e.Before), withoutSignals(e.After)
	guards := e.Guards[:0:0]
	for _, g := range e.Guards {
		g.Evidence = json.RawMessage("{}")
		guards = append(guards, g)
	}
	e.Guards = guards
	return e
}

func withoutSignals(o *observe.Observation) *observe.Observation {
	if o == nil {
		return nil
	}
	short := *o
	short.Signals = evidence.Evidence{}
	return &short
}

// Events reads the history, oldest first. Lines that are torn or foreign are
// counted, not lost: they stay in the file.
func (s Store) Events(fn func(Event) error) (bad int, err error) {
	history, err := s.History()
	if err != nil {
		return 0, err
	}
	defer history.Close()
	return eventlog.All(history.log, parseEvent, fn)
}

func parseEvent(line []byte) (Event, bool) {
	var ev Event
	return ev, json.Unmarshal(line, &ev) == nil && ev.ID != ""
}

// History is the history from where it ended when it was opened, with what of
// it was rotated away (see eventlog.Reader). It is read in bounded memory,
// however long it is.
type History struct{ log *eventlog.Reader }

// History opens the history, to be read back or followed.
func (s Store) History() (*History, error) {
	log, err := eventlog.Open(s.Root.Path(EventsFile))
	if err != nil {
		return nil, err
	}
	return &History{log}, nil
}

// Close gives the history back.
func (h *History) Close() error { return h.log.Close() }

// Back reads the history from its end, newest first.
func (h *History) Back(fn func(Head) error) (bad int, err error) {
	return eventlog.Back(h.log, parseHead, fn)
}

// All reads the history from its beginning, oldest first.
func (h *History) All(fn func(Head) error) (bad int, err error) {
	return eventlog.All(h.log, parseHead, fn)
}

// Follow reads the events that are appended from now on, until ctx ends. skip
// is told of each line that is none.
func (h *History) Follow(ctx context.Context, fn func(Head) error, skip func()) error {
	return h.log.Follow(ctx, func(line []byte) error {
		head, ok := parseHead(line)
		if !ok {
			skip()
			return nil
		}
		return fn(head)
	}, skip)
}
