package vllm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Health is what a server says of itself.
type Health string

// The answers. Unreachable is that nobody listens, which is a fact and no
// failure to look.
const (
	Healthy     Health = "healthy"
	Loading     Health = "loading" // it answers, and is not ready yet
	Unreachable Health = "unreachable"
)

// Ask asks the server at addr whether it is ready. The error says that
// something is there that could not be understood: a server that never
// answers, one that is no vLLM, one that reports a fault.
func Ask(ctx context.Context, addr string) (Health, error) {
	r, err := get(ctx, addr, "/health")
	switch {
	case refused(err):
		return Unreachable, nil
	case err != nil:
		return "", err
	case r.status == 200:
		return Healthy, nil
	case r.status == 503:
		return Loading, nil
	}
	return "", fmt.Errorf("ask vLLM at %s: %w", addr, &StatusError{"/health", r.status})
}

// Load is what a server is doing, over all its models.
type Load struct {
	Running int // requests being answered
	Waiting int // requests queued
}

// Idle tells whether no request would be lost if the server stopped now.
func (l Load) Idle() bool { return l.Running == 0 && l.Waiting == 0 }

// Metrics reads how many requests the server has. Whoever listens but tells
// neither number is an error: not known is not idle. Nobody listening is
// found by unix.ECONNREFUSED.
func Metrics(ctx context.Context, addr string) (Load, error) {
	r, err := get(ctx, addr, "/metrics")
	if err != nil {
		return Load{}, err
	}
	if r.status != 200 {
		return Load{}, fmt.Errorf("ask vLLM at %s: %w", addr, &StatusError{"/metrics", r.status})
	}
	load, err := parseMetrics(r.body)
	if err != nil {
		return Load{}, fmt.Errorf("read the metrics of vLLM at %s: %w", addr, err)
	}
	return load, nil
}

// The gauges read, in the text format of Prometheus. Each has one sample for
// every model and engine.
const (
	runningGauge = "vllm:num_requests_running"
	waitingGauge = "vllm:num_requests_waiting"
)

// parseMetrics sums both gauges over their samples and passes over everything
// else. Both have to be there, with values that can be counts.
func parseMetrics(text []byte) (Load, error) {
	sum := map[string]float64{}
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		end := strings.IndexAny(s, "{ \t")
		if end < 0 || (s[:end] != runningGauge && s[:end] != waitingGauge) {
			continue
		}
		value, err := sample(s[end:])
		if err != nil {
			return Load{}, fmt.Errorf("%.120q: %w", s, err)
		}
		sum[s[:end]] += value
	}
	running, hasRunning := sum[runningGauge]
	waiting, hasWaiting := sum[waitingGauge]
	if !hasRunning || !hasWaiting {
		return Load{}, fmt.Errorf("neither of %s and %s may be missing", runningGauge, waitingGauge)
	}
	if running > math.MaxInt32 || waiting > math.MaxInt32 {
		return Load{}, fmt.Errorf("%g running and %g waiting requests can't be", running, waiting)
	}
	// A fraction of a request is a request.
	return Load{Running: int(math.Ceil(running)), Waiting: int(math.Ceil(waiting))}, nil
}

// sample reads the value of a sample; s begins after the name.
func sample(s string) (float64, error) {
	if s[0] == '{' {
		end := labelsEnd(s)
		if end < 0 {
			return 0, fmt.Errorf("the labels do not end")
		}
		s = s[end:]
	}
	fields := strings.Fields(s) // a time may follow the value
	if len(fields) == 0 {
		return 0, fmt.Errorf("there is no value")
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return 0, fmt.Errorf("%q is no number of requests", fields[0])
	}
	return value, nil
}

// labelsEnd finds the end of the labels that s begins with. A label's value
// may hold braces, and quotes behind a backslash.
func labelsEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == '}':
			return i + 1
		}
	}
	return -1
}

// Bounds of the list of models. Adapters that were loaded count as models.
const (
	maxModels    = 64
	maxModelName = 256 // bytes
)

// Models lists the names that clients may ask the server for, in its order and
// at most 64 of them: the model's own, and those of its adapters.
func Models(ctx context.Context, addr string) ([]string, error) {
	r, err := get(ctx, addr, "/v1/models")
	if err != nil {
		return nil, err
	}
	if r.status != 200 {
		return nil, fmt.Errorf("ask vLLM at %s: %w", addr, &StatusError{"/v1/models", r.status})
	}
	names, err := parseModels(r.body)
	if err != nil {
		return nil, fmt.Errorf("read the models of vLLM at %s: %w", addr, err)
	}
	return names, nil
}

// parseModels reads the names from a list of models. An item that has none, or
// one that is no name, is passed over, and so is whatever else there is.
func parseModels(body []byte) ([]string, error) {
	var list struct {
		Data *[]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	if list.Data == nil {
		return nil, errors.New("the answer holds no list (data)")
	}
	names := []string{}
	for _, raw := range *list.Data {
		var item struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &item) != nil || item.ID == "" || len(item.ID) > maxModelName {
			continue
		}
		if names = append(names, item.ID); len(names) == maxModels {
			break
		}
	}
	return names, nil
}
