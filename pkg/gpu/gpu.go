// Package gpu is what Dubnium knows of the graphics cards: the facts that
// NVML tells of NVIDIA GPUs, which the program observe-gpu prints and Ask
// reads, and what sysfs tells of every display device without waking one.
//
// Nothing here links NVML. A driver that hangs, crashes or is missing is the
// trouble of observe-gpu, which is a process of its own for that reason.
package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SchemaVersion is the version of Report as a document.
const SchemaVersion = 1

// Reason is a stable word that says why facts are missing. A word that this
// version does not know is kept as it is and counts as "not read".
type Reason string

// The reasons of a report and of a single GPU. OK and Suspended are whole
// answers; with any other something is missing.
const (
	OK Reason = "ok"
	// Suspended: the GPU is runtime-suspended, and asking it would wake it.
	// Nothing shows a picture on such a GPU.
	Suspended Reason = "suspended"
	// LibraryMissing: there is no libnvidia-ml.so.1 that can be loaded.
	LibraryMissing Reason = "library-missing"
	// DriverMissing: the library is there, the kernel module is not.
	DriverMissing Reason = "driver-missing"
	// DriverMismatch: library and module are of different versions, as after an
	// upgrade without a restart.
	DriverMismatch Reason = "driver-mismatch"
	// NoDevice: the driver works and knows no GPU.
	NoDevice Reason = "no-device"
	// NotPermitted: this user may not open the driver's devices.
	NotPermitted Reason = "not-permitted"
	// Timeout: NVML did not return in time.
	Timeout Reason = "timeout"
	// Partial: some facts of a GPU are missing; its message names them.
	Partial Reason = "partial"
	// DriverError: NVML gave an error that has no word of its own.
	DriverError Reason = "driver-error"
)

// Reasons lists all words with their meanings, for the documentation.
func Reasons() []struct {
	Word    Reason
	Meaning string
} {
	return []struct {
		Word    Reason
		Meaning string
	}{
		{OK, "everything was read"},
		{Suspended, "the GPU is runtime-suspended and was not woken"},
		{LibraryMissing, "libnvidia-ml.so.1 can't be loaded"},
		{DriverMissing, "the kernel module is not loaded"},
		{DriverMismatch, "library and kernel module differ in version: restart the machine"},
		{NoDevice, "the driver knows no GPU"},
		{NotPermitted, "this user may not ask the driver"},
		{Timeout, "NVML did not return in time"},
		{Partial, "some facts could not be read; the message names them"},
		{DriverError, "NVML gave another error; the message has it"},
	}
}

// Whole tells whether nothing is missing from what the reason stands for.
func (r Reason) Whole() bool { return r == OK || r == Suspended }

// Report is one look at the GPUs.
type Report struct {
	SchemaVersion int    `json:"schema_version"`
	Reason        Reason `json:"reason"`
	Message       string `json:"message,omitempty"`
	DriverVersion string `json:"driver_version,omitempty"`
	// GPUs are the NVIDIA GPUs, in the order of their indexes.
	GPUs []GPU `json:"gpus"`
	// Cards are the display devices of any vendor, as sysfs has them.
	Cards     []Card `json:"cards"`
	Timestamp string `json:"timestamp"`
	// DurationMS is how long the look took.
	DurationMS float64 `json:"duration_ms"`
}

// Find gives the GPU with NVML's index.
func (r Report) Find(index int) (GPU, bool) {
	for _, g := range r.GPUs {
		if g.Index == index {
			return g, true
		}
	}
	return GPU{}, false
}

// GPU is one NVIDIA GPU. What is nil could not be read, or the GPU was not
// asked.
type GPU struct {
	// Index is NVML's. That of a suspended GPU is its place among the NVIDIA
	// cards by PCI address, which is how NVML counts.
	Index   int    `json:"index"`
	UUID    string `json:"uuid,omitempty"`
	Name    string `json:"name,omitempty"`
	PCI     string `json:"pci,omitempty"` // as "0000:01:00.0"
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"`
	// Missing names the facts that could not be read, as their fields are
	// called here; a list of processes is called by its kind.
	Missing []string `json:"missing,omitempty"`

	MemoryUsedMiB  *uint64 `json:"memory_used_mib,omitempty"`
	MemoryTotalMiB *uint64 `json:"memory_total_mib,omitempty"`
	// MemoryReservedMiB is what driver and firmware keep; used memory does not
	// count it. Older drivers do not tell it apart.
	MemoryReservedMiB *uint64   `json:"memory_reserved_mib,omitempty"`
	DisplayActive     *bool     `json:"display_active,omitempty"`
	Persistence       *bool     `json:"persistence,omitempty"`
	Processes         []Process `json:"processes"`
	// GarbagePIDs counts listed processes that do not exist, and were dropped.
	GarbagePIDs int `json:"garbage_pids,omitempty"`
}

