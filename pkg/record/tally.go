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

// Sum is the part of an event that is counted: most of a line is evidence,
// which need not be kept.
type Sum struct {
	ID         string     `json:"id"`
	Type       Type       `json:"type"`
	Timestamp  string     `json:"timestamp"`
	Requested  mode.Mode  `json:"requested"`
	Prior      mode.State `json:"prior"`
	Outcome    Outcome    `json:"outcome"`
	DurationMS float64    `json:"duration_ms"`
	Guards     []SumGuard `json:"guards"`
	Actions    []Action   `json:"actions"`
}

// SumGuard is a guard's answer without its message and evidence.
type SumGuard struct {
	Guard  string      `json:"guard"`
	OK     bool        `json:"ok"`
	Class  guard.Class `json:"class"`
	Hard   bool        `json:"hard"`
	Reason string      `json:"reason"`
}

func (s Sum) id() string { return s.ID }

// Sums reads what is counted of the history, oldest first.
func (s Store) Sums(fn func(Sum) error) (bad int, err error) {
	d := decoder[Sum]{fn: fn}
	bad, err = eventlog.Read(s.Root.Path(EventsFile), d.line)
	return bad + d.bad, err
}

// Tally counts up to the end of the history. A tally that can't be read is
// made anew from what history there is.
func (s Store) Tally() (Tally, error) {
	t, found, err := read[Tally](s, tallyFile)
	if !found || err != nil {
		t = Tally{SchemaVersion: SchemaVersion, Transitions: []TransitionCount{}, Guards: []GuardCount{}}
	}
	d := decoder[Sum]{fn: func(e Sum) error { t.add(e); return nil }}
	to, _, err := eventlog.ReadSince(s.Root.Path(EventsFile), t.Counted, d.line)
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
