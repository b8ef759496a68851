package mode

import (
	"slices"
	"testing"
)

// TestFindAnswersEverything holds that from any observed state there is a way
// to any mode, that it ends in that mode, and that it is the direct row where
// there is one.
func TestFindAnswersEverything(t *testing.T) {
	for _, from := range States() {
		for _, to := range All() {
			row := Find(from, to)
			if row.To != to {
				t.Errorf("from %s to %s: the row leads to %s", from, to, row.To)
			}
			if base, ok := from.Base(); ok && base != to && row.From != base {
				t.Errorf("from %s to %s: the row begins at %s", from, to, row.From)
			}
		}
	}
}

// TestTableIsComplete holds the table against the contract: each pair of modes
// once, the guards of the way into a mode before anything is touched.
func TestTableIsComplete(t *testing.T) {
	seen := map[[2]Mode]bool{}
	for _, row := range Transitions() {
		pair := [2]Mode{row.From, row.To}
		if seen[pair] || row.From == row.To {
			t.Errorf("row %v stands twice or leads nowhere", pair)
		}
		seen[pair] = true
		if !slices.Contains(row.Guards, "target_reachable") {
			t.Errorf("row %v does not ask whether the target can be reached", pair)
		}
		if row.Success == "" {
			t.Errorf("row %v does not say what success is", pair)
		}
		for _, s := range row.Steps {
			if s.Why == "" {
				t.Errorf("row %v: step %s %s does not say why", pair, s.Action, s.Unit)
			}
			if (s.Action == StopUnit || s.Action == StartUnit) != (s.Unit != "") {
				t.Errorf("row %v: step %s has unit %q", pair, s.Action, s.Unit)
			}
		}
	}
	if want := len(All()) * (len(All()) - 1); len(seen) != want {
		t.Errorf("%d rows, want %d", len(seen), want)
	}
}

// TestOrder holds the orders that the contract demands.
func TestOrder(t *testing.T) {
	at := func(row Transition, a Action, u Unit) int {
		return slices.IndexFunc(row.Steps, func(s Step) bool { return s.Action == a && s.Unit == u })
	}
	for _, from := range []Mode{Desktop, StudioLocal} {
		row := Find(from.State(), Compute)
		order := []int{
			at(row, StopUnit, LoginPath), at(row, EndSessions, ""), at(row, StopUnit, DesktopTarget),
			at(row, Gate, ""), at(row, StartUnit, ComputeTarget), at(row, StartUnit, VLLM), at(row, AwaitVLLM, ""),
		}
		if !slices.IsSorted(order) || order[0] < 0 {
			t.Errorf("%s -> compute: steps stand at %v", from, order)
		}
	}
	row := Find(StateStudioLocal, Compute)
	if at(row, StopUnit, AudioPriority) != 0 {
		t.Errorf("studio-local -> compute begins with %v, not with the overlay", row.Steps[0])
	}
	row = Find(StateCompute, Desktop)
	order := []int{at(row, StopUnit, VLLM), at(row, StopUnit, ComputeTarget), at(row, StartUnit, DesktopTarget), at(row, StartUnit, LoginPath)}
	if !slices.IsSorted(order) || order[0] < 0 {
		t.Errorf("compute -> desktop: steps stand at %v", order)
	}
	// All guards of both halves come before anything is touched.
	row = Find(StateCompute, StudioLocal)
	for _, name := range append(slices.Clone(intoDesktopGuards), intoStudioGuards...) {
		if !slices.Contains(row.Guards, name) {
			t.Errorf("compute -> studio-local does not run %s", name)
		}
	}
}

func TestParse(t *testing.T) {
	for _, m := range All() {
		if got, err := Parse(string(m)); err != nil || got != m {
			t.Errorf("Parse(%q) = %q, %v", m, got, err)
		}
	}
	for _, s := range []string{"", "Desktop", "studio", "degraded-desktop", "compute\n"} {
		if m, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %q, want an error", s, m)
		}
	}
}

func TestBase(t *testing.T) {
	tests := map[State]Mode{
		StateDesktop: Desktop, DegradedDesktop: Desktop, DegradedStudioLocal: StudioLocal, DegradedCompute: Compute,
		Unknown: "", Transitioning: "", FailedTransition: "", Bootstrapping: "",
	}
	for s, want := range tests {
		got, ok := s.Base()
		if ok != (want != "") || (ok && got != want) {
			t.Errorf("%s.Base() = %q, %v, want %q", s, got, ok, want)
		}
	}
	for _, m := range All() {
		if base, ok := m.Degraded().Base(); !ok || base != m {
			t.Errorf("%s.Degraded().Base() = %q, %v", m, base, ok)
		}
	}
}
