package observe

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
)

var (
	studioWeights = map[string]evidence.Slice{"ai.slice": {CPUWeight: 10, IOWeight: 10, MemoryHighMiB: 4096}}
	policy        = Policy{LoginPath: []string{DisplayManager}, StudioWeights: studioWeights}
	withVLLM      = Policy{LoginPath: []string{DisplayManager}, StudioWeights: studioWeights, VLLMEnabled: true}
	console       = Policy{StudioWeights: studioWeights}
)

func unit(name, active string) evidence.Unit {
	return evidence.Unit{Name: name, Load: "loaded", Active: active}
}

func ok[T any](v T) evidence.Reading[T] { return evidence.Reading[T]{Status: evidence.OK, Value: v} }

var person = evidence.Session{ID: "2", User: "ada", UID: 1000, Type: "wayland", Class: "user", State: "active", Seat: "seat0"}

var greeter = evidence.Session{ID: "3", User: "_greetd", UID: 100, Type: "wayland", Class: "greeter", State: "active", Seat: "seat0"}

// desktop is an idle desktop; the cases change it.
func desktop(change func(*evidence.Evidence)) evidence.Evidence {
	ev := evidence.Evidence{
		Sessions:    ok([]evidence.Session{person, {ID: "1", UID: 1000, Class: "manager", Type: "unspecified", State: "active"}}),
		Compositors: ok([]evidence.Process{{PID: 10, Comm: "Hyprland", UID: 1000, Session: "2", Cgroup: "/user.slice/user-1000.slice/session-2.scope"}}),
		LoginPath:   ok([]evidence.Unit{unit(DisplayManager, "active")}),
		Targets: ok(evidence.Targets{
			Desktop: unit("desktop.target", "active"), Compute: unit("compute.target", "inactive"), Graphical: unit("graphical.target", "active"),
		}),
		VLLM: ok(evidence.VLLM{Unit: unit("vllm.service", "inactive"), Health: evidence.HealthNotAsked}),
		Overlay: ok(evidence.Overlay{
			Policy: unit("studio-local-policy.service", "inactive"), Priority: unit("audio-priority.service", "inactive"),
			Weights: map[string]evidence.Slice{"ai.slice": {CPUWeight: 100, IOWeight: 100}},
		}),
		Controller: ok(evidence.Controller{}),
		Boot:       ok(evidence.Boot{SystemState: "running", Finished: true}),
		GPU:        ok(evidence.GPU{Cards: 1, Scope: evidence.LeftBehind}),
		Audio:      ok(evidence.Audio{Activity: evidence.Idle}),
	}
	if change != nil {
		change(&ev)
	}
	return ev
}

func compute(change func(*evidence.Evidence)) evidence.Evidence {
	return desktop(func(ev *evidence.Evidence) {
		ev.Sessions.Value, ev.Compositors.Value = ev.Sessions.Value[1:], nil
		ev.LoginPath.Value[0].Active = "inactive"
		ev.Targets.Value.Desktop.Active, ev.Targets.Value.Compute.Active = "inactive", "active"
		ev.Targets.Value.Graphical.Active = "inactive"
		if change != nil {
			change(ev)
		}
	})
}

func studio(change func(*evidence.Evidence)) evidence.Evidence {
	return desktop(func(ev *evidence.Evidence) {
		ev.Overlay.Value.Policy.Active, ev.Overlay.Value.Priority.Active = "active", "active"
		ev.Overlay.Value.Weights = studioWeights
		if change != nil {
			change(ev)
		}
	})
}

// left is a process that has outlived its session and holds a card.
var left = evidence.GPU{Cards: 1, Holders: []evidence.Holder{
	{PID: 8, Comm: "render-helper", Class: "user-session", Place: "session 1", Devices: "card0", Display: true, Outlived: "session 1, which logind does not list"},
}}

// loginScreen puts a greeter in the place of the person.
func loginScreen(ev *evidence.Evidence) {
	ev.Sessions.Value[0], ev.Compositors.Value = greeter, nil
}

