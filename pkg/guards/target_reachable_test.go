package guards

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

func TestTargetReachable(t *testing.T) {
	d := TargetReachable
	load := func(unit, state string) func(*hosts.Host) {
		return func(h *hosts.Host) { h.Systemd.SetUnit(unit, hosts.Props{"LoadState": state}) }
	}
	withVLLM := func(c *config.Config) { c.VLLM.Enable = true }
	manager := func(s string) []string {
		return []string{`"manager": {},` + "\n \"units\"", `"manager": {` + s + `},` + "\n \"units\""}
	}
	holds(t, merge(deadBus(d), map[string]looking{
		"compute":                 {guard: d, host: "idle-desktop", reason: "reachable", message: "1 units of compute"},
		"with vllm":               {guard: d, host: "idle-desktop", config: withVLLM, reason: "reachable", message: "2 units"},
		"desktop":                 {guard: d, host: "compute", target: mode.Desktop, reason: "reachable", message: "2 units of desktop"},
		"studio":                  {guard: d, host: "idle-desktop", target: mode.StudioLocal, reason: "reachable", message: "4 units of studio-local"},
		"console site":            {guard: d, host: "compute", target: mode.Desktop, config: func(c *config.Config) { c.Desktop.LoginUnits = nil }, reason: "reachable", message: "1 units"},
		"degraded is good enough": {guard: d, host: "last-failed", target: mode.Desktop, reason: "reachable"},
		"logind is not asked": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Login.Refuse("ListSessions", "org.freedesktop.DBus.Error.AccessDenied")
		}, reason: "reachable"},

		"not installed":         {guard: d, host: "empty", reason: "unit-missing", message: "compute.target is not installed"},
		"login unit missing":    {guard: d, host: "compute", target: mode.Desktop, config: func(c *config.Config) { c.Desktop.LoginUnits = []string{"lightdm.service"} }, reason: "unit-missing", message: "lightdm.service"},
		"vllm missing":          {guard: d, host: "idle-desktop", config: func(c *config.Config) { withVLLM(c); c.VLLM.Unit = "other.service" }, reason: "unit-missing", message: "other.service"},
		"masked":                {guard: d, host: "idle-desktop", change: load("compute.target", "masked"), reason: "unit-masked", message: "systemctl unmask compute.target"},
		"bad setting":           {guard: d, host: "idle-desktop", change: load("compute.target", "bad-setting"), reason: "unit-broken", message: "bad-setting"},
		"error":                 {guard: d, host: "idle-desktop", change: load("compute.target", "error"), reason: "unit-broken", message: "systemctl status compute.target"},
		"a state of the future": {guard: d, host: "idle-desktop", change: load("compute.target", "quantum"), reason: "unit-broken", message: "quantum"},
		"booting":               {guard: d, host: "booting", reason: "booting", message: "systemd is starting"},
		"shutting down":         {guard: d, host: "idle-desktop", edit: manager(`"SystemState": "stopping"`), reason: "going-down"},

		"systemd silent": {guard: d, host: "idle-desktop", change: (*hosts.Host).HangSystemd, within: silent, reason: "deadline", message: "systemd1"},
		"units refused in every way": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Systemd.Refuse("ListUnitsByNames", "org.freedesktop.DBus.Error.AccessDenied")
			h.Systemd.Refuse("GetAll", "org.freedesktop.DBus.Error.AccessDenied")
		}, reason: "source-unreadable", message: "compute.target"},
		"units one by one": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Systemd.Refuse("ListUnitsByNames", "org.freedesktop.DBus.Error.UnknownMethod")
		}, reason: "reachable"},
		"manager refused": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Systemd.Refuse("GetAll", "org.freedesktop.DBus.Error.AccessDenied")
		}, reason: "source-unreadable", message: "manager"},
		"manager of other types": {
			guard: d, host: "idle-desktop", edit: manager(`"raw": {"SystemState": "uint32 7"}`), reason: "source-unreadable", message: "SystemState",
		},
	}))
}

func TestJudgeTarget(t *testing.T) {
	unit := func(load string) evidence.Unit {
		return evidence.Unit{Name: "x.service", Load: load, Active: "inactive"}
	}
	running := targetEvidence{SystemState: "running", BootFinished: true}
	loads := func(l ...string) targetEvidence {
		ev := running
		for _, s := range l {
			ev.Units = append(ev.Units, unit(s))
		}
		return ev
	}
	for name, tt := range map[string]struct {
		ev   targetEvidence
		want string
	}{
		"all loaded":                   {loads("loaded", "loaded"), "reachable"},
		"the last is missing":          {loads("loaded", "not-found"), "unit-missing"},
		"the first fault is named":     {loads("masked", "not-found"), "unit-masked"},
		"no answer about a unit":       {loads("loaded", ""), "unit-broken"},
		"maintenance":                  {targetEvidence{SystemState: "maintenance", BootFinished: true}, "reachable"},
		"stopping while still booting": {targetEvidence{SystemState: "stopping"}, "going-down"},
		"initializing":                 {targetEvidence{SystemState: "initializing"}, "booting"},
	} {
		v := judgeTarget(tt.ev, mode.Compute)
		witness(t, TargetReachable, v.Reason)
		if v.Reason != tt.want {
			t.Errorf("%s: %s (%s), want %s", name, v.Reason, v.Message, tt.want)
		}
	}
}

// TestTargetUnits holds that what a transition starts is what was looked for.
func TestTargetUnits(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.Enable, cfg.Desktop.LoginUnits = true, []string{"a.service", "b.socket"}
	names := map[mode.Unit][]string{mode.VLLM: {cfg.VLLM.Unit}, mode.LoginPath: cfg.Desktop.LoginUnits}
	for _, tr := range mode.Transitions() {
		looked := map[string]bool{}
		for _, n := range unitsOf(tr.To, cfg) {
			looked[n] = true
		}
		for _, s := range tr.Steps {
			if s.Action != mode.StartUnit {
				continue
			}
			concrete := names[s.Unit]
			if concrete == nil {
				concrete = []string{string(s.Unit)}
			}
			for _, n := range concrete {
				if !looked[n] {
					t.Errorf("%s -> %s starts %s, which target_reachable does not look for", tr.From, tr.To, n)
				}
			}
		}
	}
	if diff := cmp.Diff([]string{"compute.target", "vllm.service"}, unitsOf(mode.Compute, cfg)); diff != "" {
		t.Errorf("compute (-want +got):\n%s", diff)
	}
}
