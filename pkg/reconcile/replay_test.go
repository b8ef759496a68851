package reconcile

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

var deep = flag.Bool("deep", false, "replay the traces of all that TestModel explores, some 5,000, with the engine")

// replayed is what is replayed without -deep.
var replayed = []budget{
	{requests: 2, kills: 1},
	{requests: 2, faults: 2},
	{requests: 2, kills: 1, full: 1, reboots: 1},
}

// traces gives the traces to play, and what the model has at the end of each:
// one to each state in which nobody is at work and nobody asks for anything any
// more.
func traces() (all [][]happening, ends []universe) {
	of := replayed
	if *deep {
		of = budgets
	}
	for _, left := range of {
		x := rules{}.explore(left)
		for i, u := range x.states {
			if u.controllers == [2]controller{} && u.up && u.left.requests == 0 {
				all, ends = append(all, x.trace(i)), append(ends, u)
			}
		}
	}
	return all, ends
}

// TestModelAgainstEngine replays the model's traces with the real engine,
// planner and state files, on the machine of this package's tests. In the end
// the facts, the desired mode, the marker and the history are what the model
// says, and every step on the way was the one that the model takes.
func TestModelAgainstEngine(t *testing.T) {
	p := newPlayer(t)
	all, ends := traces()
	runs := 0
	for i, trace := range all {
		runs += int(ends[i].runs)
		if diff := p.play(trace, ends[i]); diff != "" {
			t.Fatalf("%s\nmodel -, engine +:\n%s", tell(trace), diff)
		}
	}
	t.Logf("%d traces, %d transitions", len(all), runs)
}

// TestReplaySeesErrors plants errors around the engine: the replay notices each.
func TestReplaySeesErrors(t *testing.T) {
	for _, planted := range []string{
		"the last look says what was asked for",
		"a block of a guard is not heard",
		"a step that failed says that it worked",
		"the intent is lost",
	} {
		t.Run(planted, func(t *testing.T) {
			p := newPlayer(t)
			p.planted = planted
			all, ends := traces()
			for i, trace := range all {
				if p.play(trace, ends[i]) != "" {
					t.Logf("noticed in trace %d: %s", i, tell(trace))
					return
				}
			}
			t.Errorf("%d traces do not show it", len(all))
		})
	}
}

// player is an engine that is played a trace.
type player struct {
	t    *testing.T
	e    *Engine
	w    *world
	boot int
	// planted is an error; see TestReplaySeesErrors.
	planted string

	// Of the run under way:
	script  []happening
	target  mode.Mode
	want    []string // the titles of its steps
	phase   record.Phase
	rolling bool
	settled bool
	looks   int
	step    int8
	before  files // as of the last time that the engine called
	diffs   []string
}

// killed is what an engine dies of.
var errKilled = errors.New("killed")

