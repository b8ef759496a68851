package config

import (
	"strings"

	"github.com/ryjen/dubnium/pkg/mode"
)

// definition is one key: everything that parsing and documentation know of it.
type definition struct {
	path string
	at   func(*Config) any // pointer to the field; its type is the key's type
	doc  string

	enum     []string            // the allowed values, where they are few
	min, max int                 // of an integer
	required bool                // there is no default; only of the keys of a table of many
	of       func(*Room) any     // at, of the keys of a room
	empty    bool                // an empty string, or a list without items, means "none"
	zero     bool                // a duration may be 0
	repeat   bool                // a list may hold an item twice
	private  bool                // an error does not repeat the value, which may hold a password
	check    func(string) string // says what is wrong with a string or a list's item, "" if nothing
	allowed  string              // what check wants, for people
	example  string              // a TOML value
}

// section is one table of the file.
type section struct{ path, doc string }

// sections lists the tables that hold keys, in the order of the file.
func sections() []section {
	return []section{
		{"boot", "What the machine is after a start."},
		{"hardware", "What the owner says about the NVIDIA GPUs, by the index that NVML gives them (`observe-gpu` prints it; it need not be the order of /dev/nvidia*). With presentGpus empty, the machine has none, and every GPU guard passes with the reason no-gpu-configured."},
		{"capabilityPlacement", "Where each capability is: \"local\", or \"external-\" and a name of your own, such as \"external-mac-mini\". A mode whose capability is elsewhere is refused by a guard; the other modes keep their meaning."},
		{"desktop", "How people get a graphical session on this machine."},
		{"timeouts", "What bounds everything that waits. A step that is not done in time counts as failed, and the prior mode is restored."},
		{"vllm", "The compute workload. It runs in compute mode only."},
		{"plano", "The gateway that routes requests between models. It runs in compute mode only, beside vLLM."},
		{"k3s", "The Kubernetes beside the modes, which stays up in all of them."},
		{"gpu", "How the graphics cards are looked at."},
		{"slices.interactive", "The budget of interactive.slice, the work that a person waits for. Graphical sessions live in user.slice, so audio-priority.service sets these values on user.slice too."},
		{"slices.ai", "The budget of ai.slice: vLLM and other AI work."},
		{"slices.platform", "The budget of platform.slice: k3s, databases and other background services."},
		{"guards", "What the guards look for."},
		{"guards.memory", "How much memory must be available before the work of a target starts: of the machine (MemAvailable of /proc/meminfo), and of its GPUs where it has any."},
		{"guards.persistence", "The folders that must be there before compute begins."},
		{"guards.session", "When a graphical session may not be ended."},
		{"guards.gpu", "When the display has let go of the GPUs."},
		{"guards.load", "When the machine is too busy. Pressure is the share of time in which tasks that could run had to wait for a processor; work that leaves processors free makes none."},
		{"guards.jobs", "What counts as work that people have under way."},
		{"guards.audio", "What counts as sound that nobody may cut off."},
		{"memory", "The memory service for AI agents: memory-api, embed-worker and ai-memory."},
		{"memory.api", "Where the service listens."},
		{"memory.database", "Where the memories are."},
		{"memory.redis", "The queue between the service and its workers."},
		{"memory.retention", "For how long what is stored is kept."},
		{"memory.embeddings", "What turns text into vectors. The keys from url on are of the provider \"openai\"."},
		{"memory.artifacts", "Evidence that is kept outside of the database."},
		{"rooms", "Disposable sandboxes, which docs/rooms.md is about."},
		{roomsTable + "." + AnyName, "A room by its name: lower-case letters, digits and hyphens, at most 48. room@NAME.service runs it."},
		{"metrics", "Figures for monitoring."},
		{"idle", "Going to compute when nobody uses the machine. It is off unless enabled."},
		{"degraded", "What compute may lack and is entered all the same, as degraded-compute. By default nothing: the prior mode is restored."},
	}
}

