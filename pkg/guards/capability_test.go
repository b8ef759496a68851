package guards

import (
	"testing"

	"github.com/ryjen/dubnium/pkg/config"
)

func TestCapabilityPlacement(t *testing.T) {
	studio, compute := StudioCapabilityLocal, ComputeCapabilityLocal
	away := func(c *config.Config) {
		c.CapabilityPlacement.Studio, c.CapabilityPlacement.AI = "external-mac-mini", "external-rack"
	}
	holds(t, map[string]looking{
		"studio here":      {guard: studio, host: "empty", noBus: true, reason: "local"},
		"studio elsewhere": {guard: studio, host: "empty", noBus: true, config: away, reason: "external", message: "mac-mini has it"},
		"ai here":          {guard: compute, host: "empty", noBus: true, reason: "local"},
		"ai elsewhere":     {guard: compute, host: "empty", noBus: true, config: away, reason: "external", message: "rack has it"},
		"studio does not look at ai": {guard: studio, host: "empty", noBus: true, config: func(c *config.Config) {
			c.CapabilityPlacement.AI = "external-rack"
		}, reason: "local"},
		"ai does not look at studio": {guard: compute, host: "empty", noBus: true, config: func(c *config.Config) {
			c.CapabilityPlacement.Studio = "external-rack"
		}, reason: "local"},
	})
}
