package record

import (
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/eventlog"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Tally counts what the history tells, over its rotations. It is kept beside
// the history with the place up to which it has counted, so that the next look
// reads only what is new.
type Tally struct {
	SchemaVersion int               `json:"schema_version"`
	Counted       eventlog.Position `json:"counted"`
	Transitions   []TransitionCount `json:"transitions"`
	Guards        []GuardCount      `json:"guards"`
}

// TransitionCount is how often a way was taken to an outcome, and for how long
// together.
type TransitionCount struct {
	From       mode.State `json:"from"`
	To         mode.Mode  `json:"to"`
	Outcome    Outcome    `json:"outcome"`
	Count      int64      `json:"count"`
	DurationMS float64    `json:"duration_ms"`
}

// GuardCount is how often a guard did not pass in a transition.
type GuardCount struct {
	Guard  string `json:"guard"`
	Blocks int64  `json:"blocks"`
	Errors int64  `json:"errors"`
}

// Sums reads what is counted of the history, oldest first.
func (s Store) Sums(fn func(Sum) error) (bad int, err error) {
	history, err := s.History()
	if err != nil {
		return 0, err
	}
	defer history.Close()
	return eventlog.All(history.log, parseSum, fn)
}

// NewestSums reads what is counted of the newest n bytes of the history, and
// tells how many bytes before them it leaves out.
func (s Store) NewestSums(n int64, fn func(Sum) error) (bad int, left int64, err error) {
	history, err := s.History()
	if err != nil {
		return 0, 0, err
	}
	defer history.Close()
	if left, err = history.log.Newest(n); err != nil {
		return 0, 0, err
	}
	bad, err = eventlog.All(history.log, parseSum, fn)
	return bad, left, err
}

// Tally counts up to the end of the history. A tally that can't be read is
// made anew from what history there is.
func (s Store) Tally() (Tally, error) {
	t, found, err := read[Tally](s, tallyFile)
	if !found || err != nil {
		t = Tally{SchemaVersion: SchemaVersion, Transitions: []TransitionCount{}, Guards: []GuardCount{}}
	}
	to, _, err := eventlog.Since(s.Root.Path(EventsFile), t.Counted, parseSum, func(e Sum) error { t.add(e); return nil })
	t.Counted = to
	return t, err
}

// SetTally keeps a tally for the next look.
func (s Store) SetTally(t Tally) error { return s.writeJSON(tallyFile, t) }

func (t *Tally) add(e Sum) {
	if e.Type != TypeTransition {
		return
	}
	key := TransitionCount{From: e.Prior, To: e.Requested, Outcome: e.Outcome}
	compare := func(a, b TransitionCount) int {
		return strings.Compare(string(a.From)+" "+string(a.To)+" "+string(a.Outcome), string(b.From)+" "+string(b.To)+" "+string(b.Outcome))
	}
	i, found := slices.BinarySearchFunc(t.Transitions, key, compare)
	if !found {
		t.Transitions = slices.Insert(t.Transitions, i, key)
	}
	t.Transitions[i].Count++
	t.Transitions[i].DurationMS += e.DurationMS
	for _, g := range e.Guards {
		if g.OK {
			continue
		}
		i, found := slices.BinarySearchFunc(t.Guards, g.Guard, func(c GuardCount, name string) int { return strings.Compare(c.Guard, name) })
		if !found {
			t.Guards = slices.Insert(t.Guards, i, GuardCount{Guard: g.Guard})
		}
		if g.Class == guard.Block {
			t.Guards[i].Blocks++
		} else {
			t.Guards[i].Errors++
		}
	}
}
