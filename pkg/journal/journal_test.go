package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// listen stands where journald does.
func listen(t *testing.T) (hostfs.Root, *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "journal-") // a socket's path may have 107 bytes only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	root := hostfs.Root(dir)
	if err := os.MkdirAll(filepath.Dir(root.Path(socket)), 0o755); err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: root.Path(socket), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return root, conn
}

// receive takes one entry as journald would: from the datagram, or from the
// sealed file that came with an empty one.
func receive(t *testing.T, conn *net.UnixConn) []byte {
	t.Helper()
	data, control := make([]byte, MaxEntry), make([]byte, 100)
	n, cn, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		return data[:n]
	}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d files, %v", len(fds), err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if want := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL; seals != want || err != nil {
		t.Errorf("seals %#x, want %#x, %v", seals, want, err)
	}
	all, err := io.ReadAll(io.NewSectionReader(f, 0, MaxEntry))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// decode reads what encode writes.
func decode(data []byte) (map[string]string, error) {
	fields := map[string]string{}
	for len(data) > 0 {
		line, rest, _ := strings.Cut(string(data), "\n")
		name, value, text := strings.Cut(line, "=")
		if !text {
			if len(rest) < 8 {
				return nil, errors.New("no length")
			}
			n := binary.LittleEndian.Uint64([]byte(rest))
			if rest = rest[8:]; uint64(len(rest)) < n+1 || rest[n] != '\n' {
				return nil, fmt.Errorf("a value of %d bytes in %d", n, len(rest))
			}
			value, rest = rest[:n], rest[n+1:]
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s twice", name)
		}
		fields[name], data = value, []byte(rest)
	}
	return fields, nil
}

func TestSend(t *testing.T) {
	root, conn := listen(t)
	w, err := Open(root, "reconcile")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	base := map[string]string{"SYSLOG_IDENTIFIER": "reconcile", "PRIORITY": "5"}
	for _, tt := range []struct {
		name  string
		entry Entry
		want  map[string]string
	}{
		{"plain", Entry{Message: "desktop -> compute"}, map[string]string{"MESSAGE": "desktop -> compute"}},
		{"fields", Entry{Message: "m", MessageID: "0123", Fields: map[string]string{"MODE": "compute", "GUARD": ""}}, map[string]string{"MESSAGE": "m", "MESSAGE_ID": "0123", "MODE": "compute"}},
		{"several lines", Entry{Message: "a\nb\n", Fields: map[string]string{"REASON": "x=1\ny"}}, map[string]string{"MESSAGE": "a\nb\n", "REASON": "x=1\ny"}},
		{"an equals sign", Entry{Message: "a=b=c"}, map[string]string{"MESSAGE": "a=b=c"}},
		{"larger than a datagram", Entry{Message: strings.Repeat("x", MaxEntry/2)}, map[string]string{"MESSAGE": strings.Repeat("x", MaxEntry/2)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.entry.Priority = Notice
			if err := w.Send(tt.entry); err != nil {
				t.Fatal(err)
			}
			got, err := decode(receive(t, conn))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range base {
				tt.want[k] = v
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, e := range map[string]Entry{
		"a trusted field":   {Fields: map[string]string{"_PID": "1"}},
		"lower case":        {Fields: map[string]string{"mode": "x"}},
		"a newline in it":   {Fields: map[string]string{"MODE\nX": "x"}},
		"an equals sign":    {Fields: map[string]string{"MODE=": "x"}},
		"a digit first":     {Fields: map[string]string{"1MODE": "x"}},
		"none":              {Fields: map[string]string{"": "x"}},
		"one of the entry":  {Fields: map[string]string{"MESSAGE": "x"}},
		"too long a name":   {Fields: map[string]string{strings.Repeat("A", 65): "x"}},
		"more than MaxLine": {Message: strings.Repeat("x", MaxEntry)},
	} {
		if err := w.Send(e); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestNoJournal holds that a machine without one, and one whose journal has
// died, are told apart from a fault.
func TestNoJournal(t *testing.T) {
	if _, err := Open(hostfs.Root(t.TempDir()), "x"); !errors.Is(err, ErrNoJournal) {
		t.Errorf("without a socket: %v", err)
	}
	root, conn := listen(t)
	w, err := Open(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Send(Entry{Message: "m"}); err == nil {
		t.Error("an entry was taken by nobody")
	}
}

// TestNeverWaits fills a journal that reads nothing.
func TestNeverWaits(t *testing.T) {
	root, _ := listen(t)
	w, err := Open(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 1 << 20 {
		if err = w.Send(Entry{Message: strings.Repeat("x", 1000)}); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a full journal: %v, want EAGAIN", err)
	}
}

func TestConnected(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if own := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino); !Connected(f, own) {
		t.Errorf("%s is not recognised", own)
	}
	for _, other := range []string{"", ":", "1:2", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1)} {
		if Connected(f, other) {
			t.Errorf("%q passes for the stream", other)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("message", "value")
	f.Add("a\nb", "\n")
	f.Fuzz(func(t *testing.T, message, value string) {
		data, err := encode(Entry{Message: message, Priority: Info, Fields: map[string]string{"REASON": value}}, "reconcile")
		if err != nil {
			return
		}
		got, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"SYSLOG_IDENTIFIER": "reconcile", "PRIORITY": "6"}
		for k, v := range map[string]string{"MESSAGE": message, "REASON": value} {
			if v != "" {
				want[k] = v
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
