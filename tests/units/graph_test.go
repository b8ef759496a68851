package units_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/units"
)

// graph is the order of units: an edge leads from what comes first to what
// comes after it.
type graph map[string]map[string]string // from, to: the directive that says so

func (g graph) edge(first, then, because string) {
	if g[first] == nil {
		g[first] = map[string]string{}
	}
	if g[then] == nil {
		g[then] = map[string]string{}
	}
	if _, known := g[first][then]; !known {
		g[first][then] = because
	}
}

// foreign are units of systemd itself and of the system, as far as they order
// ours, in their own words.
var foreign = []units.File{
	{Path: "sysinit.target", Text: "[Unit]\nDefaultDependencies=no\n"},
	{Path: "basic.target", Text: "[Unit]\nDefaultDependencies=no\nRequires=sysinit.target\nAfter=sysinit.target sockets.target slices.target\n"},
	{Path: "multi-user.target", Text: "[Unit]\nRequires=basic.target\nAfter=basic.target rescue.service rescue.target\n"},
	{Path: "graphical.target", Text: "[Unit]\nRequires=multi-user.target\nWants=display-manager.service\nAfter=multi-user.target rescue.target display-manager.service\n"},
	{Path: "display-manager.service", Text: "[Unit]\nAfter=systemd-user-sessions.service\n[Service]\nType=exec\n"},
	{Path: "modprobe@.service", Text: "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\n"},
}

// order builds the graph of units with the dependencies that systemd adds
// (systemd.unit(5), systemd.service(5), systemd.target(5), systemd.slice(5)).
func order(all []parsed) graph {
	g := graph{}
	for _, u := range all {
		g.add(u)
	}
	return g
}

func (g graph) add(u parsed) {
	name := u.name
	explicit := map[string]bool{}
	for _, other := range u.values("Unit", "After") {
		g.edge(other, name, name+": After="+other)
		explicit[other] = true
	}
	for _, other := range u.values("Unit", "Before") {
		g.edge(name, other, name+": Before="+other)
		explicit[other] = true
	}
	for _, slice := range u.values("Service", "Slice") {
		g.edge(slice, name, name+": Slice="+slice)
	}
	if len(u.values("Service", "RuntimeDirectory")) > 0 || slices.Contains(u.values("Service", "PrivateTmp"), "yes") {
		g.edge("systemd-tmpfiles-setup.service", name, name+": its folders")
	}
	defaults := !slices.Contains(u.values("Unit", "DefaultDependencies"), "no")
	if !defaults {
		return
	}
	g.edge(name, "shutdown.target", name+": DefaultDependencies=")
	switch {
	case strings.HasSuffix(name, ".service"):
		g.edge("sysinit.target", name, name+": DefaultDependencies=")
		g.edge("basic.target", name, name+": DefaultDependencies=")
	case strings.HasSuffix(name, ".target"):
		// A target comes after what it pulls in.
		for _, key := range []string{"Wants", "Requires", "BindsTo", "Upholds"} {
			for _, other := range u.values("Unit", key) {
				if !explicit[other] {
					g.edge(other, name, name+": "+key+"="+other)
				}
			}
		}
	}
	// So it does where an enabled unit is pulled in.
	for _, key := range []string{"WantedBy", "RequiredBy"} {
		for _, target := range u.values("Install", key) {
			if strings.HasSuffix(target, ".target") && !explicit[target] {
				g.edge(name, target, name+": "+key+"="+target)
			}
		}
	}
}

// path is a way from one unit to another, told by its directives; nil if there
// is none. With from equal to to it is a cycle.
func (g graph) path(from, to string) []string {
	type step struct {
		at  string
		way []string
	}
	seen := map[string]bool{}
	for queue := []step{{at: from}}; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		for _, next := range slices.Sorted(maps.Keys(g[s.at])) {
			way := append(slices.Clone(s.way), g[s.at][next])
			if next == to {
				return way
			}
			if !seen[next] {
				seen[next] = true
				queue = append(queue, step{next, way})
			}
		}
	}
	return nil
}

