// Package caller tells the controller who asks for a mode. systemd starts the
// controller and does not say for whom; so whoever asks listens meanwhile on a
// socket whose name says for what, and the controller has the kernel tell whose
// socket that is. Nothing is written anywhere, nothing is read from the asker,
// and what is told ends with the process that asks.
package caller

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// Caller is a process that asks for a mode.
type Caller struct {
	PID, UID int
	// LoginUID is who logged in, before any sudo; -1 where the kernel doesn't say.
	LoginUID int
	// User is the name of the latter, or of UID; "uid N" where there is none.
	User string
	// Unit is the system unit that the process is part of: its service, or the
	// scope of its session. "" where it is in none.
	Unit string
	// CutOff tells that it lets vLLM be stopped with requests in flight.
	CutOff bool
}

// The words of a socket's name.
const (
	prefix = "@dubnium/request/"
	waits  = "wait"
	cuts   = "cut-off"
)

// name begins the names of the sockets of those who ask for a mode. Process
// numbers mean something in one namespace alone, and so does a name: another
// machine's, in a container on the same network, is none of ours.
func name(root hostfs.Root, target string) (string, error) {
	space, err := root.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", fmt.Errorf("name the namespace of this process: %w", err)
	}
	return prefix + strings.Trim(space, "pid:[]") + "/" + target + "/", nil
}

// Announce says that this process asks for a mode, and whether vLLM's requests
// may be cut off for it, until what it gives is closed.
func Announce(root hostfs.Root, target string, cutOff bool) (io.Closer, error) {
	begin, err := name(root, target)
	if err != nil {
		return nil, err
	}
	word := waits
	if cutOff {
		word = cuts
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("say who asks: make a socket: %w", err)
	}
	s := os.NewFile(uintptr(fd), "asks for "+target)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: begin + word + "/" + hex.EncodeToString(b[:])})
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("say who asks: listen: %w", err), s.Close())
	}
	return s, nil
}

// backlog is how many may look at a socket at a time. Nobody is answered.
const backlog = 16

// Bounds of what is looked at.
const (
	maxTable   = 8 << 20 // of /proc/net/unix, in bytes
	maxCallers = 16
)

// ErrMany says that more ask than can be told apart.
var ErrMany = fmt.Errorf("more than %d processes say that they ask", maxCallers)

// Find gives those who ask for a mode right now: root, and members of a group.
// Of anybody else's word nothing is made.
func Find(root hostfs.Root, target, group string) ([]Caller, error) {
	begin, err := name(root, target)
	if err != nil {
		return nil, err
	}
	table, err := root.ReadLimited("/proc/net/unix", maxTable)
	if err != nil {
		return nil, fmt.Errorf("look who asks: %w", err)
	}
	var list []Caller
	for _, socket := range listening(table, begin) {
		if len(list) == maxCallers {
			return nil, ErrMany
		}
		c, there := look(root, socket)
		if there && (c.UID == 0 || member(c.UID, group)) {
			c.CutOff = strings.HasPrefix(socket[len(begin):], cuts+"/")
			list = append(list, c)
		}
	}
	return list, nil
}

// accepts is the kernel's flag of a socket that listens (__SO_ACCEPTCON).
const accepts = 1 << 16

// listening gives the names in /proc/net/unix, of sockets that listen, that
// begin so. A line is
//
//	Num RefCount Protocol Flags Type St Inode Path
//
// with all but Protocol and Inode in hexadecimal digits; see proc_net_unix in
// net/unix/af_unix.c. Lines that are none are passed over.
func listening(table []byte, begin string) []string {
	var names []string
	for line := range bytes.Lines(table) {
		if !bytes.Contains(line, []byte(begin)) {
			continue
		}
		f := strings.Fields(string(line))
		if len(f) != 8 || !strings.HasPrefix(f[7], begin) || slices.Contains(names, f[7]) {
			continue
		}
		if flags, err := strconv.ParseUint(f[3], 16, 32); err == nil && flags&accepts != 0 {
			names = append(names, f[7])
		}
	}
	return names
}

// look asks the kernel who listens on a socket. false says that nobody does any
// more, or nobody whom we can see.
func look(root hostfs.Root, socket string) (Caller, bool) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return Caller{}, false
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was sent
	// A name that is as long as it may be, or whose socket is busy, is nobody's.
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return Caller{}, false
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || cred.Pid <= 0 || cred.Uid == ^uint32(0) {
		return Caller{}, false
	}
	return describe(root, int(cred.Pid), int(cred.Uid)), true
}

// Self is this process.
func Self(root hostfs.Root) Caller { return describe(root, os.Getpid(), os.Getuid()) }

func describe(root hostfs.Root, pid, uid int) Caller {
	c := Caller{PID: pid, UID: uid, LoginUID: LoginUID(root, pid), User: userName(uid)}
	if c.LoginUID >= 0 {
		c.User = userName(c.LoginUID)
	}
	// What can't be told stays empty.
	if cgroup, alive, err := procinfo.Cgroup(root, pid); err == nil && alive {
		c.Unit, _ = procinfo.Unit(cgroup)
	}
	return c
}

// LoginUID is who logged in, before any sudo (proc_pid_loginuid(5)); -1 where
// nobody did, or the kernel keeps no account.
func LoginUID(root hostfs.Root, pid int) int {
	data, err := root.ReadLimited("/proc/"+strconv.Itoa(pid)+"/loginuid", 32)
	if err != nil {
		return -1
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil || uid == 1<<32-1 {
		return -1
	}
	return int(uid)
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

// member tells whether a user is in a group as the files of users and groups
// have it, which is what polkit goes by.
func member(uid int, group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}
