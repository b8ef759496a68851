package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
)

const behaviourPath = "/etc/dubnium-fake-vllm.json"

// behaviour is how this server misbehaves, or how long it takes. Zero is a good and quick one.
type behaviour struct {
	LoadMS          int    `json:"load_ms"`            // until /health answers 200
	NeverHealthy    bool   `json:"never_healthy"`      // it never does
	ExitCodeAtStart int    `json:"exit_code_at_start"` // it exits at once, as on a GPU without memory
	IgnoreTerm      bool   `json:"ignore_term"`        // SIGTERM has no effect on it, nor on its child
	SpawnChild      bool   `json:"spawn_child"`        // a second process beside it, as vLLM's EngineCore
	ChildOutlives   bool   `json:"child_outlives"`     // the child goes on when the server has ended
	HoldMS          int    `json:"hold_ms"`            // a completion takes that long
	ServedModelName string `json:"served_model_name"`  // instead of the command line's
}

// readBehaviour reads the file; without one, all is well.
func readBehaviour(getenv func(string) string) (behaviour, error) {
	path := getenv("DUBNIUM_FAKE_VLLM")
	if path == "" {
		path = behaviourPath
	}
	var b behaviour
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("read behaviour: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return b, fmt.Errorf("read behaviour from %s: %w", path, err)
	}
	return b, nil
}

type options struct{ model, host, port, name string }

func (o options) address() string { return net.JoinHostPort(o.host, o.port) }

// parseArgs reads the flags that matter here and lets all others pass, with their values: vLLM has
// hundreds, which come and go.
func parseArgs(args []string) (options, error) {
	o := options{host: "0.0.0.0", port: "8000"}
	if len(args) == 0 || args[0] != "serve" {
		return o, fmt.Errorf("run %q: only `vllm serve MODEL [flags]` is known here", args)
	}
	known := map[string]*string{"--model": &o.model, "--host": &o.host, "--port": &o.port, "--served-model-name": &o.name}
	rest := args[1:]
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(arg, "-") {
			if o.model == "" {
				o.model = arg
			}
			continue
		}
		flag, value, joined := strings.Cut(arg, "=")
		if !joined && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && (known[flag] != nil || o.model != "") {
			value, rest = rest[0], rest[1:]
		}
		if target := known[flag]; target != nil {
			if value == "" {
				return o, fmt.Errorf("%s: expected a value", flag)
			}
			*target = value
		}
	}
	if o.model == "" {
		return o, errors.New("no model: vllm serve MODEL [flags]")
	}
	if o.name == "" {
		o.name = o.model
	}
	return o, nil
}