func TestClassify(t *testing.T) {
	yes, no := true, false
	fail := func(s *evidence.Status) { *s = evidence.Failed }
	tests := map[string]struct {
		ev         evidence.Evidence
		policy     Policy
		state      mode.State
		confidence Confidence
		conflicts  []ConflictCode
		unmet      []Predicate
	}{
		"desktop":            {desktop(nil), policy, mode.StateDesktop, High, nil, nil},
		"desktop at a login": {desktop(loginScreen), policy, mode.StateDesktop, High, nil, nil},
		"text greeter is a way in": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value[0] = greeter
			ev.Sessions.Value[0].Type = "tty"
			ev.Compositors.Value = nil
		}), policy, mode.StateDesktop, High, nil, nil},
		"console site without a session": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value, ev.Compositors.Value, ev.LoginPath.Value = nil, nil, nil
		}), console, mode.StateDesktop, High, nil, nil},
		"login unit that is no display manager": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value, ev.Compositors.Value = nil, nil
			ev.LoginPath.Value = []evidence.Unit{unit("getty@tty1.service", "active")}
		}), Policy{LoginPath: []string{"getty@tty1.service"}}, mode.StateDesktop, High, nil, nil},
		"display manager up, nobody there": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value, ev.Compositors.Value = nil, nil
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{GraphicalPath}},
		"display manager failed": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value, ev.Compositors.Value = nil, nil
			ev.LoginPath.Value[0].Active = "failed"
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{GraphicalPath}},
		"a session whose display manager is on its way down": {desktop(func(ev *evidence.Evidence) {
			ev.LoginPath.Value[0].Active = "deactivating"
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{GraphicalPath}},
		"desktop without its target": {desktop(func(ev *evidence.Evidence) {
			ev.Targets.Value.Desktop.Active = "inactive"
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{DesktopTarget}},
		"vllm in desktop": {desktop(func(ev *evidence.Evidence) {
			ev.VLLM.Value.Unit.Active = "active"
		}), withVLLM, mode.DegradedDesktop, Low, []ConflictCode{VLLMInDesktop}, []Predicate{VLLMInactive}},
		"left-over studio weights": {desktop(func(ev *evidence.Evidence) {
			ev.Overlay.Value.Weights = studioWeights
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{BaselineWeights}},
		"logind restarted under a session": {desktop(func(ev *evidence.Evidence) {
			ev.Sessions.Value[0].Type = "tty"
		}), policy, mode.DegradedDesktop, Low, []ConflictCode{CompositorOrphan}, []Predicate{GraphicalPath}},
		"compositor in a container": {desktop(func(ev *evidence.Evidence) {
			ev.Compositors.Value = append(ev.Compositors.Value, evidence.Process{PID: 5, Comm: "sway", Cgroup: "/system.slice/ci.service"})
		}), policy, mode.StateDesktop, High, nil, nil},

		"studio": {studio(nil), policy, mode.StateStudioLocal, High, nil, nil},
		"studio without priority": {studio(func(ev *evidence.Evidence) {
			ev.Overlay.Value.Priority.Active = "failed"
		}), policy, mode.DegradedStudioLocal, High, nil, []Predicate{AudioPriority}},
		"studio with nobody there": {studio(loginScreen), policy, mode.DegradedStudioLocal, High, nil, []Predicate{GraphicalSession}},

		"compute":                {compute(nil), policy, mode.StateCompute, High, nil, nil},
		"compute needs vllm":     {compute(nil), withVLLM, mode.DegradedCompute, High, nil, []Predicate{VLLMHealthy}},
		"compute, vllm is ready": {compute(healthy), withVLLM, mode.StateCompute, High, nil, nil},
		"compute, vllm loads": {compute(func(ev *evidence.Evidence) {
			healthy(ev)
			ev.VLLM.Value.Health = evidence.Loading
		}), withVLLM, mode.DegradedCompute, High, nil, []Predicate{VLLMHealthy}},
		"session in compute": {compute(func(ev *evidence.Evidence) {
			ev.Sessions.Value = append(ev.Sessions.Value, person)
		}), policy, mode.DegradedCompute, Low, []ConflictCode{SessionInCompute}, []Predicate{NoGraphical}},
		"zombie in compute": {compute(func(ev *evidence.Evidence) {
			zombie := person
			zombie.State, zombie.Populated = "closing", &no
			ev.Sessions.Value = append(ev.Sessions.Value, zombie)
		}), policy, mode.StateCompute, High, nil, nil},
		"closing with processes in compute": {compute(func(ev *evidence.Evidence) {
			held := person
			held.State, held.Populated = "closing", &yes
			ev.Sessions.Value = append(ev.Sessions.Value, held)
		}), policy, mode.DegradedCompute, Low, []ConflictCode{SessionClosing}, []Predicate{NoGraphical}},
		"closing, and its type fell back to tty": {compute(func(ev *evidence.Evidence) {
			held := person
			held.State, held.Type, held.WasGraphical = "closing", "tty", "opened by greetd"
			ev.Sessions.Value = append(ev.Sessions.Value, held)
		}), policy, mode.DegradedCompute, Low, []ConflictCode{SessionClosing}, []Predicate{NoGraphical}},
		"closing text session in compute": {compute(func(ev *evidence.Evidence) {
			held := person
			held.State, held.Type = "closing", "tty"
			ev.Sessions.Value = append(ev.Sessions.Value, held)
		}), policy, mode.StateCompute, High, nil, nil},
		"nothing but a closing session": {compute(func(ev *evidence.Evidence) {
			held := person
			held.State = "closing"
			ev.Sessions.Value, ev.Targets.Value.Compute.Active = []evidence.Session{held}, "inactive"
		}), policy, mode.Unknown, Low, []ConflictCode{SessionClosing}, []Predicate{DesktopTarget, ComputeTarget}},
		"studio with nobody but a closing session": {studio(func(ev *evidence.Evidence) { ev.Sessions.Value[0].State = "closing" }), policy, mode.DegradedStudioLocal, High, nil, []Predicate{GraphicalSession}},
		"compositor in compute": {compute(func(ev *evidence.Evidence) {
			ev.Compositors.Value = []evidence.Process{{PID: 7, Comm: "sway", UID: 1000, Cgroup: "/user.slice/user-1000.slice/user@1000.service/session.slice/wayland-wm@sway.service"}}
		}), policy, mode.DegradedCompute, Low, []ConflictCode{CompositorCompute}, []Predicate{NoGraphical}},
		"display manager in compute": {compute(func(ev *evidence.Evidence) {
			ev.LoginPath.Value[0].Active = "active"
		}), policy, mode.DegradedCompute, Low, []ConflictCode{LoginPathInCompute}, nil},
		"overlay in compute": {compute(func(ev *evidence.Evidence) {
			ev.Overlay.Value.Policy.Active = "active"
		}), policy, mode.DegradedCompute, Low, []ConflictCode{OverlayInCompute}, nil},
		"display holder in compute": {compute(func(ev *evidence.Evidence) {
			ev.GPU = ok(evidence.GPU{Cards: 1, Holders: []evidence.Holder{{PID: 8, Comm: "sway", Display: true, Devices: "card0"}}})
		}), policy, mode.DegradedCompute, Low, []ConflictCode{DisplayInCompute}, []Predicate{GPUsReleased}},
		"benign holder in compute": {compute(func(ev *evidence.Evidence) {
			ev.GPU = ok(evidence.GPU{Cards: 1, Holders: []evidence.Holder{{PID: 8, Comm: "nvidia-persiste", Class: "benign"}}})
		}), policy, mode.StateCompute, High, nil, nil},
		"stale holder in compute": {compute(func(ev *evidence.Evidence) { ev.GPU = ok(left) }), policy, mode.DegradedCompute, Low, []ConflictCode{StaleHolder}, []Predicate{GPUsReleased}},
		"stale holder in desktop": {desktop(func(ev *evidence.Evidence) { ev.GPU = ok(left) }), policy, mode.DegradedDesktop, Low, []ConflictCode{StaleHolder}, nil},
		"stale holder in studio":  {studio(func(ev *evidence.Evidence) { ev.GPU = ok(left) }), policy, mode.DegradedStudioLocal, Low, []ConflictCode{StaleHolder}, nil},
		"stale holder in no mode": {compute(func(ev *evidence.Evidence) {
			ev.Targets.Value.Compute.Active, ev.GPU = "inactive", ok(left)
		}), policy, mode.Unknown, Low, []ConflictCode{StaleHolder}, []Predicate{DesktopTarget, ComputeTarget}},
		"holder of a living session in desktop": {desktop(func(ev *evidence.Evidence) {
			ev.GPU = ok(evidence.GPU{Holders: []evidence.Holder{{PID: 8, Comm: "sway", Display: true, Devices: "card0"}}})
		}), policy, mode.StateDesktop, High, nil, nil},
		"holders unread in desktop": {desktop(func(ev *evidence.Evidence) { ev.GPU.Status = evidence.Failed }), policy, mode.StateDesktop, Medium, nil, nil},
		"somebody plays": {desktop(func(ev *evidence.Evidence) {
			ev.Audio = ok(evidence.Audio{Activity: evidence.Playing, Sounds: []evidence.Sound{{Kind: "playback"}}})
		}), policy, mode.StateDesktop, High, nil, nil},
		"audio unread": {studio(func(ev *evidence.Evidence) { ev.Audio.Status = evidence.Failed }), policy, mode.StateStudioLocal, Medium, nil, nil},
		"holders unread in compute": {compute(func(ev *evidence.Evidence) {
			ev.GPU.Status = evidence.Failed
		}), policy, mode.StateCompute, Medium, nil, nil},
		"both targets": {desktop(func(ev *evidence.Evidence) {
			ev.Targets.Value.Compute.Active = "active"
		}), policy, mode.Unknown, Low, []ConflictCode{BothTargets}, nil},
		"nothing": {compute(func(ev *evidence.Evidence) {
			ev.Targets.Value.Compute.Active = "inactive"
		}), policy, mode.Unknown, Low, nil, []Predicate{DesktopTarget, ComputeTarget}},

		"booting": {desktop(func(ev *evidence.Evidence) {
			ev.Boot.Value = evidence.Boot{SystemState: "starting"}
		}), policy, mode.Bootstrapping, High, nil, nil},
		"shutting down": {desktop(func(ev *evidence.Evidence) {
			ev.Boot.Value.SystemState = "stopping"
		}), policy, mode.Unknown, Low, []ConflictCode{ShuttingDown}, nil},
		"lock held": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{LockHeld: true, HolderPID: 77}
		}), policy, mode.Transitioning, High, nil, nil},
		"own lock": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{LockHeld: true, HolderPID: 77, Marker: "x", Mutated: true}
		}), Policy{LoginPath: policy.LoginPath, Self: 77}, mode.StateDesktop, High, nil, nil},
		"interrupted, but the desktop holds": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{Marker: "x", Mutated: true}
		}), policy, mode.StateDesktop, High, nil, nil},
		"interrupted half-way": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{Marker: "x", Mutated: true}
			ev.Targets.Value.Desktop.Active = "inactive"
		}), policy, mode.FailedTransition, High, nil, []Predicate{DesktopTarget}},
		"interrupted before anything was touched": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{Marker: "x"}
			ev.Targets.Value.Desktop.Active = "inactive"
		}), policy, mode.DegradedDesktop, High, nil, []Predicate{DesktopTarget}},
		"failed before, degraded now": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{LastOutcome: "failed"}
			ev.LoginPath.Value[0].Active, ev.Sessions.Value, ev.Compositors.Value = "failed", nil, nil
		}), policy, mode.FailedTransition, High, nil, []Predicate{GraphicalPath}},
		"failed before, mended by hand": {desktop(func(ev *evidence.Evidence) {
			ev.Controller.Value = evidence.Controller{LastOutcome: "failed"}
		}), policy, mode.StateDesktop, High, nil, nil},

		"no compositor scan": {desktop(func(ev *evidence.Evidence) { fail(&ev.Compositors.Status) }), policy, mode.StateDesktop, Medium, nil, nil},
		"no sessions":        {desktop(func(ev *evidence.Evidence) { fail(&ev.Sessions.Status) }), policy, mode.Unknown, Low, nil, nil},
		"no units":           {desktop(func(ev *evidence.Evidence) { fail(&ev.Targets.Status) }), policy, mode.Unknown, Low, nil, nil},
		"no controller":      {desktop(func(ev *evidence.Evidence) { fail(&ev.Controller.Status) }), policy, mode.Unknown, Low, nil, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := Classify(tc.ev, tc.policy)
			var conflicts []ConflictCode
			for _, c := range o.Conflicts {
				conflicts = append(conflicts, c.Code)
			}
			var unmet []Predicate
			for _, u := range o.Unmet {
				unmet = append(unmet, u.Predicate)
			}
			if o.State != tc.state || o.Confidence != tc.confidence {
				t.Errorf("observed %s with confidence %s, want %s with %s\n%+v\n%+v", o.State, o.Confidence, tc.state, tc.confidence, o.Unmet, o.Conflicts)
			}
			if diff := cmp.Diff(tc.conflicts, conflicts); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.unmet, unmet); diff != "" {
				t.Errorf("unmet (-want +got):\n%s", diff)
			}
			if want := strings.HasPrefix(string(tc.state), "degraded-"); o.Degraded != want {
				t.Errorf("degraded is %v, want %v", o.Degraded, want)
			}
		})
	}
}