// touched lists the units that a transition starts or stops, by real name.
func touched(cfg config.Config) []string {
	set := map[string]bool{}
	for _, row := range mode.Transitions() {
		for _, s := range row.Steps {
			switch s.Unit {
			case "":
			case mode.VLLM:
				set[cfg.VLLM.Unit] = true
			case mode.LoginPath:
				for _, u := range cfg.Desktop.LoginUnits {
					set[u] = true
				}
			default:
				set[string(s.Unit)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

const controller = "mode-controller@.service"

// waits tells every order between the controller and what it starts or stops.
func waits(g graph, cfg config.Config) []string {
	var found []string
	for _, u := range touched(cfg) {
		for _, ends := range [][2]string{{controller, u}, {u, controller}} {
			if way := g.path(ends[0], ends[1]); way != nil {
				found = append(found, fmt.Sprintf("%s comes before %s: %s", ends[0], ends[1], strings.Join(way, "; ")))
			}
		}
	}
	return found
}

// pulls tells every other dependency of the controller's own on what it starts
// or stops, in either direction.
func pulls(all []parsed, cfg config.Config) []string {
	keys := []string{"Requires", "Requisite", "Wants", "BindsTo", "PartOf", "Upholds", "Conflicts", "OnFailure", "OnSuccess", "PropagatesStopTo"}
	names := touched(cfg)
	var found []string
	for _, u := range all {
		for _, key := range keys {
			for _, other := range u.values("Unit", key) {
				mine := u.name == controller && slices.Contains(names, other)
				if mine || slices.Contains(names, u.name) && strings.HasPrefix(other, "mode-controller@") {
					found = append(found, u.name+": "+key+"="+other)
				}
			}
		}
	}
	return found
}

func TestControllerNeverWaitsForItself(t *testing.T) {
	for name, cfg := range configurations() {
		t.Run(name, func(t *testing.T) {
			all := parse(t, append(stage(t, cfg).files, foreign...))
			for _, u := range touched(cfg) {
				known := slices.ContainsFunc(all, func(p parsed) bool { return p.name == u })
				if !known && !slices.Contains(cfg.Desktop.LoginUnits, u) {
					t.Errorf("%s is in the transition table and no unit that this test knows", u)
				}
			}
			for _, fault := range append(waits(order(all), cfg), pulls(all, cfg)...) {
				t.Error(fault)
			}
		})
	}
}

// Each of these changes would let the controller wait for itself, directly or
// by way of others; the test above has to find it.
func TestBadOrderIsFound(t *testing.T) {
	cfg := config.Default()
	for name, c := range map[string]struct {
		unit string
		opts [][2]string
	}{
		"after what it starts":      {controller, [][2]string{{"After", "desktop.target"}}},
		"before what it stops":      {controller, [][2]string{{"Before", "vllm.service"}}},
		"after systemd's target":    {controller, [][2]string{{"After", "graphical.target"}}},
		"what it starts is behind":  {"audio-priority.service", [][2]string{{"After", controller}}},
		"by way of a third unit":    {"mode-observe.service", [][2]string{{"After", "compute.target"}, {"Before", controller}}},
		"enabled into what it ends": {controller, [][2]string{{"Before", "multi-user.target"}}},
	} {
		t.Run(name, func(t *testing.T) {
			all := parse(t, append(stage(t, cfg).files, foreign...))
			i := slices.IndexFunc(all, func(p parsed) bool { return p.name == c.unit })
			for _, o := range c.opts {
				all[i].opts = append(all[i].opts, unit.NewUnitOption("Unit", o[0], o[1]))
			}
			if len(waits(order(all), cfg)) == 0 {
				t.Errorf("%s with %v was not found", c.unit, c.opts)
			}
		})
	}
	t.Run("dependency", func(t *testing.T) {
		all := parse(t, stage(t, cfg).files)
		i := slices.IndexFunc(all, func(p parsed) bool { return p.name == "compute.target" })
		all[i].opts = append(all[i].opts, unit.NewUnitOption("Unit", "Conflicts", "mode-controller@desktop.service"))
		if len(pulls(all, cfg)) == 0 {
			t.Error("a conflict of compute.target with the controller was not found")
		}
	})
}

func TestNoCycle(t *testing.T) {
	for name, cfg := range configurations() {
		t.Run(name, func(t *testing.T) {
			g := order(parse(t, append(stage(t, cfg).files, foreign...)))
			for u := range g {
				if way := g.path(u, u); way != nil {
					t.Errorf("%s waits for itself: %s", u, strings.Join(way, "; "))
				}
			}
		})
	}
	t.Run("a cycle is found", func(t *testing.T) {
		all := parse(t, append(stage(t, whole()).files, foreign...))
		i := slices.IndexFunc(all, func(p parsed) bool { return p.name == "mode-boot.service" })
		all[i].opts = append(all[i].opts, unit.NewUnitOption("Unit", "After", "desktop.target"))
		g := order(all)
		if g.path("mode-boot.service", "mode-boot.service") == nil {
			t.Error("mode-boot.service after desktop.target is a cycle over multi-user.target, and was not found")
		}
	})
}