// definitions lists every key, in the order of the file.
func definitions() []definition {
	var defs []definition
	for _, part := range [][]definition{
		hostKeys(), desktopKeys(), timeoutKeys(), vllmKeys(), planoKeys(), gpuKeys(),
		sliceKeys("interactive", func(c *Config) *Slice { return &c.Slices.Interactive }),
		sliceKeys("ai", func(c *Config) *Slice { return &c.Slices.AI }),
		sliceKeys("platform", func(c *Config) *Slice { return &c.Slices.Platform }),
		guardKeys(), loadKeys(), jobKeys(), audioKeys(), memoryKeys(), roomKeys(), metricsKeys(), idleKeys(), degradedKeys(),
	} {
		defs = append(defs, part...)
	}
	return defs
}

const (
	maxGPU    = 63 // NVML numbers far fewer in one machine
	maxWeight = 10000
)

func hostKeys() []definition {
	placement := func(path, doc string, at func(*Config) any) definition {
		return definition{
			path: "capabilityPlacement." + path, at: at, doc: doc,
			check: wrongPlacement, allowed: "\"local\" or \"external-NAME\"", example: `"external-mac-mini"`,
		}
	}
	return []definition{
		{path: "boot.defaultMode", at: func(c *Config) any { return &c.Boot.DefaultMode }, enum: []string{string(mode.Desktop), string(mode.Compute)}, example: `"compute"`, doc: "The mode that a start normalises to. What was requested before the start is not remembered. studio-local lies over a desktop and is no mode to start in."},

		{path: "hardware.plannedGpuCount", at: func(c *Config) any { return &c.Hardware.PlannedGPUCount }, max: maxGPU + 1, example: "2", doc: "How many GPUs the machine will have when it is complete; 0 states nothing. It records the plan while a card is still to come, and no service refers to it."},
		{path: "hardware.presentGpus", at: func(c *Config) any { return &c.Hardware.PresentGPUs }, max: maxGPU, example: "[0, 1]", doc: "The GPUs that are in the machine now. One that is listed and not found is an inspection error, not a machine without a GPU."},
		{path: "hardware.displayGpu", at: func(c *Config) any { return &c.Hardware.DisplayGPU }, max: maxGPU, example: "0", doc: "The GPU that drives the display, and that a session has to let go of before compute begins. Leave it out where no NVIDIA GPU does. It has to be in presentGpus."},
		{path: "hardware.desktopAiGpus", at: func(c *Config) any { return &c.Hardware.DesktopAIGPUs }, max: maxGPU, example: "[1]", doc: "The GPUs that AI work may use while there is a desktop. Each has to be in presentGpus."},
		{path: "hardware.computeGpus", at: func(c *Config) any { return &c.Hardware.ComputeGPUs }, max: maxGPU, example: "[0, 1]", doc: "The GPUs that vLLM gets in compute mode. Each has to be in presentGpus."},

		placement("studio", "Audio work. Where it is not \"local\", studio-local is refused with code 19.", func(c *Config) any { return &c.CapabilityPlacement.Studio }),
		placement("ai", "AI serving. Where it is not \"local\", compute is refused with code 19.", func(c *Config) any { return &c.CapabilityPlacement.AI }),
		placement("platform", "k3s and other platform services. It is recorded for the tools that read the placement, and blocks no mode.", func(c *Config) any { return &c.CapabilityPlacement.Platform }),
	}
}

func desktopKeys() []definition {
	return []definition{
		{path: "desktop.loginUnits", at: func(c *Config) any { return &c.Desktop.LoginUnits }, empty: true, check: wrongUnit(".service", ".target", ".socket"), allowed: "names of .service, .target or .socket units", example: `["greetd.service"]`, doc: "The units that make logging in possible, a display manager as a rule. They are stopped first on the way to compute, in this order, and started last on the way back. An empty list means that a person logs in on a console and starts the compositor: nothing is stopped or started, and the way back succeeds when the console can be logged in at."},
		{path: "desktop.compositors", at: func(c *Config) any { return &c.Desktop.Compositors }, empty: true, check: wrongProcess, allowed: "process names of at most 15 bytes", example: `["Hyprland", ".Hyprland-wrapp"]`, doc: "The processes that draw a desktop, by the name in /proc/PID/comm, which the kernel cuts at 15 bytes. The observer looks for them inside and outside of sessions. This list replaces the default one."},
		{path: "desktop.announceGrace", at: func(c *Config) any { return &c.Desktop.AnnounceGrace }, zero: true, example: `"30s"`, doc: "How long people have between the announcement on their terminals and the end of their sessions; \"0s\" does not wait."},
	}
}

