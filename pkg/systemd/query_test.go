package systemd_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/systemd"
	"github.com/ryjen/dubnium/tests/hosts"
)

// ask runs a whole query.
func ask(t testing.TB, h *hosts.Host, units []string, detail ...string) (systemd.State, error) {
	t.Helper()
	conn, err := bus.Dial(t.Context(), h.Root())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := systemd.NewQuery(units, detail...)
	if err := conn.Batch(t.Context(), q.Calls()...); err != nil {
		t.Fatal(err)
	}
	if err := conn.Batch(t.Context(), q.Follow()...); err != nil {
		t.Fatal(err)
	}
	return q.Result()
}

func TestQuery(t *testing.T) {
	h := hosts.Start(t, "compute")
	h.Systemd.SetUnit("ai.slice", hosts.Props{"MemoryHigh": 4294967296})
	got, err := ask(t, h, []string{"compute.target", "display-manager.service", "nonsuch.service", "ai.slice"}, "vllm.service", "ai.slice", "compute.target")
	if err != nil {
		t.Fatal(err)
	}
	want := systemd.State{
		Units: []systemd.Unit{
			{
				Asked: "compute.target", Name: "compute.target", Description: "Dubnium compute mode",
				LoadState: "loaded", ActiveState: "active", SubState: "active",
				Detail: systemd.Detail{
					Known: true, InvocationID: "2020636f6d707574652e746172676574", FragmentPath: "/etc/systemd/system/compute.target",
					ConditionResult: true, StateChangeMonoUsec: 9000000,
				},
			},
			{
				Asked: "display-manager.service", Name: "greetd.service", Description: "Greeter daemon",
				LoadState: "loaded", ActiveState: "inactive", SubState: "dead",
			},
			{
				Asked: "nonsuch.service", Name: "nonsuch.service", Description: "nonsuch.service",
				LoadState: "not-found", ActiveState: "inactive", SubState: "dead",
			},
			{
				Asked: "ai.slice", Name: "ai.slice", Description: "ai.slice",
				LoadState: "loaded", ActiveState: "active", SubState: "active",
				Detail: systemd.Detail{
					Known: true, ControlGroup: "/ai.slice",
					CPUWeight:  systemd.Setting{Value: 100, Set: true},
					IOWeight:   systemd.Setting{Value: 100, Set: true},
					MemoryHigh: systemd.Setting{Value: 4 << 30, Set: true},
				},
			},
			{
				Asked: "vllm.service", Name: "vllm.service", Description: "vLLM",
				LoadState: "loaded", ActiveState: "active", SubState: "running",
				Detail: systemd.Detail{
					Known: true, MainPID: 5120, ControlGroup: "/system.slice/vllm.service", Result: "success",
					InvocationID: "20202020766c6c6d2e73657276696365", FragmentPath: "/etc/systemd/system/vllm.service",
					ConditionResult: true, StateChangeMonoUsec: 9000000,
				},
			},
		},
		SystemState: "running", Version: "257.9-1", FinishMonoUsec: 9000000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if u := got.Unit("display-manager.service"); u.Name != "greetd.service" || !u.Loaded() {
		t.Errorf("found by its alias: %+v", u)
	}
	if u := got.Unit("never-asked.service"); u.Loaded() || u.Active() || u.Up() {
		t.Errorf("never asked for: %+v", u)
	}
}

// TestFallback: a manager that refuses, or lacks, the call for many units gives
// the same answers by the slow way.
func TestFallback(t *testing.T) {
	names := []string{"desktop.target", "display-manager.service", "nonsuch.service", "mode-controller@studio-local.service"}
	for _, refusal := range []string{"org.freedesktop.DBus.Error.UnknownMethod", "org.freedesktop.DBus.Error.AccessDenied"} {
		h := hosts.Start(t, "idle-desktop")
		want, err := ask(t, h, names, "vllm.service")
		if err != nil {
			t.Fatal(err)
		}
		h.Systemd.Refuse("ListUnitsByNames", refusal)
		got, err := ask(t, h, names, "vllm.service")
		if err != nil {
			t.Fatalf("%s: %v", refusal, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -one call +one by one:\n%s", refusal, diff)
		}
	}
}

func TestTolerance(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Systemd.SetUnit("vllm.service", hosts.Props{
		"ActiveState": "hibernating", "SubState": "snoring",
		"raw": map[string]any{"MainPID": "'many'", "Zzz": "{'a': 1}"},
	})
	got, err := ask(t, h, nil, "vllm.service")
	if err != nil {
		t.Fatal(err)
	}
	u := got.Unit("vllm.service")
	if u.ActiveState != "hibernating" || u.Active() || !u.Up() || u.MainPID != 0 || !u.Known {
		t.Errorf("got %+v", u)
	}
	if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Error(), "MainPID") {
		t.Errorf("problems: %v", got.Problems)
	}
}

func TestCouldNotLook(t *testing.T) {
	names := []string{"desktop.target"}
	t.Run("list", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Systemd.Refuse("ListUnitsByNames", "org.freedesktop.DBus.Error.Failed")
		if got, err := ask(t, h, names, "vllm.service"); err == nil || len(got.Units) != 0 {
			t.Errorf("got %+v, %v", got.Units, err)
		}
	})
	t.Run("details and manager", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Systemd.Refuse("GetAll", "org.freedesktop.DBus.Error.AccessDenied")
		got, err := ask(t, h, names, "vllm.service")
		if !bus.IsAccessDenied(err) || !bus.IsAccessDenied(got.ManagerErr) || got.Unit("vllm.service").Known || !got.Unit("desktop.target").Active() {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("neither way", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		h.Systemd.Refuse("ListUnitsByNames", "org.freedesktop.DBus.Error.AccessDenied")
		h.Systemd.Refuse("GetAll", "org.freedesktop.DBus.Error.AccessDenied")
		if got, err := ask(t, h, names); !bus.IsAccessDenied(err) || len(got.Units) != 0 {
			t.Errorf("got %+v, %v", got.Units, err)
		}
	})
	t.Run("never followed", func(t *testing.T) {
		h := hosts.Start(t, "idle-desktop")
		conn, err := bus.Dial(t.Context(), h.Root())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		q := systemd.NewQuery(names, "vllm.service")
		if err := conn.Batch(t.Context(), q.Calls()...); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Result(); err == nil {
			t.Error("details that nobody asked for are no error")
		}
	})
	t.Run("garbled", func(t *testing.T) {
		q := systemd.NewQuery(names)
		for _, body := range [][]any{nil, {"x"}, {[][]any{}}, {[][]any{{"too", "short"}}}, {[][]any{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}}} {
			q.Calls()[0].Body = body
			q.Follow()
			if got, err := q.Result(); err == nil || len(got.Units) != 0 {
				t.Errorf("%v: got %+v, %v", body, got.Units, err)
			}
		}
	})
}

func TestUnitStates(t *testing.T) {
	for state, want := range map[string][2]bool{ // Active, Up
		"active": {true, true}, "reloading": {true, true}, "refreshing": {true, true},
		"activating": {false, true}, "deactivating": {false, true}, "maintenance": {false, true},
		"who-knows": {false, true}, "inactive": {false, false}, "failed": {false, false}, "": {false, false},
	} {
		u := systemd.Unit{ActiveState: state}
		if got := [2]bool{u.Active(), u.Up()}; got != want {
			t.Errorf("%q: active and up are %v, want %v", state, got, want)
		}
		if u.Failed() != (state == "failed") {
			t.Errorf("%q: Failed() is %t", state, u.Failed())
		}
	}
}

func TestUnitPath(t *testing.T) {
	const prefix = "/org/freedesktop/systemd1/unit/"
	for name, want := range map[string]string{
		"desktop.target":                  "desktop_2etarget",
		"mode-controller@x.service":       "mode_2dcontroller_40x_2eservice",
		"8bit.slice":                      "_38bit_2eslice",
		`system-mode\x2dcontroller.slice`: `system_2dmode_5cx2dcontroller_2eslice`,
		"":                                "_",
	} {
		if got := systemd.UnitPath(name); string(got) != prefix+want || !got.IsValid() {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
