package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
)

// configurations are the sites whose plans differ.
func configurations() map[string]config.Config {
	out := map[string]config.Config{}
	for name, change := range map[string]func(*config.Config){
		"default":      func(*config.Config) {},
		"vllm":         func(c *config.Config) { c.VLLM.Enable = true },
		"console":      func(c *config.Config) { c.Desktop.LoginUnits = nil },
		"console vllm": func(c *config.Config) { c.Desktop.LoginUnits = []string{}; c.VLLM.Enable = true },
		"two logins":   func(c *config.Config) { c.Desktop.LoginUnits = []string{"greetd.service", "getty@tty2.service"} },
		"own vllm":     func(c *config.Config) { c.VLLM.Enable, c.VLLM.Unit = true, "llm@main.service" },
		"no grace":     func(c *config.Config) { c.Desktop.AnnounceGrace = 0 },
	} {
		cfg := config.Default()
		change(&cfg)
		out[name] = cfg
	}
	return out
}

// seen is an observation in which every unit has been looked at; active lists
// those that run.
func seen(state mode.State, cfg config.Config, active ...string) observe.Observation {
	unit := func(name string) evidence.Unit {
		u := evidence.Unit{Name: name, Load: "loaded", Active: "inactive"}
		if slices.Contains(active, name) {
			u.Active = "active"
		}
		return u
	}
	var ev evidence.Evidence
	ev.Targets = evidence.Read("systemd", evidence.Targets{Desktop: unit("desktop.target"), Compute: unit("compute.target")}, nil, 0)
	ev.Overlay = evidence.Read("systemd", evidence.Overlay{Policy: unit(string(mode.StudioPolicy)), Priority: unit(string(mode.AudioPriority))}, nil, 0)
	ev.VLLM = evidence.Read("systemd", evidence.VLLM{Unit: unit(cfg.VLLM.Unit)}, nil, 0)
	var login []evidence.Unit
	for _, name := range cfg.Desktop.LoginUnits {
		login = append(login, unit(name))
	}
	ev.LoginPath = evidence.Read("systemd", login, nil, 0)
	return observe.Observation{State: state, Signals: ev}
}

// unread is an observation of a machine whose systemd did not answer. The
// readings have the units' names and nothing else.
func unread(cfg config.Config) observe.Observation {
	o := seen(mode.Unknown, cfg)
	blank := func(u *evidence.Unit) { u.Load, u.Active = "", "" }
	ev := &o.Signals
	for _, u := range []*evidence.Unit{
		&ev.Targets.Value.Desktop, &ev.Targets.Value.Compute, &ev.Overlay.Value.Policy, &ev.Overlay.Value.Priority, &ev.VLLM.Value.Unit,
	} {
		blank(u)
	}
	for i := range ev.LoginPath.Value {
		blank(&ev.LoginPath.Value[i])
	}
	ev.Targets.Status, ev.Overlay.Status, ev.VLLM.Status, ev.LoginPath.Status = evidence.Failed, evidence.Failed, evidence.Failed, evidence.Failed
	return o
}

// lines tells a plan's steps, one a line.
func lines(p Plan) []string {
	var out []string
	for _, s := range p.Steps {
		text := s.Title()
		if len(s.Guards) > 0 {
			text += " " + strings.Join(s.Guards, " ")
		}
		if s.Skip != "" {
			text += " (skip: " + s.Skip + ")"
		}
		out = append(out, text)
	}
	return out
}

