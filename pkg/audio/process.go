package audio

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// found is what a look through the processes brought.
type found struct {
	pulse, core, jack []Process // servers that can be asked, PipeWire's core, JACK's
	workstations      []Process
	foreign           []Process
	byPID             map[int]Process
}

// The programs that serve audio, as /proc/PID/comm names them.
var (
	pulseServers = []string{"pipewire-pulse", "pulseaudio"}
	jackServers  = []string{"jackd", "jackdbus"}
)

// coreServer is PipeWire itself. It is asked through its pulse server.
const coreServer = "pipewire"

// findProcesses looks for audio servers and for the programs that patterns
// name. Servers are looked for before anything is connected to: a connection to
// the socket of one that does not run would start it.
func findProcesses(root hostfs.Root, patterns []string) (found, error) {
	scan, err := procinfo.Processes(root)
	if err != nil {
		return found{}, err
	}
	f := found{byPID: make(map[int]Process, len(scan.Processes))}
	for _, p := range scan.Processes {
		if p.Kernel || p.State == 'Z' {
			continue
		}
		one := Process{PID: p.PID, Comm: undress(p.Comm), UID: p.UID}
		f.byPID[p.PID] = one
		list := f.listFor(one.Comm, patterns)
		if list == nil {
			continue
		}
		if list != &f.workstations {
			cgroup, alive, err := procinfo.Cgroup(root, p.PID)
			if err != nil {
				return found{}, err
			}
			if !alive {
				continue
			}
			if contained(root, cgroup, p.UID) {
				list = &f.foreign
			}
		}
		*list = append(*list, one)
	}
	if !scan.Complete() {
		return f, &SourceError{Hidden, "/proc", fmt.Errorf("%d processes could not be read, and it may hide more (hidepid): run as root", scan.Unreadable)}
	}
	return f, nil
}

// listFor gives the list that a program of this name belongs to, or nil.
func (f *found) listFor(comm string, patterns []string) *[]Process {
	switch {
	case slices.Contains(pulseServers, comm):
		return &f.pulse
	case comm == coreServer:
		return &f.core
	case slices.Contains(jackServers, comm):
		return &f.jack
	case slices.ContainsFunc(patterns, func(p string) bool { return matches(p, comm) }):
		return &f.workstations
	default:
		return nil
	}
}

// contained tells whether a server is one of a container: in no user's slice
// and no service of the machine, or in a slice of a user that it is not, who
// has no folder here for a socket.
func contained(root hostfs.Root, cgroup string, uid int) bool {
	if cgroup == "" || cgroup == "/" {
		return false
	}
	if owner, ok := procinfo.UID(cgroup); ok {
		if int(owner) == uid {
			return false
		}
		_, err := root.Stat(runtimeDir(uid))
		return hostfs.Absent(err)
	}
	unit, _ := procinfo.Unit(cgroup)
	return !strings.HasSuffix(unit, ".service") || strings.HasPrefix(cgroup, "/machine.slice/")
}

// runtimeDir is where a user's sockets are.
func runtimeDir(uid int) string { return "/run/user/" + strconv.Itoa(uid) }

// wrapped is what NixOS puts behind the name of a program that it wraps, with
// a dot in front of it all.
const wrapped = "-wrapped"

// undress takes off what NixOS puts around a program's name, of which the
// kernel may have cut the end.
func undress(comm string) string {
	name, ok := strings.CutPrefix(comm, ".")
	if !ok {
		return clean(comm)
	}
	const commLen = 15
	for n := len(wrapped); n > 0; n-- {
		bare, ok := strings.CutSuffix(name, wrapped[:n])
		if ok && bare != "" && (n == len(wrapped) || len(comm) == commLen) {
			return clean(bare)
		}
	}
	return clean(comm)
}

// matches compares a name with a pattern, in which a "*" at the end stands for
// anything. A pattern that is longer than the kernel keeps of names matches by
// what it keeps.
func matches(pattern, comm string) bool {
	if stem, ok := strings.CutSuffix(pattern, "*"); ok {
		return stem != "" && strings.HasPrefix(comm, stem)
	}
	return pattern == comm
}

// jackPrefixes begin the names of the semaphores that JACK has for each client
// in /dev/shm: PREFIX UID_SERVER_CLIENT.
var jackPrefixes = []string{"jack_sem.", "sem.jack_sem."}

// maxMaps bounds what is read of a JACK server's mappings.
const maxMaps = 4 << 20

// jackClients lists the clients of a user's JACK server, without those that
// the server makes itself. A server has the semaphores of its clients mapped;
// those that a killed one left behind are nobody's. Where the mappings can't be
// read, every semaphore counts.
func jackClients(root hostfs.Root, server Process) ([]string, error) {
	const shm = "/dev/shm"
	names, err := root.ReadDirNames(shm)
	if err != nil {
		return nil, err
	}
	if maps, err := root.ReadLimited(path.Join("/proc", strconv.Itoa(server.PID), "maps"), maxMaps); err == nil {
		names = slices.DeleteFunc(names, func(name string) bool { return !mapped(maps, name) })
	}
	return parseJackClients(names, server.UID), nil
}

// mapped tells whether a file of that name is among a process's mappings
// (proc_pid_maps(5)), in whatever folder: a mount namespace may show another.
func mapped(maps []byte, name string) bool {
	return bytes.Contains(maps, []byte("/"+name+"\n"))
}

func parseJackClients(names []string, uid int) []string {
	clients := []string{}
	for _, name := range names {
		for _, prefix := range jackPrefixes {
			rest, ok := strings.CutPrefix(name, prefix+strconv.Itoa(uid)+"_")
			if !ok {
				continue
			}
			_, client, ok := strings.Cut(rest, "_")
			if ok && client != "" && client != "system" && client != "freewheel" {
				clients = append(clients, clean(client))
			}
		}
	}
	slices.Sort(clients)
	return slices.Compact(clients)
}

// owner tells whose a thread is: the kernel names the thread that opened a
// device, and threads are not listed in /proc.
func owner(root hostfs.Root, f found, tid int) Process {
	p := Process{PID: tid}
	if tid == 0 {
		return p
	}
	if data, err := root.ReadLimited(path.Join("/proc", strconv.Itoa(tid), "status"), maxProcFile); err == nil {
		if tgid := parseTgid(data); tgid != 0 {
			p.PID = tgid
		}
	}
	if known, ok := f.byPID[p.PID]; ok {
		return known
	}
	return p
}

// parseTgid finds the process that a thread belongs to in its status file; 0
// when it does not say.
func parseTgid(data []byte) int {
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			return pid(bytes.TrimSpace(value))
		}
	}
	return 0
}

// userName finds a user's login name in logind's record of who is logged in;
// "" where it has none.
func userName(root hostfs.Root, uid int) string {
	data, err := root.ReadLimited("/run/systemd/users/"+strconv.Itoa(uid), maxProcFile)
	if err != nil {
		return ""
	}
	return parseUserName(data)
}

func parseUserName(data []byte) string {
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("NAME=")); ok {
			return clean(bytes.TrimSpace(value))
		}
	}
	return ""
}
