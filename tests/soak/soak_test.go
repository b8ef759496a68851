// Package soak walks a booted machine through all modes, many times, while
// things go wrong.
package soak

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

var (
	trips = flag.Int("trips", 3, "round trips through all modes")
	seed  = flag.Uint64("seed", 1, "of the chance that picks faults, and the points at which they happen")
	only  = flag.String("fault", "", "the only fault that happens")
)

// healthy is a vLLM that loads at once.
const healthy = `{"load_ms": 50}`

// settings bound what hangs more tightly than the loop's.
var settings = strings.NewReplacer(
	`startTimeout = "20s"`, `startTimeout = "6s"`, `stopUnit = "15s"`, `stopUnit = "8s"`, `startUnit = "15s"`, `startUnit = "10s"`,
	`graphical = "15s"`, `graphical = "8s"`, `endSessions = "15s"`, "endSessions = \"8s\"\nobserve = \"1s\"",
).Replace(loop.Config)

// rounds are the ways through all modes, each beginning and ending at the
// desktop: together they take every row of the table.
var rounds = [][]mode.Mode{
	{mode.StudioLocal, mode.Compute, mode.Desktop},
	{mode.Compute, mode.StudioLocal, mode.Desktop},
}

// TestSoak makes round trips. To every transition but one in four something
// happens. Whatever that is: a request that succeeded shows in what systemctl
// and loginctl say; what Dubnium observes is so; nothing stays locked or
// running; with the cause gone the next requests converge by themselves; and
// the history has one end of everything that began.
func TestSoak(t *testing.T) {
	t.Logf("-trips=%d -seed=%d", *trips, *seed)
	m := machine.Start(t, loop.Options(
		machine.File{Path: "/etc/dubnium/dubnium.toml", Content: settings},
		machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: healthy}))
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	killer, err := loop.NewKiller(m)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	b := &bench{Machine: m, Killer: killer, t: t}
	chance := rand.New(rand.NewPCG(*seed, 0))
	at := mode.Desktop
	for trip := range *trips {
		for _, to := range rounds[trip%len(rounds)] {
			b.transition(trip+1, pick(at, to, chance), at, to, chance)
			at = to
		}
	}
	b.checkHistory()
	t.Log(b.table())
}

// pick lets chance pick what happens on the way between two modes: nothing, once
// in four times.
func pick(from, to mode.Mode, chance *rand.Rand) fault {
	if chance.IntN(4) == 0 {
		return faults[0]
	}
	var fit []fault
	for _, f := range faults[1:] {
		if f.suits(from, to) && (*only == "" || f.name == *only) {
			fit = append(fit, f)
		}
	}
	if len(fit) == 0 {
		return faults[0]
	}
	return fit[chance.IntN(len(fit))]
}

// bench is the machine under test, and what it did.
type bench struct {
	*machine.Machine
	*loop.Killer
	t    *testing.T
	went []went
}

// went is how one transition went.
type went struct {
	fault    string
	outcome  string
	event    *record.Event // nil where it left none, as when it was killed
	took     time.Duration // as the one who asked saw it
	requests int           // after it, until the machine was where it should be
}

// recovery bounds how long the machine may need to be where it should be once
// the cause of a fault is gone; what still hangs has bounds of its own.
const recovery = 90 * time.Second

// transition asks for a mode while something goes wrong, then mends it and asks
// until the machine is there.
func (b *bench) transition(trip int, f fault, from, to mode.Mode, chance *rand.Rand) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	what := fmt.Sprintf("trip %d, %s to %s, %s", trip, from, to, f.name)
	mend, err := f.inject(ctx, b, to, chance)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	since := len(b.history())
	start := time.Now()
	code := b.request(ctx, what, to)
	w := went{fault: f.name, took: time.Since(start)}
	hit := b.Disarm()
	w.event, w.outcome = b.ended(what, code, b.history()[since:])
	if err := mend(ctx); err != nil {
		b.t.Fatalf("%s: mend it: %v", what, err)
	}
	for again := code; again != exitcode.OK || loop.Facts(ctx, b.Machine, to) != nil; w.requests++ {
		if time.Since(start) > w.took+recovery {
			b.t.Fatalf("%s: mended, it does not come to be %s in %v: exit status %d, %v", what, to, recovery, again, loop.Facts(ctx, b.Machine, to))
		}
		again = b.request(ctx, what+", then", to)
	}
	b.went = append(b.went, w)
	b.t.Logf("%s %s: %s, exit status %d in %.1f s, %d more requests", what, hit, w.outcome, code, w.took.Seconds(), w.requests)
}