// Has tells whether a fact was read; the name is one that Missing may hold.
func (g GPU) Has(fact string) bool { return g.Reason != Suspended && !slices.Contains(g.Missing, fact) }

// FreeMiB is the memory that nobody uses, and UsableMiB what there would be if
// nobody did: neither counts what driver and firmware keep. False says that it
// was not read.
func (g GPU) FreeMiB() (free, usable uint64, ok bool) {
	if !g.Has("memory") || g.MemoryUsedMiB == nil || g.MemoryTotalMiB == nil {
		return 0, 0, false
	}
	usable = *g.MemoryTotalMiB
	if g.MemoryReservedMiB != nil {
		usable -= min(usable, *g.MemoryReservedMiB)
	}
	return usable - min(usable, *g.MemoryUsedMiB), usable, true
}

// Use is what one process holds of a GPU's memory.
type Use struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm,omitempty"`
	// UsedMiB is nil where the driver does not tell, or tells what can't be.
	UsedMiB *uint64 `json:"used_mib,omitempty"`
}

// Uses lists the processes, each once: one that is in several of NVML's lists
// holds what the largest number says.
func (g GPU) Uses() []Use {
	uses := []Use{}
	for _, p := range g.Processes {
		if p.UsedMiB != nil && g.MemoryTotalMiB != nil && *p.UsedMiB > *g.MemoryTotalMiB {
			p.UsedMiB = nil
		}
		i := slices.IndexFunc(uses, func(u Use) bool { return u.PID == p.PID })
		switch {
		case i < 0:
			uses = append(uses, Use{p.PID, p.Comm, p.UsedMiB})
		case uses[i].UsedMiB == nil || p.UsedMiB != nil && *p.UsedMiB > *uses[i].UsedMiB:
			uses[i].UsedMiB = p.UsedMiB
		}
	}
	return uses
}

// Kind is how a process uses a GPU.
type Kind string

// The kinds, each a list of NVML's own. One process may be in several.
const (
	Graphics Kind = "graphics"
	Compute  Kind = "compute"
	MPS      Kind = "mps" // compute through the multi-process service
)

// Process is a process that NVML lists and that exists.
type Process struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm,omitempty"`
	Kind Kind   `json:"kind"`
	// UsedMiB is nil where the driver does not tell.
	UsedMiB *uint64 `json:"used_mib,omitempty"`
}

// The bounds of a report that Decode takes.
const (
	// MaxGPUs is more than NVML numbers in one machine.
	MaxGPUs      = 64
	maxProcesses = 4096
	maxReport    = 1 << 20 // bytes
)

// Decode reads a report. Fields and words that it does not know are no error;
// another version of the document is one.
func Decode(data []byte) (Report, error) {
	if len(data) > maxReport {
		return Report{}, fmt.Errorf("%d bytes, want at most %d", len(data), maxReport)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, err
	}
	switch {
	case r.SchemaVersion != SchemaVersion:
		return Report{}, fmt.Errorf("schema_version %d, want %d", r.SchemaVersion, SchemaVersion)
	case r.Reason == "":
		return Report{}, errors.New("reason is missing")
	case len(r.GPUs) > MaxGPUs:
		return Report{}, fmt.Errorf("%d GPUs, want at most %d", len(r.GPUs), MaxGPUs)
	}
	seen := map[int]bool{}
	for i := range r.GPUs {
		g := &r.GPUs[i]
		switch {
		case g.Index < 0 || seen[g.Index]:
			return Report{}, fmt.Errorf("gpus[%d]: index %d is negative or there twice", i, g.Index)
		case g.Reason == "":
			return Report{}, fmt.Errorf("gpus[%d]: reason is missing", i)
		case len(g.Processes) > maxProcesses:
			return Report{}, fmt.Errorf("gpus[%d]: %d processes, want at most %d", i, len(g.Processes), maxProcesses)
		}
		seen[g.Index] = true
		for _, p := range g.Processes {
			if p.PID <= 0 {
				return Report{}, fmt.Errorf("gpus[%d]: pid %d, want a positive one", i, p.PID)
			}
		}
	}
	return r, nil
}

// Address brings a PCI address into the form of sysfs: four digits of domain,
// lower case. NVML writes eight digits.
func Address(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	domain, rest, ok := strings.Cut(s, ":")
	if ok && len(domain) > 4 && strings.Trim(domain[:len(domain)-4], "0") == "" {
		return domain[len(domain)-4:] + ":" + rest
	}
	return s
}
