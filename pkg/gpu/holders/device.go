package holders

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The character majors that never change.
const (
	majorDRM    = 226
	majorNVIDIA = 195
)

// majors are the devices of graphics cards: their character majors and the
// names of the drivers that registered them.
type majors map[uint32]string

// parseMajors reads which drivers of graphics cards are registered in
// /proc/devices: the two of fixed numbers, and those to which the NVIDIA
// modules draw theirs (nvidia-uvm, nvidia-caps and their kin), by name. A
// driver that is not registered has no open devices.
func parseMajors(data []byte) (majors, error) {
	m := majors{}
	character, seen := false, false
	for line := range bytes.Lines(data) {
		text := string(bytes.TrimSpace(line))
		switch text {
		case "Character devices:":
			character, seen = true, true
			continue
		case "Block devices:":
			character = false
			continue
		case "":
			continue
		}
		number, name, ok := strings.Cut(text, " ")
		n, err := strconv.ParseUint(number, 10, 12)
		if !ok || err != nil {
			return nil, fmt.Errorf("line %q: want a number and a name", text)
		}
		switch {
		case !character:
		case n == majorDRM:
			m[majorDRM] = "drm"
		case n == majorNVIDIA || strings.HasPrefix(name, "nvidia"):
			m[uint32(n)] = name
		}
	}
	if !seen {
		return nil, fmt.Errorf("no character devices are listed")
	}
	return m, nil
}

// name is what the node of a device is called as a rule.
func (m majors) name(major, minor uint32) string {
	switch {
	case major == majorDRM && minor < 64:
		return fmt.Sprintf("card%d", minor)
	case major == majorDRM && minor < 128:
		return fmt.Sprintf("controlD%d", minor)
	case major == majorDRM:
		return fmt.Sprintf("renderD%d", minor)
	case major == majorNVIDIA && minor == 255:
		return "nvidiactl"
	case major == majorNVIDIA && minor == 254:
		return "nvidia-modeset"
	case major == majorNVIDIA:
		return fmt.Sprintf("nvidia%d", minor)
	default:
		return fmt.Sprintf("%s %d", m[major], minor)
	}
}

// client is a DRM client as a descriptor's fdinfo tells of it.
type client struct {
	pdev string
	id   uint64
	// bytes of memory that it holds, over all regions of the card
	bytes uint64
	known bool // the driver tells of memory
}

// parseFDInfo reads the keys of drm-usage-stats. False says that the driver
// tells nothing of a client. A forked descriptor is the same client, which its
// id and the device tell. Of the ways to tell memory the one that counts what
// is really there is taken: resident, else the older "memory", else total.
func parseFDInfo(data []byte) (client, bool) {
	var c client
	found := false
	sums := map[string]uint64{}
	for line := range bytes.Lines(data) {
		key, value, ok := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		if !ok {
			continue
		}
		switch key {
		case "drm-pdev":
			c.pdev = value
		case "drm-client-id":
			id, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return client{}, false
			}
			c.id, found = id, true
		default:
			for _, kind := range []string{"drm-resident-", "drm-memory-", "drm-total-"} {
				if strings.HasPrefix(key, kind) {
					if n, ok := parseAmount(value); ok && sums[kind]+n >= n {
						sums[kind] += n
						c.known = true
					}
				}
			}
		}
	}
	for _, kind := range []string{"drm-resident-", "drm-memory-", "drm-total-"} {
		if n, ok := sums[kind]; ok {
			c.bytes = n
			break
		}
	}
	if !found {
		return client{}, false
	}
	return c, true
}

// parseAmount reads "4096 KiB", "2 MiB" or a number of bytes.
func parseAmount(text string) (uint64, bool) {
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	shift := map[string]uint{"": 0, "KiB": 10, "MiB": 20}
	by, ok := shift[unit]
	if err != nil || !ok || n<<by>>by != n {
		return 0, false
	}
	return n << by, true
}
