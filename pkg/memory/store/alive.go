package store

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// A connection that was idle for askAfter is asked for a sign of life before it
// is used, and given up where none comes within askWithin.
const (
	askAfter  = time.Second
	askWithin = 2 * time.Second
)

// askFirst tells whether a connection of the pool is to be asked for a sign of
// life before it is used. One to a server that was killed or restarted is, since
// its end has arrived already: whoever gets it instead is told that the database
// does not answer while it does.
func askFirst(_ context.Context, p pgxpool.ShouldPingParams) bool {
	return p.IdleDuration > askAfter || !quiet(p.Conn)
}

// quiet is true of a connection whose server has neither said anything nor hung
// up since it was last used. It asks the kernel alone, in a microsecond.
func quiet(conn *pgx.Conn) bool {
	var own net.Conn = conn.PgConn().Conn()
	if t, ok := own.(*tls.Conn); ok {
		own = t.NetConn()
	}
	sc, ok := own.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var nothing error
	err = raw.Control(func(fd uintptr) {
		_, _, nothing = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(nothing, unix.EAGAIN)
}
