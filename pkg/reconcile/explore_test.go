package reconcile

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// happening is one thing that happens in a trace.
type happening struct {
	what string // one of the words below
	at   place  // of the controller that it happens to, or that does it
	step int8
	to   mode.Mode // of a request
}

// What can happen. A controller that goes on does what is next, and all is
// well; every other word takes from the budget.
const (
	goesOn   = "goes on"
	requests = "request"
	refused  = "request, refused"
	blocks   = "a guard blocks"
	fails    = "a step fails"
	lies     = "a step claims to have worked"
	isFull   = "the disk is full"
	isKilled = "killed"
	reboots  = "reboot"
	boots    = "boot"
)

// own tells whether it is what a controller does.
func (h happening) own() bool {
	return slices.Contains([]string{goesOn, blocks, fails, lies, isFull}, h.what) && h.at != nowhere
}

// branch is a way on.
type branch struct {
	happening
	to universe
}

// rules are the model's moves. An error that is planted in it has its name here.
type rules struct{ planted string }

// next gives every way on, with what each has broken.
func (r rules) next(u universe) []branch {
	if u.broken != "" {
		return nil
	}
	var out []branch
	add := func(h happening, to universe) {
		if to.broken == "" {
			to.broken = broken(u, h, to)
		}
		out = append(out, branch{h, to})
	}
	if !u.up {
		to := u
		to.up, to.machine, to.desired = true, contracts[mode.Desktop], mode.Desktop
		full := to
		to.closeFormer()
		add(happening{what: boots}, to)
		if full.history != to.history && u.left.full > 0 {
			full.left.full--
			full.unsealed = true
			add(happening{what: isFull}, full)
		}
		return out
	}
	if u.left.requests > 0 && u.runs < maxRuns {
		for _, to := range mode.All() {
			r.request(u, to, add)
		}
	}
	for i, c := range u.controllers {
		if c.at == nowhere {
			continue
		}
		r.goOn(u, i, add)
		if u.left.kills > 0 {
			to := u
			to.left.kills--
			to.end(i)
			add(happening{what: isKilled, at: c.at, step: c.step}, to)
		}
	}
	if u.left.reboots > 0 && u.runs > 0 {
		to := u
		to.left.reboots--
		at, step := nowhere, int8(0)
		for i, c := range u.controllers {
			if c.at != nowhere {
				at, step = c.at, c.step
				to.end(i)
			}
		}
		to.marker, to.last, to.desired, to.machine, to.up = mark{}, mark{}, "", noFacts, false
		to.boot++
		add(happening{what: reboots, at: at, step: step}, to)
	}
	return out
}

// closeFormer closes what other boots left open.
func (u *universe) closeFormer() {
	for i := range u.history {
		if u.open(i) {
			u.history[i].ends, u.history[i].outcome = 1, record.Interrupted
		}
	}
	u.unsealed = false
}

// open tells whether the history has a transition of another boot without its
// end.
func (u universe) open(i int) bool {
	e := u.history[i]
	return e.intent && e.ends == 0 && e.boot < u.boot
}

// leftOpen tells whether there is one.
func (u universe) leftOpen() bool {
	for i := range u.history {
		if u.open(i) {
			return true
		}
	}
	return false
}

// end takes a controller away, and its lock with it.
func (u *universe) end(i int) {
	if u.lock == int8(i+1) {
		u.lock = 0
	}
	u.controllers[i] = controller{}
}

func (r rules) request(u universe, m mode.Mode, add func(happening, universe)) {
	to := u
	to.left.requests--
	if u.lock != 0 && r.planted != "no lock" {
		at, step := nowhere, int8(0)
		for _, c := range u.controllers {
			if c.at != nowhere {
				at, step = c.at, c.step
			}
		}
		add(happening{refused, at, step, m}, to)
		return
	}
	for i, c := range u.controllers {
		if c.at == nowhere {
			to.controllers[i] = controller{at: atSeal, target: m, id: u.runs}
			to.lock = int8(i + 1)
			to.runs++
			add(happening{what: requests, to: m}, to)
			return
		}
	}
}