func timeoutKeys() []definition {
	return []definition{
		{path: "timeouts.observe", at: func(c *Config) any { return &c.Timeouts.Observe }, example: `"3s"`, doc: "Bounds one whole observation: sessions, units, processes, audio, GPUs. A source that has not answered by then counts as not readable."},
		{path: "timeouts.guard", at: func(c *Config) any { return &c.Timeouts.Guard }, example: `"10s"`, doc: "Bounds one guard. One that has not answered by then, a site's own included, counts as an inspection error and blocks the transition."},
		{path: "timeouts.stopUnit", at: func(c *Config) any { return &c.Timeouts.StopUnit }, example: `"60s"`, doc: "Bounds the stop of one unit, from the request until it is inactive and its cgroup is empty. For vLLM, draining comes before it and has vllm.drainTimeout."},
		{path: "timeouts.startUnit", at: func(c *Config) any { return &c.Timeouts.StartUnit }, example: `"90s"`, doc: "Bounds the start of one unit, from the request until it is active. For vLLM, vllm.startTimeout holds instead."},
		{path: "timeouts.endSessions", at: func(c *Config) any { return &c.Timeouts.EndSessions }, example: `"2m"`, doc: "Bounds the end of all graphical sessions, from the first request until the last of their processes is gone. Programs save their work in this time."},
		{path: "timeouts.gate", at: func(c *Config) any { return &c.Timeouts.Gate }, example: `"30s"`, doc: "Bounds the wait after the sessions have ended, in which the gates are asked again until they pass: a driver takes a moment to give memory back."},
		{path: "timeouts.graphical", at: func(c *Config) any { return &c.Timeouts.Graphical }, example: `"60s"`, doc: "Bounds the wait for a session or a greeter after the login units were started."},
		{path: "timeouts.settle", at: func(c *Config) any { return &c.Timeouts.Settle }, example: `"20s"`, doc: "Bounds the last observation of a transition, which is repeated until the target shows. What shows at the end is the result."},
	}
}

func vllmKeys() []definition {
	return []definition{
		{path: "vllm.enable", at: func(c *Config) any { return &c.VLLM.Enable }, example: "true", doc: "Whether compute mode starts vLLM. It needs vllm.model."},
		{path: "vllm.unit", at: func(c *Config) any { return &c.VLLM.Unit }, check: wrongUnit(".service"), allowed: "the name of a .service unit", example: `"vllm@compute.service"`, doc: "The unit that runs vLLM. Where it is another than ours, ours is masked, and this one gets ai.slice, the GPUs' environment and its place in compute.target."},
		{path: "vllm.runtime", at: func(c *Config) any { return &c.VLLM.Runtime }, enum: []string{string(RuntimeExternal), string(RuntimePackage)}, example: `"package"`, doc: "Where the program comes from: \"external\" is a virtual environment at vllm.runtimePath that the operator keeps, so that a rebuild of the system compiles no CUDA; \"package\" is the distribution's package."},
		{path: "vllm.runtimePath", at: func(c *Config) any { return &c.VLLM.RuntimePath }, check: wrongPath, allowed: "an absolute path", example: `"/var/lib/vllm/venv-next"`, doc: "The virtual environment of the external runtime; bin/vllm below it is run."},
		{path: "vllm.model", at: func(c *Config) any { return &c.VLLM.Model }, empty: true, check: wrongModel, allowed: "a folder below " + ModelsDirectory, example: `"` + ModelsDirectory + `/qwen2.5-coder-14b-instruct"`, doc: "The folder of a materialised model bundle. A name to download by is not accepted: vLLM is started offline."},
		{path: "vllm.servedModelName", at: func(c *Config) any { return &c.VLLM.ServedModelName }, empty: true, example: `"coder"`, doc: "The name under which clients ask for the model; empty takes the name of the model's folder."},
		{path: "vllm.host", at: func(c *Config) any { return &c.VLLM.Host }, check: wrongHost, allowed: "an IP address or a host name", example: `"0.0.0.0"`, doc: "The address that vLLM listens on, and that its health is asked at. Anything but a loopback address is open to the network as far as the firewall lets it be."},
		{path: "vllm.port", at: func(c *Config) any { return &c.VLLM.Port }, min: 1, max: 65535, example: "8001", doc: "The TCP port that vLLM listens on."},
		{path: "vllm.extraArgs", at: func(c *Config) any { return &c.VLLM.ExtraArgs }, empty: true, repeat: true, check: wrongArg, allowed: "arguments that no key of this section sets", example: `["--gpu-memory-utilization", "0.90"]`, doc: "More arguments of vllm serve, one an item, given to it as they are: no shell reads them."},
		{path: "vllm.environmentFiles", at: func(c *Config) any { return &c.VLLM.EnvironmentFiles }, empty: true, check: wrongEnvironmentFile, allowed: "absolute paths, with \"-\" before one that may be absent", example: `["-/run/secrets/vllm.env"]`, doc: "Files with environment variables for vLLM, read by systemd when it starts. Secrets belong here and not in this file, which everyone may read."},
		{path: "vllm.startTimeout", at: func(c *Config) any { return &c.VLLM.StartTimeout }, example: `"20m"`, doc: "Bounds the start of vLLM, from the request until it answers that it is healthy. Loading a large model from disk takes minutes."},
		{path: "vllm.drainTimeout", at: func(c *Config) any { return &c.VLLM.DrainTimeout }, example: `"5m"`, doc: "Bounds the wait for running and waiting requests before vLLM is stopped."},
		{path: "vllm.drainThen", at: func(c *Config) any { return &c.VLLM.DrainThen }, enum: []string{DrainFail, DrainAsk, DrainStop}, example: `"stop"`, doc: "What follows when vllm.drainTimeout is over and requests are left: \"fail\" blocks the way out of compute, and vLLM goes on; \"ask\" blocks it, too, and leaves it to an operator to have them cut off: mode request asks on a terminal, and takes the answer by --cut-off elsewhere; \"stop\" lets vLLM be stopped, which cuts them off. Without --cut-off, no request is cut off before that time is over."},
	}
}

