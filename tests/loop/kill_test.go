package loop

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

var every = flag.Bool("every", false, "kill the controller before each of its writes, and not only between its steps")

// quick is a vLLM that loads at once.
var quick = machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"load_ms": 50}`}

// TestKillPoints kills the controller between any two steps of every transition
// of the table, before the first step and after the last; with -every, before
// each thing that it writes: the lock, the marker before and after each step,
// the intent and the end in the history, the state files. The points are
// counted as they come, and not listed here. After each kill the next look
// tells the truth, nothing is left running or locked, the same request
// converges, and the history has one end of each transition that had begun.
func TestKillPoints(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	total := 0
	t.Run("pairs", func(t *testing.T) {
		for _, pair := range [][2]mode.Mode{
			{mode.StudioLocal, mode.Compute},
			{mode.Desktop, mode.Compute},
			{mode.Desktop, mode.StudioLocal},
		} {
			t.Run(fmt.Sprintf("%s and %s", pair[0], pair[1]), func(t *testing.T) {
				t.Parallel()
				k := newKillTest(boot(t, quick))
				if pair[0] != mode.Desktop {
					k.converges(pair[0])
				}
				tried := k.pair(pair[0], pair[1])
				mu.Lock()
				defer mu.Unlock()
				total += tried
			})
		}
	})
	t.Logf("%d kill points tried", total)
	if total == 0 {
		t.Error("no controller was killed")
	}
}

// killTest is a machine whose controllers are killed.
type killTest struct {
	box
	*Killer
	known int // events of the history that were looked at
}

func newKillTest(b box) *killTest {
	b.t.Helper()
	k, err := NewKiller(b.Machine)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = k.Close() })
	return &killTest{box: b, Killer: k}
}

// pair kills controllers between two modes, to and fro, until there is no point
// left in either direction. It begins in the first.
func (k *killTest) pair(a, z mode.Mode) (tried int) {
	left := map[mode.Mode]bool{a: true, z: true}
	for n := 1; left[a] || left[z]; n++ {
		for _, to := range []mode.Mode{z, a} {
			if left[to] {
				left[to] = k.kill(to, n)
			}
			if left[to] {
				tried++
			} else {
				k.converges(to)
			}
		}
	}
	return tried
}

// kill starts a transition, kills its controller at its n-th point, and holds
// what has to be true then. False is a transition that has no such point.
func (k *killTest) kill(to mode.Mode, n int) bool {
	k.t.Helper()
	choose := StepBoundary
	if *every {
		choose = EveryWrite
	}
	k.Arm(n, choose, Kill)
	r := k.Run(k.t.Context(), "systemctl", "start", "mode-controller@"+string(to))
	hit := k.Disarm()
	if hit == "" {
		return false
	}
	marker, err := Marker(k.Machine)
	if err != nil {
		k.t.Error(err)
	}
	where := fmt.Sprintf("to %s, killed before write %d, of %s, at %s", to, n, hit, stage(marker))
	if r.Code == 0 {
		k.t.Errorf("%s: the unit succeeded", where)
	}
	if err := Alone(k.Machine); err != nil {
		k.t.Errorf("%s: %v", where, err)
	}
	k.truth(where)
	k.converges(to)
	k.told(where, marker)
	k.t.Log(where)
	return true
}

// stage says in a few words how far a transition is.
func stage(m *record.Marker) string {
	if m == nil {
		return "no marker"
	}
	s := string(m.Phase)
	for _, a := range m.Steps {
		if a.Status != record.Pending && a.Status != record.Skipped {
			s = fmt.Sprintf("%s, %s %s", m.Phase, a.Title, a.Status)
		}
	}
	return s
}

// truth holds that the observer claims a mode only where its facts are there,
// and otherwise that a transition failed.
func (k *killTest) truth(where string) {
	k.t.Helper()
	o := k.observation()
	if m, stable := o.State.Stable(); stable {
		if err := Facts(k.t.Context(), k.Machine, m); err != nil {
			k.t.Errorf("%s: observed as %s, but %v", where, o.State, err)
		}
	} else if o.State != mode.FailedTransition {
		k.t.Errorf("%s: observed as %s, unmet %v, conflicts %v, errors %v", where, o.State, o.Unmet, o.Conflicts, o.InspectionErrors)
	}
}

// told holds that the history has one end of each transition, and of the killed
// one that it was interrupted, unless its end was written already.
func (k *killTest) told(where string, killed *record.Marker) {
	k.t.Helper()
	ends := map[string][]record.Outcome{}
	all := k.history()
	for _, ev := range all[k.known:] {
		ends[ev.ID] = append(ends[ev.ID], []record.Outcome{}...)
		if ev.Type == record.TypeTransition {
			ends[ev.ID] = append(ends[ev.ID], ev.Outcome)
		}
	}
	k.known = len(all)
	for id, outcomes := range ends {
		if len(outcomes) != 1 {
			k.t.Errorf("%s: the history has the ends %v of %s", where, outcomes, id)
		}
	}
	if killed == nil {
		return
	}
	switch end := ends[killed.ID]; {
	case len(end) == 1 && end[0] == record.Interrupted:
	case len(end) == 1 && end[0] == record.Converged && killed.Phase == record.Observing: // it was written
	default:
		k.t.Errorf("%s: the history has the ends %v of the killed one", where, end)
	}
}

// converges asks for a mode and looks at the facts then.
func (k *killTest) converges(to mode.Mode) {
	k.t.Helper()
	k.run(0, "mode", "request", string(to))
	if err := Facts(k.t.Context(), k.Machine, to); err != nil {
		k.t.Errorf("a request for %s succeeded: %v", to, err)
	}
	if m, err := Marker(k.Machine); m != nil || err != nil {
		k.t.Errorf("the marker is left: %+v, %v", m, err)
	}
	if got := k.file(record.RunDir + "/desired"); got != string(to)+"\n" {
		k.t.Errorf("desired is %q after a request for %s", got, to)
	}
}
