package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// user is whom a conversation is held as.
type user struct{ uid, gid int }

// askServer holds the conversation with the pulse server at a socket, as its
// own user: PulseAudio lets nobody else in, not even root, and what the user
// put in the socket's place is then opened with no more rights than the user
// has. Peers lists the users that may answer.
//
// It comes back when ctx is done, whatever the server does: a file system that
// the user mounted can hang before there is a socket to set a deadline on.
func askServer(ctx context.Context, path string, as user, peers ...int) (*Graph, error) {
	type result struct {
		graph *Graph
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{nil, fmt.Errorf("panic: %v", p)}
			}
			done <- r
		}()
		if as.uid != unix.Geteuid() {
			runtime.LockOSThread()
			restore, err := become(as)
			defer restore()
			if r.err = err; err != nil {
				return
			}
		}
		r.graph, r.err = dialAndAsk(ctx, path, peers)
	}()
	select {
	case r := <-done:
		return r.graph, r.err
	case <-ctx.Done():
	}
	// The conversation ends at the same moment, and knows better where it was.
	select {
	case r := <-done:
		return r.graph, r.err
	case <-time.After(lastWord):
		return nil, ctx.Err()
	}
}

// lastWord is how long a conversation that is out of time has to say so.
const lastWord = 10 * time.Millisecond

// become changes the effective user, group and groups of this thread alone,
// which has to be locked: with the raw system calls, because those of the
// syscall package change every thread of the process. The real user stays, so
// that the user can send the thread no signals, which would reach the whole
// process.
//
// Restore makes the thread what it was and unlocks it. A thread that can't be
// made so stays locked, and ends with its goroutine. That is not the rule
// because the children that a thread started may be told to end with it.
func become(u user) (restore func(), err error) {
	groups, err := unix.Getgroups()
	if err != nil {
		return runtime.UnlockOSThread, fmt.Errorf("list the groups: %w", err)
	}
	was := user{unix.Geteuid(), unix.Getegid()}
	restore = func() {
		// The user first: only root may change the rest.
		if setUser(was.uid) == nil && setGroup(was.gid) == nil && setGroups(groups) == nil {
			runtime.UnlockOSThread()
		}
	}
	if err := setGroups(nil); err != nil {
		return restore, fmt.Errorf("leave the groups: %w (root, or CAP_SETGID, can)", err)
	}
	if err := setGroup(u.gid); err != nil {
		return restore, fmt.Errorf("become group %d: %w (root, or CAP_SETGID, can)", u.gid, err)
	}
	if err := setUser(u.uid); err != nil {
		return restore, fmt.Errorf("become user %d: %w (root, or CAP_SETUID, can)", u.uid, err)
	}
	return restore, nil
}

// keep is the number that leaves a user or group as it is.
const keep = ^uintptr(0)

func setUser(uid int) error { return raw(unix.SYS_SETRESUID, keep, uintptr(uid), keep) }

func setGroup(gid int) error { return raw(unix.SYS_SETRESGID, keep, uintptr(gid), keep) }

func setGroups(groups []int) error {
	list := make([]uint32, len(groups)+1) // never empty: there has to be a first one to point to
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	return nil
}

func raw(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func dialAndAsk(ctx context.Context, path string, peers []int) (*Graph, error) {
	conn, err := dial(path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	peer, err := peerOf(conn)
	if err != nil {
		return nil, err
	}
	for _, uid := range peers {
		if peer == uid {
			g, err := converse(&introduced{UnixConn: conn})
			if err == nil {
				g.PeerUID = peer
			}
			return g, err
		}
	}
	return nil, &SourceError{Stranger, path, fmt.Errorf("uid %d answers there, and not uid %d", peer, peers[0])}
}

// dial connects without ever waiting: where the server's queue is full, it does
// not serve. The calls are made by this thread, as the user that it is.
func dial(path string) (*net.UnixConn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, &fs.PathError{Op: "connect", Path: path, Err: err}
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("connect %s: %T is no unix socket", path, conn)
	}
	return c, nil
}

// peerOf is the user that the kernel says listens at the other end.
func peerOf(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) { cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, optErr); err != nil {
		return 0, fmt.Errorf("ask who answers: %w", err)
	}
	return int(cred.Uid), nil
}

// introduced sends its first bytes together with who we are. The kernel would
// add the real user; PulseAudio has to see the effective one.
type introduced struct {
	*net.UnixConn
	said bool
}

func (c *introduced) Write(b []byte) (int, error) {
	if c.said {
		return c.UnixConn.Write(b)
	}
	c.said = true
	who := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(unix.Geteuid()), Gid: uint32(unix.Getegid())})
	n, _, err := c.WriteMsgUnix(b, who, nil)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// ownerOf is the user and group of a folder, which say whom to ask as.
func ownerOf(root hostfs.Root, path string) (user, error) {
	info, err := root.Stat(path)
	if err != nil {
		return user{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return user{int(st.Uid), int(st.Gid)}, nil
}

// troubleOf sorts an error of a conversation.
func troubleOf(err error) Trouble {
	var told serverError
	var netErr net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, unix.EAGAIN), errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	case errors.As(err, &told), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ECONNREFUSED):
		return Refused
	case hostfs.Absent(err):
		return Hidden
	case errors.Is(err, errProtocol), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return Garbled
	default:
		return Unreadable
	}
}