func healthy(ev *evidence.Evidence) {
	ev.VLLM.Value = evidence.VLLM{Enabled: true, Unit: unit("vllm.service", "active"), Health: evidence.Healthy}
}

// TestNeverStableOnPoorEvidence holds the promise of the observer over
// generated machines: a stable mode is claimed only when every essential
// family was read, nothing conflicts, no guarantee is unmet, and the facts of
// that mode, looked at independently here, are there.
func TestNeverStableOnPoorEvidence(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	stable := map[mode.Mode]int{}
	for i := range 200_000 {
		ev, p := generate(r)
		o := Classify(ev, p)
		m, is := o.State.Stable()
		if !is {
			continue
		}
		stable[m]++
		if err := justified(m, ev, p, o); err != nil {
			t.Fatalf("case %d: %s claimed, but %v\n%+v", i, m, err, ev)
		}
	}
	for _, m := range mode.All() {
		if stable[m] < 50 {
			t.Errorf("only %d generated machines are in %s: the property is hardly tested", stable[m], m)
		}
	}
}

func justified(m mode.Mode, ev evidence.Evidence, p Policy, o Observation) error {
	for name, status := range map[string]evidence.Status{
		"sessions": ev.Sessions.Status, "targets": ev.Targets.Status, "overlay": ev.Overlay.Status, "vllm": ev.VLLM.Status,
		"login path": ev.LoginPath.Status, "controller": ev.Controller.Status, "boot": ev.Boot.Status,
	} {
		if status != evidence.OK {
			return fmt.Errorf("%s is %s", name, status)
		}
	}
	if len(o.Conflicts)+len(o.Unmet) > 0 || o.Confidence == Low {
		return fmt.Errorf("conflicts %v, unmet %v, confidence %s", o.Conflicts, o.Unmet, o.Confidence)
	}
	c := ev.Controller.Value
	if c.LockHeld && c.HolderPID != p.Self {
		return fmt.Errorf("somebody else holds the lock")
	}
	live := 0
	for _, s := range ev.Sessions.Value {
		if s.Graphical() && !(s.State == "closing" && s.Populated != nil && !*s.Populated) {
			live++
		}
	}
	for _, h := range ev.GPU.Value.Holders {
		if h.Outlived != "" || m == mode.Compute && h.Display {
			return fmt.Errorf("%s holds a card", h.Comm)
		}
	}
	t, v := ev.Targets.Value, ev.VLLM.Value
	up := func(u evidence.Unit) bool { return u.Active == "active" || u.Active == "reloading" }
	overlay := up(ev.Overlay.Value.Policy) && up(ev.Overlay.Value.Priority)
	switch {
	case !ev.Boot.Value.Finished || ev.Boot.Value.SystemState == "stopping":
		return fmt.Errorf("the machine is %s", ev.Boot.Value.SystemState)
	case m == mode.Compute && (live > 0 || !up(t.Compute) || up(t.Desktop)):
		return fmt.Errorf("%d graphical sessions, targets %+v", live, t)
	case m == mode.Compute && p.VLLMEnabled && v.Health != evidence.Healthy:
		return fmt.Errorf("vLLM is %s", v.Health)
	case m != mode.Compute && (!up(t.Desktop) || up(t.Compute)):
		return fmt.Errorf("targets %+v", t)
	case m != mode.Compute && v.Unit.Active != "inactive" && v.Unit.Active != "failed" && v.Unit.Active != "":
		return fmt.Errorf("vLLM is %s", v.Unit.Active)
	case m == mode.StudioLocal && (!overlay || live == 0):
		return fmt.Errorf("overlay %v, %d graphical sessions", overlay, live)
	case m == mode.Desktop && overlay:
		return fmt.Errorf("the overlay is on")
	}
	return nil
}

