package nix

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exampleNames are the files below nixos-module/examples.
var exampleNames = []string{"container", "first", "workstation", "wsl"}

// cases are configurations beside the module, and what they come to. One that
// says nothing of errors is right.
var cases = []struct {
	name, module string
	fails        string // an assertion's message, in part; more than one are separated by " / "
	refused      string // evaluation ends, and the message holds this
	warns        string // a warning, in part
}{
	{name: "empty", module: `{ }`},
	{name: "enabled", module: `{ dubnium.enable = true; }`},
	{name: "forced", module: `{ lib, ... }: { dubnium = lib.mkMerge [ { enable = true; vllm.port = 1; } (lib.mkIf true { vllm.port = lib.mkForce 2; }) (lib.mkIf false { vllm.port = lib.mkForce 3; }) ]; }`},
	{name: "default-against-value", module: `{ lib, ... }: { imports = [ { dubnium.vllm.port = lib.mkDefault 5; } ]; dubnium.enable = true; dubnium.vllm.port = 6; }`},
	{name: "free-key", module: `{ dubnium.enable = true; dubnium.settings.vllm.newKey = [ 1 2 ]; dubnium.settings.vllm.port = 9000; }`},
	{name: "display-manager", module: `{ dubnium.enable = true; services.displayManager.enable = true; }`},
	{name: "greetd", module: `{ dubnium.enable = true; services.displayManager.enable = true; services.greetd.enable = true; }`},
	{name: "idle", module: `{ dubnium = { enable = true; idle.enable = true; metrics.interval = "1m"; }; }`},
	{name: "no-metrics", module: `{ dubnium = { enable = true; metrics = { interval = "1m"; textfile = ""; }; }; }`},
	{name: "vllm", module: `{ dubnium = { enable = true; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; }; }; }`},
	{name: "vllm-other-args", module: `{ dubnium = { enable = true; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; extraArgs = [ "--enforce-eager" ]; }; slices.ai.cpuWeight = 50; }; services.openssh.enable = true; }`},
	{name: "vllm-package", module: `{ pkgs, ... }: { dubnium = { enable = true; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; runtime = "package"; package = pkgs.vllm; hostAlias = null; }; plano = { enable = true; runtime = "package"; package = pkgs.planoai; }; }; }`},
	{name: "vllm-elsewhere", module: `{ dubnium = { enable = true; vllm = { enable = true; unit = "vllm@compute.service"; model = "/var/lib/dubnium/models/m"; }; k3s.enable = true; }; }`},
	{name: "plano", module: `{ dubnium = { enable = true; plano = { enable = true; externalExecutable = "/opt/plano/bin/planoai"; exposeOnTailscale = true; }; tailscale.enable = true; }; }`},
	{name: "memory", module: `{ dubnium = { enable = true; memory = { enable = true; retention.defaultTtlDays = 30; }; }; }`},
	{name: "memory-private", module: `{ dubnium = { enable = true; memory = { enable = true; database.createLocally = false; redis.enable = false; }; }; }`},
	{name: "memory-model", module: `{ dubnium = { enable = true; memory = { enable = true; redis.enable = false; embeddings.provider = "openai"; embeddings.apiKeyFile = "/run/secrets/key"; }; }; }`},
	{name: "room", module: `{ dubnium = { enable = true; rooms.vault = "/srv/vault"; rooms.named = { demo = { image = "demo.sqsh"; sha256 = "` + strings.Repeat("0f", 32) + `"; command = [ "/bin/demo" ]; vaultRead = [ "models" ]; memoryMax = "4GiB"; gpu = true; }; other = { image = "/srv/i"; sha256 = "` + strings.Repeat("0f", 32) + `"; command = [ "/c" ]; }; }; }; }`},
	{name: "memory-words", module: `{ dubnium = { enable = true; memory = { enable = true; embeddings.provider = "none"; }; }; }`},
	{name: "sops", module: `{ lib, ... }: { options.sops.defaultSopsFile = lib.mkOption { type = lib.types.path; }; options.sops.age.keyFile = lib.mkOption { type = lib.types.path; }; config.dubnium = { enable = true; secrets.defaultSopsFile = "/etc/secrets.yaml"; }; }`},
	{name: "user", module: `{ dubnium = { enable = true; operators = [ "bob" ]; user.name = "alice"; user.description = "Alice"; }; }`},
	{name: "no-compute-gpus", module: `{ dubnium = { enable = true; hardware.presentGpus = [ 0 ]; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; }; }; }`, warns: "dubnium.vllm.enable is set, and dubnium.hardware.computeGpus is empty"},
	{name: "served-elsewhere", module: `{ dubnium = { enable = true; capabilityPlacement.ai = "external-rack"; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; }; }; }`, warns: "dubnium.vllm.enable is set, and dubnium.capabilityPlacement.ai is external-rack"},
	{name: "off", module: `{ dubnium = { vllm.enable = true; memory.enable = true; k3s.enable = true; tailscale.enable = true; vllm.exposeOnTailscale = true; }; }`},
	{name: "all-examples", module: allExamples(), fails: "dubnium.boot.defaultMode is \"compute\", and dubnium.capabilityPlacement.ai / dubnium.vllm.runtime is \"package\" / dubnium.plano.runtime is \"package\"", warns: "dubnium.vllm.enable is set, and dubnium.capabilityPlacement.ai"},
	{name: "machine-test", module: machineTest()},

	{name: "display-absent", module: `{ dubnium = { enable = true; hardware = { presentGpus = [ 1 ]; displayGpu = 0; }; }; }`, fails: "dubnium.hardware.displayGpu names GPUs that are not in dubnium.hardware.presentGpus, which is [ 1 ]: [ 0 ]"},
	{name: "compute-absent", module: `{ dubnium = { enable = true; hardware = { presentGpus = [ 0 ]; computeGpus = [ 0 1 2 ]; }; }; }`, fails: "dubnium.hardware.computeGpus names GPUs that are not in dubnium.hardware.presentGpus, which is [ 0 ]: [ 1 2 ]"},
	{name: "desktop-ai-absent", module: `{ dubnium = { enable = true; hardware.desktopAiGpus = [ 3 ]; }; }`, fails: "dubnium.hardware.desktopAiGpus names GPUs"},
	{name: "more-than-planned", module: `{ dubnium = { enable = true; hardware = { presentGpus = [ 0 1 ]; plannedGpuCount = 1; }; }; }`, fails: "dubnium.hardware.presentGpus lists 2 GPUs, and dubnium.hardware.plannedGpuCount is 1"},
	{name: "two-profiles", module: `{ dubnium = { profiles.workstation.enable = true; profiles.wsl.enable = true; boot.defaultMode = "desktop"; }; }`, fails: "dubnium.profiles.workstation.enable and dubnium.profiles.wsl.enable are both set"},
	{name: "compute-elsewhere", module: `{ dubnium = { enable = true; boot.defaultMode = "compute"; capabilityPlacement.ai = "external-rack"; }; }`, fails: "dubnium.boot.defaultMode is \"compute\", and dubnium.capabilityPlacement.ai is external-rack"},
	{name: "no-model", module: `{ dubnium = { enable = true; vllm.enable = true; }; }`, fails: "dubnium.vllm.enable is set, and dubnium.vllm.model is not"},
	{name: "no-package", module: `{ dubnium = { enable = true; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; runtime = "package"; }; }; }`, fails: "dubnium.vllm.runtime is \"package\", and dubnium.vllm.package is not set"},
	{name: "no-plano-package", module: `{ dubnium = { enable = true; plano = { enable = true; runtime = "package"; }; }; }`, fails: "dubnium.plano.runtime is \"package\", and dubnium.plano.package is not set"},
	{name: "same-port", module: `{ dubnium = { enable = true; plano = { enable = true; port = 8000; }; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; }; }; }`, fails: "dubnium.vllm.port and dubnium.plano.port are both 8000"},
	{name: "odd-executable", module: `{ dubnium = { enable = true; plano.externalExecutable = "/opt/plano"; }; }`, fails: "dubnium.plano.externalExecutable is not the bin/planoai of an environment"},
	{name: "no-tailscale", module: `{ dubnium = { enable = true; plano = { enable = true; exposeOnTailscale = true; }; }; }`, fails: "dubnium.plano.exposeOnTailscale is set, and this machine has no Tailscale"},
	{name: "exposed-loopback", module: `{ dubnium = { enable = true; tailscale.enable = true; vllm = { enable = true; model = "/var/lib/dubnium/models/m"; exposeOnTailscale = true; host = "127.0.0.1"; }; }; }`, fails: "dubnium.vllm.exposeOnTailscale is set, and dubnium.vllm.host is 127.0.0.1"},
	{name: "no-firewall", module: `{ dubnium = { enable = true; tailscale.enable = true; plano = { enable = true; exposeOnTailscale = true; }; }; networking.firewall.enable = false; }`, fails: "dubnium.plano.exposeOnTailscale is set, and networking.firewall.enable is false"},
	{name: "open-to-all", module: `{ dubnium = { enable = true; plano.enable = true; }; networking.firewall.allowedTCPPorts = [ 12000 ]; }`, fails: "networking.firewall.allowedTCPPorts opens dubnium.plano.port (12000) on every interface"},
	{name: "memory-to-all", module: `{ dubnium = { enable = true; memory = { enable = true; api.host = "0.0.0.0"; }; }; }`, fails: "dubnium.memory.api.host is 0.0.0.0"},
	{name: "retention-zero", module: `{ dubnium = { enable = true; memory.retention.defaultTtlDays = 0; }; }`, fails: "dubnium.memory.retention.defaultTtlDays must be positive when set"},
	{name: "two-databases", module: `{ dubnium = { enable = true; memory = { enable = true; database.dsnFile = "/run/secrets/dsn"; }; }; }`, fails: "dubnium.memory.database.dsn and dubnium.memory.database.dsnFile are both set"},
	{name: "no-sops", module: `{ dubnium = { enable = true; secrets.defaultSopsFile = "/etc/secrets.yaml"; }; }`, fails: "dubnium.secrets.defaultSopsFile is set, and there is no sops-nix"},
	{name: "dsn-in-store", module: `{ dubnium = { enable = true; memory.database = { createLocally = false; dsnFile = "/nix/store/x-dsn"; }; }; }`, fails: "dubnium.memory.database.dsnFile is in the Nix store"},
	{name: "key-in-store", module: `{ dubnium = { enable = true; memory.embeddings.apiKeyFile = "/nix/store/x-key"; }; }`, fails: "dubnium.memory.embeddings.apiKeyFile is in the Nix store"},
	{name: "environment-in-store", module: `{ dubnium = { enable = true; vllm.environmentFiles = [ "-/nix/store/x-env" "/run/a" ]; plano.environmentFiles = [ "/nix/store/y-env" ]; }; }`, fails: "dubnium.vllm.environmentFiles is in the Nix store / dubnium.plano.environmentFiles is in the Nix store"},
	{name: "passwords", module: `{ dubnium = { enable = true; memory = { enable = true; database.dsn = "host=db password=x"; redis.url = "rediss://:x@db/0"; embeddings.url = "https://a:x@db/v1"; }; plano.localBaseUrl = "http://a:x@db:1/v1"; }; }`, fails: "dubnium.memory.database.dsn holds a password / dubnium.memory.redis.url holds a password / dubnium.memory.embeddings.url holds a password / dubnium.plano.localBaseUrl holds a password"},
	{name: "no-passwords", module: `{ dubnium = { enable = true; memory = { enable = true; database.dsn = "postgresql://a@db:5432/m"; redis.url = "redis://db:6379/0"; embeddings.url = "http://db:8000/v1/a@b"; }; }; }`},

	{name: "unknown-option", module: `{ dubnium.enable = true; dubnium.vllm.prot = 1; }`, refused: "`dubnium.vllm.prot' does not exist"},
	{name: "unknown-part", module: `{ dubnium.enable = true; dubnium.vlm.port = 1; }`, refused: "`dubnium.vlm' does not exist"},
	{name: "room-without-digest", module: `{ dubnium = { enable = true; rooms.named.demo = { image = "demo.sqsh"; command = [ "/bin/demo" ]; }; }; }`, refused: "`dubnium.rooms.named.demo.sha256' "},
	{name: "room-wrong-type", module: `{ dubnium = { enable = true; rooms.named.demo = { image = "demo.sqsh"; sha256 = "x"; command = "/bin/demo"; }; }; }`, refused: "`dubnium.rooms.named.demo.command' is not of type"},
	{name: "room-unknown-option", module: `{ dubnium = { enable = true; rooms.named.demo = { image = "demo.sqsh"; sha256 = "x"; command = [ "/c" ]; sha512 = "x"; }; }; }`, refused: "`dubnium.rooms.named.demo.sha512' does not exist"},
	{name: "unknown-database", module: `{ dubnium.memory.database.name = "mine"; dubnium.memory.enable = true; dubnium.enable = true; }`, refused: "`dubnium.memory.database.name' is not of type"},
	{name: "conflict", module: `{ imports = [ { dubnium.vllm.port = 1; } ]; dubnium.enable = true; dubnium.vllm.port = 2; }`, refused: "`dubnium.vllm.port' has conflicting definition"},
	{name: "secret-path", module: `{ dubnium.enable = true; dubnium.memory.database.dsnFile = ./secret; }`, refused: "`dubnium.memory.database.dsnFile' is not of type"},
	{name: "studio-at-boot", module: `{ dubnium.enable = true; dubnium.boot.defaultMode = "studio-local"; }`, refused: "`dubnium.boot.defaultMode' is not of type"},
}

