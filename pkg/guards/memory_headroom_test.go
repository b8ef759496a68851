package guards

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/tests/hosts"
)

func TestMemoryHeadroom(t *testing.T) {
	const file = "proc/meminfo"
	d := MemoryHeadroom
	meminfo := func(available string) func(*hosts.Host) {
		return with(file, "MemTotal:       67108864 kB\nMemFree:  1 kB\nMemAvailable:   "+available+"\n")
	}
	unreadable := func(change func(*hosts.Host), message string) looking {
		return looking{guard: d, host: "empty", noBus: true, change: change, reason: "source-unreadable", message: message}
	}
	holds(t, map[string]looking{
		"plenty":       {guard: d, host: "idle-desktop", noBus: true, reason: "enough", message: "compute needs 4096 MiB"},
		"just as much": {guard: d, host: "empty", noBus: true, change: meminfo("4194304 kB"), reason: "enough"},
		"a little less": {
			guard: d, host: "empty", noBus: true, change: meminfo("4194303 kB"), reason: "memory-low",
			message: "4095 MiB are available, compute needs 4096 MiB",
		},
		"enough for another mode": {guard: d, host: "empty", noBus: true, change: meminfo("2097152 kB"), target: mode.Desktop, reason: "enough", message: "desktop needs 1024 MiB"},
		"nothing is asked for":    {guard: d, host: "empty", noBus: true, change: meminfo("0 kB"), config: func(c *config.Config) { c.Guards.Memory.Compute = 0 }, reason: "enough"},

		"missing":         unreadable(without(file), "meminfo"),
		"a pipe":          unreadable(fifo(file), "not a regular file"),
		"a folder":        unreadable(func(h *hosts.Host) { h.Remove(file); h.Write(file+"/x", "") }, "not a regular file"),
		"empty":           unreadable(with(file, ""), "MemTotal is missing"),
		"truncated":       unreadable(with(file, "MemTotal:       67108864 kB\nMemAvai"), "MemAvailable is missing"),
		"garbled":         unreadable(meminfo("lots"), "MemAvailable"),
		"another unit":    unreadable(meminfo("4194304 MB"), "MemAvailable"),
		"negative":        unreadable(meminfo("-4194304 kB"), "MemAvailable"),
		"beyond counting": unreadable(meminfo("99999999999999999999999 kB"), "MemAvailable"),
		"endless":         unreadable(with(file, strings.Repeat("Filler: 1 kB\n", 400_000)), "larger than"),
		"more than 64 bits of bytes": {
			guard: d, host: "empty", noBus: true, change: meminfo(fmt.Sprint(uint64(1)<<54) + " kB"), reason: "enough",
		},
	})
}

func TestJudgeMemory(t *testing.T) {
	for _, tt := range []struct {
		availableKiB uint64
		need         config.Size
		want         string
	}{
		{0, 0, "enough"},
		{0, 1, "memory-low"},
		{1, 1024, "enough"},
		{1, 1025, "memory-low"},
		{1 << 20, config.GiB, "enough"},
		{1<<20 - 1, config.GiB, "memory-low"},
	} {
		v, _ := judgeMemory(procinfo.Memory{MemTotalKiB: 1 << 26, MemAvailableKiB: tt.availableKiB}, tt.need, mode.Compute)
		witness(t, MemoryHeadroom, v.Reason)
		if v.Reason != tt.want {
			t.Errorf("%d KiB for %v: %s, want %s", tt.availableKiB, tt.need, v.Reason, tt.want)
		}
	}
	if MemoryHeadroom.Hard {
		t.Error("memory_headroom is soft: an operator may know better")
	}
}
