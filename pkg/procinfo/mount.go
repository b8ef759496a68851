package procinfo

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// MountedReadOnly tells whether name, an absolute path without links, lies on a
// file system that a process sees mounted read-only (proc_pid_mountinfo(5)). It
// is known unless the process shows no mount at all.
func MountedReadOnly(root hostfs.Root, pid int, name string) (readOnly, known bool, err error) {
	mounts, err := parsed(root, procDir(pid)+"/mountinfo", parseMounts)
	if err != nil {
		return false, false, fmt.Errorf("look up the mount of %s: %w", name, err)
	}
	longest := -1
	for _, m := range mounts {
		// Of two on one point the later covers the earlier.
		if below(name, m.point) && len(m.point) >= longest {
			longest, readOnly = len(m.point), m.readOnly
		}
	}
	return readOnly, longest >= 0, nil
}

func below(name, point string) bool {
	return point == "/" || name == point || strings.HasPrefix(name, point+"/")
}

type mount struct {
	point    string
	readOnly bool
}

// parseMounts reads lines of the form
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// in which the mount point is the fifth field, and both the mount and, in the
// last field, the file system have options.
func parseMounts(data []byte) ([]mount, error) {
	var mounts []mount
	for line := range bytes.Lines(data) {
		head, tail, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		first, last := strings.Fields(head), strings.Fields(tail)
		if !ok || len(first) < 6 || len(last) < 3 {
			return nil, fmt.Errorf("line %q: want ten fields and a hyphen", bytes.TrimSpace(line))
		}
		mounts = append(mounts, mount{
			point:    unescapeMount(first[4]),
			readOnly: hasOption(first[5], "ro") || hasOption(last[len(last)-1], "ro"),
		})
	}
	return mounts, nil
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// unescapeMount undoes the octal escapes of the characters that separate
// fields and lines.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
