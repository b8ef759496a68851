package procinfo

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// LoadAverage is /proc/loadavg: how many tasks ran, wanted to run or waited for
// a disk, as averages over 1, 5 and 15 minutes, and the tasks (threads, not
// processes) that run now out of all.
type LoadAverage struct {
	One, Five, Fifteen float64
	Running, Total     int
}

// Load reads /proc/loadavg.
func Load(root hostfs.Root) (LoadAverage, error) {
	return parsed(root, "/proc/loadavg", parseLoad)
}

// parseLoad reads "0.20 0.18 0.12 1/80 11206".
func parseLoad(data []byte) (LoadAverage, error) {
	var l LoadAverage
	fields := bytes.Fields(data)
	if len(fields) < 4 {
		return l, fmt.Errorf("%d fields, want at least 4", len(fields))
	}
	for i, to := range []*float64{&l.One, &l.Five, &l.Fifteen} {
		v, err := parseAverage(fields[i])
		if err != nil {
			return LoadAverage{}, err
		}
		*to = v
	}
	running, total, _ := bytes.Cut(fields[3], []byte{'/'})
	r, err := strconv.ParseUint(string(running), 10, 31)
	if err != nil {
		return LoadAverage{}, fmt.Errorf("tasks %q: %w", fields[3], err)
	}
	n, err := strconv.ParseUint(string(total), 10, 31)
	if err != nil {
		return LoadAverage{}, fmt.Errorf("tasks %q: %w", fields[3], err)
	}
	l.Running, l.Total = int(r), int(n)
	return l, nil
}

// parseAverage reads a number that is neither negative nor one of the strings
// "NaN" and "Inf", which compare with no threshold as they should.
func parseAverage(text []byte) (float64, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(v) || math.IsInf(v, 0) || math.Signbit(v) {
		return 0, fmt.Errorf("%q: want a number that is 0 or more", text)
	}
	return v, nil
}
