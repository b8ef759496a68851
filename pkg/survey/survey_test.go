package survey

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/tests/hosts"
)

// told is what an observation says, short enough for a table.
type told struct {
	state      mode.State
	confidence observe.Confidence
	conflicts  string
	unmet      string
	unread     string // the families
}

func short(o observe.Observation) told {
	t := told{state: o.State, confidence: o.Confidence}
	var conflicts, unmet, unread []string
	for _, c := range o.Conflicts {
		conflicts = append(conflicts, string(c.Code))
	}
	for _, u := range o.Unmet {
		unmet = append(unmet, string(u.Predicate))
	}
	for _, e := range o.InspectionErrors {
		family, _, _ := strings.Cut(e.Source, " ")
		unread = append(unread, family)
	}
	t.conflicts, t.unmet, t.unread = strings.Join(conflicts, " "), strings.Join(unmet, " "), strings.Join(unread, " ")
	return t
}

func TestMachines(t *testing.T) {
	tests := map[string]told{
		"idle-desktop":            {state: mode.StateDesktop, confidence: observe.High},
		"greeter":                 {state: mode.StateDesktop, confidence: observe.High},
		"studio":                  {state: mode.StateStudioLocal, confidence: observe.High},
		"compute":                 {state: mode.StateCompute, confidence: observe.High},
		"desktop-vllm-conflict":   {mode.DegradedDesktop, observe.Low, "vllm-active-in-desktop", "vllm-inactive", ""},
		"both-targets":            {mode.Unknown, observe.Low, "both-targets-active", "", ""},
		"closing-zombie":          {mode.Unknown, observe.Low, "", "desktop-target-active compute-target-active", ""},
		"closing-held":            {mode.Unknown, observe.Low, "session-closing", "desktop-target-active compute-target-active", ""},
		"logind-restarted":        {mode.DegradedDesktop, observe.Low, "compositor-without-graphical-session", "graphical-path-available", ""},
		"transition-running":      {state: mode.Transitioning, confidence: observe.High},
		"transition-interrupted":  {mode.FailedTransition, observe.High, "", "graphical-path-available", ""},
		"last-failed":             {mode.FailedTransition, observe.High, "", "desktop-target-active compute-target-active", ""},
		"desktop-playing":         {state: mode.StateDesktop, confidence: observe.High},
		"desktop-stale-holder":    {mode.DegradedDesktop, observe.Low, "stale-gpu-holder", "", ""},
		"compute-stale-holder":    {mode.DegradedCompute, observe.Low, "session-closing stale-gpu-holder", "graphical-session-absent gpus-released-by-display", ""},
		"compute-session-closing": {mode.DegradedCompute, observe.Low, "session-closing", "graphical-session-absent", ""},
		"compute-display-holder":  {mode.DegradedCompute, observe.Low, "display-holder-in-compute", "gpus-released-by-display", ""},
		"booting":                 {state: mode.Bootstrapping, confidence: observe.High},
		"empty":                   {mode.Unknown, observe.Low, "", "desktop-target-active compute-target-active", ""},
	}
	for _, code := range []observe.ConflictCode{
		observe.DisplayInCompute, observe.StaleHolder, observe.SessionClosing, observe.VLLMInDesktop, observe.BothTargets,
	} {
		found := false
		for _, m := range tests {
			found = found || m.conflicts == string(code)
		}
		if !found {
			t.Errorf("no machine has the conflict %s alone", code)
		}
	}
	for _, name := range hosts.Names() {
		want, known := tests[name]
		if !known {
			t.Errorf("nobody says what the machine %s is", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, name)
			o := Observe(t.Context(), h.Root(), config.Default(), 0)
			if diff := cmp.Diff(want, short(o), cmp.AllowUnexported(told{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := time.Parse(time.RFC3339, o.Timestamp); err != nil || o.SchemaVersion != 1 {
				t.Errorf("schema version %d, timestamp %q: %v", o.SchemaVersion, o.Timestamp, err)
			}
			if calls := h.Calls(); len(calls) > 0 {
				t.Errorf("looking has changed something: %q", calls)
			}
		})
	}
}

// TestConfigured holds what the configuration changes in the look at one and
// the same machine.
func TestConfigured(t *testing.T) {
	healthy := newServer(t, http.StatusOK)
	loading := newServer(t, http.StatusServiceUnavailable)
	vllm := func(port int) func(*config.Config) {
		return func(c *config.Config) { c.VLLM.Enable, c.VLLM.Port = true, port }
	}
	for name, tt := range map[string]struct {
		host   string
		change func(*config.Config)
		want   told
	}{
		"vllm healthy":     {"compute", vllm(healthy), told{state: mode.StateCompute, confidence: observe.High}},
		"vllm not healthy": {"compute", vllm(loading), told{mode.DegradedCompute, observe.High, "", "vllm-healthy", ""}},
		"vllm unreachable": {"compute", vllm(closedPort(t)), told{mode.DegradedCompute, observe.High, "", "vllm-healthy", ""}},
		"vllm silent":      {"compute", vllm(silentPort(t)), told{mode.DegradedCompute, observe.High, "", "vllm-healthy", ""}},
		"another vllm": {"compute", func(c *config.Config) { c.VLLM.Enable, c.VLLM.Unit = true, "llm.service" }, told{
			mode.DegradedCompute, observe.High, "", "vllm-healthy", "",
		}},
		"console site": {"closing-zombie", func(c *config.Config) { c.Desktop.LoginUnits = nil }, told{
			mode.Unknown, observe.Low, "", "desktop-target-active compute-target-active", "",
		}},
		"other weights": {"studio", func(c *config.Config) { c.Slices.AI.StudioCPUWeight = 11 }, told{state: mode.StateStudioLocal, confidence: observe.High}},
		"baseline is the studio's": {"idle-desktop", func(c *config.Config) {
			c.Slices.AI.StudioCPUWeight, c.Slices.AI.StudioIOWeight, c.Slices.AI.StudioMemoryHigh = 100, 100, 0
		}, told{state: mode.StateDesktop, confidence: observe.High}},
		"weights are left over": {"idle-desktop", func(c *config.Config) {
			c.Slices.AI.StudioCPUWeight, c.Slices.AI.StudioIOWeight, c.Slices.AI.StudioMemoryHigh = 100, 100, 0
			c.Slices.AI.CPUWeight = 50
		}, told{mode.DegradedDesktop, observe.High, "", "slice-weights-baseline", ""}},
		"a compositor that nobody names": {"logind-restarted", func(c *config.Config) { c.Desktop.Compositors = []string{"sway"} }, told{
			mode.DegradedDesktop, observe.High, "", "graphical-path-available", "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			tt.change(&cfg)
			o := Observe(t.Context(), hosts.Start(t, tt.host).Root(), cfg, 0)
			if diff := cmp.Diff(tt.want, short(o), cmp.AllowUnexported(told{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func newServer(t *testing.T, status int) int {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(s.Close)
	return port(t, s.Listener)
}

// closedPort is a port on which nobody listens, silentPort one on which nobody
// answers.
func closedPort(t *testing.T) int {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return port(t, l)
}

func silentPort(t *testing.T) int {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	return port(t, l)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func port(t *testing.T, l net.Listener) int {
	t.Helper()
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const busFamilies = "sessions login_path targets vllm overlay boot"

// TestSourcesFail holds what is said when a source does not answer, answers
// rubbish or is not there: never a stable mode on its account, and never later
// than allowed.
func TestSourcesFail(t *testing.T) {
	unknown := func(unread string) told {
		return told{state: mode.Unknown, confidence: observe.Low, unread: unread}
	}
	write := func(name, text string) func(*hosts.Host) { return func(h *hosts.Host) { h.Write(name, text) } }
	fifo := func(name string) func(*hosts.Host) {
		return func(h *hosts.Host) {
			h.Remove(name)
			if err := unix.Mkfifo(h.Root().Path(name), 0o644); err != nil {
				panic(err)
			}
		}
	}
	tests := map[string]struct {
		change func(h *hosts.Host)
		want   told
		says   string // in the first error
	}{
		"bus crashed":      {(*hosts.Host).KillBus, unknown(busFamilies), "connection refused"},
		"no bus":           {func(h *hosts.Host) { h.Remove("run/dbus") }, unknown(busFamilies), "no such file"},
		"bus stopped":      {(*hosts.Host).StopBus, unknown(busFamilies), "deadline exceeded"},
		"services silent":  {(*hosts.Host).Hang, unknown(busFamilies), "deadline exceeded"},
		"systemd silent":   {(*hosts.Host).HangSystemd, unknown("login_path targets vllm overlay boot"), "no answer from org.freedesktop.systemd1"},
		"logind silent":    {(*hosts.Host).HangLogin, unknown("sessions"), "no answer from org.freedesktop.login1"},
		"sessions refused": {func(h *hosts.Host) { h.Login.Refuse("ListSessions", "org.freedesktop.DBus.Error.AccessDenied") }, unknown("sessions"), "AccessDenied"},
		"details refused":  {func(h *hosts.Host) { h.Systemd.Refuse("GetAll", "org.freedesktop.DBus.Error.AccessDenied") }, unknown("login_path targets vllm overlay boot"), "AccessDenied"},

		"processes hidden":    {func(h *hosts.Host) { h.Remove("proc/1") }, told{mode.StateDesktop, observe.Medium, "", "", "compositors audio"}, "hidepid"},
		"a process is a pipe": {fifo("proc/1604/stat"), told{mode.StateDesktop, observe.Medium, "", "", "compositors audio"}, "1604"},
		"a garbled process":   {write("proc/1604/stat", "rubbish"), told{mode.StateDesktop, observe.Medium, "", "", "compositors audio"}, "1604"},

		"garbled marker": {write("run/mode-controller/transition.json", `{"id": "half`), told{state: mode.StateDesktop, confidence: observe.High}, ""},
		"garbled record": {write("run/mode-controller/last-transition.json", "rubbish"), unknown("controller"), "last-transition.json"},
		"marker is a pipe": {func(h *hosts.Host) {
			h.Write("run/mode-controller/transition.json", "")
			fifo("run/mode-controller/transition.json")(h)
		}, unknown("controller"), "not a regular file"},
		"garbled locks": {func(h *hosts.Host) {
			h.Write("run/mode-controller/lock", "")
			h.Write("proc/locks", "1: FLOCK ADVISORY WRITE x\n")
		}, unknown("controller"), "locks"},
		"locks are a pipe": {func(h *hosts.Host) {
			h.Write("run/mode-controller/lock", "")
			fifo("proc/locks")(h)
		}, unknown("controller"), "not a regular file"},
		"desired is rubbish": {write("run/mode-controller/desired", "\x00\xff"), told{state: mode.StateDesktop, confidence: observe.High}, ""},
		"everything":         {func(h *hosts.Host) { h.KillBus(); h.Remove("proc"); h.Write("run/mode-controller/lock", "") }, unknown("sessions compositors login_path targets vllm overlay controller boot audio"), "connection refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, "idle-desktop")
			tt.change(h)
			cfg := config.Default()
			cfg.Timeouts.Observe = config.Duration(time.Second)
			begin := time.Now()
			o := Observe(t.Context(), h.Root(), cfg, 0)
			if took := time.Since(begin); took > cfg.Timeouts.Observe.Std()+time.Second {
				t.Errorf("took %v", took)
			}
			if diff := cmp.Diff(tt.want, short(o), cmp.AllowUnexported(told{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if tt.says != "" && (len(o.InspectionErrors) == 0 || !strings.Contains(o.InspectionErrors[0].Message, tt.says)) {
				t.Errorf("the errors %+v do not begin with %q", o.InspectionErrors, tt.says)
			}
		})
	}
}

// TestCost holds what one look costs the bus: mode status has four round
// trips, and the messages grow with the sessions only.
func TestCost(t *testing.T) {
	for name, messages := range map[string]int{
		"compute":      5 + 3,     // three questions to logind, two to systemd, one a slice
		"idle-desktop": 5 + 3 + 2, // and one a session
	} {
		h := hosts.Start(t, name)
		before := h.Taken()
		s := Look(t.Context(), h.Root(), config.Default())
		if s.RoundTrips > 4 {
			t.Errorf("%s: %d round trips", name, s.RoundTrips)
		}
		if got := h.Taken() - before; got == 0 || got > messages {
			t.Errorf("%s: %d messages, want at most %d", name, got, messages)
		}
	}
}

// TestSelf holds that the controller's own lock and marker say nothing to it.
func TestSelf(t *testing.T) {
	h := hosts.Start(t, "transition-running")
	if got := Observe(t.Context(), h.Root(), config.Default(), 4711).State; got == mode.Transitioning {
		t.Errorf("the holder of the lock sees itself")
	}
	if got := Observe(t.Context(), h.Root(), config.Default(), 4712).State; got != mode.Transitioning {
		t.Errorf("another process sees %s", got)
	}
}

func TestPolicy(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.Enable = true
	cfg.Degraded.DesktopUnits = []string{"kmsconvt@tty2.service"}
	cfg.Hardware.PlannedGPUCount = 2
	got := Policy(cfg, 7)
	want := observe.Policy{
		Tolerated:   []string{"kmsconvt@tty2.service"},
		VLLMEnabled: true, LoginPath: []string{"display-manager.service"}, Self: 7,
		StudioWeights: map[string]evidence.Slice{
			"ai.slice":          {CPUWeight: 10, IOWeight: 10, MemoryHighMiB: 4096},
			"interactive.slice": {CPUWeight: 1000, IOWeight: 1000},
			"platform.slice":    {CPUWeight: 20, IOWeight: 20, MemoryHighMiB: 8192},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	cfg.Degraded.MinComputeGPUs = 1
	if got := Policy(cfg, 7).PlannedGPUs; got != 2 {
		t.Errorf("fewer GPUs than planned are acceptable, and %d are planned", got)
	}
	cfg.Slices.Platform.StudioCPUWeight, cfg.Slices.Platform.StudioIOWeight, cfg.Slices.Platform.StudioMemoryHigh = 100, 100, 0
	if _, told := Policy(cfg, 7).StudioWeights["platform.slice"]; told {
		t.Error("a slice whose budgets are the same tells nothing")
	}
}

// TestWeights holds how the settings of slices arrive.
func TestWeights(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	h.Systemd.SetUnit("ai.slice", hosts.Props{"CPUWeight": 10, "IOWeight": "18446744073709551615", "MemoryHigh": 4 << 30})
	got := Look(t.Context(), h.Root(), config.Default()).Evidence.Overlay.Value.Weights
	want := map[string]evidence.Slice{
		"ai.slice": {CPUWeight: 10, MemoryHighMiB: 4096}, "interactive.slice": {CPUWeight: 200, IOWeight: 200}, "platform.slice": {CPUWeight: 100, IOWeight: 100},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if names := slicesSeen(); !slices.IsSorted(names) {
		t.Errorf("%v", names)
	}
}