// machineTest is the machine of the NixOS test, which is evaluated here, and
// run by others.
func machineTest() string {
	file, err := filepath.Abs(moduleDir + "/machine-test.nix")
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("(import %s).nodes.machine", file)
}

func acceptedNames() []string {
	all := slices.Clone(exampleNames)
	for _, c := range cases {
		if c.refused == "" {
			all = append(all, c.name)
		}
	}
	return all
}

func TestCases(t *testing.T) {
	all := accepted(t)
	for _, c := range cases {
		if c.refused != "" {
			_, _, stderr := run(t, shim, storePath, c.name)
			if !strings.Contains(stderr, c.refused) {
				t.Errorf("%s is not refused with %q:\n%s", c.name, c.refused, stderr)
			}
			continue
		}
		var want []string
		if c.fails != "" {
			want = strings.Split(c.fails, " / ")
		}
		got := all[c.name].Failed
		if !slices.EqualFunc(want, got, func(want, got string) bool { return strings.HasPrefix(got, want) }) {
			t.Errorf("%s: the assertions that fail are %q, want %q", c.name, got, want)
		}
		if got := strings.Join(all[c.name].Warnings, " / "); !strings.HasPrefix(got, c.warns) || got != "" && c.warns == "" {
			t.Errorf("%s: the warnings are %q, want %q", c.name, got, c.warns)
		}
	}
	for _, name := range exampleNames {
		if o := all[name]; !o.Enable || len(o.Failed)+len(o.Warnings) > 0 {
			t.Errorf("the example %s: enabled %v, failed assertions %q, warnings %q", name, o.Enable, o.Failed, o.Warnings)
		}
	}
}

