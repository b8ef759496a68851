package config

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The functions named wrong... say what is wrong with a value and what would
// be right, in words that follow the value; "" means that it is right.

func wrongPlacement(s string) string {
	p := Placement(s)
	if p.Local() {
		return ""
	}
	where := p.Where()
	if where == "" || strings.Trim(where, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return `is no placement; write "local", or "external-" and a name in lower-case letters, digits and hyphens, such as "external-mac-mini"`
	}
	return ""
}

func wrongUnit(suffixes ...string) func(string) string {
	return func(s string) string {
		suffix := path.Ext(s)
		stem := strings.TrimSuffix(s, suffix)
		switch {
		case !slices.Contains(suffixes, suffix):
			return "does not end in " + strings.Join(suffixes, ", ")
		case len(s) > 255:
			return "is longer than the 255 bytes of a unit name"
		case stem == "" || strings.HasPrefix(stem, "@"):
			return "has no name before the suffix"
		case strings.HasSuffix(stem, "@"):
			return "is a template; write an instance of it, such as " + stem + "main" + suffix
		case strings.ContainsFunc(stem, func(r rune) bool { return !unitRune(r) }):
			return `is no unit name; one is made of letters, digits and ":-_.\@"`
		}
		return ""
	}
}

func unitRune(r rune) bool {
	return letterOrDigit(r) || strings.ContainsRune(`:-_.\@`, r)
}

func letterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// commLength is how much of a process name the kernel keeps.
const commLength = 15

func wrongProcess(s string) string {
	switch {
	case strings.Contains(s, "/"):
		return "is a path; write the process's name, " + fmt.Sprintf("%q", cut(path.Base(s), commLength))
	case len(s) > commLength:
		return fmt.Sprintf("can never match, because the kernel keeps %d bytes of a name; write %q", commLength, cut(s, commLength))
	}
	return ""
}

func wrongProgram(s string) string {
	if strings.Contains(s, "/") {
		return wrongPath(s)
	}
	return ""
}

func wrongPath(s string) string {
	switch {
	case !strings.HasPrefix(s, "/"):
		return "is not an absolute path; write one that begins with /"
	case path.Clean(s) != s:
		return fmt.Sprintf("is not the shortest form of the path; write %q", path.Clean(s))
	}
	return ""
}

func wrongEnvironmentFile(s string) string { return wrongPath(strings.TrimPrefix(s, "-")) }

func wrongModel(s string) string {
	if !strings.HasPrefix(s, ModelsDirectory+"/") {
		return "is no folder below " + ModelsDirectory + "; write the folder of a materialised bundle, such as " + ModelsDirectory + "/qwen2.5-coder-14b-instruct"
	}
	return wrongPath(s)
}

func wrongHost(s string) string {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return "has a zone; write the address alone"
		}
		return ""
	}
	if !hostName(s) {
		return "is neither an IP address nor a host name; write one, such as 127.0.0.1"
	}
	return ""
}

// hostName tells whether s could be a DNS name. A name whose last part is a
// number is a mistyped address.
func hostName(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !letterOrDigit(r) && r != '-' }) {
			return false
		}
	}
	return len(s) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func wrongArg(s string) string {
	flag, _, _ := strings.Cut(s, "=")
	key, taken := map[string]string{
		"--host": "vllm.host", "--port": "vllm.port", "--model": "vllm.model", "--served-model-name": "vllm.servedModelName",
	}[flag]
	if !taken {
		return ""
	}
	return "contradicts a key; set " + key + " instead"
}

// combinations looks for settings that are right each by itself and cannot be
// together. It leaves out what rests on a key that is wrong already.
func (p *parser) combinations() {
	c := &p.config
	const present = "hardware.presentGpus"
	if !p.wrong[present] {
		p.notPresent("hardware.desktopAiGpus", c.Hardware.DesktopAIGPUs)
		p.notPresent("hardware.computeGpus", c.Hardware.ComputeGPUs)
		if c.Hardware.DisplayGPU != nil {
			p.notPresent("hardware.displayGpu", []int{*c.Hardware.DisplayGPU})
		}
		planned, count := c.Hardware.PlannedGPUCount, len(c.Hardware.PresentGPUs)
		if !p.wrong["hardware.plannedGpuCount"] && planned != 0 && count > planned {
			p.problem(p.set[present], present, "lists %d GPUs, but hardware.plannedGpuCount is %d; raise the plan, or set it to 0 to state none", count, planned)
		}
	}
	if !p.wrong["vllm.model"] && c.VLLM.Enable && c.VLLM.Model == "" {
		p.problem(p.set["vllm.enable"], "vllm.enable", "is true, but vllm.model names no model; set it to a folder below %s", ModelsDirectory)
	}
	if !p.wrong["idle.pause"] && !p.wrong["idle.pauseMost"] && c.Idle.PauseMost < c.Idle.Pause {
		p.problem(max(p.set["idle.pause"], p.set["idle.pauseMost"]), "idle.pauseMost", "is %v, and idle.pause is %v; the longest pause can't be shorter than the first", c.Idle.PauseMost, c.Idle.Pause)
	}
	p.acceptable()
	p.rooms()
	if c.Memory.Database.DSN != "" && c.Memory.Database.DSNFile != "" {
		p.problem(p.set["memory.database.dsnFile"], "memory.database.dsnFile", "is set beside memory.database.dsn; leave one of them out")
	}
}

// notPresent reports the GPUs of a key that are not in the machine.
func (p *parser) notPresent(key string, gpus []int) {
	if p.wrong[key] {
		return
	}
	for i, gpu := range gpus {
		if slices.Contains(p.config.Hardware.PresentGPUs, gpu) {
			continue
		}
		line := p.set[key]
		if lines := p.items[key]; i < len(lines) {
			line = lines[i]
		}
		p.problem(line, key, "GPU %d is not in hardware.presentGpus, which is %s; add it there or leave it out here", gpu, list(p.config.Hardware.PresentGPUs, strconv.Itoa))
	}
}
