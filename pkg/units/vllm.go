package units

import (
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

const (
	vllmRestartAfter = 10 * time.Second
	vllmBurst        = 3
	vllmDescriptors  = 65536

	// execFailed is systemd's exit status for a program that it could not run.
	execFailed = 203
)

func vllm(cfg config.Config, p Paths) Unit {
	v := cfg.VLLM
	unit := []entry{
		set("Description", text("vLLM inference server")),
		set("Documentation", tokens{"man:mode(1)", "https://docs.vllm.ai/"}),
		set("PartOf", names{string(mode.ComputeTarget)},
			"It ends with compute mode, also when the target is stopped by hand. Desktop mode is no conflict: "+
				"a server that somebody starts there is for the observer to see and to name."),
		set("StartLimitIntervalSec", span(vllmBurst*(v.StartTimeout.Std()+vllmRestartAfter)),
			"Long enough to count starts that each fail only after the model was loaded."),
		set("StartLimitBurst", unitfile.Int(vllmBurst)),
	}
	if len(cfg.Hardware.PresentGPUs) > 0 {
		const uvm = "modprobe@nvidia_uvm.service"
		unit = append(unit,
			set("Wants", names{uvm},
				"CUDA loads this module through a setuid program, which NoNewPrivileges= forbids, "+
					"and DeviceAllow= knows only the devices of the modules that are there at the start."),
			set("After", names{uvm}))
	}
	service := []entry{
		set("Type", text("exec"), "A missing program fails the start, with its path in the message. Healthy is what the controller waits for, not systemd."),
		set("ExecStartPre", p.readable(path.Join(vllmModel(v), "config.json")),
			"Fails, and names the file, when the model is not on this machine or not readable for the server."),
		set("ExecStart", vllmCommand(v, p)),
		set("DynamicUser", yes, "The server runs other people's models: it owns nothing but its cache."),
		set("ProtectProc", text("invisible")),
		set("CacheDirectory", text("vllm"), "Compiled kernels, which make the next start faster."),
		set("WorkingDirectory", unitfile.Concat{unitfile.Specifier('C'), text("/vllm")}),
		set("Environment", unitfile.Env{Name: "HOME", Value: unitfile.Concat{unitfile.Specifier('C'), text("/vllm")}}),
		set("Environment", unitfile.Env{Name: "HF_HUB_OFFLINE", Value: text("1")},
			"The model is on this machine; a wrong path is an error and no download."),
		set("Environment", unitfile.Env{Name: "TRANSFORMERS_OFFLINE", Value: text("1")}),
		set("Environment", unitfile.Env{Name: "VLLM_NO_USAGE_STATS", Value: text("1")}),
	}
	service = append(service, gpuEnvironment(cfg)...)
	for _, file := range v.EnvironmentFiles {
		service = append(service, set("EnvironmentFile", unitfile.Path(file)))
	}
	service = append(service,
		set("Slice", text("ai.slice")),
		set("TimeoutStartSec", within(cfg.Timeouts.StartUnit)),
		set("TimeoutStopSec", span((cfg.Timeouts.StopUnit.Std()/2).Truncate(time.Millisecond)),
			"The controller drained it before. Whatever is left then is killed; the other half of timeouts.stopUnit is for the memory of the GPU to come back."),
		set("KillMode", text("control-group"), "The workers hold the GPU, not only the server."),
		set("Restart", text("on-failure")),
		set("RestartPreventExitStatus", unitfile.Int(execFailed), "A program that is missing is still missing ten seconds later."),
		set("RestartSec", span(vllmRestartAfter)),
		set("LimitNOFILE", unitfile.Int(vllmDescriptors), "One a connection; the usual 1024 is soon used up."),
		set("OOMScoreAdjust", unitfile.Int(500), "When memory runs out, it goes before anything that cannot be started again at will."),
	)
	return Unit{
		Name: v.Unit,
		Sections: []section{
			{Name: "Unit", Entries: unit},
			{Name: "Service", Entries: joined(service, sandbox{
				families:    tokens{"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"},
				familiesWhy: "Netlink: the libraries with which workers talk to each other list the network interfaces.",
				devices:     tokens{"char-nvidia*"},
				devicesWhy: "CUDA needs the devices of the driver. MemoryDenyWriteExecute= stays off, since kernels are compiled at run time, " +
					"and so does PrivateUsers=, until somebody has tried it with more than one GPU.",
				calls:    tokens{"@system-service", "pidfd_getfd"},
				callsWhy: "Workers hand each other memory of the GPU as file descriptors.",
				refused:  tokens{"@privileged"},
			}.entries())},
			{Name: "Install", Entries: []entry{set("WantedBy", names{string(mode.ComputeTarget)})}},
		},
	}
}

// gpuEnvironment is what a CUDA program is told of the GPUs that compute has.
func gpuEnvironment(cfg config.Config) []entry {
	var list []string
	for _, n := range cfg.Hardware.ComputeGPUs {
		list = append(list, strconv.Itoa(n))
	}
	if list == nil {
		return nil
	}
	return []entry{
		set("Environment", unitfile.Env{Name: "CUDA_DEVICE_ORDER", Value: text("PCI_BUS_ID")},
			"CUDA puts the fastest GPU first unless told to count as NVML and the configuration do."),
		set("Environment", unitfile.Env{Name: "CUDA_VISIBLE_DEVICES", Value: text(strings.Join(list, ","))}),
	}
}

// noModel stands where a model would, and tells in the message about the file
// what is missing.
const noModel = "vllm.model-is-not-set"

func vllmModel(v config.VLLM) string {
	if v.Model == "" {
		return path.Join(config.ModelsDirectory, noModel)
	}
	return v.Model
}

func vllmCommand(v config.VLLM, p Paths) unitfile.Exec {
	program, external := v.Program()
	if !external {
		program = p.VLLM
	}
	args := []string{"serve", vllmModel(v), "--host", v.Host, "--port", strconv.Itoa(v.Port)}
	if name := v.ServedName(); name != "" {
		args = append(args, "--served-model-name", name)
	}
	return unitfile.Command(program, append(args, v.ExtraArgs...)...)
}
