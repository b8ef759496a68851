package config

import (
	"time"

	"github.com/ryjen/dubnium/pkg/mode"
)

// Default is the configuration of a machine without a file: no GPU, everything
// local, vLLM off. Each call gives a value that shares nothing with another.
func Default() Config {
	return Config{
		Boot: Boot{DefaultMode: mode.Desktop},
		Hardware: Hardware{
			PresentGPUs:   []int{},
			DesktopAIGPUs: []int{},
			ComputeGPUs:   []int{},
		},
		CapabilityPlacement: CapabilityPlacement{Studio: Local, AI: Local, Platform: Local},
		Desktop: Desktop{
			LoginUnits:    []string{"display-manager.service"},
			Compositors:   compositors(),
			AnnounceGrace: Duration(5 * time.Second),
		},
		Timeouts: Timeouts{
			Observe:     Duration(2 * time.Second),
			Guard:       Duration(5 * time.Second),
			StopUnit:    Duration(30 * time.Second),
			StartUnit:   Duration(60 * time.Second),
			EndSessions: Duration(45 * time.Second),
			Gate:        Duration(20 * time.Second),
			Graphical:   Duration(30 * time.Second),
			Settle:      Duration(10 * time.Second),
		},
		VLLM: VLLM{
			Unit:             "vllm.service",
			Runtime:          RuntimeExternal,
			RuntimePath:      "/var/lib/vllm/venv",
			Host:             "127.0.0.1",
			Port:             8000,
			ExtraArgs:        []string{},
			EnvironmentFiles: []string{},
			StartTimeout:     Duration(10 * time.Minute),
			DrainTimeout:     Duration(60 * time.Second),
			DrainThen:        DrainFail,
		},
		Plano: defaultPlano(),
		K3s:   K3s{Unit: "k3s.service"},
		GPU:   GPU{BenignUnits: benignUnits(), BenignPrograms: benignPrograms()},
		Slices: Slices{
			Interactive: Slice{CPUWeight: 200, IOWeight: 200, StudioCPUWeight: 1000, StudioIOWeight: 1000},
			AI:          Slice{CPUWeight: 100, IOWeight: 100, StudioCPUWeight: 10, StudioIOWeight: 10, StudioMemoryHigh: 4 * GiB},
			Platform:    Slice{CPUWeight: 100, IOWeight: 100, StudioCPUWeight: 20, StudioIOWeight: 20, StudioMemoryHigh: 8 * GiB},
		},
		Guards: Guards{
			SiteDirectory: "/etc/dubnium/guards.d",
			Memory:        GuardMemory{Desktop: GiB, StudioLocal: GiB, Compute: 4 * GiB, ComputeGPU: 4 * GiB},
			Persistence:   GuardPersistence{Paths: []string{"/var/lib/dubnium"}, MinFree: GiB},
			Session:       GuardSession{Inhibitors: []string{"shutdown"}},
			GPU:           GuardGPU{Residual: 256 * MiB, Settle: Duration(250 * time.Millisecond), ScanAll: true},
			Load:          defaultLoad(),
			Jobs:          defaultJobs(),
			Audio:         defaultAudio(),
		},
		Memory:   defaultMemory(),
		Rooms:    defaultRooms(),
		Metrics:  defaultMetrics(),
		Idle:     defaultIdle(),
		Degraded: Degraded{DesktopUnits: []string{}},
	}
}

// compositors lists the processes that draw a desktop, as their comm reads. The
// names with a leading dot are the wrapped programs of NixOS, cut at 15 bytes
// as the kernel does.
func compositors() []string {
	return []string{
		"Hyprland", ".Hyprland-wrapp", "sway", ".sway-wrapped", "river", "niri", "labwc", "wayfire", "weston", "cage", "dwl",
		"gnome-shell", ".gnome-shell-wr", "mutter", "kwin_wayland", ".kwin_wayland-w", "kwin_x11", ".kwin_x11-wrapp",
		"cosmic-comp", "gamescope", "gamescope-wl", "cinnamon", "muffin", "xfwm4", "marco", "phoc", "miriway",
		"Xorg", "X",
	}
}

// benignUnits are services that hold a card without using it: they keep the
// driver loaded, manage its power, or watch it.
func benignUnits() []string {
	return []string{
		"nvidia-persistenced.service", "nvidia-powerd.service", "nvidia-dcgm.service", "dcgm.service",
		"dcgm-exporter.service", "nvidia-dcgm-exporter.service", "nvidia_gpu_exporter.service", "netdata.service",
	}
}

// benignPrograms are the same by the executable that runs, for what people
// start by hand.
func benignPrograms() []string {
	return []string{
		"observe-gpu", "nvidia-smi", "nvidia-persistenced", "nvidia-powerd", "nv-hostengine", "dcgm-exporter",
		"nvtop", "btop", "amdgpu_top", "radeontop", "intel_gpu_top",
	}
}
