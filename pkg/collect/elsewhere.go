package collect

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
)

// Elsewhere tells whether a holder holds no GPU of the configuration. Only
// where the profile says that no NVIDIA GPU has the display (hardware.displayGpu
// is absent) can there be such: who holds nothing but cards of other makers.
// What can't be told counts as held.
func Elsewhere(cfg config.Hardware, cards []gpu.Card, h holders.Holder) bool {
	if len(cfg.PresentGPUs) == 0 || cfg.DisplayGPU != nil {
		return false
	}
	return !slices.ContainsFunc(h.Devices, func(d holders.Device) bool {
		another := d.PCI != "" && slices.ContainsFunc(cards, func(c gpu.Card) bool {
			return c.PCI == d.PCI && c.Vendor != "" && c.Vendor != gpu.NVIDIA
		})
		return !another
	})
}
