package gpu

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Card is a display device as sysfs has it. None of its files reaches the
// device itself, so that looking never wakes one.
type Card struct {
	// PCI is the address, as "0000:01:00.0"; "" for a device on another bus.
	PCI    string `json:"pci,omitempty"`
	Class  string `json:"class,omitempty"`  // as "0x030000"
	Vendor Vendor `json:"vendor,omitempty"` // of the PCI device
	// Driver is the bound kernel driver, "" where there is none.
	Driver string `json:"driver,omitempty"`
	// RuntimeStatus is the kernel's word for the device's power: active,
	// suspended, suspending, resuming, error or unsupported.
	RuntimeStatus string `json:"runtime_status,omitempty"`
	// BootVGA tells whether the firmware showed its picture there; nil where
	// the kernel does not say.
	BootVGA *bool  `json:"boot_vga,omitempty"`
	Nodes   []Node `json:"nodes,omitempty"`
}

// Node is a DRM device node of a card.
type Node struct {
	Name  string `json:"name"` // as "card0" or "renderD128"
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
}

// Vendor is a PCI vendor id, as "10de".
type Vendor string

// The vendors of the usual graphics cards.
const (
	NVIDIA Vendor = "10de"
	AMD    Vendor = "1002"
	Intel  Vendor = "8086"
)

// String is the vendor's name, or its id.
func (v Vendor) String() string {
	switch v {
	case NVIDIA:
		return "NVIDIA"
	case AMD:
		return "AMD"
	case Intel:
		return "Intel"
	default:
		return string(v)
	}
}

// Asleep tells whether the device is runtime-suspended, or about to be.
func (c Card) Asleep() bool { return c.RuntimeStatus == "suspended" || c.RuntimeStatus == "suspending" }

// String names the card for messages.
func (c Card) String() string {
	var names []string
	for _, n := range c.Nodes {
		names = append(names, n.Name)
	}
	s := strings.Join(names, ", ")
	if c.PCI == "" {
		return s
	}
	if s != "" {
		s = " (" + s + ")"
	}
	return strings.TrimSpace(c.Vendor.String() + " " + c.PCI + s)
}

const (
	pciDevices = "/sys/bus/pci/devices"
	drmClass   = "/sys/class/drm"
)

var (
	drmNode    = regexp.MustCompile(`^(card|renderD)[0-9]+$`)
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
)

// Cards lists the display devices: those of PCI class 03, and those on other
// buses that have DRM nodes, in the order of their addresses. A machine
// without a PCI bus, or without DRM, has none of the kind. A device that goes
// away meanwhile is left out.
func Cards(root hostfs.Root) ([]Card, error) {
	cards, err := pciCards(root)
	if err != nil {
		return nil, fmt.Errorf("look for display devices: %w", err)
	}
	names, err := root.ReadDirNames(drmClass)
	if err != nil && !hostfs.Absent(err) {
		return nil, fmt.Errorf("look for DRM nodes: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if !drmNode.MatchString(name) {
			continue // a connector, "version"
		}
		data, err := root.ReadFile(drmClass + "/" + name + "/dev")
		if hostfs.Absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for DRM nodes: %w", err)
		}
		major, minor, err := parseDev(data)
		if err != nil {
			return nil, fmt.Errorf("parse %s/%s/dev: %w", drmClass, name, err)
		}
		n := Node{Name: name, Major: major, Minor: minor}
		pci := behind(root, name)
		i := slices.IndexFunc(cards, func(c Card) bool { return c.PCI == pci && (pci != "" || sameMinor(c, n)) })
		if i < 0 {
			cards = append(cards, Card{PCI: pci})
			i = len(cards) - 1
		}
		cards[i].Nodes = append(cards[i].Nodes, n)
	}
	slices.SortStableFunc(cards, func(a, b Card) int { return strings.Compare(a.PCI, b.PCI) })
	return cards, nil
}

// sameMinor tells whether n is the other node of a card without an address:
// the render node of card N is N+128.
func sameMinor(c Card, n Node) bool {
	return slices.ContainsFunc(c.Nodes, func(o Node) bool { return o.Minor%64 == n.Minor%64 })
}

// pciCards lists the PCI devices of class 03.
func pciCards(root hostfs.Root) ([]Card, error) {
	names, err := root.ReadDirNames(pciDevices)
	if hostfs.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var cards []Card
	for _, name := range names {
		dir := pciDevices + "/" + name
		class, err := word(root, dir+"/class")
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(class, "0x03") {
			continue
		}
		c := Card{PCI: Address(name), Class: class}
		vendor, err := word(root, dir+"/vendor")
		if err != nil {
			return nil, err
		}
		c.Vendor = Vendor(strings.TrimPrefix(vendor, "0x"))
		if c.RuntimeStatus, err = word(root, dir+"/power/runtime_status"); err != nil {
			return nil, err
		}
		boot, err := word(root, dir+"/boot_vga")
		if err != nil {
			return nil, err
		}
		if boot != "" {
			is := boot == "1"
			c.BootVGA = &is
		}
		link, err := root.Readlink(dir + "/driver")
		if err != nil && !hostfs.Absent(err) {
			return nil, err
		}
		if link != "" {
			c.Driver = filepath.Base(link)
		}
		cards = append(cards, c)
	}
	return cards, nil
}

// word reads a file of one word; "" for one that is not there.
func word(root hostfs.Root, name string) (string, error) {
	data, err := root.ReadLimited(name, 4<<10)
	if hostfs.Absent(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(data)), nil
}

// behind is the address of the PCI device that a DRM node belongs to, directly
// or, as with virtio, through a device of another bus; "" where there is none.
func behind(root hostfs.Root, node string) string {
	real, err := filepath.EvalSymlinks(root.Path(drmClass, node, "device"))
	if err != nil {
		return ""
	}
	for part := range strings.SplitSeq(strings.ToLower(real), "/") {
		if pciAddress.MatchString(part) {
			node = part // the last one is the device, those before it are bridges
		}
	}
	if !pciAddress.MatchString(node) {
		return ""
	}
	return Address(node)
}

// parseDev reads "226:128".
func parseDev(data []byte) (major, minor uint32, err error) {
	a, b, ok := strings.Cut(string(bytes.TrimSpace(data)), ":")
	ma, errA := strconv.ParseUint(a, 10, 12) // the kernel has 12 and 20 bits
	mi, errB := strconv.ParseUint(b, 10, 20)
	if !ok || errA != nil || errB != nil {
		return 0, 0, fmt.Errorf("%q: want a major and a minor number", data)
	}
	return uint32(ma), uint32(mi), nil
}
