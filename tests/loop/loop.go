// Package loop boots machines with Dubnium installed on them, as make install
// lays it out, and holds what the control loop promises on a real systemd.
package loop

import (
	"path/filepath"
	"runtime"

	"github.com/ryjen/dubnium/tests/machine"
)

// Config is the configuration of the machine under test: short waits, and a
// stand-in vLLM that loads in half a second.
const Config = `[desktop]
announceGrace = "0s"

[vllm]
enable = true
model = "/var/lib/dubnium/models/demo"
startTimeout = "20s"

[timeouts]
endSessions = "15s"
stopUnit = "15s"
startUnit = "15s"
graphical = "15s"
settle = "4s"

[guards.memory]
desktop = "64MiB"
studioLocal = "64MiB"
compute = "128MiB"

[guards.persistence]
minFree = "16MiB"

# The host of the test may be busy; what the guards of load do is tested elsewhere.
[guards.load]
slicePressurePct = 100
hostPressurePct = 100
`

// VLLM is how the stand-in vLLM behaves unless a test says otherwise.
const VLLM = `{"load_ms": 500}`

// What the stand-in is given for a model: a bundle with a tensor of one byte.
const (
	model   = "/var/lib/dubnium/models/demo"
	weights = "\x35\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}` + "w"
)

// Options describes a machine with Dubnium on it. A file in more replaces the
// one of the same path.
func Options(more ...machine.File) machine.Options {
	files := []machine.File{
		{Path: "/etc/dubnium/dubnium.toml", Content: Config},
		{Path: "/etc/dubnium-fake-vllm.json", Content: VLLM},
		{Path: model + "/config.json", Content: "{}\n"},
		{Path: model + "/tokenizer.json", Content: "{}\n"},
		{Path: model + "/model.safetensors", Content: weights},
	}
	dist := filepath.Join(repository(), "dist")
	return machine.Options{
		Overlay: []string{filepath.Join(dist, "root"), filepath.Join(dist, "stand-ins")},
		Files:   append(files, more...),
	}
}

func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
