package room

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// hierarchies are the places of the unified control group hierarchy: alone, and
// beside version 1.
var hierarchies = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// limit is what a room is to be held to, and the kernel's file for it.
type limit struct {
	key        string // of the configuration, as people see it
	controller string
	file       string
	most       uint64
	said       string // most, as the configuration says it
}

// limits lists the limits that a room has.
func limits(name string, r *config.Room) []limit {
	var all []limit
	if r.MemoryMax > 0 {
		all = append(all, limit{key(name, "memoryMax"), "memory", "memory.max", r.MemoryMax.Bytes(), r.MemoryMax.String()})
	}
	if r.TasksMax > 0 {
		all = append(all, limit{key(name, "tasksMax"), "pids", "pids.max", uint64(r.TasksMax), strconv.Itoa(r.TasksMax)})
	}
	return all
}

// limited holds that the control group of this process, in which the room will
// be, keeps it to its limits.
func (h Host) limited(name string, r *config.Room) error {
	all := limits(name, r)
	if len(all) == 0 {
		return nil
	}
	group, _, err := procinfo.Cgroup(h.Root, os.Getpid())
	if err != nil {
		return err
	}
	for _, l := range all {
		have, limited, err := effective(h.Root, group, l.file)
		if err != nil {
			return err
		}
		if !limited || have > l.most {
			now := "no limit"
			if limited {
				now = strconv.FormatUint(have, 10)
			}
			return refusef("%s is %s, and the control group %s of this process has %s in %s: run the room with systemctl start %s, after a systemctl daemon-reload if the key is new",
				l.key, l.said, group, now, l.file, Unit(name))
		}
	}
	return nil
}

// effective is the least of a limit in a control group and those above it;
// false says that there is none.
func effective(root hostfs.Root, group, file string) (least uint64, limited bool, err error) {
	if group == "" {
		return 0, false, nil
	}
	for _, top := range hierarchies {
		if _, err := root.Stat(path.Join(top, "cgroup.controllers")); err != nil {
			continue
		}
		for at := path.Clean(group); ; at = path.Dir(at) {
			data, err := root.ReadFile(path.Join(top, at, file))
			switch {
			case hostfs.Absent(err): // the root has none, nor has a group without the controller
			case err != nil:
				return 0, false, fmt.Errorf("read the limit of a control group: %w", err)
			default:
				n, some, err := parseLimit(data)
				if err != nil {
					return 0, false, fmt.Errorf("read %s of control group %s: %w", file, at, err)
				}
				if some && (!limited || n < least) {
					least, limited = n, true
				}
			}
			if at == "/" || at == "." {
				return least, limited, nil
			}
		}
	}
	return 0, false, nil
}

// parseLimit reads a limit as the kernel writes it; false stands for "max".
func parseLimit(data []byte) (uint64, bool, error) {
	text := strings.TrimSuffix(string(data), "\n")
	if text == "max" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%q is neither a number nor max", cut(text))
	}
	return n, true, nil
}

// controllers lists what control groups can limit on this machine.
func controllers(root hostfs.Root) ([]string, error) {
	for _, top := range hierarchies {
		data, err := root.ReadFile(path.Join(top, "cgroup.controllers"))
		if hostfs.Absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the controllers of control groups: %w", err)
		}
		return strings.Fields(string(data)), nil
	}
	return nil, nil
}
