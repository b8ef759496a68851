package record

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ryjen/dubnium/pkg/eventlog"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
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
	d := decoder[Event]{fn: fn}
	bad, err = eventlog.Read(s.Root.Path(EventsFile), d.line)
	return bad + d.bad, err
}

// Head is what a list of events needs of one; Line is all of it, as it was
// written, and valid only during the call that gives it.
type Head struct {
	Type       Type          `json:"type"`
	Timestamp  string        `json:"timestamp"`
	ID         string        `json:"id"`
	Requested  mode.Mode     `json:"requested"`
	Prior      mode.State    `json:"prior"`
	Final      mode.State    `json:"final"`
	Outcome    Outcome       `json:"outcome"`
	Success    bool          `json:"success"`
	ExitCode   exitcode.Code `json:"exit_code"`
	Reason     string        `json:"reason"`
	DurationMS float64       `json:"duration_ms"`

	Line []byte `json:"-"`
}

// Event decodes the whole event.
func (h Head) Event() (Event, error) {
	var ev Event
	err := json.Unmarshal(h.Line, &ev)
	return ev, err
}

// History is the history from where it ended when it was opened. It is read in
// memory for one event, however long it is.
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
	d := headDecoder{fn: fn}
	bad, err = h.log.Back(d.line)
	return bad + d.bad, err
}

// All reads the history from its beginning, oldest first.
func (h *History) All(fn func(Head) error) (bad int, err error) {
	d := headDecoder{fn: fn}
	bad, err = h.log.All(d.line)
	return bad + d.bad, err
}

// Follow reads the events that are appended from now on, until ctx ends. skip
// is told of each line that is none.
func (h *History) Follow(ctx context.Context, fn func(Head) error, skip func()) error {
	return h.log.Follow(ctx, func(line []byte) error {
		d := headDecoder{fn: fn}
		err := d.line(line)
		if d.bad > 0 {
			skip()
		}
		return err
	}, skip)
}

// headDecoder is a decoder that hands the line on.
type headDecoder struct {
	fn  func(Head) error
	bad int
}

func (d *headDecoder) line(line []byte) error {
	h := Head{}
	if json.Unmarshal(line, &h) != nil || h.ID == "" {
		d.bad++
		return nil
	}
	h.Line = line
	return d.fn(h)
}

// decoder makes events of lines, and counts what are none.
type decoder[T interface{ id() string }] struct {
	fn  func(T) error
	bad int
}

func (d *decoder[T]) line(line []byte) error {
	var e T
	if json.Unmarshal(line, &e) != nil || e.id() == "" {
		d.bad++
		return nil
	}
	return d.fn(e)
}

func (e Event) id() string { return e.ID }
