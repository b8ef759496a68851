package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, written in the file as Go writes it: "90s",
// "1m30s", "500ms".
type Duration time.Duration

// The bounds of a Duration. Nothing that Dubnium waits for takes a day, and
// nothing useful can be awaited for less than a millisecond.
const (
	MinDuration = Duration(time.Millisecond)
	MaxDuration = Duration(24 * time.Hour)
)

// Std is d for the standard library.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d without empty trailing units: "10m", not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ParseDuration reads a Duration and leaves its bounds to the caller.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write a number and a unit, such as \"500ms\", \"30s\" or \"1m30s\"", s)
	}
	return Duration(d), nil
}

// Size is an amount of memory or storage in bytes.
type Size uint64

// The units of a Size, all binary.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// MaxSize bounds a Size, so that it fits a signed 64-bit count of bytes.
const MaxSize Size = math.MaxInt64

var sizeUnits = []struct {
	name string
	size Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// Bytes is s as a plain number.
func (s Size) Bytes() uint64 { return uint64(s) }

// MiB is s in mebibytes, rounded up, so that a threshold never shrinks.
func (s Size) MiB() uint64 { return (uint64(s) + uint64(MiB) - 1) / uint64(MiB) }

// String writes s in the largest unit in which it is a whole number: "4GiB",
// "1536MiB"; a size that is no whole number of KiB is a number of bytes.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s >= u.size && s%u.size == 0 {
			return strconv.FormatUint(uint64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// ParseSize reads what String writes: a whole number of bytes, or of KiB, MiB,
// GiB or TiB. A space before the unit is allowed.
func ParseSize(text string) (Size, error) {
	number, unit := text, Size(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSuffix(rest, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > uint64(MaxSize/unit):
		return 0, fmt.Errorf("%q is more than can be counted", text)
	case err != nil:
		return 0, fmt.Errorf("%q is not a size; write a whole number of KiB, MiB, GiB or TiB, such as \"512MiB\", or of bytes", text)
	}
	return Size(n) * unit, nil
}

// Placement says where a capability is: Local, or "external-" and a name.
type Placement string

// Local is the placement on this machine.
const Local Placement = "local"

const externalPrefix = "external-"

// Local tells whether the capability is on this machine.
func (p Placement) Local() bool { return p == Local }

// Where is the name of the place elsewhere; empty for a local capability.
func (p Placement) Where() string {
	where, ok := strings.CutPrefix(string(p), externalPrefix)
	if !ok {
		return ""
	}
	return where
}

// ServedName is the name under which vLLM offers the model: the configured
// one, else the name of the model's folder.
func (v VLLM) ServedName() string {
	if v.ServedModelName != "" {
		return v.ServedModelName
	}
	return v.Model[strings.LastIndexByte(v.Model, '/')+1:]
}

// Program is the program of the external runtime; false for a runtime whose
// program the distribution places.
func (v VLLM) Program() (string, bool) {
	if v.Runtime != RuntimeExternal {
		return "", false
	}
	return v.RuntimePath + "/bin/vllm", true
}
