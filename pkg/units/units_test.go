package units

import (
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
)

// options gives the directives of one unit by section and key.
func options(t *testing.T, cfg config.Config, p Paths, name string) map[string][]string {
	t.Helper()
	for _, u := range All(cfg, p) {
		if u.Name != name {
			continue
		}
		opts, err := u.Options()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string][]string{}
		for _, o := range opts {
			found[o.Section+"."+o.Name] = append(found[o.Section+"."+o.Name], o.Value)
		}
		return found
	}
	t.Fatalf("no unit %s", name)
	return nil
}

func TestFiles(t *testing.T) {
	files, err := Render(config.Default(), Paths{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Path)
		if !strings.HasPrefix(strings.TrimLeft(f.Text, "#/ "), Header+"\n") {
			t.Errorf("%s does not begin with the header", f.Path)
		}
	}
	want := []string{
		"desktop.target", "compute.target", "mode-controller@.service", "mode-observe.service", "mode-observe.timer", "mode-guard@.service",
		"mode-boot.service", "mode-idle.service", "studio-local-policy.service", "audio-priority.service", "interactive.slice", "ai.slice",
		"platform.slice", "vllm.service", "plano.service",
		"dubnium-memory-api.socket", "dubnium-memory-api.service", "dubnium-embed-worker.service",
		"dubnium-memory-expire.service", "dubnium-memory-expire.timer", "room@.service",
		"sysusers.d/dubnium.conf", "tmpfiles.d/dubnium.conf", "polkit-1/rules.d/50-dubnium.rules",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignVLLMUnit(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.Unit = "llm-server.service"
	for _, u := range All(cfg, Paths{}) {
		if u.Name == "vllm.service" || u.Name == cfg.VLLM.Unit {
			t.Errorf("%s is rendered although the operator's own unit is used", u.Name)
		}
	}
}

func TestVLLMCommand(t *testing.T) {
	const venv = "/var/lib/vllm/venv/bin/vllm serve "
	for name, c := range map[string]struct {
		change func(*config.VLLM)
		paths  Paths
		want   string
	}{
		"no model": {func(*config.VLLM) {}, Paths{}, venv + "/var/lib/dubnium/models/vllm.model-is-not-set --host 127.0.0.1 --port 8000"},
		"model": {
			func(v *config.VLLM) { v.Model = config.ModelsDirectory + "/m" },
			Paths{},
			venv + "/var/lib/dubnium/models/m --host 127.0.0.1 --port 8000 --served-model-name m",
		},
		"all": {func(v *config.VLLM) {
			v.Model, v.ServedModelName, v.RuntimePath, v.Host, v.Port = config.ModelsDirectory+"/a b", "50% off", "/opt/v", "::1", 1
			v.ExtraArgs = []string{"--x", `{"a": "$b"}`}
		}, Paths{}, `/opt/v/bin/vllm serve "/var/lib/dubnium/models/a b" --host ::1 --port 1 --served-model-name "50%% off" --x "{\"a\": \"$$b\"}"`},
		"package": {
			func(v *config.VLLM) { v.Runtime = config.RuntimePackage },
			Paths{VLLM: "/nix/vllm"},
			"/nix/vllm serve /var/lib/dubnium/models/vllm.model-is-not-set --host 127.0.0.1 --port 8000",
		},
		"package of the distribution": {
			func(v *config.VLLM) { v.Runtime = config.RuntimePackage },
			Paths{BinDir: "/opt/dubnium"},
			"/usr/bin/vllm serve /var/lib/dubnium/models/vllm.model-is-not-set --host 127.0.0.1 --port 8000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			c.change(&cfg.VLLM)
			if diff := cmp.Diff([]string{c.want}, options(t, cfg, c.paths, "vllm.service")["Service.ExecStart"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVLLMDevices(t *testing.T) {
	cfg := config.Default()
	none := options(t, cfg, Paths{}, "vllm.service")
	if none["Unit.Wants"] != nil || strings.Contains(strings.Join(none["Service.Environment"], " "), "CUDA") {
		t.Errorf("without a GPU there is CUDA in the unit: %v %v", none["Unit.Wants"], none["Service.Environment"])
	}
	cfg.Hardware.PresentGPUs, cfg.Hardware.ComputeGPUs = []int{0, 1, 2}, []int{2, 0}
	cfg.VLLM.EnvironmentFiles = []string{"-/run/a", "/run/b"}
	got := options(t, cfg, Paths{}, "vllm.service")
	want := []string{
		"HOME=%C/vllm", "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=2,0",
	}
	if diff := cmp.Diff(want, got["Service.Environment"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"-/run/a", "/run/b"}, got["Service.EnvironmentFile"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"modprobe@nvidia_uvm.service"}, got["Unit.Wants"]); diff != "" {
		t.Error(diff)
	}
}

// The controller may take as long as its steps may, and the way back.
func TestControllerHasTheTime(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.Enable = true
	cfg.Desktop.LoginUnits = []string{"a.service", "b.service"}
	got := options(t, cfg, Paths{}, "mode-controller@.service")
	start, stop := duration(t, got["Service.TimeoutStartSec"]), duration(t, got["Service.TimeoutStopSec"])
	if need := plan.Longest(cfg); start < need {
		t.Errorf("a transition and its way back may take %v, TimeoutStartSec is %v", need, start)
	}
	around := cfg.Timeouts.Observe.Std() + cfg.Timeouts.Guard.Std() + cfg.Timeouts.Settle.Std()
	for _, row := range mode.Transitions() {
		there := plan.ForState(row.From.State(), row.To, cfg)
		back := plan.ForState(row.To.State(), row.From, cfg)
		if need := there.Total() + back.Total() + 2*around; start < need {
			t.Errorf("%s and back may take %v, TimeoutStartSec is %v", there.Row, need, start)
		}
		if need := back.Total() + around; stop < need {
			t.Errorf("the way back over %s may take %v, TimeoutStopSec is %v", back.Row, need, stop)
		}
	}
	for name, change := range map[string]func(*config.Config){
		"vllm.startTimeout": func(c *config.Config) { c.VLLM.StartTimeout *= 2 },
		"vllm.drainTimeout": func(c *config.Config) { c.VLLM.DrainTimeout *= 100 },
		"timeouts.stopUnit": func(c *config.Config) { c.Timeouts.StopUnit *= 2 },
		"desktop.loginUnits": func(c *config.Config) {
			c.Desktop.LoginUnits = append(c.Desktop.LoginUnits, "c.service")
		},
	} {
		longer := cfg
		change(&longer)
		if transitionBound(longer) <= transitionBound(cfg) {
			t.Errorf("more of %s gives the controller no more time", name)
		}
	}
}

func duration(t *testing.T, values []string) time.Duration {
	t.Helper()
	if len(values) != 1 {
		t.Fatalf("%d values of a timeout", len(values))
	}
	d, err := time.ParseDuration(values[0])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSystemdKillsBeforeTheControllerGivesUp(t *testing.T) {
	cfg := config.Default()
	for _, name := range []string{"vllm.service", "studio-local-policy.service", "audio-priority.service"} {
		got := options(t, cfg, Paths{}, name)
		if d := duration(t, got["Service.TimeoutStartSec"]); d >= cfg.Timeouts.StartUnit.Std() {
			t.Errorf("%s: TimeoutStartSec is %v, the controller waits %v", name, d, cfg.Timeouts.StartUnit)
		}
		if d := duration(t, got["Service.TimeoutStopSec"]); d >= cfg.Timeouts.StopUnit.Std() {
			t.Errorf("%s: TimeoutStopSec is %v, the controller waits %v", name, d, cfg.Timeouts.StopUnit)
		}
	}
	// What is left of it is killed at the end, and only then its memory comes
	// back, within the same bound.
	stop := duration(t, options(t, cfg, Paths{}, "vllm.service")["Service.TimeoutStopSec"])
	if left := cfg.Timeouts.StopUnit.Std() - stop; left < stop {
		t.Errorf("a vLLM that is killed after %v leaves %v of %v for its memory to come back", stop, left, cfg.Timeouts.StopUnit)
	}
}

func TestSlices(t *testing.T) {
	cfg := config.Default()
	cfg.Slices.AI = config.Slice{CPUWeight: 50, IOWeight: 60, MemoryHigh: 32 * config.GiB, StudioCPUWeight: 1, StudioIOWeight: 2, StudioMemoryHigh: config.GiB}
	got := options(t, cfg, Paths{}, "ai.slice")
	for key, want := range map[string]string{"CPUWeight": "50", "IOWeight": "60", "MemoryHigh": "32G"} {
		if diff := cmp.Diff([]string{want}, got["Slice."+key]); diff != "" {
			t.Error(diff)
		}
	}
	overlay := options(t, cfg, Paths{Systemctl: "/s"}, "audio-priority.service")
	want := map[string]string{
		"Service.ExecStart":    "/s set-property --runtime ai.slice CPUWeight=1 IOWeight=2 MemoryHigh=1073741824",
		"Service.ExecStopPost": "-/s set-property --runtime ai.slice CPUWeight=50 IOWeight=60 MemoryHigh=34359738368",
	}
	for key, line := range want {
		if diff := cmp.Diff(line, overlay[key][1]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"argument": {func(c *config.Config) { c.VLLM.ExtraArgs = []string{"a\nUser=root"} }, "unit vllm.service: section Service, key ExecStart"},
		"file":     {func(c *config.Config) { c.VLLM.EnvironmentFiles = []string{"secrets"} }, "key EnvironmentFile"},
		"weight":   {func(c *config.Config) { c.Slices.AI.CPUWeight = 0 }, "unit ai.slice: section Slice, key CPUWeight"},
		"folder":   {func(c *config.Config) { c.Guards.SiteDirectory = "/etc/x y" }, `folder "/etc/x y"`},
		"newline":  {func(c *config.Config) { c.Guards.SiteDirectory = "/etc/x\nd /y" }, "folder"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			c.change(&cfg)
			if _, err := Render(cfg, Paths{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not hold %q", err, c.want)
			}
		})
	}
}

// FuzzConfig shows that no text of the configuration adds a directive to a
// unit or a line to a list.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"a", "/a", "a\nExecStartPre=/bin/sh", `x\`, "%i", "$A", `"`, "; /bin/sh", "/a\r\nb", "", "#"} {
		f.Add(s, "/b")
		f.Add("/b", s)
	}
	shape := func(t *testing.T, cfg config.Config) (keys []string, lines int, err error) {
		files, err := Render(cfg, Paths{})
		if err != nil {
			return nil, 0, err
		}
		for _, file := range files {
			if strings.Contains(file.Path, "/") {
				lines += strings.Count(file.Text, "\n")
				continue
			}
			opts, err := unit.DeserializeOptions(strings.NewReader(file.Text))
			if err != nil {
				t.Fatalf("%s: %v", file.Path, err)
			}
			for _, o := range opts {
				keys = append(keys, file.Path+" "+o.Section+"."+o.Name)
			}
		}
		return keys, lines, nil
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		plain, fuzzed := config.Default(), config.Default()
		plain.VLLM.EnvironmentFiles = []string{"/a"}
		fuzzed.VLLM.EnvironmentFiles = []string{a}
		fuzzed.VLLM.Model, fuzzed.VLLM.ServedModelName, fuzzed.VLLM.Host = a, b, a
		fuzzed.VLLM.RuntimePath, fuzzed.VLLM.ExtraArgs, fuzzed.Guards.SiteDirectory = b, []string{a, b}, b
		fuzzed.Plano.RuntimePath, fuzzed.Plano.Host, fuzzed.Plano.LocalBaseURL, fuzzed.Plano.ExtraArgs = a, a, b, []string{b}
		got, gotLines, err := shape(t, fuzzed)
		if err != nil {
			return
		}
		want, wantLines, err := shape(t, plain)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || wantLines != gotLines {
			t.Errorf("%q, %q: %s", a, b, diff)
		}
	})
}
