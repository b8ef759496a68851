package procinfo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Process is what a scan tells about a process. A pid is used again after its
// process ended; the pair of PID and StartTicks is not, within a boot.
type Process struct {
	PID  int
	PPID int
	// Comm is the name of the program as the process set it, or the name of
	// its executable, of which the kernel keeps 15 bytes.
	Comm string
	// UID is the effective user.
	UID int
	// StartTicks is when the process began, in clock ticks (1/100 s) after
	// boot.
	StartTicks uint64
	// CPUTicks is the processor time that the process has used, in clock ticks.
	CPUTicks uint64
	// State is the kernel's letter: R running, S sleeping, D waiting for a
	// disk, Z dead and not yet collected, T stopped, I an idle kernel thread.
	State byte
	// Kernel tells that it is a thread of the kernel and no program.
	Kernel bool

	// Name is the wanted name that the process matched; only Find sets it.
	Name string
	// Cgroup is its control group in the unified hierarchy; only Find sets it,
	// and it is "" on a machine without that hierarchy.
	Cgroup string
}

// Stat reads one process; false says that there is none with that pid.
func Stat(root hostfs.Root, pid int) (Process, bool, error) {
	dir := procDir(pid)
	p, err := parsed(root, dir+"/stat", parseStat)
	if err == nil {
		var uid int
		if uid, err = owner(root, dir); err == nil {
			p.PID, p.UID = pid, uid
			return p, true, nil
		}
	}
	if gone(err) {
		return Process{}, false, nil
	}
	return Process{}, false, fmt.Errorf("look at process %d: %w", pid, err)
}

// procDir is the folder of a process.
func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// owner is the user of a process's folder. The kernel gives the folder, unlike
// the files in it, always to the effective user of the process.
func owner(root hostfs.Root, dir string) (int, error) {
	info, err := root.Stat(dir)
	if err != nil {
		return 0, err
	}
	return int(info.Sys().(*syscall.Stat_t).Uid), nil
}

// Fields of /proc/PID/stat after the name, counted from the state.
const (
	statPPID  = 1
	statFlags = 6
	statUTime = 11
	statSTime = 12
	statStart = 19

	// pfKthread is the flag of a kernel thread.
	pfKthread = 0x00200000
)

// parseStat reads /proc/PID/stat, all of Process but UID, Name and Cgroup. The
// name stands in parentheses and may itself hold spaces and parentheses, so it
// goes from the first "(" to the last ")".
//
//	4242 (tmux: server) S 1 4242 4242 0 -1 4194624 ...
func parseStat(data []byte) (Process, error) {
	var p Process
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return p, fmt.Errorf("no name in parentheses")
	}
	pid, err := strconv.ParseUint(string(bytes.TrimSpace(data[:open])), 10, 31)
	if err != nil {
		return p, fmt.Errorf("pid: %w", err)
	}
	comm := unescapeComm(data[open+1 : end])
	var number [statStart + 1]uint64
	i := 0
	for field := range bytes.FieldsSeq(data[end+1:]) {
		switch i {
		case 0:
			if len(field) != 1 {
				return Process{}, fmt.Errorf("state %q: want one letter", field)
			}
			p.State = field[0]
		case statPPID, statFlags, statUTime, statSTime, statStart:
			if number[i], err = strconv.ParseUint(string(field), 10, 64); err != nil {
				return Process{}, fmt.Errorf("field %d: %w", i+3, err)
			}
		}
		if i++; i > statStart {
			break
		}
	}
	if i <= statStart {
		return Process{}, fmt.Errorf("%d fields after the name, want at least %d", i, statStart+1)
	}
	if number[statPPID] > 1<<31-1 {
		return Process{}, fmt.Errorf("parent %d: no pid", number[statPPID])
	}
	p.PID, p.PPID, p.Comm = int(pid), int(number[statPPID]), comm
	p.Kernel = number[statFlags]&pfKthread != 0
	p.CPUTicks = number[statUTime] + number[statSTime]
	p.StartTicks = number[statStart]
	return p, nil
}

// unescapeComm undoes what the kernel does to a name in /proc/PID/stat: a
// newline and a backslash become `\n` and `\\`.
func unescapeComm(comm []byte) string {
	if bytes.IndexByte(comm, '\\') < 0 {
		return string(comm)
	}
	return strings.NewReplacer(`\n`, "\n", `\\`, `\`).Replace(string(comm))
}