// request asks for a mode and holds what has to be so whatever happens.
func (b *bench) request(ctx context.Context, what string, to mode.Mode) exitcode.Code {
	r := b.Run(ctx, "mode", "request", string(to))
	code := exitcode.Code(r.Code)
	if r.Err != nil || code == 1 || code == 2 || code == exitcode.Internal {
		b.t.Errorf("%s: %s", what, r)
	}
	// What asked may have lost sight of the unit, as when D-Bus is gone.
	var alone error
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if alone = loop.Alone(b.Machine); alone == nil || time.Now().After(deadline) {
			break
		}
	}
	if alone != nil {
		b.t.Errorf("%s: a minute after the answer: %v", what, alone)
	}
	if code == exitcode.OK {
		if err := loop.Facts(ctx, b.Machine, to); err != nil {
			b.t.Errorf("FALSE SUCCESS: %s: %v\n%s", what, err, r)
		}
		if desired, err := b.ReadFile(record.RunDir + "/desired"); string(desired) != string(to)+"\n" {
			b.t.Errorf("%s: it succeeded, and desired is %q, %v", what, desired, err)
		}
	}
	b.truth(ctx, what)
	return code
}

// truth holds that a mode which Dubnium observes is there.
func (b *bench) truth(ctx context.Context, what string) {
	r := b.Run(ctx, "observe-current", "--json")
	var o observe.Observation
	if err := json.Unmarshal([]byte(r.Stdout), &o); err != nil {
		if r.Code != int(exitcode.Inspection) {
			b.t.Errorf("%s: %v: %s", what, err, r)
		}
		return
	}
	if m, stable := o.State.Stable(); stable {
		if err := loop.Facts(ctx, b.Machine, m); err != nil {
			b.t.Errorf("FALSE CLAIM: %s: observed as %s: %v", what, m, err)
		}
	}
}

// ended finds in the events that came since how the transition ended.
func (b *bench) ended(what string, code exitcode.Code, since []record.Event) (*record.Event, string) {
	var mine *record.Event
	for _, ev := range since {
		if ev.Type == record.TypeTransition && ev.Outcome != record.Interrupted {
			mine = &ev
		}
	}
	switch {
	case mine != nil:
		return mine, string(mine.Outcome)
	case code == exitcode.OK:
		b.t.Errorf("%s: it succeeded, and the history does not know", what)
	}
	if m, err := loop.Marker(b.Machine); m != nil || err != nil {
		return nil, "cut off"
	}
	return nil, "not begun"
}

func (b *bench) history() []record.Event {
	data, err := b.ReadFile(record.EventsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	var all []record.Event
	for line := range strings.Lines(string(data)) {
		var ev record.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			b.t.Errorf("the history has a line that is none: %v: %q", err, line)
			continue
		}
		all = append(all, ev)
	}
	return all
}

// checkHistory holds that everything that began has one end.
func (b *bench) checkHistory() {
	ends := map[string]int{}
	for _, ev := range b.history() {
		ends[ev.ID] += 0
		if ev.Type == record.TypeTransition {
			ends[ev.ID]++
		}
	}
	for id, n := range ends {
		if n != 1 {
			b.t.Errorf("the history has %d ends of %s", n, id)
		}
	}
}

func (b *bench) do(ctx context.Context, argv ...string) error {
	if r := b.Run(ctx, argv...); r.Code != 0 {
		return errors.New(r.String())
	}
	return nil
}
