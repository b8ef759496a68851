package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// broken names the property that a happening has broken; empty where all hold.
func broken(u universe, h happening, to universe) string {
	writers := 0
	for i, c := range to.controllers {
		if c.at != nowhere {
			writers++
		}
		// A controller's place and step only ever grow, and there are so many of them.
		if was := u.controllers[i]; h.own() && c.at != nowhere && int(c.at)*100+int(c.step) <= int(was.at)*100+int(was.step) {
			return "every run ends"
		}
	}
	if writers > 1 {
		return "one writer"
	}
	for i, c := range u.controllers {
		if c.at == atAppend && to.controllers[i].at == atDesired && c.outcome.Success() &&
			(c.saw != c.target.State() || c.lookAt != u.machine || u.machine.observed() != c.target.State()) {
			return "no success without a look that shows it"
		}
		if c.at != nowhere && to.last != u.last && to.last.there && to.last.id == c.id && to.last.outcome.Success() && to.desired != c.target {
			return "what is told as a success is desired"
		}
		if to.machine != u.machine && c.at != nowhere && h.what != reboots && !u.history[c.id].intent {
			return "nothing is touched before the history knows"
		}
		// In the budgets, a disk is full once: here there is room.
		if c.at == atIntent && h.what == goesOn && to.leftOpen() {
			return "what a boot could not close, the next request does"
		}
		if u.desired != to.desired && c.at != nowhere && h.what != reboots && (c.at != atDesired || to.desired != c.target || c.outcome == record.Blocked) {
			return "desired is changed by requests that came to be, and by the boot"
		}
	}
	for id, e := range to.history {
		alive := false
		for _, c := range to.controllers {
			alive = alive || c.at != nowhere && c.id == int8(id)
		}
		traced := to.marker.there && to.marker.id == int8(id) || to.last.there && to.last.id == int8(id) || e.boot < to.boot && (!to.up || to.unsealed)
		if e.ends > 1 || e.intent && e.ends == 0 && !alive && !traced {
			return "one record of each transition that was started"
		}
	}
	return ""
}

// explored is what there is to be seen.
type explored struct {
	states  []universe
	parents []int
	came    []happening
	edges   int
}

// explore visits every state that can be reached, breadth first; it ends early
// at the first that breaks a property.
func (r rules) explore(left budget) explored {
	first := universe{machine: contracts[mode.Desktop], desired: mode.Desktop, up: true, left: left}
	x := explored{states: []universe{first}, parents: []int{-1}, came: []happening{{}}}
	seen := map[universe]bool{first: true}
	for i := 0; i < len(x.states); i++ {
		for _, b := range r.next(x.states[i]) {
			x.edges++
			if seen[b.to] {
				continue
			}
			seen[b.to] = true
			x.states, x.parents, x.came = append(x.states, b.to), append(x.parents, i), append(x.came, b.happening)
			if b.to.broken != "" {
				return x
			}
		}
	}
	return x
}

// trace is the way to a state.
func (x explored) trace(i int) []happening {
	var out []happening
	for ; x.parents[i] >= 0; i = x.parents[i] {
		out = append([]happening{x.came[i]}, out...)
	}
	return out
}

func tell(trace []happening) string {
	var s []string
	for _, h := range trace {
		switch {
		case h.what == goesOn:
		case h.to != "":
			s = append(s, fmt.Sprintf("%s for %s", h.what, h.to))
		default:
			s = append(s, fmt.Sprintf("%s (at %d.%d)", h.what, h.at, h.step))
		}
	}
	return strings.Join(s, "; ")
}

// budgets are explored one after the other: each allows several things of a
// kind, or one of many.
var budgets = []budget{
	{requests: 3, kills: 2},
	{requests: 3, faults: 2},
	{requests: 2, kills: 1, faults: 1, full: 1, reboots: 1},
}

// TestModel visits every state of the model, and holds its properties in each:
// at most one writer; no success without a look that shows it; every run ends;
// desired is changed by requests that came to be and by the boot, and by nothing
// else; nothing is touched before the history knows of it; what is told as a
// success is desired; what a boot could not close, the next request does; and of all that was started the history has, or will have,
// one record.
func TestModel(t *testing.T) {
	for _, left := range budgets {
		x := rules{}.explore(left)
		last := len(x.states) - 1
		if what := x.states[last].broken; what != "" {
			t.Errorf("%+v: broken: %s: %s", left, what, tell(x.trace(last)))
		}
		t.Logf("%+v: %d states, %d ways between them", left, len(x.states), x.edges)
	}
}

// TestModelSeesErrors plants errors in the model: each breaks the property that
// it should.
func TestModelSeesErrors(t *testing.T) {
	for planted, want := range map[string]string{
		"no lock":                    "one writer",
		"believes its steps":         "no success without a look that shows it",
		"tries for ever":             "every run ends",
		"wants before it has":        "desired is changed by requests that came to be, and by the boot",
		"acts before it says so":     "nothing is touched before the history knows",
		"seals without looking":      "one record of each transition that was started",
		"forgets the marker early":   "one record of each transition that was started",
		"tells before it is done":    "what is told as a success is desired",
		"leaves it to the next boot": "what a boot could not close, the next request does",
		"does not catch up":          "one record of each transition that was started",
	} {
		t.Run(planted, func(t *testing.T) {
			got := ""
			for _, left := range budgets {
				x := rules{planted}.explore(left)
				if got = x.states[len(x.states)-1].broken; got != "" {
					t.Logf("%s: %s", got, tell(x.trace(len(x.states)-1)))
					break
				}
			}
			if got != want {
				t.Errorf("broken: %q, want %q", got, want)
			}
		})
	}
}
