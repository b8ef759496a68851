package bus

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// writeTimeout bounds one write of a godbus connection: a bus that takes no
// bytes for so long is broken.
const writeTimeout = 2 * time.Second

// DialGodbus connects to the system bus and gives godbus's own connection,
// authenticated and greeted, for those who need signals. ctx bounds the
// dialling only. Its Close never hangs, unlike that of a connection which
// godbus dialled itself: every write has a deadline. File descriptors are not
// passed.
func DialGodbus(ctx context.Context, root hostfs.Root) (*dbus.Conn, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	sock, addr, err := dialSocket(ctx, root)
	if err != nil {
		return nil, err
	}
	wire := &boundedSocket{UnixConn: sock}
	stop := context.AfterFunc(ctx, func() { _ = sock.Close() })
	conn, err := greet(wire)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = sock.Close()
		return nil, fmt.Errorf("sign on to the system bus at %s: %w", addr, err)
	}
	return conn, nil
}

func greet(wire *boundedSocket) (*dbus.Conn, error) {
	conn, err := dbus.NewConn(wire)
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// boundedSocket is a socket whose writes have a deadline.
type boundedSocket struct{ *net.UnixConn }

func (s *boundedSocket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.UnixConn.Write(p)
}
