package config

import "slices"

// Degraded says with what compute may lack it is entered all the same, as
// degraded-compute.
type Degraded struct {
	MinComputeGPUs int      // 0: the plan is not compared
	DesktopUnits   []string // some of Desktop.LoginUnits
}

func degradedKeys() []definition {
	return []definition{
		{path: "degraded.minComputeGpus", at: func(c *Config) any { return &c.Degraded.MinComputeGPUs }, max: maxGPU, example: "1", doc: "With how many GPUs compute may run while hardware.plannedGpuCount names more: it is then degraded-compute, the guarantee gpus-as-planned is not met, and a request for it ends with exit code 42. 0 compares nothing: the machine as it is counts as complete."},
		{path: "degraded.desktopUnits", at: func(c *Config) any { return &c.Degraded.DesktopUnits }, empty: true, check: wrongUnit(".service", ".socket", ".target", ".slice"), allowed: "unit names", example: `["display-manager.service"]`, doc: "Those of desktop.loginUnits that compute can do without the end of. One that can't be stopped does not end the transition: compute is then degraded-compute, the guarantee login-path-stopped is not met, and a request ends with exit code 42. The gates hold all the same: no graphical session may be left, and nothing of a desktop may hold a GPU."},
	}
}

// ComputeCount is how many GPUs compute has.
func (h Hardware) ComputeCount() int {
	if len(h.ComputeGPUs) > 0 {
		return len(h.ComputeGPUs)
	}
	return len(h.PresentGPUs)
}

// acceptable reports what can't be under the table degraded.
func (p *parser) acceptable() {
	c := &p.config
	const least, units = "degraded.minComputeGpus", "degraded.desktopUnits"
	if n := c.Hardware.ComputeCount(); !p.wrong[least] && !p.wrong["hardware.computeGpus"] && !p.wrong["hardware.presentGpus"] && n > 0 && n < c.Degraded.MinComputeGPUs {
		p.problem(p.set[least], least, "is %d, but compute has %d GPUs; lower it, or add them to hardware.presentGpus", c.Degraded.MinComputeGPUs, n)
	}
	if p.wrong[units] || p.wrong["desktop.loginUnits"] {
		return
	}
	for _, u := range c.Degraded.DesktopUnits {
		if !slices.Contains(c.Desktop.LoginUnits, u) {
			p.problem(p.set[units], units, "%q is none of desktop.loginUnits, so that nothing stops it; leave it out", u)
		}
	}
}
