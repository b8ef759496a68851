package guards

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
)

// elsewhere parts the holders into those that may hold a GPU of the
// configuration, and those that hold none. Only where the profile says that no
// NVIDIA GPU has the display (hardware.displayGpu is absent) can there be such:
// who holds nothing but cards of other makers. What can't be told counts as held.
func elsewhere(cfg config.Hardware, cards []gpu.Card, all []holders.Holder) (here, others []holders.Holder) {
	if len(cfg.PresentGPUs) == 0 || cfg.DisplayGPU != nil {
		return all, nil
	}
	another := func(d holders.Device) bool {
		return d.PCI != "" && slices.ContainsFunc(cards, func(c gpu.Card) bool {
			return c.PCI == d.PCI && c.Vendor != "" && c.Vendor != gpu.NVIDIA
		})
	}
	for _, h := range all {
		if slices.ContainsFunc(h.Devices, func(d holders.Device) bool { return !another(d) }) {
			here = append(here, h)
		} else {
			others = append(others, h)
		}
	}
	// Process 1 and logind hold what a session does, and come first by pid.
	slices.SortStableFunc(others, func(a, b holders.Holder) int { return brokers(a) - brokers(b) })
	return here, others
}

func brokers(h holders.Holder) int {
	if h.Class == holders.Broker {
		return 1
	}
	return 0
}
