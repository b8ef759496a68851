package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// errClosed says that the other side hung up.
var errClosed = errors.New("the bus closed the connection")

// inbox holds what came from the bus and was not taken yet. A read that ends
// at a deadline loses nothing: a later one goes on where it stopped.
type inbox struct {
	conn *net.UnixConn
	buf  []byte // whole messages and, last, a part of one
	fds  []int  // descriptors that came with the bytes
}

// fill waits for more bytes.
func (in *inbox) fill() error {
	const chunk = 16 << 10
	if cap(in.buf)-len(in.buf) < chunk {
		in.buf = append(make([]byte, 0, 2*len(in.buf)+2*chunk), in.buf...)
	}
	var oob [512]byte
	n, oobn, _, _, err := in.conn.ReadMsgUnix(in.buf[len(in.buf):cap(in.buf)], oob[:])
	if oobn > 0 {
		messages, perr := unix.ParseSocketControlMessage(oob[:oobn])
		if perr != nil {
			return fmt.Errorf("read the file descriptors of a message: %w", perr)
		}
		for _, m := range messages {
			if fds, ferr := unix.ParseUnixRights(&m); ferr == nil {
				in.fds = append(in.fds, fds...)
			}
		}
	}
	if n > 0 {
		in.buf = in.buf[:len(in.buf)+n]
	}
	if err == nil && n == 0 || errors.Is(err, io.EOF) {
		return errClosed
	}
	return err
}

// line takes one line of the authentication, without its end.
func (in *inbox) line() (string, error) {
	const limit = 512
	for {
		if line, rest, found := bytes.Cut(in.buf, []byte("\r\n")); found {
			s := string(line)
			in.buf = rest
			return s, nil
		}
		if len(in.buf) > limit {
			return "", fmt.Errorf("the bus sent something that is no authentication: it starts with %.40q", in.buf)
		}
		if err := in.fill(); err != nil {
			return "", err
		}
	}
}

// message takes one message.
func (in *inbox) message() (*dbus.Message, error) {
	for {
		size, err := messageSize(in.buf)
		if err != nil {
			return nil, err
		}
		if size > 0 && size <= len(in.buf) {
			data := in.buf[:size]
			in.buf = in.buf[size:]
			return in.decode(data)
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// decode decodes a message and gives it the descriptors that are its own.
func (in *inbox) decode(data []byte) (*dbus.Message, error) {
	msg, err := decode(data, nil)
	if err != nil {
		return nil, err
	}
	n, _ := msg.Headers[dbus.FieldUnixFDs].Value().(uint32)
	if n == 0 {
		return msg, nil
	}
	if n > maxFDs || int(n) > len(in.fds) {
		return nil, fmt.Errorf("the bus sent a message said to carry %d file descriptors, and %d came", n, len(in.fds))
	}
	fds := in.fds[:n:n]
	in.fds = in.fds[n:]
	return decode(data, fds)
}

// close closes the descriptors that nobody took.
func (in *inbox) close() {
	for _, fd := range in.fds {
		_ = unix.Close(fd)
	}
	in.fds = nil
}