func newPlayer(t *testing.T) *player {
	t.Helper()
	p := &player{t: t}
	p.e = newEngine(t, newWorld(t, mode.Desktop))
	// File systems of their own: the one can be made read-only, and both don't
	// take their time for an fsync.
	for _, dir := range []string{p.e.Store.Root.Path(record.StateDir), p.e.Store.Root.Path(record.RunDir)} {
		if err := unix.Mount("replay-test", dir, "tmpfs", 0, ""); err != nil {
			t.Fatalf("this test needs root and a tmpfs of its own: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
	}
	p.e.Progress = p.progress
	return p
}

// full makes the history one that can't be written, or again one that can.
func (p *player) full(yes bool) {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", p.e.Store.Root.Path(record.StateDir), "", flags, ""); err != nil {
		p.t.Fatal(err)
	}
}

// play plays a trace, and gives the difference to what the model has at its end.
func (p *player) play(trace []happening, want universe) string {
	p.files(files{}, allFiles)
	p.w = newWorld(p.t, mode.Desktop)
	p.boot, p.diffs = 0, nil
	if err := p.e.Store.SetDesired(mode.Desktop); err != nil {
		p.t.Fatal(err)
	}
	id := 0
	for len(trace) > 0 {
		h := trace[0]
		trace = trace[1:]
		switch h.what {
		case requests:
			n := slices.IndexFunc(trace, func(h happening) bool {
				return h.what == isKilled || h.what == reboots || h.what == goesOn && h.at == atUnlock ||
					h.what == isFull && (h.at == atSeal || h.at == atIntent)
			})
			p.run(fmt.Sprintf("t%d", id), h.to, trace[:n+1])
			if id++; trace[n].what != reboots {
				n++
			}
			trace = trace[n:]
		case reboots:
			p.files(files{}, []string{markerName, lastName, desiredName})
			p.boot++
			p.w = &world{t: p.t, units: map[string]string{}, fail: map[string]error{}, block: map[string]guard.Result{}}
			p.w.set(noFacts)
		case boots, isFull:
			p.begin(h.what == isFull)
		}
	}
	if diff := cmp.Diff(told(want), p.told()); diff != "" {
		p.diffs = append(p.diffs, diff)
	}
	if len(p.diffs) == 0 {
		return ""
	}
	return fmt.Sprint(p.diffs)
}

// begin is the boot.
func (p *player) begin(full bool) {
	p.e.Host, p.e.BootID = p.w, p.bootID()
	p.full(full)
	defer p.full(false)
	// There is no systemd to start the target; the rest it does.
	if err := p.e.Boot(p.t.Context()); err == nil {
		p.t.Fatal("the boot asked for a target where there is nobody to ask")
	}
	p.w.set(contracts[mode.Desktop])
}

func (p *player) bootID() string { return fmt.Sprintf("b%d", p.boot) }

// run has the engine carry one transition out, of which script is what happens.
func (p *player) run(id string, to mode.Mode, script []happening) {
	p.script, p.phase, p.rolling, p.settled, p.looks, p.step = script, "", false, false, 0, 0
	p.target = to
	end := script[len(script)-1]
	at := end.at
	if end.what != isKilled && end.what != reboots {
		at = nowhere
	}
	start := p.read()
	if at == atSeal {
		return // it has done nothing yet
	}
	full := slices.IndexFunc(script, func(h happening) bool { return h.what == isFull })
	if full >= 0 && (script[full].at == atSeal || script[full].at == atFormer || script[full].at == atCatchUp) {
		p.full(true)
	}
	p.e.Host, p.e.ID, p.e.BootID = &actor{p.w, p}, id, p.bootID()
	p.w.block = map[string]guard.Result{}
	err := p.survive(to)
	p.full(false)
	if failed := full >= 0 && (script[full].at == atSeal || script[full].at == atIntent); (err != nil) != failed && !errors.Is(err, errKilled) {
		p.diffs = append(p.diffs, fmt.Sprintf("%s: error %v", id, err))
	}
	// Where the engine calls nobody, what it had written by then is put together.
	switch at {
	case atUnmark:
		p.files(start, []string{markerName})
	case atFormer:
		p.files(start, []string{eventsName})
	case atCatchUp:
		if start[markerName] == nil && start[lastName] != nil {
			p.files(start, []string{eventsName})
		}
	case atMark:
		p.files(p.before, []string{markerName})
	case atRollStep, atRollSettle, atAppend:
		if !errors.Is(err, errKilled) {
			p.files(p.before, allFiles)
		}
	case atDesired:
		p.files(p.before, []string{lastName, desiredName, markerName})
	case atLast:
		p.files(p.before, []string{lastName, markerName})
	case atClear:
		p.files(p.before, []string{markerName})
	}
}

// survive runs the engine, and outlives its death.
func (p *player) survive(to mode.Mode) (err error) {
	defer func() {
		if r := recover(); r == errKilled { //nolint:errorlint // the very value
			err = errKilled
		} else if r != nil {
			panic(r)
		}
	}()
	_, err = p.e.Run(p.t.Context(), to)
	return err
}

// at is called where the engine is at a place; what the trace has for it
// happens.
func (p *player) at(where place, step int8) (what string) {
	if where != atMark {
		p.before = p.read()
	}
	for _, h := range p.script {
		// What dies before it has looked dies at the look: nobody is called before.
		early := where == atLook && h.at < atLook && h.at != nowhere
		if (h.at != where || h.step != step) && !early {
			continue
		}
		switch h.what {
		case isKilled, reboots:
			panic(errKilled)
		case refused:
			if !early {
				p.refuse(h.to)
			}
		case fails, lies, blocks:
			what = h.what
		case isFull:
			p.full(!early)
		}
	}
	// The end is to be written with no call before it.
	if last := p.has(isFull, atAppend); last && (where == atMark || where == atGuards && p.has(blocks, atGuards) || where == atLook && !p.has(goesOn, atGuards) && !p.has(blocks, atGuards)) {
		p.full(true)
	}
	return what
}

func (p *player) has(what string, at place) bool {
	return slices.ContainsFunc(p.script, func(h happening) bool { return h.what == what && h.at == at })
}

// refuse asks for a mode while the engine is at work.
func (p *player) refuse(to mode.Mode) {
	other := *p.e
	other.ID, other.Progress = "refused", nil
	_, err := other.Run(p.t.Context(), to)
	var coder exitcode.Coder
	if !errors.As(err, &coder) || coder.ExitCode() != exitcode.Locked {
		p.diffs = append(p.diffs, fmt.Sprintf("a second request ended with %v", err))
	}
}

func (p *player) progress(m record.Marker) {
	p.phase = m.Phase
	if m.Phase == record.Guarding && len(m.Guards) > 0 {
		p.at(atIntent, 0)
	}
}

// end is what model and engine are compared by.
type end struct {
	Facts    facts
	Observed mode.State
	Desired  mode.Mode
	Marker   string
	Last     string
	History  []string
}

func told(u universe) end {
	e := end{Facts: u.machine, Observed: u.machine.observed(), Desired: u.desired}
	if u.marker.there {
		e.Marker = fmt.Sprintf("t%d", u.marker.id)
	}
	if u.last.there {
		e.Last = fmt.Sprintf("t%d %s", u.last.id, u.last.outcome)
	}
	for id, h := range u.history {
		if h.intent || h.ends > 0 {
			e.History = append(e.History, fmt.Sprintf("t%d: intent %v, ends %d %s", id, h.intent, h.ends, h.outcome))
		}
	}
	return e
}

func (p *player) told() end {
	e := end{Facts: p.w.facts(), Observed: p.w.Observe(p.t.Context()).State}
	e.Desired, _, _ = p.e.Store.Desired()
	if m, found, err := p.e.Store.Marker(); found || err != nil {
		e.Marker = m.ID
	}
	if l, found, err := p.e.Store.Last(); found || err != nil {
		e.Last = l.ID + " " + string(plain(l.Outcome))
	}
	seen := map[string]*entry{}
	for _, ev := range history(p.t, p.e) {
		if seen[ev.ID] == nil {
			seen[ev.ID] = &entry{}
		}
		switch s := seen[ev.ID]; ev.Type {
		case record.TypeIntent:
			s.intent = true
		default:
			s.ends, s.outcome = s.ends+1, plain(ev.Outcome)
		}
	}
	for id := range maxRuns {
		if s := seen[fmt.Sprintf("t%d", id)]; s != nil {
			e.History = append(e.History, fmt.Sprintf("t%d: intent %v, ends %d %s", id, s.intent, s.ends, s.outcome))
		}
	}
	return e
}

// plain leaves out what the model does not know: why a transition was rolled
// back.
func plain(o record.Outcome) record.Outcome {
	if o == record.TimedOut {
		return record.RolledBack
	}
	return o
}

// files are the state files by name; nil where there is none.
type files map[string][]byte

const (
	markerName  = record.RunDir + "/transition.json"
	lastName    = record.RunDir + "/last-transition.json"
	desiredName = record.RunDir + "/desired"
	eventsName  = record.EventsFile
)

var allFiles = []string{markerName, lastName, desiredName, eventsName}

func (p *player) read() files {
	all := files{}
	for _, name := range allFiles {
		data, err := os.ReadFile(p.e.Store.Root.Path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.t.Fatal(err)
		}
		if err == nil {
			all[name] = data
		}
	}
	return all
}

// files puts some of them back to what they were.
func (p *player) files(to files, names []string) {
	for _, name := range names {
		path := p.e.Store.Root.Path(name)
		var err error
		if data, there := to[name]; there {
			err = os.WriteFile(path, data, 0o644)
		} else if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			p.t.Fatalf("put back %s: %v", filepath.Base(path), err)
		}
	}
}