// generate makes a machine. It starts from a whole one, so that stable modes
// come up, and spoils some of it.
func generate(r *rand.Rand) (evidence.Evidence, Policy) {
	base := []func(func(*evidence.Evidence)) evidence.Evidence{desktop, studio, compute}[r.IntN(3)]
	ev := base(nil)
	p := []Policy{policy, withVLLM, console}[r.IntN(3)]
	if r.IntN(3) == 0 {
		p.Self = 77
	}
	states := []string{"active", "inactive", "failed", "activating", "deactivating", "reloading", "unknown(x)", ""}
	pick := func() string { return states[r.IntN(len(states))] }
	statuses := []evidence.Status{evidence.OK, evidence.Failed}
	yes, no := true, false
	spoil := []func(){
		func() { ev.Targets.Value.Desktop.Active = pick() },
		func() { ev.Targets.Value.Compute.Active = pick() },
		func() { ev.VLLM.Value.Unit.Active = pick() },
		func() { healthy(&ev) },
		func() { ev.VLLM.Value.Health = evidence.Loading },
		func() { ev.Overlay.Value.Policy.Active = pick() },
		func() { ev.Overlay.Value.Priority.Active = pick() },
		func() { ev.Overlay.Value.Weights = studioWeights },
		func() { ev.LoginPath.Value = []evidence.Unit{unit(DisplayManager, pick())} },
		func() { ev.Boot.Value.Finished = false },
		func() { ev.Boot.Value.SystemState = "stopping" },
		func() { ev.Controller.Value.LockHeld, ev.Controller.Value.HolderPID = true, 70+r.IntN(10) },
		func() { ev.Controller.Value.Marker, ev.Controller.Value.Mutated = "x", r.IntN(2) == 0 },
		func() { ev.Controller.Value.LastOutcome = []string{"failed", "converged", "interrupted"}[r.IntN(3)] },
		func() {
			s := person
			s.State = []string{"active", "online", "closing", "opening", "odd"}[r.IntN(5)]
			s.Class = []string{"user", "greeter", "manager", "odd"}[r.IntN(4)]
			s.Type = []string{"wayland", "x11", "tty", "odd"}[r.IntN(4)]
			s.Populated = []*bool{nil, &yes, &no}[r.IntN(3)]
			s.WasGraphical = []string{"", "opened by greetd"}[r.IntN(2)]
			ev.Sessions.Value = append([]evidence.Session{}, append(ev.Sessions.Value, s)...)
		},
		func() { ev.Sessions.Value = nil },
		func() { ev.Compositors.Value = nil },
		func() {
			ev.Compositors.Value = []evidence.Process{{PID: 9, Comm: "sway", UID: 1000, Session: "4", Cgroup: "/user.slice/user-1000.slice/session-4.scope"}}
		},
		func() { ev.Sessions.Status = statuses[r.IntN(2)] },
		func() { ev.Targets.Status = statuses[r.IntN(2)] },
		func() { ev.Overlay.Status = statuses[r.IntN(2)] },
		func() { ev.VLLM.Status = statuses[r.IntN(2)] },
		func() { ev.LoginPath.Status = statuses[r.IntN(2)] },
		func() { ev.Controller.Status = statuses[r.IntN(2)] },
		func() { ev.Boot.Status = statuses[r.IntN(2)] },
		func() { ev.Compositors.Status = statuses[r.IntN(2)] },
		func() { ev.GPU.Status = statuses[r.IntN(2)] },
		func() { ev.Audio.Status = statuses[r.IntN(2)] },
		func() {
			h := left.Holders[0]
			h.Display = r.IntN(2) == 0
			h.Outlived = []string{"", h.Outlived}[r.IntN(2)]
			ev.GPU.Value.Holders = []evidence.Holder{h}
		},
	}
	for range r.IntN(6) {
		spoil[r.IntN(len(spoil))]()
	}
	return ev, p
}

// TestDesiredIsNoEvidence holds that the observer has no way to learn what was
// requested: neither its evidence nor its policy has a field for it.
func TestDesiredIsNoEvidence(t *testing.T) {
	var walk func(t reflect.Type, path string)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type, path string) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem(), path)
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for i := range typ.NumField() {
				f := typ.Field(i)
				name := strings.ToLower(f.Name)
				if strings.Contains(name, "desired") || strings.Contains(name, "requested") {
					t.Errorf("%s.%s tells the observer what was wished for", path, f.Name)
				}
				walk(f.Type, path+"."+f.Name)
			}
		}
	}
	walk(reflect.TypeFor[evidence.Evidence](), "Evidence")
	walk(reflect.TypeFor[Policy](), "Policy")
}
