package nix

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// actions is what nixos-rebuild switch does with the units that run.
type actions struct{ Stop, Start, Restart, Reload, Skip []string }

// ignoredKeys are the keys of [Unit] whose change is none to NixOS.
var ignoredKeys = strings.Fields(`X-Reload-Triggers Description Documentation OnFailure OnSuccess OnFailureJobMode IgnoreOnIsolate
	StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate CollectMode SourcePath`)

// rebuild applies the rules by which NixOS's switch-to-configuration brings
// units that run from one configuration to the next (of nixpkgs 26.11; the
// parts of it that meet services, sockets, slices and targets, none of which
// has an ExecReload).
func rebuild(before, after map[string]map[string][]string, active []string) actions {
	var a actions
	for _, name := range active {
		file := name
		if before[file] == nil && after[file] == nil {
			file = template(name)
		}
		old, current := before[file], after[file]
		flag := func(key string, unset bool) bool {
			values := current[key]
			if len(values) == 0 {
				return unset
			}
			return slices.Contains([]string{"1", "yes", "true", "on"}, values[len(values)-1])
		}
		kind := filepath.Ext(name)
		switch {
		case old == nil:
			// Not from /etc/systemd/system: left alone.
		case current == nil:
			a.Stop = append(a.Stop, name)
		case kind == ".target":
			if !flag("Unit.RefuseManualStart", false) && !flag("Unit.X-OnlyManualStart", false) {
				a.Start = append(a.Start, name)
			}
			if flag("Unit.X-StopOnReconfiguration", false) {
				a.Stop = append(a.Stop, name)
			}
		case !changed(old, current) || kind == ".slice" || kind == ".path" || kind == ".socket":
		case flag("Service.X-ReloadIfChanged", false):
			a.Reload = append(a.Reload, name)
		case !flag("Service.X-RestartIfChanged", true) || flag("Unit.RefuseManualStop", false) || flag("Unit.X-OnlyManualStart", false):
			a.Skip = append(a.Skip, name)
		case !flag("Service.X-StopIfChanged", true) || kind != ".service":
			a.Restart = append(a.Restart, name)
		default:
			a.Stop, a.Start = append(a.Stop, name), append(a.Start, name)
		}
	}
	return a
}

// template is the name of the unit that an instance is of.
func template(name string) string {
	at := strings.Index(name, "@")
	if at < 0 {
		return name
	}
	return name[:at+1] + filepath.Ext(name)
}

func changed(old, current map[string][]string) bool {
	for _, key := range slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(current))) {
		ignored := slices.Contains(ignoredKeys, strings.TrimPrefix(key, "Unit."))
		if !ignored && !slices.Equal(old[key], current[key]) {
			return true
		}
	}
	return false
}

// pulledIn lists all that the start of units starts too.
func pulledIn(t *testing.T, m machine, all map[string]map[string][]string, started []string) map[string]bool {
	t.Helper()
	wants := map[string][]string{}
	for _, l := range links(t, m.etc) {
		target, name, _ := strings.Cut(l, ".wants/")
		wants[target] = append(wants[target], name)
	}
	seen := map[string]bool{}
	for queue := slices.Clone(started); len(queue) > 0; queue = queue[1:] {
		name := queue[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		queue = append(queue, wants[name]...)
		for _, key := range []string{"Unit.Wants", "Unit.Requires", "Unit.BindsTo", "Unit.Upholds"} {
			for _, v := range all[name][key] {
				queue = append(queue, strings.Fields(v)...)
			}
		}
	}
	return seen
}

// inCompute is what runs in compute mode.
var inCompute = []string{
	"multi-user.target", "compute.target", "vllm.service", "mode-boot.service", "mode-controller@compute.service",
	"ai.slice", "platform.slice", "interactive.slice", "network.target",
}

// TestRebuildInComputeMode is the promise that nixos-rebuild switch in compute
// mode neither restarts vLLM nor leaves the mode, with another command line
// of vLLM, other weights and a service more in the new configuration.
func TestRebuildInComputeMode(t *testing.T) {
	bin := programs(t)
	old, m := build(t, bin, "vllm"), build(t, bin, "vllm-other-args")
	before, after := folder(t, old.etc), folder(t, m.etc)
	// The paths of the two stores are no difference that the case is about.
	for name, unit := range after {
		for key, values := range unit {
			for i := range values {
				unit[key][i] = strings.ReplaceAll(values[i], m.store, old.store)
			}
		}
		after[name] = unit
	}
	for _, units := range []map[string]map[string][]string{before, after} {
		units["multi-user.target"] = map[string][]string{"Unit.Description": {"Multi-User System"}}
		units["network.target"] = map[string][]string{"Unit.Description": {"Network"}, "Unit.RefuseManualStart": nil}
	}

	for _, name := range []string{"vllm.service", "ai.slice"} {
		if !changed(before[name], after[name]) {
			t.Fatalf("%s is the same in both: the case shows nothing", name)
		}
	}
	want := actions{Start: []string{"multi-user.target", "network.target"}, Skip: []string{"vllm.service"}}
	if diff := cmp.Diff(want, rebuild(before, after, inCompute)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Starting those targets again starts nothing that ends the mode.
	ends := map[string]bool{}
	for _, v := range after["compute.target"]["Unit.Conflicts"] {
		for _, name := range strings.Fields(v) {
			ends[name] = true
		}
	}
	if !ends["desktop.target"] || !ends["graphical.target"] {
		t.Fatalf("compute.target conflicts with %v", ends)
	}
	started := pulledIn(t, m, after, want.Start)
	if !started["mode-boot.service"] {
		t.Fatalf("multi-user.target starts %v", started)
	}
	for name := range started {
		if ends[name] || slices.ContainsFunc(after[name]["Unit.Conflicts"], func(v string) bool { return strings.Contains(v, "compute.target") }) {
			t.Errorf("the rebuild starts %s, which ends compute mode", name)
		}
	}

	// A controller at work, and the overlay, are left alone even when they change.
	for _, name := range []string{"mode-controller@.service", "mode-boot.service", "studio-local-policy.service", "audio-priority.service"} {
		after[name]["Service.TimeoutStartSec"] = []string{"1s"}
	}
	active := append(slices.Clone(inCompute), "studio-local-policy.service", "audio-priority.service", "desktop.target")
	want.Skip = []string{"vllm.service", "mode-boot.service", "mode-controller@compute.service", "studio-local-policy.service", "audio-priority.service"}
	if diff := cmp.Diff(want, rebuild(before, after, active)); diff != "" {
		t.Errorf("with all of them changed (-want +got):\n%s", diff)
	}

	// What the promise rests on: without its two keys, it would not hold.
	delete(after["vllm.service"], "Service.X-RestartIfChanged")
	delete(after["compute.target"], "Unit.X-OnlyManualStart")
	got := rebuild(before, after, []string{"compute.target", "vllm.service"})
	if diff := cmp.Diff(actions{Start: []string{"compute.target", "vllm.service"}, Stop: []string{"vllm.service"}}, got); diff != "" {
		t.Errorf("without the keys (-want +got):\n%s", diff)
	}
}

// TestModuleStopsNothing holds that turning a workload off, too, leaves the
// units in place: what runs is not stopped as something that went away.
func TestModuleStopsNothing(t *testing.T) {
	bin := programs(t)
	before, after := folder(t, build(t, bin, "vllm").etc), folder(t, build(t, bin, "enabled").etc)
	for name := range before {
		if after[name] == nil {
			t.Errorf("%s is gone from a configuration without vLLM", name)
		}
	}
}