func TestMake(t *testing.T) {
	cfg := configurations()
	const noLogin = " (skip: desktop.loginUnits is empty: people log in on a console)"
	for name, tt := range map[string]struct {
		o    observe.Observation
		to   mode.Mode
		cfg  string
		want []string
	}{
		"desktop to compute": {
			seen(mode.StateDesktop, cfg["vllm"], "desktop.target", "display-manager.service"), mode.Compute, "vllm",
			[]string{
				"announce to the sessions", "stop display-manager.service", "end the graphical sessions",
				"stop audio-priority.service (skip: audio-priority.service is inactive)",
				"stop studio-local-policy.service (skip: studio-local-policy.service is inactive)",
				"stop desktop.target", "gate graphical_session_absent gpu_display_released", "start compute.target", "start vllm.service", "wait until vLLM is healthy",
			},
		},
		"without vllm, grace and login units": {
			seen(mode.StateDesktop, cfg["console"], "desktop.target"), mode.Compute, "console",
			[]string{
				"announce to the sessions", "stop the login path" + noLogin, "end the graphical sessions",
				"stop audio-priority.service (skip: audio-priority.service is inactive)",
				"stop studio-local-policy.service (skip: studio-local-policy.service is inactive)",
				"stop desktop.target", "gate graphical_session_absent gpu_display_released", "start compute.target",
				"start vllm.service (skip: vllm.enable is false)", "wait until vLLM is healthy (skip: vllm.enable is false)",
			},
		},
		"compute to desktop with two login units": {
			seen(mode.StateCompute, cfg["two logins"], "compute.target"), mode.Desktop, "two logins",
			[]string{
				"stop audio-priority.service (skip: audio-priority.service is inactive)",
				"stop studio-local-policy.service (skip: studio-local-policy.service is inactive)",
				"stop vllm.service (skip: vllm.service is inactive)", "stop compute.target", "start desktop.target",
				"start greetd.service", "start getty@tty2.service", "wait for a session or a greeter",
			},
		},
		"compute to desktop on a console": {
			seen(mode.StateCompute, cfg["console"], "compute.target", "vllm.service"), mode.Desktop, "console",
			[]string{
				"stop audio-priority.service (skip: audio-priority.service is inactive)",
				"stop studio-local-policy.service (skip: studio-local-policy.service is inactive)",
				"stop vllm.service", "stop compute.target", "start desktop.target",
				"start the login path" + noLogin, "wait for a session or a greeter" + noLogin,
			},
		},
		"already there": {seen(mode.StateDesktop, cfg["default"]), mode.Desktop, "default", nil},
		"degraded is not there": {
			seen(mode.DegradedStudioLocal, cfg["default"], "desktop.target", string(mode.StudioPolicy), "vllm.service"), mode.StudioLocal, "default",
			[]string{"stop vllm.service", "verify the desktop", "start studio-local-policy.service", "start audio-priority.service"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := Make(tt.o, tt.to, cfg[tt.cfg])
			if diff := cmp.Diff(tt.want, lines(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if p.Noop != (tt.want == nil) {
				t.Errorf("noop is %v", p.Noop)
			}
		})
	}
}

// TestNobodyLooked holds that what is not known to be down is stopped: after a
// failure, systemd may be the one that does not answer.
func TestNobodyLooked(t *testing.T) {
	for name, cfg := range configurations() {
		for _, to := range mode.All() {
			for _, s := range Restore(unread(cfg), to, cfg).Steps {
				if s.Action == mode.StopUnit && s.Unit != "" && s.Skip != "" {
					t.Errorf("%s: on the way back to %s, %q is skipped (%s), though nobody could look", name, to, s.Title(), s.Skip)
				}
			}
		}
	}
}

// TestRestore holds that the way back does not depend on what the half-way
// machine is called.
func TestRestore(t *testing.T) {
	cfg := config.Default()
	for _, prior := range mode.All() {
		var want []string
		for _, state := range mode.States() {
			if m, stable := state.Stable(); stable && m == prior {
				continue // nothing to restore
			}
			p := Restore(seen(state, cfg, "desktop.target", "compute.target", "vllm.service"), prior, cfg)
			if p.From != state || p.To != prior {
				t.Errorf("from %s to %s: the plan says %s to %s", state, prior, p.From, p.To)
			}
			if want == nil {
				want = lines(p)
			}
			if diff := cmp.Diff(want, lines(p)); diff != "" {
				t.Errorf("to %s from %s (-before +here):\n%s", prior, state, diff)
			}
		}
	}
}

// closed lists the units that a plan may touch under a configuration.
func closed(cfg config.Config) []string {
	return append([]string{
		string(mode.DesktopTarget), string(mode.ComputeTarget), string(mode.StudioPolicy), string(mode.AudioPriority), cfg.VLLM.Unit,
	}, cfg.Desktop.LoginUnits...)
}

// sound holds what is true of every plan.
func sound(p Plan, cfg config.Config) error {
	var sum time.Duration
	for _, s := range p.Steps {
		touches := s.Action == mode.StopUnit || s.Action == mode.StartUnit
		switch {
		case s.Bound <= 0 || s.BoundMS != s.Bound.Milliseconds():
			return fmt.Errorf("%q is bounded by %v (%d ms)", s.Title(), s.Bound, s.BoundMS)
		case s.Title() == "" || s.Title() != strings.TrimSpace(s.Title()) || s.Why == "":
			return fmt.Errorf("a step %q has the title %q, because %q", s.Action, s.Title(), s.Why)
		case touches && s.Skip == "" && !slices.Contains(closed(cfg), s.Unit):
			return fmt.Errorf("%q touches a unit %q that is in no list", s.Title(), s.Unit)
		case !touches && s.Unit != "":
			return fmt.Errorf("%q names a unit", s.Title())
		case (s.Action == mode.Gate) != (len(s.Guards) > 0):
			return fmt.Errorf("%q has the guards %q", s.Title(), s.Guards)
		case !cfg.VLLM.Enable && s.Skip == "" && (s.Action == mode.AwaitVLLM || s.Action == mode.StartUnit && s.Unit == cfg.VLLM.Unit):
			return fmt.Errorf("%q, though vLLM is not enabled", s.Title())
		case len(cfg.Desktop.LoginUnits) == 0 && s.Action == mode.AwaitLogin && s.Skip == "":
			return fmt.Errorf("%q, though people log in on a console", s.Title())
		}
		sum += s.Bound
	}
	if p.Total() > sum || p.Steps == nil || p.Guards == nil {
		return fmt.Errorf("total %v, steps %v, guards %v", p.Total(), p.Steps, p.Guards)
	}
	return nil
}

// TestEveryPlanIsSound plans from random observations under random
// configurations.
func TestEveryPlanIsSound(t *testing.T) {
	sites := configurations()
	var names []string
	for name := range sites {
		names = append(names, name)
	}
	slices.Sort(names)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		name := names[r.IntN(len(names))]
		cfg := sites[name]
		var active []string
		for _, u := range closed(cfg) {
			if r.IntN(2) == 0 {
				active = append(active, u)
			}
		}
		state, to := mode.States()[r.IntN(len(mode.States()))], mode.All()[r.IntN(len(mode.All()))]
		o := seen(state, cfg, active...)
		if r.IntN(8) == 0 {
			o = unread(cfg)
		}
		for what, p := range map[string]Plan{"make": Make(o, to, cfg), "restore": Restore(o, to, cfg), "explain": ForState(state, to, cfg)} {
			if err := sound(p, cfg); err != nil {
				t.Fatalf("%s, case %d (site %q, from %s to %s, active %q): %v", what, i, name, state, to, active, err)
			}
			for _, s := range p.Steps {
				if what != "explain" && s.Skip == skipIfDown {
					t.Fatalf("%s, case %d: whether to %s is left open", what, i, s.Title())
				}
			}
		}
	}
}

// TestStopBeforeStart holds that a unit which the plan starts is stopped
// whatever it is now.
func TestStartedUnitsAreJudgedByThePlan(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.Enable = true
	for _, from := range mode.All() {
		for _, to := range mode.All() {
			if from == to {
				continue
			}
			down := map[string]bool{}
			for _, s := range Make(seen(from.State(), cfg, closed(cfg)...), to, cfg).Steps {
				switch {
				case s.Action == mode.StopUnit && s.Skip == "":
					down[s.Unit] = true
				case s.Action == mode.StartUnit && s.Skip == "":
					delete(down, s.Unit)
				}
			}
			for _, keep := range map[mode.Mode][]string{
				mode.Desktop: {"desktop.target", "display-manager.service"}, mode.StudioLocal: {"desktop.target", "audio-priority.service"},
				mode.Compute: {"compute.target", "vllm.service"},
			}[to] {
				if down[keep] {
					t.Errorf("%s -> %s ends with %s stopped", from, to, keep)
				}
			}
		}
	}
}

// TestTotalBoundsWhatMayHappen holds that a plan made without looking promises
// no less time than the one that is made with.
func TestTotalBoundsWhatMayHappen(t *testing.T) {
	for name, cfg := range configurations() {
		for _, tr := range mode.Transitions() {
			explained := ForState(tr.From.State(), tr.To, cfg)
			real := Make(seen(tr.From.State(), cfg, closed(cfg)...), tr.To, cfg)
			if explained.Total() < real.Total() {
				t.Errorf("%s: %s -> %s is explained to take at most %v, and may take %v", name, tr.From, tr.To, explained.Total(), real.Total())
			}
		}
	}
}
