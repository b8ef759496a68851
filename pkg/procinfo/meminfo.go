package procinfo

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Memory is the part of /proc/meminfo that decisions rest on, in KiB.
type Memory struct {
	MemTotalKiB     uint64
	MemAvailableKiB uint64 // the kernel's estimate of what a new program can get without swapping
	SwapTotalKiB    uint64 // 0 on a machine without swap
	SwapFreeKiB     uint64
}

// Meminfo reads /proc/meminfo.
func Meminfo(root hostfs.Root) (Memory, error) {
	return parsed(root, "/proc/meminfo", parseMeminfo)
}

// parseMeminfo wants MemTotal and MemAvailable; a kernel built without swap may
// leave the swap lines out. Lines that nobody asks for are not looked at.
func parseMeminfo(data []byte) (Memory, error) {
	var m Memory
	wanted := [...]struct {
		name     string
		to       *uint64
		required bool
		seen     bool
	}{
		{"MemTotal", &m.MemTotalKiB, true, false},
		{"MemAvailable", &m.MemAvailableKiB, true, false},
		{"SwapTotal", &m.SwapTotalKiB, false, false},
		{"SwapFree", &m.SwapFreeKiB, false, false},
	}
	missing := len(wanted)
	for len(data) > 0 && missing > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte{':'})
		for i := range wanted {
			w := &wanted[i]
			if w.seen || string(name) != w.name {
				continue
			}
			kib, err := parseKiB(value)
			if err != nil {
				return Memory{}, fmt.Errorf("%s: %w", w.name, err)
			}
			*w.to, w.seen = kib, true
			missing--
		}
	}
	for _, w := range wanted {
		if w.required && !w.seen {
			return Memory{}, fmt.Errorf("%s is missing", w.name)
		}
	}
	return m, nil
}

// parseKiB reads "  123456 kB"; the kernel means KiB.
func parseKiB(value []byte) (uint64, error) {
	number, ok := bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
	if !ok {
		return 0, fmt.Errorf("%q: want a number of kB", value)
	}
	return strconv.ParseUint(string(number), 10, 64)
}
