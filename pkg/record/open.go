package record

import (
	"errors"
	"slices"
)

// Bounds of a look back for what is near the end of the history. Transitions
// exclude each other and their controllers close what they find open, so that
// the events of one lie side by side and nothing is open behind many that are
// closed.
const (
	near    = 64   // transitions that ended
	deepest = 4096 // events
)

// errFound ends a search.
var errFound = errors.New("found")

// Ended tells whether the history has the end of a transition, which is one of
// the last.
func (s Store) Ended(id string) (ended bool, err error) {
	err = s.lately(func(h Head) (bool, error) {
		if h.ID != id {
			return false, nil
		}
		ended = h.Type == TypeTransition
		return false, errFound
	})
	return ended, err
}

// Unfinished gives the intents of other boots than this one that have no end,
// oldest first. It reads back from the end of the history, over what was
// rotated away, until nothing older can be open.
func (s Store) Unfinished(bootID string) (open []Event, err error) {
	told := map[string]bool{}
	err = s.lately(func(h Head) (bool, error) {
		known := told[h.ID]
		told[h.ID] = true
		if known || h.Type == TypeTransition || h.BootID == bootID {
			return false, nil
		}
		ev, err := h.Event()
		open = append(open, ev)
		return true, err
	})
	slices.Reverse(open)
	return open, err
}

// lately reads the last events, newest first: fn tells which of them are open,
// and reading ends behind enough that are not.
func (s Store) lately(fn func(Head) (open bool, err error)) error {
	history, err := s.History()
	if err != nil {
		return err
	}
	defer history.Close()
	ended, events := 0, 0
	_, err = history.Back(func(h Head) error {
		open, err := fn(h)
		if err != nil {
			return err
		}
		switch {
		case open:
			ended = 0
		case h.Type == TypeTransition:
			ended++
		}
		if events++; ended > near || events >= deepest {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
