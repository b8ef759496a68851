package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// addresses gives the D-Bus addresses to try, in order.
func addresses(root hostfs.Root) []string {
	if env := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); env != "" && root.Real() {
		return strings.Split(env, ";")
	}
	return []string{"unix:path=" + dbus.EscapeBusAddressValue(root.Path("run/dbus/system_bus_socket"))}
}

// dialSocket opens a socket to the first address that answers.
func dialSocket(ctx context.Context, root hostfs.Root) (*net.UnixConn, string, error) {
	var errs []error
	for _, addr := range addresses(root) {
		name, err := socketName(addr)
		if err == nil {
			var conn net.Conn
			conn, err = (&net.Dialer{}).DialContext(ctx, "unix", name)
			if err == nil {
				return conn.(*net.UnixConn), addr, nil
			}
		}
		errs = append(errs, fmt.Errorf("connect to the system bus at %s: %w", addr, err))
	}
	return nil, "", errors.Join(errs...)
}

// socketName turns a D-Bus address into what net.Dial takes. Only local
// sockets are spoken to: the system bus has no other.
func socketName(addr string) (string, error) {
	options, ok := strings.CutPrefix(addr, "unix:")
	if !ok {
		return "", errors.New("not a unix: address")
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		value, err := dbus.UnescapeBusAddressValue(value)
		if err != nil {
			return "", fmt.Errorf("unescape %q: %w", option, err)
		}
		switch {
		case key == "path" && value != "":
			return value, nil
		case key == "abstract" && value != "":
			return "@" + value, nil
		}
	}
	return "", errors.New("the address names neither a path nor an abstract socket")
}

// greeting is the whole of our side of the authentication, sent ahead of the
// answers as sd-bus does. No user id is named, so that the kernel's word on the
// socket decides, also across user namespaces.
const greeting = "\x00AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"

// signOn authenticates and says Hello, in one round trip.
func (c *Conn) signOn(ctx context.Context) error {
	hello := &Call{
		Dest: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus",
		Method: "org.freedesktop.DBus.Hello",
	}
	c.serial = 1
	data, err := encodeCall(hello, c.serial)
	if err != nil {
		return fmt.Errorf("build the bus greeting: %w", err)
	}
	c.trips = 1
	err = c.within(ctx, func() error {
		_, writeErr := c.sock.Write(append([]byte(greeting), data...))
		// A bus that rejects us may have hung up by now, and said so before.
		if err := readAuth(&c.in); err != nil {
			if writeErr != nil && !errors.Is(err, errRejected) {
				return writeErr
			}
			return err
		}
		return c.await(map[uint32]*Call{c.serial: hello})
	})
	if err == nil {
		err = hello.Err
	}
	if err != nil {
		return fmt.Errorf("sign on to the system bus at %s: %w", c.addr, err)
	}
	return nil
}

// errRejected says that the bus does not let this user in.
var errRejected = errors.New("the bus rejects this user")

// readAuth reads the daemon's side of the authentication.
func readAuth(in *inbox) error {
	for _, want := range []string{"DATA", "OK", "AGREE_UNIX_FD"} {
		line, err := in.line()
		if err != nil {
			return err
		}
		word, _, _ := strings.Cut(line, " ")
		switch {
		case word == want:
		case word == "REJECTED":
			return errRejected
		case want == "AGREE_UNIX_FD" && word == "ERROR":
			// No descriptors then. Only inhibitor locks need them, and say so.
		default:
			return fmt.Errorf("the bus answered %.40q to the authentication, not %s", line, want)
		}
	}
	return nil
}
