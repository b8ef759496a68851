//go:build cgo

// Package nvml asks the NVIDIA driver through its management library. It is
// the only package that needs cgo, and only observe-gpu links it.
//
// What it takes care of:
//
//   - The library is opened by dlopen. The program itself has to be linked with
//     lazy binding (-ldflags=-extldflags=-Wl,-z,lazy), or it would not start
//     without the driver: go-nvml leaves the library's symbols undefined.
//   - A call whose symbol the library lacks would end the process, so every
//     symbol is looked up first. An older driver gives fewer facts, and the
//     report names those that are missing.
//   - nvmlInit_v2 talks to the driver (/dev/nvidiactl) and attaches to no GPU;
//     the first handle of a GPU is what opens its device and wakes it. A GPU
//     that is asleep is therefore never asked for a handle, and when a GPU is
//     asleep the others are found by their PCI addresses, since asking by index
//     may touch those that come before. That is NVIDIA's documentation; when
//     all GPUs are asleep the caller does not come here at all.
//   - The library is closed as soon as the facts are read: an open one keeps a
//     GPU awake.
package nvml

import (
	"fmt"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/ryjen/dubnium/pkg/gpu"
)

// libraries are the places of the library: where the loader looks, and where
// NixOS keeps the one of the running driver.
var libraries = []string{"libnvidia-ml.so.1", "/run/opengl-driver/lib/libnvidia-ml.so.1"}

// Inspect is the gpu.Inspector of this machine's driver.
func Inspect(req gpu.Request, progress *gpu.Progress) {
	names := libraries
	if req.Library != "" {
		names = []string{req.Library}
	}
	l, err := open(names, progress)
	if err != nil {
		progress.End(gpu.LibraryMissing, err.Error())
		return
	}
	l.alive, l.only = req.Alive, req.Only
	l.inspect()
}

// library is an opened NVML and what of it may be called.
type library struct {
	*gpu.Progress
	api   nvml.Interface
	dl    *dl.DynamicLibrary
	alive func(pid int) (string, bool)
	only  []string
}

