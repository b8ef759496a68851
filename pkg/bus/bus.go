// Package bus asks questions of the system bus, many at once and never for
// longer than it is allowed to.
//
// A [Conn] is private and made for a tool that looks once and ends: signing on
// is one round trip, and [Conn.Batch] sends any number of calls in one write
// and waits for all the answers, so that a whole observation of logind and
// systemd takes three round trips. It starts no goroutine. The deadline sits
// on the socket itself, which is why a bus that was stopped, or a peer that
// accepts and never answers, can't hold the caller: godbus's own connection
// waits for its locks before it closes the socket, and a blocked writer keeps
// those. The wire format and the types are godbus's.
//
// Who needs signals or go-systemd takes [DialGodbus].
package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"golang.org/x/sys/unix"
)

// DefaultTimeout bounds an exchange whose context has no deadline.
const DefaultTimeout = 5 * time.Second

// window is the number of calls that wait for an answer at one time. The
// reference daemon refuses more than 128 on one connection.
const window = 100

// Call is one method call and, after [Conn.Batch], what came of it: a Body or
// an Err.
type Call struct {
	Dest   string          // the bus name asked
	Path   dbus.ObjectPath // the object asked
	Method string          // interface and member, joined by a dot
	Args   []any

	Body []any // the answer's values, with godbus's types
	Err  error // a *[Error] when the peer refused; else why there is no answer
}

// GetAll makes the call that reads all properties of one interface of an
// object; an empty iface reads those of all its interfaces.
func GetAll(dest string, path dbus.ObjectPath, iface string) *Call {
	return &Call{Dest: dest, Path: path, Method: "org.freedesktop.DBus.Properties.GetAll", Args: []any{iface}}
}

// Props is the answer of a GetAll call.
func (c *Call) Props() (map[string]dbus.Variant, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	if len(c.Body) == 1 {
		if m, ok := c.Body[0].(map[string]dbus.Variant); ok {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s on %s answered something that is no property map", c.Method, c.Path)
}

// Conn is a private connection to the system bus. Its methods may be called
// from several goroutines, one after the other has its turn.
type Conn struct {
	mu       sync.Mutex
	addr     string
	sock     *net.UnixConn
	in       inbox
	serial   uint32
	trips    int
	messages int
	broken   error
}

// Dial connects to the machine's system bus and signs on. For the running
// machine the address is DBUS_SYSTEM_BUS_ADDRESS, else the usual socket; for
// another root it is that root's socket. Without a bus the error is
// fs.ErrNotExist or unix.ECONNREFUSED to errors.Is.
func Dial(ctx context.Context, root hostfs.Root) (*Conn, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	sock, addr, err := dialSocket(ctx, root)
	if err != nil {
		return nil, err
	}
	c := &Conn{addr: addr, sock: sock, in: inbox{conn: sock}}
	if err := c.signOn(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Addr is the D-Bus address that the connection was made to.
func (c *Conn) Addr() string { return c.addr }

// RoundTrips counts the times that the connection waited for the bus: once to
// sign on, then once a batch (once every hundred calls of a larger one).
func (c *Conn) RoundTrips() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trips
}

// Messages counts the method calls sent, the sign-on not included.
func (c *Conn) Messages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.messages
}

// Close ends the connection, and with it a Batch that is under way.
func (c *Conn) Close() error {
	err := c.sock.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.close()
	return err
}

// Batch sends all calls at once and waits for all the answers. Every call gets
// its Body or its Err. The returned error says that the bus itself failed or
// that ctx ended; calls that were answered before keep their answers, and the
// others carry that error too. After the end of ctx the connection can still
// be used, so that one service that hangs doesn't hide the others.
func (c *Conn) Batch(ctx context.Context, calls ...*Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(calls) > 0 {
		n := min(window, len(calls))
		if err := c.exchange(ctx, calls[:n]); err != nil {
			for _, call := range calls[n:] {
				call.Body, call.Err = nil, err
			}
			return err
		}
		calls = calls[n:]
	}
	return nil
}

// exchange is one round trip: one write, then as many reads as it takes.
func (c *Conn) exchange(ctx context.Context, calls []*Call) error {
	pending := make(map[uint32]*Call, len(calls))
	var out []byte
	for _, call := range calls {
		call.Body, call.Err = nil, c.broken
		if c.broken != nil {
			continue
		}
		data, err := encodeCall(call, c.serial+1)
		if err != nil {
			call.Err = fmt.Errorf("build the call %s to %s: %w", call.Method, call.Dest, err)
			continue
		}
		c.serial++
		pending[c.serial] = call
		out = append(out, data...)
	}
	if len(pending) == 0 {
		return c.broken
	}
	c.messages += len(pending)
	c.trips++
	err := c.within(ctx, func() error { return c.converse(out, pending) })
	if err == nil {
		return nil
	}
	err = fmt.Errorf("ask the system bus at %s, no answer from %s: %w", c.addr, silent(pending), err)
	for _, call := range pending {
		call.Err = err
	}
	return err
}

// silent names those who did not answer.
func silent(pending map[uint32]*Call) string {
	var names []string
	for _, call := range pending {
		names = append(names, call.Dest)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

func (c *Conn) converse(out []byte, pending map[uint32]*Call) error {
	if _, err := c.sock.Write(out); err != nil {
		c.broken = fmt.Errorf("ask the system bus at %s: a call was cut off before: %w", c.addr, err)
		return err
	}
	return c.await(pending)
}

// await reads until every pending call has its answer.
func (c *Conn) await(pending map[uint32]*Call) error {
	for len(pending) > 0 {
		msg, err := c.in.message()
		if err != nil {
			return err
		}
		serial, isReply := msg.Headers[dbus.FieldReplySerial].Value().(uint32)
		call := pending[serial]
		if !isReply || call == nil {
			discard(msg) // a signal, or an answer that nobody waits for
			continue
		}
		delete(pending, serial)
		if msg.Type == dbus.TypeError {
			name, _ := msg.Headers[dbus.FieldErrorName].Value().(string)
			call.Err = newError(call, name, msg.Body)
			continue
		}
		call.Body = msg.Body
	}
	return nil
}

// discard closes the descriptors of a message that nobody takes.
func discard(msg *dbus.Message) {
	for _, value := range msg.Body {
		if fd, ok := value.(dbus.UnixFD); ok {
			_ = unix.Close(int(fd))
		}
	}
}

// within runs f with the socket's deadline set to the end of ctx.
func (c *Conn) within(ctx context.Context, f func() error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := c.sock.SetDeadline(deadline); err != nil {
		return err
	}
	moved := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.sock.SetDeadline(time.Unix(1, 0))
		close(moved)
	})
	err := f()
	if !stop() {
		<-moved // or it would cut off the next exchange
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return context.DeadlineExceeded // the socket's clock was the first to fire
	}
	return err
}

// bounded gives ctx a deadline when it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}
