package units

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
)

func TestForMachine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		files  []string
		links  []string
	}{
		"defaults": {func(*config.Config) {}, nil, nil},
		"a key that is in no unit": {
			func(c *config.Config) { c.Guards.Memory.Compute = config.GiB }, nil, nil,
		},
		"a slice": {
			func(c *config.Config) { c.Slices.AI.MemoryHigh = config.GiB },
			[]string{"ai.slice", "audio-priority.service"},
			nil,
		},
		"vllm, not enabled": {
			func(c *config.Config) { c.VLLM.Model = config.ModelsDirectory + "/m" },
			[]string{"plano.service", "vllm.service"},
			nil,
		},
		"vllm": {
			func(c *config.Config) { c.VLLM.Enable, c.VLLM.Model = true, config.ModelsDirectory+"/m" },
			[]string{"plano.service", "vllm.service"},
			[]string{"compute.target.wants/vllm.service ../vllm.service"},
		},
		"vllm of another maker": {
			func(c *config.Config) { c.VLLM.Enable, c.VLLM.Unit = true, "llm@a.service" },
			[]string{"llm@a.service.d/50-dubnium.conf", "plano.service"},
			[]string{"compute.target.wants/llm@a.service ../llm@a.service", "vllm.service /dev/null"},
		},
		"plano": {
			func(c *config.Config) { c.Plano.Enable = true },
			[]string{"plano.service"},
			[]string{"compute.target.wants/plano.service ../plano.service"},
		},
		"idle": {
			func(c *config.Config) { c.Idle.Enable = true },
			[]string{"mode-idle.service"},
			[]string{"multi-user.target.wants/mode-idle.service ../mode-idle.service"},
		},
		"metrics again and again": {
			func(c *config.Config) { c.Metrics.Interval = config.Duration(time.Minute) },
			[]string{"mode-observe.timer"},
			[]string{"timers.target.wants/mode-observe.timer ../mode-observe.timer"},
		},
		"no metrics, again and again": {
			func(c *config.Config) { c.Metrics.Interval, c.Metrics.Textfile = config.Duration(time.Second), "" },
			[]string{"mode-controller@.service", "mode-observe.service", "mode-observe.timer"},
			nil,
		},
		"k3s": {
			func(c *config.Config) { c.K3s.Enable, c.K3s.Unit = true, "k3s-agent.service" },
			[]string{"k3s-agent.service.d/50-dubnium.conf"},
			nil,
		},
		"memory": {
			func(c *config.Config) { c.Memory.Enable = true },
			[]string{"dubnium-memory-api.service", "dubnium-memory-api.socket", "dubnium-memory-expire.timer"},
			[]string{
				"multi-user.target.wants/dubnium-memory-api.service ../dubnium-memory-api.service",
				"sockets.target.wants/dubnium-memory-api.socket ../dubnium-memory-api.socket",
				"timers.target.wants/dubnium-memory-expire.timer ../dubnium-memory-expire.timer",
			},
		},
		"memory with a worker and a database": {
			func(c *config.Config) {
				c.Memory.Enable, c.Memory.Embeddings.Provider = true, config.EmbedderOpenAI
				c.Memory.Database.DSN, c.Memory.Database.Unit = "host=/run/postgresql", "postgresql.service"
			},
			[]string{
				"dubnium-embed-worker.service", "dubnium-memory-api.service", "dubnium-memory-api.socket",
				"dubnium-memory-database.service", "dubnium-memory-expire.timer",
			},
			[]string{
				"multi-user.target.wants/dubnium-embed-worker.service ../dubnium-embed-worker.service",
				"multi-user.target.wants/dubnium-memory-api.service ../dubnium-memory-api.service",
				"sockets.target.wants/dubnium-memory-api.socket ../dubnium-memory-api.socket",
				"timers.target.wants/dubnium-memory-expire.timer ../dubnium-memory-expire.timer",
			},
		},
		"memory without vectors": {
			func(c *config.Config) {
				c.Memory.Enable, c.Memory.Embeddings.Provider, c.Memory.Redis.URL = true, config.EmbedderNone, "redis://127.0.0.1"
			},
			[]string{"dubnium-memory-api.service", "dubnium-memory-api.socket", "dubnium-memory-expire.timer"},
			[]string{
				"multi-user.target.wants/dubnium-memory-api.service ../dubnium-memory-api.service",
				"sockets.target.wants/dubnium-memory-api.socket ../dubnium-memory-api.socket",
				"timers.target.wants/dubnium-memory-expire.timer ../dubnium-memory-expire.timer",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			c.change(&cfg)
			files, links, err := ForMachine(cfg, Paths{})
			if err != nil {
				t.Fatal(err)
			}
			var gotFiles, gotLinks []string
			for _, f := range files {
				gotFiles = append(gotFiles, f.Path)
				if first, _, _ := strings.Cut(f.Text, "\n"); first != "# "+machineHeader || strings.Contains(f.Text, Header) {
					t.Errorf("%s does not say where it comes from", f.Path)
				}
			}
			for _, l := range links {
				gotLinks = append(gotLinks, l.Path+" "+l.To)
			}
			slices.Sort(gotFiles)
			slices.Sort(gotLinks)
			if diff := cmp.Diff(c.files, gotFiles); diff != "" {
				t.Errorf("files: %s", diff)
			}
			if diff := cmp.Diff(c.links, gotLinks); diff != "" {
				t.Errorf("links: %s", diff)
			}
		})
	}
}

