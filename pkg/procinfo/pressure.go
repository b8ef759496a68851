package procinfo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Resource is what tasks can be short of.
type Resource string

// The resources that the kernel accounts pressure for.
const (
	CPU Resource = "cpu"
	RAM Resource = "memory"
	IO  Resource = "io"
)

// Stall is one line of a pressure file: the share of time lost, in percent,
// over the last 10, 60 and 300 seconds, and the time lost since boot in
// microseconds. Averages lag; a decision about now takes the difference of
// TotalMicros over a window of its own.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	TotalMicros          uint64
}

// PSI is the pressure on a resource: the time in which some task waited for
// it, and in which all did. Kernels before 5.13 have no Full for the CPU; it is
// then zero and HasFull false.
type PSI struct {
	Some, Full Stall
	HasFull    bool
}

// Pressure reads the pressure on a resource within a control group, a path of
// the unified hierarchy, or on the whole machine when cgroup is "". It is false
// when there is no such figure: the kernel doesn't account pressure, or the
// control group doesn't exist.
func Pressure(root hostfs.Root, cgroup string, resource Resource) (PSI, bool, error) {
	name := "/proc/pressure/" + string(resource)
	if cgroup != "" {
		dir, err := cgroupDir(root, cgroup)
		if err != nil {
			return PSI{}, false, fmt.Errorf("read the %s pressure: %w", resource, err)
		}
		name = dir + "/" + string(resource) + ".pressure"
	}
	psi, err := parsed(root, name, parsePressure)
	if unaccounted(err) {
		return PSI{}, false, nil
	}
	return psi, err == nil, err
}

// unaccounted tells whether err says that the kernel keeps no such figure. One
// that was booted with psi=0 may have the files and refuse to read them.
func unaccounted(err error) bool { return gone(err) || errors.Is(err, unix.EOPNOTSUPP) }

// parsePressure reads
//
//	some avg10=9.75 avg60=10.89 avg300=7.53 total=48362777
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
func parsePressure(data []byte) (PSI, error) {
	var psi PSI
	hasSome := false
	for line := range bytes.Lines(data) {
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		var to *Stall
		switch string(kind) {
		case "some":
			to, hasSome = &psi.Some, true
		case "full":
			to, psi.HasFull = &psi.Full, true
		default:
			// A kind that a later kernel adds.
			continue
		}
		stall, err := parseStall(rest)
		if err != nil {
			return PSI{}, fmt.Errorf("line %q: %w", kind, err)
		}
		*to = stall
	}
	if !hasSome {
		return PSI{}, errors.New(`line "some" is missing`)
	}
	return psi, nil
}

// parseStall reads the KEY=VALUE fields of a line; keys that it doesn't know
// are skipped.
func parseStall(data []byte) (Stall, error) {
	var s Stall
	seen := 0
	for field := range bytes.FieldsSeq(data) {
		key, value, _ := bytes.Cut(field, []byte{'='})
		var err error
		switch string(key) {
		case "avg10":
			s.Avg10, err = parseAverage(value)
		case "avg60":
			s.Avg60, err = parseAverage(value)
		case "avg300":
			s.Avg300, err = parseAverage(value)
		case "total":
			s.TotalMicros, err = strconv.ParseUint(string(value), 10, 64)
		default:
			continue
		}
		if err != nil {
			return Stall{}, fmt.Errorf("%s: %w", key, err)
		}
		seen++
	}
	if seen != 4 {
		return Stall{}, fmt.Errorf("%d of avg10, avg60, avg300 and total, want each once", seen)
	}
	return s, nil
}