// goOn gives what a controller does next, and what can go wrong with that.
func (r rules) goOn(u universe, i int, add func(happening, universe)) {
	c := u.controllers[i]
	h := happening{what: goesOn, at: c.at, step: c.step}
	to := u
	me := &to.controllers[i]
	full := func(then func(*universe)) {
		if u.left.full > 0 {
			x := u
			x.left.full--
			then(&x)
			add(happening{isFull, c.at, c.step, ""}, x)
		}
	}
	switch c.at {
	case atSeal:
		me.at = r.sealed(u)
		if !u.marker.there {
			break
		}
		me.at = atUnmark
		if e := &to.history[u.marker.id]; e.ends == 0 || r.planted == "seals without looking" {
			e.ends, e.outcome = e.ends+1, record.Interrupted
			to.last = mark{true, u.marker.id, record.Interrupted}
			full(func(x *universe) { x.end(i) })
		}
	case atUnmark:
		to.marker, me.at = mark{}, r.sealed(u)
	case atFormer:
		me.at = atCatchUp
		to.closeFormer()
		full(func(x *universe) { x.controllers[i].at = atCatchUp })
	case atCatchUp:
		me.at = atLook
		if e := &to.history[u.last.id]; u.last.there && e.ends == 0 && r.planted != "does not catch up" {
			e.ends, e.outcome = 1, u.last.outcome
			full(func(x *universe) { x.controllers[i].at = atLook })
		}
	case atLook:
		me.look(u.machine)
		me.before, me.planned = me.saw, u.machine
		if me.saw == c.target.State() {
			me.outcome, me.at = record.Noop, atAppend
			break
		}
		to.marker, me.at = mark{there: true, id: c.id}, atGuards
	case atGuards:
		me.at = atIntent
		if u.left.faults > 0 {
			x := u
			x.left.faults--
			x.controllers[i].at, x.controllers[i].outcome = atAppend, record.Blocked
			add(happening{blocks, c.at, 0, ""}, x)
		}
	case atIntent:
		me.at = atMark
		to.history[c.id].boot = u.boot
		if r.planted != "acts before it says so" {
			to.history[c.id].intent = true
		}
		if r.planted == "wants before it has" {
			to.desired = c.target
		}
		full(func(x *universe) { x.marker = mark{}; x.end(i) })
	case atMark:
		me.at = atStep
	case atStep:
		list := moves(c.before, c.planned, c.target)
		if int(c.step) == len(list) {
			me.at, me.step = atSettle, 0
			break
		}
		r.step(u, i, list[c.step], false, add)
		return
	case atSettle:
		me.look(u.machine)
		base, usable := me.saw.Base()
		switch {
		case r.planted == "believes its steps":
			me.saw, me.outcome, me.at = c.saw, record.Converged, atAppend
		case me.saw == c.target.State():
			me.outcome, me.at = record.Converged, atAppend
		case usable && base == c.target:
			me.outcome, me.at = record.Degraded, atAppend
		default:
			me.at = atRollLook
		}
		if r.planted == "forgets the marker early" && me.at == atAppend {
			to.marker = mark{}
		}
	case atRollLook:
		me.look(u.machine)
		me.planned, me.at = u.machine, atRollStep
	case atRollStep:
		list := back(c.planned, prior(c))
		if int(c.step) == len(list) {
			me.at, me.step = atRollSettle, 0
			break
		}
		r.step(u, i, list[c.step], true, add)
		return
	case atRollSettle:
		me.look(u.machine)
		_, usable := me.saw.Base()
		switch {
		case me.saw == prior(c).State():
			me.outcome = record.RolledBack
		case usable:
			me.outcome = record.Degraded
		default:
			me.outcome = record.Failed
		}
		me.at = atAppend
	case atAppend:
		me.at = atDesired
		to.history[c.id].ends++
		to.history[c.id].outcome = c.outcome
		full(func(x *universe) { x.controllers[i].at = atDesired })
	case atLast:
		to.last, me.at = mark{true, c.id, c.outcome}, atClear
	case atDesired:
		me.at = atLast
		if r.planted == "tells before it is done" {
			to.last = mark{true, c.id, c.outcome}
			break
		}
		if base, usable := c.saw.Base(); c.outcome.Success() || c.outcome == record.Degraded && usable && base == c.target {
			to.desired = c.target
		}
	case atClear:
		to.marker, me.at = mark{}, atUnlock
	case atUnlock:
		to.end(i)
	}
	add(h, to)
}

// sealed is where a controller goes on that has closed what this boot left open.
func (r rules) sealed(u universe) place {
	if u.unsealed && r.planted != "leaves it to the next boot" {
		return atFormer
	}
	return atCatchUp
}

func (c *controller) look(now facts) { c.saw, c.lookAt = now.observed(), now }

// prior is the mode that a failed transition goes back to.
func prior(c controller) mode.Mode {
	if m, known := c.before.Base(); known {
		return m
	}
	return mode.Desktop
}

// step gives what comes of one step: it works, it fails, or it says that it
// worked and did not.
func (r rules) step(u universe, i int, m move, rolling bool, add func(happening, universe)) {
	c := u.controllers[i]
	after, done := m.do(u.machine)
	result := func(what string, now facts, ok bool, cost int8) {
		to := u
		to.machine, to.left.faults = now, u.left.faults-cost
		me := &to.controllers[i]
		switch {
		case ok || rolling && r.planted != "tries for ever" || m.tolerated:
			me.step++
		case rolling:
		default:
			me.at, me.step = atRollLook, 0
		}
		add(happening{what: what, at: c.at, step: c.step}, to)
	}
	result(goesOn, after, done, 0)
	if u.left.faults > 0 {
		result(fails, u.machine, false, 1)
		if done && after != u.machine {
			result(lies, u.machine, true, 1)
		}
	}
}