func gpuKeys() []definition {
	return []definition{
		{path: "gpu.nvmlLibrary", at: func(c *Config) any { return &c.GPU.NVMLLibrary }, empty: true, check: wrongPath, allowed: "an absolute path", example: `"/usr/lib64/libnvidia-ml.so.1"`, doc: "The NVIDIA management library that observe-gpu loads. Empty takes the libnvidia-ml.so.1 that the loader finds, or that of /run/opengl-driver (NixOS)."},
		{path: "gpu.benignUnits", at: func(c *Config) any { return &c.GPU.BenignUnits }, empty: true, check: wrongUnit(".service"), allowed: "names of .service units", example: `["nvidia-persistenced.service"]`, doc: "Services that may hold a graphics card at any time, because they only keep the driver loaded, manage power or watch. They count as benign and are named in the evidence. This list replaces the default one."},
		{path: "gpu.benignPrograms", at: func(c *Config) any { return &c.GPU.BenignPrograms }, empty: true, check: wrongProgram, allowed: "names of executables, or absolute paths", example: `["nvtop", "/opt/monitor/bin/agent"]`, doc: "Executables that may hold a graphics card wherever they run. A name stands for the file that runs (/proc/PID/exe), not for the name that a process gives itself. This list replaces the default one."},
	}
}

func sliceKeys(name string, of func(*Config) *Slice) []definition {
	key := func(leaf string) string { return "slices." + name + "." + leaf }
	return []definition{
		{path: key("cpuWeight"), at: func(c *Config) any { return &of(c).CPUWeight }, min: 1, max: maxWeight, example: "300", doc: "CPUWeight= of " + name + ".slice: its share of the CPU against the other slices when all want it."},
		{path: key("ioWeight"), at: func(c *Config) any { return &of(c).IOWeight }, min: 1, max: maxWeight, example: "300", doc: "IOWeight= of " + name + ".slice: its share of the disks."},
		{path: key("memoryHigh"), at: func(c *Config) any { return &of(c).MemoryHigh }, empty: true, example: `"16GiB"`, doc: "MemoryHigh= of " + name + ".slice: above it the kernel slows the slice down and takes memory back. Empty sets no limit."},
		{path: key("studioCpuWeight"), at: func(c *Config) any { return &of(c).StudioCPUWeight }, min: 1, max: maxWeight, example: "300", doc: "cpuWeight while studio-local holds."},
		{path: key("studioIoWeight"), at: func(c *Config) any { return &of(c).StudioIOWeight }, min: 1, max: maxWeight, example: "300", doc: "ioWeight while studio-local holds."},
		{path: key("studioMemoryHigh"), at: func(c *Config) any { return &of(c).StudioMemoryHigh }, empty: true, example: `"2GiB"`, doc: "memoryHigh while studio-local holds. Empty sets no limit."},
	}
}

