package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
)

func TestParseEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "[boot]\n[slices.ai]\n[slices]\n"} {
		got, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(Default(), got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseWhole(t *testing.T) {
	zero := 0
	want := Default()
	want.Boot.DefaultMode = mode.Compute
	want.Hardware = Hardware{PlannedGPUCount: 2, PresentGPUs: []int{0, 1}, DisplayGPU: &zero, DesktopAIGPUs: []int{1}, ComputeGPUs: []int{0, 1}}
	want.CapabilityPlacement.Studio = "external-mac-mini"
	want.Desktop.LoginUnits = []string{}
	want.Desktop.Compositors = []string{"Hyprland"}
	want.Desktop.AnnounceGrace = 0
	want.Timeouts.Settle = Duration(90 * time.Second)
	want.VLLM.Enable = true
	want.VLLM.Runtime = RuntimePackage
	want.VLLM.Model = "/var/lib/dubnium/models/qwen"
	want.VLLM.Host = "::1"
	want.VLLM.Port = 65535
	want.VLLM.ExtraArgs = []string{"--x", "a b", "--x", `back\slash "q"`}
	want.VLLM.EnvironmentFiles = []string{"-/run/secrets/env", "/srv/env"}
	want.Slices.AI.MemoryHigh = 3 * GiB / 2
	want.Slices.AI.StudioMemoryHigh = 0
	want.Slices.Platform.CPUWeight = 1
	want.Guards.Memory.Desktop = 0
	want.Guards.Session.Inhibitors = []string{"sleep", "handle-lid-switch"}

	got, err := Parse("f", []byte(`
boot.defaultMode = "compute"
capabilityPlacement = { studio = "external-mac-mini" }

[hardware]
plannedGpuCount = 2
presentGpus = [
  0, # the display's
  1,
]
displayGpu = 0
desktopAiGpus = [1]
"computeGpus" = [0, 1]
[desktop]
loginUnits = []
compositors = ['Hyprland']
announceGrace = "0s"
[timeouts]
settle = "1m30s"
[vllm]
enable = true
runtime = "package"
model = "/var/lib/dubnium/models/qwen"
host = "::1"
port = 65535
extraArgs = ["--x", "a b", "--x", "back\\slash \"q\""]
environmentFiles = ["-/run/secrets/env", "/srv/env"]
[slices]
ai.memoryHigh = "1536 MiB"
ai.studioMemoryHigh = ""
[slices.platform]
cpuWeight = 1
[guards.memory]
desktop = "0"
[guards]
session.inhibitors = ["sleep", "handle-lid-switch"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseProblems(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"typo", "[vllm]\nprot = 1", "f:2: vllm.prot: unknown key; did you mean vllm.port?"},
		{"snake case", "[boot]\ndefault_mode = \"desktop\"", "f:2: boot.default_mode: unknown key; did you mean boot.defaultMode?"},
		{"wrong case", "[hardware]\npresentGPUs = []", "f:2: hardware.presentGPUs: unknown key; did you mean hardware.presentGpus?"},
		{"beginning", "[vllm]\nservedModel = \"x\"", "f:2: vllm.servedModel: unknown key; did you mean vllm.servedModelName?"},
		{"in the wrong table", "[boot]\nport = 1", "f:2: boot.port: unknown key; did you mean vllm.port or plano.port or memory.api.port?"},
		{"in no table", "port = 1", "f:1: port: unknown key; did you mean vllm.port or plano.port or memory.api.port?"},
		{"in several tables", "[vllm]\ncpuWeight = 1", "f:2: vllm.cpuWeight: unknown key; did you mean slices.interactive.cpuWeight or slices.ai.cpuWeight or slices.platform.cpuWeight?"},
		{"key like none", "[boot]\nzzzzzz = 1", "f:2: boot.zzzzzz: unknown key; the keys of [boot] are defaultMode"},
		{"table key like none", "zzzzzz = 1", "f:1: zzzzzz: unknown key; the tables are boot, hardware, capabilityPlacement, desktop, timeouts, vllm, plano, k3s, gpu, slices, slices.interactive, slices.ai, slices.platform, guards, guards.memory, guards.persistence, guards.session, guards.gpu, guards.load, guards.jobs, guards.audio, memory, memory.api, memory.database, memory.redis, memory.retention, memory.embeddings, memory.artifacts, rooms, rooms.named, rooms.named.<name>, metrics, idle, degraded"},
		{"quoted dot", `"boot.defaultMode" = "desktop"`, `f:1: "boot.defaultMode": unknown key; did you mean boot.defaultMode?`},
		{"empty key", `"" = 1`, `f:1: "": unknown key; the tables are boot, hardware, capabilityPlacement, desktop, timeouts, vllm, plano, k3s, gpu, slices, slices.interactive, slices.ai, slices.platform, guards, guards.memory, guards.persistence, guards.session, guards.gpu, guards.load, guards.jobs, guards.audio, memory, memory.api, memory.database, memory.redis, memory.retention, memory.embeddings, memory.artifacts, rooms, rooms.named, rooms.named.<name>, metrics, idle, degraded`},
		{"unknown table, its keys left out", "[vlm]\nport = 1\nx = 2", "f:1: vlm: unknown table; did you mean [vllm]?"},
		{"unknown table like none", "[zzzzzz]", "f:1: zzzzzz: unknown table; the tables are boot, hardware, capabilityPlacement, desktop, timeouts, vllm, plano, k3s, gpu, slices, slices.interactive, slices.ai, slices.platform, guards, guards.memory, guards.persistence, guards.session, guards.gpu, guards.load, guards.jobs, guards.audio, memory, memory.api, memory.database, memory.redis, memory.retention, memory.embeddings, memory.artifacts, rooms, rooms.named, rooms.named.<name>, metrics, idle, degraded"},
		{"list of tables", "[[vllm]]\nport = 1", "f:1: vllm: no list of tables is known; write [vllm] for a table"},
		{"key as table", "[boot.defaultMode]\nx = 1", "f:1: boot.defaultMode: is a key and no table; write defaultMode below [boot]"},
		{"below a key", "boot.defaultMode.x = 1", "f:1: boot.defaultMode.x: unknown key; did you mean boot.defaultMode?"},
		{"far below", "a.b.c.d.e = 1", "f:1: a.b.c.d.e: unknown key; no key has more than 4 parts"},
		{"table as key", "boot = 1", "f:1: boot: is a table and no key; write [boot] and its keys below"},

		{"key twice", "[vllm]\nport = 1\nport = 2", "f:3: vllm.port: is already set on line 2; a key is set once"},
		{"table twice", "[vllm]\n\n[boot]\n[vllm]", "f:4: vllm: the table is already defined on line 1; a table is written once"},
		{"table after dotted key", "vllm.port = 1\n[vllm]", "f:2: vllm: the table is already defined on line 1; a table is written once"},
		{"dotted key into a header's table", "[slices.ai]\n[slices]\nai.cpuWeight = 1", "f:3: slices.ai.cpuWeight: slices.ai is already defined on line 1; a table is written once"},
		{"dotted key into braces", "slices.ai = {}\nslices.ai.cpuWeight = 1", "f:2: slices.ai.cpuWeight: slices.ai is already defined on line 1; a table is written once"},
		{"braces after dotted key", "slices.ai.cpuWeight = 1\nslices.ai = {}", "f:2: slices.ai: the table is already defined on line 1; a table is written once"},
		{"table below braces", "slices = {}\n[slices.ai]", "f:2: slices.ai: slices is written in braces on line 1, and is complete there"},
		{"braces, an unknown key in them", "vllm = { prot = 1 }", "f:1: vllm.prot: unknown key; did you mean vllm.port?"},

		{"enum", "[boot]\ndefaultMode = \"studio-local\"", `f:2: boot.defaultMode: "studio-local" is not known; write "desktop" or "compute"`},
		{"enum empty", "[boot]\ndefaultMode = \"\"", `f:2: boot.defaultMode: "" is empty; write "desktop" or "compute", such as "compute"`},
		{"string for a number", "[vllm]\nport = \"8000\"", `f:2: vllm.port: is the string "8000"; write a whole number, 1 to 65535, such as 8001`},
		{"port low", "[vllm]\nport = 0", "f:2: vllm.port: 0 is not right; write a whole number, 1 to 65535, such as 8001"},
		{"port high", "[vllm]\nport = 65536", "f:2: vllm.port: 65536 is not right; write a whole number, 1 to 65535, such as 8001"},
		{"number past all", "[vllm]\nport = 99999999999999999999", "f:2: vllm.port: 99999999999999999999 is not right; write a whole number, 1 to 65535, such as 8001"},
		{"number in hex", "[vllm]\nport = 0x50", "f:2: vllm.port: 0x50 is not right; write a whole number, 1 to 65535, such as 8001"},
		{"leading zero", "[vllm]\nport = 080", "f:2: vllm.port: 0 is not right; write a whole number, 1 to 65535, such as 8001\n" +
			"f:2: not TOML: expected newline but got U+0038 '8'; write name = value, one a line, with text in quotes"},
		{"fraction", "[vllm]\nport = 80.5", "f:2: vllm.port: is the number 80.5; write a whole number, 1 to 65535, such as 8001"},
		{"date", "[vllm]\nport = 2026-01-01", "f:2: vllm.port: is a date or time; write a whole number, 1 to 65535, such as 8001"},
		{"boolean", "[vllm]\nenable = \"yes\"", `f:2: vllm.enable: is the string "yes"; write true or false, such as true`},
		{"string", "[vllm]\nunit = true", `f:2: vllm.unit: is true; write the name of a .service unit, such as "vllm@compute.service"`},
		{"list", "[vllm]\nextraArgs = \"--x\"", `f:2: vllm.extraArgs: is the string "--x"; write a list of strings, such as ["--gpu-memory-utilization", "0.90"]`},
		{"list in list", "[vllm]\nextraArgs = [[\"--x\"]]", `f:2: vllm.extraArgs: is a list; write a list of strings, such as ["--gpu-memory-utilization", "0.90"]`},
		{"table for a list", "[hardware]\npresentGpus = {a = 1}", "f:2: hardware.presentGpus: is a table; write a list of whole numbers, 0 to 63, such as [0, 1]"},
		{"weight", "[slices.ai]\nioWeight = 10001", "f:2: slices.ai.ioWeight: 10001 is not right; write a whole number, 1 to 10000, such as 300"},
		{"duration without unit", "[timeouts]\nguard = \"5\"", `f:2: timeouts.guard: "5" is not a duration; write a number and a unit, such as "500ms", "30s" or "1m30s"`},
		{"duration as number", "[timeouts]\nguard = 5", `f:2: timeouts.guard: is the number 5; write a duration in quotes, 1ms to 24h, such as "10s"`},
		{"duration zero", "[timeouts]\nguard = \"0s\"", `f:2: timeouts.guard: "0s" is out of bounds; write a duration in quotes, 1ms to 24h, such as "10s"`},
		{"duration negative", "[timeouts]\nguard = \"-5s\"", `f:2: timeouts.guard: "-5s" is out of bounds; write a duration in quotes, 1ms to 24h, such as "10s"`},
		{"duration too long", "[timeouts]\nguard = \"24h1ms\"", `f:2: timeouts.guard: "24h1ms" is out of bounds; write a duration in quotes, 1ms to 24h, such as "10s"`},
		{"size as number", "[guards.memory]\ncompute = 4", `f:2: guards.memory.compute: is the number 4; write a size in quotes, such as "16GiB"`},
		{"size decimal unit", "[guards.memory]\ncompute = \"4GB\"", `f:2: guards.memory.compute: "4GB" is not a size; write a whole number of KiB, MiB, GiB or TiB, such as "512MiB", or of bytes`},
		{"size zero as a limit", "[slices.ai]\nmemoryHigh = \"0\"", `f:2: slices.ai.memoryHigh: 0 would leave no memory at all; write "" for no limit, or a size, such as "16GiB"`},
		{"size empty as a threshold", "[guards.memory]\ncompute = \"\"", `f:2: guards.memory.compute: "" is not a size; write a whole number of KiB, MiB, GiB or TiB, such as "512MiB", or of bytes`},
		{"control character", "[vllm]\nservedModelName = \"a\\nb\"", `f:2: vllm.servedModelName: "a\nb" has a control character in it; write it without`},
		{"placement", "[capabilityPlacement]\nai = \"remote\"", `f:2: capabilityPlacement.ai: "remote" is no placement; write "local", or "external-" and a name in lower-case letters, digits and hyphens, such as "external-mac-mini"`},
		{"placement nowhere", "[capabilityPlacement]\nai = \"external-\"", `f:2: capabilityPlacement.ai: "external-" is no placement; write "local", or "external-" and a name in lower-case letters, digits and hyphens, such as "external-mac-mini"`},
		{"unit suffix", "[desktop]\nloginUnits = [\n\"greetd.service\",\n\"greetd\",\n]", `f:4: desktop.loginUnits: "greetd" does not end in .service, .target, .socket`},
		{"unit template", "[desktop]\nloginUnits = [\"getty@.service\"]", `f:2: desktop.loginUnits: "getty@.service" is a template; write an instance of it, such as getty@main.service`},
		{"unit nameless", "[vllm]\nunit = \".service\"", `f:2: vllm.unit: ".service" has no name before the suffix`},
		{"unit characters", "[vllm]\nunit = \"a b.service\"", `f:2: vllm.unit: "a b.service" is no unit name; one is made of letters, digits and ":-_.\@"`},
		{"unit twice", "[desktop]\nloginUnits = [\"a.service\", \"a.service\"]", `f:2: desktop.loginUnits: "a.service" is there twice; list it once`},
		{"process too long", "[desktop]\ncompositors = [\".Hyprland-wrapped\"]", `f:2: desktop.compositors: ".Hyprland-wrapped" can never match, because the kernel keeps 15 bytes of a name; write ".Hyprland-wrapp"`},
		{"process path", "[desktop]\ncompositors = [\"/usr/bin/sway\"]", `f:2: desktop.compositors: "/usr/bin/sway" is a path; write the process's name, "sway"`},
		{"relative path", "[guards]\nsiteDirectory = \"guards.d\"", `f:2: guards.siteDirectory: "guards.d" is not an absolute path; write one that begins with /`},
		{"path with dots", "[guards.persistence]\npaths = [\"/var/../srv/\"]", `f:2: guards.persistence.paths: "/var/../srv/" is not the shortest form of the path; write "/srv"`},
		{"metrics file that node_exporter does not read", "[metrics]\ntextfile = \"/var/lib/x.txt\"", `f:2: metrics.textfile: "/var/lib/x.txt" does not end in .prom, the only files that node_exporter reads`},
		{"hidden metrics file", "[metrics]\ntextfile = \"/var/lib/.prom\"", `f:2: metrics.textfile: "/var/lib/.prom" does not end in .prom, the only files that node_exporter reads`},
		{"relative metrics file", "[metrics]\ntextfile = \"x.prom\"", `f:2: metrics.textfile: "x.prom" is not an absolute path; write one that begins with /`},
		{"relative environment file", "[vllm]\nenvironmentFiles = [\"-env\"]", `f:2: vllm.environmentFiles: "-env" is not an absolute path; write one that begins with /`},
		{"model by name", "[vllm]\nmodel = \"Qwen/Qwen2.5\"", `f:2: vllm.model: "Qwen/Qwen2.5" is no folder below /var/lib/dubnium/models; write the folder of a materialised bundle, such as /var/lib/dubnium/models/qwen2.5-coder-14b-instruct`},
		{"model that climbs out", "[vllm]\nmodel = \"/var/lib/dubnium/models/../x\"", `f:2: vllm.model: "/var/lib/dubnium/models/../x" is not the shortest form of the path; write "/var/lib/dubnium/x"`},
		{"host mistyped", "[vllm]\nhost = \"127.0.0.256\"", `f:2: vllm.host: "127.0.0.256" is neither an IP address nor a host name; write one, such as 127.0.0.1`},
		{"host with port", "[vllm]\nhost = \"localhost:80\"", `f:2: vllm.host: "localhost:80" is neither an IP address nor a host name; write one, such as 127.0.0.1`},
		{"host with zone", "[vllm]\nhost = \"fe80::1%eth0\"", `f:2: vllm.host: "fe80::1%eth0" has a zone; write the address alone`},
		{"argument of a key", "[vllm]\nextraArgs = [\"--port=9\"]", `f:2: vllm.extraArgs: "--port=9" contradicts a key; set vllm.port instead`},
		{"inhibitor", "[guards.session]\ninhibitors = [\"reboot\"]", `f:2: guards.session.inhibitors: "reboot" is not known; write "shutdown", "sleep", "idle", "handle-power-key", "handle-suspend-key", "handle-hibernate-key", "handle-lid-switch" or "handle-reboot-key"`},

		{"GPU negative", "[hardware]\npresentGpus = [-1]", "f:2: hardware.presentGpus: -1 is not right; write a whole number, 0 to 63, such as 0"},
		{"GPU twice", "[hardware]\npresentGpus = [0, 0]", "f:2: hardware.presentGpus: 0 is there twice; list it once"},
		{"compute GPU absent", "[hardware]\npresentGpus = [0]\ncomputeGpus = [\n  0,\n  1,\n]", "f:5: hardware.computeGpus: GPU 1 is not in hardware.presentGpus, which is [0]; add it there or leave it out here"},
		{"desktop GPU absent", "[hardware]\ndesktopAiGpus = [2]", "f:2: hardware.desktopAiGpus: GPU 2 is not in hardware.presentGpus, which is []; add it there or leave it out here"},
		{"display GPU absent", "[hardware]\npresentGpus = [0]\ndisplayGpu = 1", "f:3: hardware.displayGpu: GPU 1 is not in hardware.presentGpus, which is [0]; add it there or leave it out here"},
		{"fewer than the least", "[hardware]\npresentGpus = [0]\n[degraded]\nminComputeGpus = 2", "f:4: degraded.minComputeGpus: is 2, but compute has 1 GPUs; lower it, or add them to hardware.presentGpus"},
		{"a unit that nothing stops", "[degraded]\ndesktopUnits = [\"seatd.service\"]", "f:2: degraded.desktopUnits: \"seatd.service\" is none of desktop.loginUnits, so that nothing stops it; leave it out"},
		{"pauses", "[idle]\npause = \"2h\"\npauseMost = \"1h\"", "f:3: idle.pauseMost: is 1h, and idle.pause is 2h; the longest pause can't be shorter than the first"},
		{"more than planned", "[hardware]\nplannedGpuCount = 1\npresentGpus = [0, 1]", "f:3: hardware.presentGpus: lists 2 GPUs, but hardware.plannedGpuCount is 1; raise the plan, or set it to 0 to state none"},
		{"vLLM without model", "[vllm]\nenable = true", "f:2: vllm.enable: is true, but vllm.model names no model; set it to a folder below /var/lib/dubnium/models"},
		{"nothing follows from what is wrong", "[hardware]\npresentGpus = [0, 0]\ncomputeGpus = [1]\n[vllm]\nenable = true\nmodel = \"x\"", "f:2: hardware.presentGpus: 0 is there twice; list it once\n" +
			`f:6: vllm.model: "x" is no folder below /var/lib/dubnium/models; write the folder of a materialised bundle, such as /var/lib/dubnium/models/qwen2.5-coder-14b-instruct`},

		{"syntax", "[vllm]\nport = 1\nmodel = x", "f:3: not TOML: incomplete number; write name = value, one a line, with text in quotes"},
		{"size without quotes", "[guards.memory]\ncompute = 4GiB\n", "f:2: guards.memory.compute: is the number 4; write a size in quotes, such as \"16GiB\"\n" +
			"f:2: not TOML: expected newline but got U+0047 'G'; write name = value, one a line, with text in quotes"},
		{"cut off", "[vllm]\nextraArgs = [\n", "f:2: not TOML: array is incomplete; write name = value, one a line, with text in quotes"},
		{"a line without a key", "[vllm]\nport.\n", `f:2: not TOML: invalid character at start of key: '\n'; write name = value, one a line, with text in quotes`},
		{"cut off after the sign", "[vllm]\nport =", "f:2: not TOML: expected value, not eof; write name = value, one a line, with text in quotes"},
		{"not UTF-8", "# a\n# \xff", "f:2: byte 0xff is not UTF-8; save the file as UTF-8"},
		{"byte order mark", "\xef\xbb\xbf[boot]", "f:1: begins with a byte order mark; save the file as UTF-8 without one"},
		{"deep", "a = " + strings.Repeat("[", maxBrackets+1), "f: more than 1000 brackets; no configuration has that many"},
		{"large", strings.Repeat("#", MaxFile+1), "f: over 1048576 bytes; no configuration is that large"},
		{"all are told, by line", "[vllm]\nprot = 1\nport = 0\n[boot]\ndefaultMode = \"x\"\n= 3", "f:2: vllm.prot: unknown key; did you mean vllm.port?\n" +
			"f:3: vllm.port: 0 is not right; write a whole number, 1 to 65535, such as 8001\n" +
			"f:5: boot.defaultMode: \"x\" is not known; write \"desktop\" or \"compute\"\n" +
			"f:6: not TOML: invalid character at start of key: =; write name = value, one a line, with text in quotes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var coder exitcode.Coder
			if !errors.As(err, &coder) || coder.ExitCode() != exitcode.Config {
				t.Errorf("%T does not end the process with %d", err, exitcode.Config)
			}
		})
	}
}

func TestParseStopsAtManyProblems(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxProblems {
		fmt.Fprintf(&text, "key%d = 1\n", i)
	}
	_, err := Parse("f", []byte(text.String()))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if len(e.Problems) != maxProblems+1 {
		t.Errorf("%d problems are told, want %d and a last line", len(e.Problems), maxProblems)
	}
	if got := e.Problems[maxProblems].Message; got != "there may be more; the reader stopped here" {
		t.Errorf("the last line is %q", got)
	}
}