func open(names []string, progress *gpu.Progress) (*library, error) {
	var failed []string
	for _, name := range names {
		progress.At("dlopen of " + name)
		lib := dl.New(name, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
		if err := lib.Open(); err != nil {
			failed = append(failed, err.Error())
			continue
		}
		return &library{Progress: progress, dl: lib, api: nvml.New(nvml.WithLibraryPath(name))}, nil
	}
	return nil, fmt.Errorf("load the library: %s", strings.Join(failed, "; "))
}

// has tells whether the library has one of the symbols, and notes the call.
func (l *library) has(symbols ...string) bool {
	for _, s := range symbols {
		if l.dl.Lookup(s) == nil {
			l.At(s)
			return true
		}
	}
	return false
}

// versioned names a symbol in all of its versions, the newest first.
func versioned(name string) []string { return []string{name + "_v3", name + "_v2", name} }

func (l *library) inspect() {
	if !l.has("nvmlInit_v2", "nvmlInit") || !l.has("nvmlShutdown") {
		l.End(gpu.LibraryMissing, "the library that was loaded is no NVML: it has no nvmlInit")
		return
	}
	l.has("nvmlInit_v2", "nvmlInit")
	if ret := l.api.Init(); ret != nvml.SUCCESS {
		l.end("nvmlInit", ret)
		return
	}
	reason, message := l.look()
	l.At("nvmlShutdown")
	l.api.Shutdown()
	l.End(reason, message)
}

// look reads everything between Init and Shutdown.
func (l *library) look() (gpu.Reason, string) {
	if l.has("nvmlSystemGetDriverVersion") {
		if version, ret := l.api.SystemGetDriverVersion(); ret == nvml.SUCCESS {
			l.Driver(version)
		}
	}
	if !l.has(versioned("nvmlDeviceGetCount")[1:]...) {
		return gpu.DriverError, "the library has no nvmlDeviceGetCount"
	}
	count, ret := l.api.DeviceGetCount()
	switch {
	case ret != nvml.SUCCESS:
		return reasonOf(ret), said("nvmlDeviceGetCount", ret)
	case count <= 0:
		return gpu.NoDevice, "the driver knows no GPU"
	case count > gpu.MaxGPUs:
		return gpu.DriverError, fmt.Sprintf("nvmlDeviceGetCount says %d", count)
	}
	missing := l.devices(count)
	if len(missing) > 0 {
		return gpu.Partial, strings.Join(missing, "; ")
	}
	return gpu.OK, ""
}

// devices asks each GPU and tells of which not all could be read.
func (l *library) devices(count int) (missing []string) {
	note := func(name string, g gpu.GPU) {
		if g.Reason != gpu.OK {
			missing = append(missing, fmt.Sprintf("GPU %s: %s", name, g.Message))
		}
	}
	if l.only == nil {
		for i := range count {
			g := gpu.GPU{Index: i, Reason: gpu.DriverError, Message: "the library has no nvmlDeviceGetHandleByIndex"}
			if l.has(versioned("nvmlDeviceGetHandleByIndex")[1:]...) {
				l.Put(gpu.GPU{Index: i})
				device, ret := l.api.DeviceGetHandleByIndex(i)
				g = l.device(i, device, ret)
			}
			l.Put(g)
			note(fmt.Sprint(i), g)
		}
		return missing
	}
	for _, pci := range l.only {
		if !l.has(versioned("nvmlDeviceGetHandleByPciBusId")[1:]...) || l.dl.Lookup("nvmlDeviceGetIndex") != nil {
			return append(missing, "the library can't find a GPU by its PCI address, and another one is asleep")
		}
		device, ret := l.api.DeviceGetHandleByPciBusId(pci)
		index := -1
		if ret == nvml.SUCCESS {
			l.At("nvmlDeviceGetIndex")
			index, ret = device.GetIndex()
		}
		if ret != nvml.SUCCESS {
			missing = append(missing, fmt.Sprintf("GPU %s: %s", pci, said("its handle", ret)))
			continue
		}
		g := l.device(index, device, ret)
		l.Put(g)
		note(pci, g)
	}
	return missing
}

// device reads the facts of one GPU. What is known goes to the progress before
// the calls that take long or may hang.
func (l *library) device(index int, device nvml.Device, ret nvml.Return) gpu.GPU {
	g := gpu.GPU{Index: index}
	if ret != nvml.SUCCESS {
		g.Reason, g.Message = reasonOf(ret), said("its handle", ret)
		return g
	}
	f := &facts{library: l, g: &g}
	f.get("uuid", []string{"nvmlDeviceGetUUID"}, func() (ret nvml.Return) { g.UUID, ret = device.GetUUID(); return })
	f.get("name", []string{"nvmlDeviceGetName"}, func() (ret nvml.Return) { g.Name, ret = device.GetName(); return })
	f.get("pci", versioned("nvmlDeviceGetPciInfo"), func() nvml.Return {
		info, ret := device.GetPciInfo()
		if ret == nvml.SUCCESS {
			g.PCI = gpu.Address(text(info.BusId[:]))
			if g.PCI == "" { // version 1 fills in the old field only
				g.PCI = gpu.Address(text(info.BusIdLegacy[:]))
			}
		}
		return ret
	})
	l.Put(g)
	f.memory(device)
	f.state("display_active", "nvmlDeviceGetDisplayActive", device.GetDisplayActive, &g.DisplayActive)
	f.state("persistence", "nvmlDeviceGetPersistenceMode", device.GetPersistenceMode, &g.Persistence)
	f.processes(gpu.Graphics, "nvmlDeviceGetGraphicsRunningProcesses", device.GetGraphicsRunningProcesses)
	f.processes(gpu.Compute, "nvmlDeviceGetComputeRunningProcesses", device.GetComputeRunningProcesses)
	f.processes(gpu.MPS, "nvmlDeviceGetMPSComputeRunningProcesses", device.GetMPSComputeRunningProcesses)
	g.Reason = gpu.OK
	if len(f.said) > 0 {
		g.Reason, g.Message = gpu.Partial, strings.Join(f.said, ", ")
	}
	return g
}

// facts collects those of one GPU.
type facts struct {
	*library
	g    *gpu.GPU
	said []string
}

// get makes a call if the library has it, and notes the fact as missing if not
// or if it fails.
func (f *facts) get(fact string, symbols []string, call func() nvml.Return) {
	if !f.has(symbols...) {
		f.missing(fact, "the library has no "+symbols[len(symbols)-1])
		return
	}
	if ret := call(); ret != nvml.SUCCESS {
		f.missing(fact, said(symbols[len(symbols)-1], ret))
	}
}

func (f *facts) missing(fact, why string) {
	f.g.Missing = append(f.g.Missing, fact)
	f.said = append(f.said, why)
}

// memory reads the used and total memory. Only version 2 tells what the driver
// reserves from what is used.
func (f *facts) memory(device nvml.Device) {
	const fact, symbol = "memory", "nvmlDeviceGetMemoryInfo"
	if f.has(symbol + "_v2") {
		if m, ret := device.GetMemoryInfo_v2(); ret == nvml.SUCCESS {
			f.g.MemoryUsedMiB, f.g.MemoryTotalMiB, f.g.MemoryReservedMiB = mib(m.Used), mib(m.Total), mib(m.Reserved)
			f.sane(fact)
			return
		}
	}
	f.get(fact, []string{symbol}, func() nvml.Return {
		m, ret := device.GetMemoryInfo()
		if ret == nvml.SUCCESS {
			f.g.MemoryUsedMiB, f.g.MemoryTotalMiB = mib(m.Used), mib(m.Total)
			f.sane(fact)
		}
		return ret
	})
}

// sane drops numbers that can't be.
func (f *facts) sane(fact string) {
	g := f.g
	if g.MemoryUsedMiB != nil && g.MemoryTotalMiB != nil && *g.MemoryUsedMiB <= *g.MemoryTotalMiB {
		return
	}
	g.MemoryUsedMiB, g.MemoryTotalMiB, g.MemoryReservedMiB = nil, nil, nil
	f.missing(fact, "nvmlDeviceGetMemoryInfo gave more used than total memory")
}

// state reads a switch. A GPU that does not have it, such as a display on a
// card without outputs, misses nothing.
func (f *facts) state(fact, symbol string, call func() (nvml.EnableState, nvml.Return), to **bool) {
	f.get(fact, []string{symbol}, func() nvml.Return {
		s, ret := call()
		if ret == nvml.ERROR_NOT_SUPPORTED {
			return nvml.SUCCESS
		}
		if ret == nvml.SUCCESS {
			on := s == nvml.FEATURE_ENABLED
			*to = &on
		}
		return ret
	})
}

// processes reads one of the lists. Drivers of some versions fill it with
// numbers that are no pids; what is no living process is counted and dropped.
func (f *facts) processes(kind gpu.Kind, symbol string, call func() ([]nvml.ProcessInfo, nvml.Return)) {
	f.get(string(kind), versioned(symbol), func() nvml.Return {
		list, ret := call()
		if ret != nvml.SUCCESS {
			return ret
		}
		for _, p := range list {
			pid := int(int32(p.Pid))
			comm, alive := "", false
			if pid > 0 {
				comm, alive = f.alive(pid)
			}
			if !alive {
				f.g.GarbagePIDs++
				continue
			}
			f.g.Processes = append(f.g.Processes, gpu.Process{PID: pid, Comm: comm, Kind: kind, UsedMiB: mib(p.UsedGpuMemory)})
		}
		return ret
	})
}

func (l *library) end(call string, ret nvml.Return) { l.End(reasonOf(ret), said(call, ret)) }

// notAvailable is NVML's number for "not told".
const notAvailable = ^uint64(0)

// mib rounds up, so that a little is not nothing.
func mib(bytes uint64) *uint64 {
	if bytes == notAvailable {
		return nil
	}
	n := bytes >> 20
	if bytes&(1<<20-1) != 0 {
		n++
	}
	return &n
}

// text is a C string.
func text(s []int8) string {
	var b strings.Builder
	for _, c := range s {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

func reasonOf(ret nvml.Return) gpu.Reason {
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return gpu.LibraryMissing
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return gpu.DriverMissing
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return gpu.DriverMismatch
	case nvml.ERROR_NOT_FOUND:
		return gpu.NoDevice
	case nvml.ERROR_NO_PERMISSION:
		return gpu.NotPermitted
	case nvml.ERROR_TIMEOUT:
		return gpu.Timeout
	default:
		return gpu.DriverError
	}
}

// words are NVML's errors. Its own nvmlErrorString is one more symbol that may
// be missing.
var words = map[nvml.Return]string{
	nvml.ERROR_UNINITIALIZED:           "NVML is not initialised",
	nvml.ERROR_INVALID_ARGUMENT:        "invalid argument",
	nvml.ERROR_NOT_SUPPORTED:           "not supported",
	nvml.ERROR_NO_PERMISSION:           "no permission",
	nvml.ERROR_NOT_FOUND:               "not found",
	nvml.ERROR_DRIVER_NOT_LOADED:       "the driver is not loaded",
	nvml.ERROR_TIMEOUT:                 "the driver timed out",
	nvml.ERROR_IRQ_ISSUE:               "the kernel found an interrupt issue with a GPU",
	nvml.ERROR_LIBRARY_NOT_FOUND:       "a library is missing",
	nvml.ERROR_FUNCTION_NOT_FOUND:      "the driver lacks the function",
	nvml.ERROR_GPU_IS_LOST:             "the GPU has fallen off the bus",
	nvml.ERROR_RESET_REQUIRED:          "the GPU needs a reset",
	nvml.ERROR_LIB_RM_VERSION_MISMATCH: "the library and the kernel module are of different versions",
	nvml.ERROR_IN_USE:                  "in use",
	nvml.ERROR_MEMORY:                  "out of memory",
	nvml.ERROR_NO_DATA:                 "no data",
	nvml.ERROR_UNKNOWN:                 "unknown error",
}

func said(call string, ret nvml.Return) string {
	if w, ok := words[ret]; ok {
		return call + ": " + w
	}
	return fmt.Sprintf("%s: error %d", call, int(ret))
}