func TestForMachineRefuses(t *testing.T) {
	cfg := config.Default()
	cfg.Plano.ExtraArgs = []string{"a\nUser=root"}
	if _, _, err := ForMachine(cfg, Paths{}); err == nil || !strings.Contains(err.Error(), "unit plano.service: section Service, key ExecStart") {
		t.Errorf("error %v", err)
	}
}

func TestDropIns(t *testing.T) {
	cfg := config.Default()
	cfg.K3s.Enable, cfg.VLLM.Enable, cfg.VLLM.Unit = true, true, "llm.service"
	cfg.Hardware.PresentGPUs, cfg.Hardware.ComputeGPUs = []int{0, 1}, []int{1}
	var got []string
	for _, u := range dropIns(cfg) {
		opts, err := u.Options()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range opts {
			got = append(got, fmt.Sprintf("%s [%s] %s=%s", u.Name, o.Section, o.Name, o.Value))
		}
	}
	want := []string{
		"k3s.service.d/50-dubnium.conf [Unit] IgnoreOnIsolate=yes",
		"k3s.service.d/50-dubnium.conf [Service] Slice=platform.slice",
		"llm.service.d/50-dubnium.conf [Unit] PartOf=compute.target",
		"llm.service.d/50-dubnium.conf [Service] Slice=ai.slice",
		"llm.service.d/50-dubnium.conf [Service] Environment=CUDA_DEVICE_ORDER=PCI_BUS_ID",
		"llm.service.d/50-dubnium.conf [Service] Environment=CUDA_VISIBLE_DEVICES=1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlano(t *testing.T) {
	cfg := config.Default()
	cfg.Plano.ExtraArgs = []string{"--with-tracing"}
	got := options(t, cfg, Paths{}, "plano.service")
	if diff := cmp.Diff([]string{"/var/lib/plano/venv/bin/planoai up %d/plano_config.yaml --foreground --with-tracing"}, got["Service.ExecStart"]); diff != "" {
		t.Error(diff)
	}
	if got["Service.ExecStartPre"] != nil {
		t.Errorf("a file is looked for that nobody named: %q", got["Service.ExecStartPre"])
	}
	cfg.Plano.ConfigFile, cfg.Plano.Runtime = "/etc/plano.yaml", config.RuntimePackage
	got = options(t, cfg, Paths{Plano: "/nix/planoai"}, "plano.service")
	if diff := cmp.Diff([]string{"/nix/planoai up /etc/plano.yaml --foreground --with-tracing"}, got["Service.ExecStart"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/usr/bin/head -c 0 -- /etc/plano.yaml"}, got["Service.ExecStartPre"]); diff != "" {
		t.Error(diff)
	}
	if got["Service.SetCredential"] != nil {
		t.Errorf("there are two configurations: %q", got["Service.SetCredential"])
	}
}

// What stands in the unit is what the gateway reads, whatever the names are.
func TestPlanoSettings(t *testing.T) {
	cfg := config.Default()
	cfg.VLLM.ServedModelName = `50% "off" <ä>\`
	cfg.Plano.Port, cfg.Plano.LocalBaseURL = 12001, "http://127.0.0.1:8001/v1?a=%41"
	value := options(t, cfg, Paths{}, "plano.service")["Service.SetCredential"][0]
	name, rest, _ := strings.Cut(value, ":")
	if strings.Contains(rest, "%") {
		t.Errorf("a percent sign is left: %s", rest)
	}
	// systemd reads C escapes; \xNN is the only one that we write.
	var data []byte
	for i := 0; i < len(rest); i++ {
		if rest[i] == '\\' {
			var b byte
			if _, err := fmt.Sscanf(rest[i:i+4], `\x%02x`, &b); err != nil {
				t.Fatal(err, rest[i:])
			}
			data, i = append(data, b), i+3
			continue
		}
		data = append(data, rest[i])
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"version":   "v0.3.0",
		"listeners": []any{map[string]any{"type": "model", "name": "dubnium", "address": "127.0.0.1", "port": 12001.0}},
		"model_providers": []any{map[string]any{
			"model": `openai/50% "off" <ä>\`, "base_url": "http://127.0.0.1:8001/v1?a=%41", "default": true,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" || name != "plano_config.yaml" {
		t.Errorf("%s: %s", name, diff)
	}
}

func BenchmarkForMachine(b *testing.B) {
	cfg := config.Default()
	cfg.VLLM.Enable, cfg.VLLM.Model = true, config.ModelsDirectory+"/m"
	for b.Loop() {
		if _, _, err := ForMachine(cfg, Paths{}); err != nil {
			b.Fatal(err)
		}
	}
}
