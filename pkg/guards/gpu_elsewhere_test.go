package guards

import (
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/tests/fakes/nvml"
	"github.com/ryjen/dubnium/tests/hosts"
)

// hybrid gives a machine an Intel card, which is card0, and one of NVIDIA,
// which is card1.
func hybrid(h *hosts.Host) {
	h.AddCard("0000:00:02.0", "0x8086", "0")
	h.AddCard("0000:01:00.0", "0x10de", "1")
}

// Where the profile says that no NVIDIA GPU has the display, a card of another
// maker is nobody's business.
func TestAnotherCardHasTheDisplay(t *testing.T) {
	bin, lib := nvml.BuildObserver(t), nvml.Build(t, false, driverLine, idleGPU)
	first := 0
	for name, test := range map[string]releaseCase{
		"the display's card": {
			host: "idle-desktop", held: []string{"1604 17 226:0", "711 9 226:0", "1 30 226:0"}, reason: "released",
			message: "nobody holds a GPU of hardware.presentGpus; Hyprland (pid 1604, uid 0) in session 2 holds card0, which is another card, and 2 more",
		},
		"the display's card, and benign": {
			host: "idle-desktop", held: []string{"1604 17 226:0", "731 3 195:255"}, reason: "released-with-benign", message: "sshd",
			config: func(c *config.Config) { c.GPU.BenignUnits = []string{"sshd.service"} },
		},
		"both cards":            {host: "idle-desktop", held: []string{"1604 17 226:0", "1604 18 226:1"}, reason: "held-by-compositor", message: "holds card0, card1"},
		"NVIDIA's card":         {host: "idle-desktop", held: []string{"1604 17 226:1"}, reason: "held-by-compositor", message: "holds card1"},
		"NVIDIA's own nodes":    {host: "idle-desktop", held: []string{"1604 17 226:0", "1661 3 195:255"}, reason: "held-by-session", message: "waybar"},
		"a card that is no PCI": {host: "idle-desktop", held: []string{"1604 17 226:2"}, reason: "held-by-compositor", message: "holds card2"},
		"an NVIDIA GPU has the display": {
			host: "idle-desktop", held: []string{"1604 17 226:0"}, reason: "held-by-compositor",
			config: func(c *config.Config) { c.Hardware.DisplayGPU = &first },
		},
		"no GPU is configured": {host: "idle-desktop", held: []string{"1604 17 226:0"}, reason: "no-gpu-configured", message: "Hyprland", config: noGPUs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := looking{
				guard: withObserver(bin), host: test.host, reason: test.reason,
				change: func(h *hosts.Host) {
					hybrid(h)
					holding(h, test.held...)
				},
				config: func(c *config.Config) {
					c.Hardware.PresentGPUs, c.GPU.NVMLLibrary = []int{0}, lib.Path
					c.Guards.GPU.Settle = config.Duration(20 * time.Millisecond)
					if test.config != nil {
						test.config(c)
					}
				},
			}
			r := l.run(t)
			if r.Reason != test.reason || !strings.Contains(r.Message, test.message) {
				t.Errorf("%s: %s\nwant %s: …%s…\n%s", r.Reason, r.Message, test.reason, test.message, r.Evidence)
			}
			contract(t, l.guard, r)
		})
	}
}
