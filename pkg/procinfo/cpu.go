package procinfo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// onlineFile lists the processors that the kernel schedules on.
const onlineFile = "/sys/devices/system/cpu/online"

// maxProcessors bounds a list of processors; the kernel is built for 8192 at
// most.
const maxProcessors = 8192

// Processors counts the processors that are online.
func Processors(root hostfs.Root) (int, error) {
	n, err := parsed(root, onlineFile, parseProcessors)
	if err != nil {
		return 0, fmt.Errorf("count the processors: %w", err)
	}
	return n, nil
}

// parseProcessors counts what a list such as "0-3,8" names.
func parseProcessors(data []byte) (int, error) {
	n := 0
	for part := range bytes.SplitSeq(bytes.TrimSpace(data), []byte{','}) {
		first, last, isRange := strings.Cut(string(part), "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("processor %q: %w", part, err)
		}
		b, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("processor %q: %w", part, err)
		}
		if b < a {
			return 0, fmt.Errorf("processors %q: the last comes before the first", part)
		}
		if n += int(b-a) + 1; n > maxProcessors {
			return 0, fmt.Errorf("more than %d processors", maxProcessors)
		}
	}
	return n, nil
}

// CPUUsage is the processor time that a control group and all below it have
// used since it was made, in microseconds. The kernel counts it for every
// group, whether or not the cpu controller is there, and what ended is in it.
// exists is false when there is no such control group.
func CPUUsage(root hostfs.Root, cgroup string) (micros uint64, exists bool, err error) {
	dir, err := cgroupDir(root, cgroup)
	if err == nil {
		micros, err = parsed(root, dir+"/cpu.stat", parseUsage)
	}
	if gone(err) {
		if _, statErr := root.Stat(dir); gone(statErr) {
			return 0, false, nil
		}
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the processor time of control group %s: %w", cgroup, err)
	}
	return micros, true, nil
}

// parseUsage finds "usage_usec N" in cpu.stat.
func parseUsage(data []byte) (uint64, error) {
	for line := range bytes.Lines(data) {
		key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if string(key) != "usage_usec" {
			continue
		}
		micros, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("usage_usec: %w", err)
		}
		return micros, nil
	}
	return 0, errors.New("usage_usec is missing")
}

// Subgroups lists the names of the control groups right below one, in order.
// exists is false when there is no such control group.
func Subgroups(root hostfs.Root, cgroup string) (names []string, exists bool, err error) {
	dir, err := cgroupDir(root, cgroup)
	if err != nil {
		return nil, false, fmt.Errorf("list what is below control group %s: %w", cgroup, err)
	}
	entries, err := os.ReadDir(root.Path(dir))
	if gone(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("list what is below control group %s: %w", cgroup, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, true, nil
}
