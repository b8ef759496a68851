// Package journal writes structured entries to the journal of the machine, by
// the protocol of sd_journal_send(3) (systemd's "Native Journal Protocol"): one
// datagram an entry, or, for one that is too large for a datagram, a sealed
// file handed over in its place.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// socket is where journald listens.
const socket = "/run/systemd/journal/socket"

// MaxEntry bounds an entry, in bytes as they are sent.
const MaxEntry = 1 << 20

// Priority is how much an entry matters, as syslog(3) has it.
type Priority int

// The priorities that are of use to us.
const (
	Error   Priority = 3
	Warning Priority = 4
	Notice  Priority = 5
	Info    Priority = 6
)

// Entry is one line of the journal with its fields.
type Entry struct {
	Message   string
	MessageID string // 32 hexadecimal digits that name the kind of entry; may be empty
	Priority  Priority
	// Fields are named with upper-case letters, digits and underscores, as
	// systemd.journal-fields(7) has them; an empty value leaves a field out.
	Fields map[string]string
}

// Writer is an open way to the journal.
type Writer struct {
	conn       *net.UnixConn
	identifier string
}

// ErrNoJournal says that nobody listens: there is no journal here.
var ErrNoJournal = errors.New("no journal listens")

// Open finds the journal. Identifier becomes SYSLOG_IDENTIFIER: what journalctl
// shows before the message.
func Open(root hostfs.Root, identifier string) (*Writer, error) {
	path := root.Path(socket)
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("connect to %s: %w", path, ErrNoJournal)
	case err != nil:
		return nil, fmt.Errorf("connect to the journal: %w", err)
	}
	return &Writer{conn: conn, identifier: identifier}, nil
}

// Close ends it.
func (w *Writer) Close() error { return w.conn.Close() }

// Send writes an entry. It never waits: a journal that takes nothing more is an
// error.
func (w *Writer) Send(e Entry) error {
	data, err := encode(e, w.identifier)
	if err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	var sent error
	err = raw.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), data, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		if errors.Is(sent, unix.EMSGSIZE) || errors.Is(sent, unix.ENOBUFS) {
			sent = sendFile(int(fd), data)
		}
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	return nil
}

// sendFile hands an entry over as a file that nobody can change any more.
func sendFile(fd int, data []byte) error {
	file, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("make a file for it: %w", err)
	}
	defer unix.Close(file)
	for rest := data; len(rest) > 0; {
		n, err := unix.Write(file, rest)
		if err != nil {
			return fmt.Errorf("write it to a file: %w", err)
		}
		rest = rest[n:]
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal its file: %w", err)
	}
	return unix.Sendmsg(fd, nil, unix.UnixRights(file), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// encode renders an entry: NAME=value on a line, or, for a value of several
// lines, the name, the length of the value in 64 bits, least byte first, and
// the value.
func encode(e Entry, identifier string) ([]byte, error) {
	fields := map[string]string{"SYSLOG_IDENTIFIER": identifier, "MESSAGE": e.Message, "MESSAGE_ID": e.MessageID, "PRIORITY": fmt.Sprint(int(e.Priority))}
	for name, value := range e.Fields {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if _, ours := fields[name]; ours {
			return nil, fmt.Errorf("field %s is set by the entry itself", name)
		}
		fields[name] = value
	}
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		if value != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []byte
	for _, name := range names {
		value := fields[name]
		out = append(out, name...)
		if strings.Contains(value, "\n") {
			out = append(out, '\n')
			out = binary.LittleEndian.AppendUint64(out, uint64(len(value)))
		} else {
			out = append(out, '=')
		}
		out = append(append(out, value...), '\n')
	}
	if len(out) > MaxEntry {
		return nil, fmt.Errorf("an entry of %d bytes, where %d are the most", len(out), MaxEntry)
	}
	return out, nil
}

// maxName bounds a field's name, as journald does.
const maxName = 64

// checkName tells why journald would not take a field.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" ||
		name[0] == '_' || name[0] >= '0' && name[0] <= '9' {
		return fmt.Errorf("%q is no name of a field: upper-case letters, digits and underscores, beginning with a letter", name)
	}
	return nil
}

// Connected tells whether a file, stdout as a rule, is the journal's own
// stream: what is written there is in the journal, too. stream is the
// environment's JOURNAL_STREAM (systemd.exec(5)): device and inode.
func Connected(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