// TestEveryAssertionHasItsCase looks for each message of the module among those
// that the cases bring about, by the words that are the same every time.
func TestEveryAssertionHasItsCase(t *testing.T) {
	var said strings.Builder
	for _, o := range accepted(t) {
		for _, message := range append(o.Failed, o.Warnings...) {
			said.WriteString(message + "\n")
		}
	}
	text := read(t, moduleDir+"/assertions.nix")
	messages := regexp.MustCompile(`(?:message = |\n +)"([^"\\]|\\.)*[.]";?\n`).FindAllString(text, -1)
	if want := strings.Count(text, "message = ") + strings.Count(text, "lib.optional (cfg."); len(messages) != want {
		t.Fatalf("%d messages are found, and %d are written", len(messages), want)
	}
	value := regexp.MustCompile(`\$\{([^{}]|\{[^{}]*\})*\}`)
	for _, m := range messages {
		m = strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(m), "message = "), ";")
		parts := value.Split(strings.ReplaceAll(strings.Trim(m, `"`), `\"`, `"`), -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		if !regexp.MustCompile("(?m)^" + strings.Join(parts, ".*") + "$").MatchString(said.String()) {
			t.Errorf("no case brings about %s", m)
		}
	}
}

// TestIntegration holds what the options come to in the rest of NixOS.
func TestIntegration(t *testing.T) {
	all := accepted(t)
	type state struct {
		Services string
		Tailnet  []int
		Aliases  []string
		Login    any
		Tools    []string
	}
	of := func(name string) state {
		o := all[name]
		var on []string
		for service, enabled := range o.Services {
			if enabled {
				on = append(on, service)
			}
		}
		slices.Sort(on)
		slices.Sort(o.Tools)
		s := state{Services: strings.Join(on, " "), Tailnet: o.Network.Tailnet, Aliases: o.Network.Aliases, Tools: o.Tools}
		if desktop, ok := o.Settings["desktop"].(map[string]any); ok {
			s.Login = desktop["loginUnits"]
		}
		return s
	}
	none, ours := []any{}, []string{"dubnium"}
	withPython := []string{"dubnium", "python3", "uv"}
	for name, want := range map[string]state{
		"empty":           {"", []int{}, []string{}, none, []string{}},
		"off":             {"", []int{}, []string{}, none, []string{}},
		"enabled":         {"polkit", []int{}, []string{}, none, ours},
		"display-manager": {"polkit", []int{}, []string{}, []any{"display-manager.service"}, ours},
		"greetd":          {"polkit", []int{}, []string{}, []any{"greetd.service"}, ours},
		"vllm":            {"polkit", []int{}, []string{"ai.dubnium"}, none, withPython},
		"vllm-package":    {"polkit", []int{}, []string{}, none, ours},
		"vllm-elsewhere":  {"k3s polkit", []int{}, []string{"ai.dubnium"}, none, ours},
		"plano":           {"polkit tailscale", []int{12000}, []string{}, none, ours},
		"memory":          {"polkit postgresql redis", []int{}, []string{}, none, ours},
		"memory-private":  {"polkit", []int{}, []string{}, none, ours},
		"wsl":             {"polkit", []int{}, []string{}, none, ours},
		"workstation":     {"k3s polkit postgresql redis tailscale", []int{8000}, []string{"ai.dubnium"}, []any{"greetd.service"}, withPython},
	} {
		if diff := cmp.Diff(want, of(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(all[name].Network.Ports) > 0 {
			t.Errorf("%s opens %v on every interface", name, all[name].Network.Ports)
		}
	}
	if diff := cmp.Diff([]string{"bob", "alice"}, all["user"].Groups["dubnium"].Members); diff != "" {
		t.Error(diff)
	}
	if u := all["user"].Users["alice"]; !u.IsNormalUser || u.Description != "Alice" {
		t.Errorf("the user is %+v", u)
	}
	if diff := cmp.Diff(map[string]string{"file": "/etc/secrets.yaml", "key": "/var/lib/sops-nix/key.txt"}, all["sops"].Sops); diff != "" {
		t.Error(diff)
	}
	if got := all["forced"].Settings["vllm"].(map[string]any)["port"]; got != 2.0 {
		t.Errorf("a forced port is %v", got)
	}
	if got := all["default-against-value"].Settings["vllm"].(map[string]any)["port"]; got != 6.0 {
		t.Errorf("a port that somebody set is %v", got)
	}
	free := all["free-key"].Settings["vllm"].(map[string]any)
	if diff := cmp.Diff([]any{[]any{1.0, 2.0}, 9000.0}, []any{free["newKey"], free["port"]}); diff != "" {
		t.Error(diff)
	}
	wsl := all["wsl"].Settings
	if diff := cmp.Diff([]any{"compute", "external-windows", false, false}, []any{
		wsl["boot"].(map[string]any)["defaultMode"], wsl["capabilityPlacement"].(map[string]any)["studio"],
		wsl["vllm"].(map[string]any)["enable"], wsl["k3s"].(map[string]any)["enable"],
	}); diff != "" {
		t.Errorf("below Windows:\n%s", diff)
	}
}
