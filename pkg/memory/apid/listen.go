package apid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// listen gives what the service accepts connections on: the sockets that
// systemd passed (sd_listen_fds(3)), or those that the configuration names.
func listen(cfg config.MemoryAPI) ([]net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the sockets that systemd passed: %w", err)
	}
	var all []net.Listener
	for _, l := range passed {
		if l == nil {
			return nil, errors.Join(errors.New("take the sockets that systemd passed: one of them is no stream socket"), closeAll(passed))
		}
		if !local(l.Addr()) {
			return nil, errors.Join(fmt.Errorf("%s was passed by systemd: the memory API listens on this machine only; mend ListenStream= of its socket unit", l.Addr()), closeAll(passed))
		}
		all = append(all, l)
	}
	if len(all) > 0 {
		return all, nil
	}
	l, err := listenUnix(cfg.Socket)
	if err != nil {
		return nil, err
	}
	all = append(all, l)
	if cfg.Port != 0 {
		l, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on memory.api.port: %w", err), closeAll(all))
		}
		all = append(all, l)
	}
	return all, nil
}

func closeAll(all []net.Listener) error {
	var errs []error
	for _, l := range all {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// local is true of a unix socket and of a loopback address.
func local(a net.Addr) bool {
	if a.Network() == "unix" {
		return true
	}
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().IsLoopback()
}

// listenUnix makes the socket, for members of the operators' group where there
// is one and we may say so, else for the user that we are. One that a killed
// service left behind is replaced; one that answers is not.
func listenUnix(path string) (net.Listener, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: another memory service answers there; stop it, or name another memory.api.socket", path)
	case errors.Is(err, unix.ECONNREFUSED):
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the socket that an earlier service left: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("listen on %s: %w; start it through systemctl start dubnium-memory-api, which makes the folder, give it a folder of your own with --directory, or name another memory.api.socket", path, err)
	}
	// Nobody may connect before the owner is right.
	before := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("listen on memory.api.socket: %w", err)
	}
	if err := admit(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// admit opens the socket to the operators' group.
func admit(path string) error {
	group, err := user.LookupGroup(config.OperatorsGroup)
	if err != nil {
		return nil // no such group: the socket stays its owner's
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return fmt.Errorf("read the id of the group %s: %w", config.OperatorsGroup, err)
	}
	if err := os.Chown(path, -1, gid); errors.Is(err, fs.ErrPermission) {
		return nil // we are not in it
	} else if err != nil {
		return fmt.Errorf("give %s to the group %s: %w", path, config.OperatorsGroup, err)
	}
	return os.Chmod(path, 0o660)
}

// withCaller is the context of a connection: it says who is at its other end.
func withCaller(root hostfs.Root) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		return memory.WithCaller(ctx, caller(root, c))
	}
}

// caller asks the kernel who connected (SO_PEERCRED, unix(7)). The credentials
// are those of the moment of connect(2); the unit is read now, and is left out
// where the process is gone.
func caller(root hostfs.Root, c net.Conn) memory.Caller {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return memory.Caller{}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return memory.Caller{}
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failed != nil {
		return memory.Caller{}
	}
	who := memory.Caller{Known: true, UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
	if cgroup, alive, err := procinfo.Cgroup(root, int(cred.Pid)); err == nil && alive {
		system, person := procinfo.Unit(cgroup)
		who.Unit = system
		if person != "" {
			who.Unit = person
		}
	}
	return who
}