// inhibitors are the kinds of logind inhibitor (systemd-inhibit --what).
func inhibitors() []string {
	return strings.Fields("shutdown sleep idle handle-power-key handle-suspend-key handle-hibernate-key handle-lid-switch handle-reboot-key")
}

func guardKeys() []definition {
	return []definition{
		{path: "guards.siteDirectory", at: func(c *Config) any { return &c.Guards.SiteDirectory }, check: wrongPath, allowed: "an absolute path", example: `"/usr/local/lib/dubnium/guards.d"`, doc: "The folder of the site's own guards; those in its folder TARGET run with the built-in ones on the way to that target. It need not exist."},
		{path: "guards.memory.desktop", at: func(c *Config) any { return &c.Guards.Memory.Desktop }, example: `"2GiB"`, doc: "Needed on the way to desktop; \"0\" asks for none."},
		{path: "guards.memory.studioLocal", at: func(c *Config) any { return &c.Guards.Memory.StudioLocal }, example: `"2GiB"`, doc: "Needed on the way to studio-local; \"0\" asks for none."},
		{path: "guards.memory.compute", at: func(c *Config) any { return &c.Guards.Memory.Compute }, example: `"16GiB"`, doc: "Needed on the way to compute; \"0\" asks for none."},
		{path: "guards.memory.computeGpu", at: func(c *Config) any { return &c.Guards.Memory.ComputeGPU }, example: `"20GiB"`, doc: "Needed on the way to compute of each of hardware.computeGpus, or of hardware.presentGpus where that is empty; \"0\" asks for none, and then the driver is not asked. vLLM takes a share of a GPU's whole memory (its --gpu-memory-utilization) and does not start with less: that share is the number to set. Memory of what the transition ends counts as available where the driver names its processes."},
		{path: "guards.memory.displayGpu", at: func(c *Config) any { return &c.Guards.Memory.DisplayGPU }, example: `"512MiB"`, doc: "The same of hardware.displayGpu, on the way to desktop or studio-local. With \"0\" the way out of compute does not depend on the NVIDIA driver's answer."},
		{path: "guards.persistence.paths", at: func(c *Config) any { return &c.Guards.Persistence.Paths }, empty: true, check: wrongPath, allowed: "absolute paths", example: `["/var/lib/dubnium", "/var/lib/vllm"]`, doc: "The folders that must exist and be writable."},
		{path: "guards.persistence.minFree", at: func(c *Config) any { return &c.Guards.Persistence.MinFree }, example: `"20GiB"`, doc: "How much must be free on the file system of each of them; \"0\" asks for none."},
		{path: "guards.session.inhibitors", at: func(c *Config) any { return &c.Guards.Session.Inhibitors }, empty: true, enum: inhibitors(), example: `["shutdown", "sleep"]`, doc: "The kinds of logind inhibitor that, held in block mode, make a graphical session not terminable. An empty list lets none do that."},
		{path: "guards.gpu.residual", at: func(c *Config) any { return &c.Guards.GPU.Residual }, example: `"512MiB"`, doc: "How much memory of each GPU may still be in use when nothing draws on it any more: what the driver keeps. Memory of the compute workload and of benign processes does not count."},
		{path: "guards.gpu.settle", at: func(c *Config) any { return &c.Guards.GPU.Settle }, example: `"500ms"`, doc: "How long after a first look without a holder the second is taken. Both have to agree: a display manager that starts its next greeter leaves a gap."},
		{path: "guards.gpu.scanAll", at: func(c *Config) any { return &c.Guards.GPU.ScanAll }, example: "false", doc: "Whether every process is looked at. With false, only the processes of people, of the login path, of logind, of vLLM and of ai.slice are, which is faster on a machine with many descriptors and overlooks what draws from elsewhere."},
	}
}
