package hosts

import (
	"errors"
	"os"
	"strings"
)

// AddCard gives the machine a graphics card: its PCI address, the vendor as
// sysfs writes it, and the number of its DRM node, cardN.
func (h *Host) AddCard(pci, vendor, number string) {
	device := "sys/devices/pci0000:00/" + pci
	card := "sys/class/drm/card" + number
	h.Write(device+"/class", "0x030000\n")
	h.Write(device+"/vendor", vendor+"\n")
	h.Write(card+"/dev", "226:"+number+"\n")
	to := "../../../" + strings.TrimPrefix(device, "sys/")
	err := errors.Join(
		os.MkdirAll(h.Root().Path("sys/bus/pci/devices"), 0o755),
		os.Symlink(to, h.Root().Path(card, "device")),
		os.Symlink(to, h.Root().Path("sys/bus/pci/devices", pci)),
	)
	if err != nil {
		panic(err)
	}
}
