// Package fakepulse is a server that speaks the native protocol of PulseAudio
// from a script: what it says, and how it misbehaves. It is written from the
// protocol's description and shares no code with the client under test.
package fakepulse

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// None is the index that stands for nothing.
const None = 0xffffffff

// The commands that the server knows.
const (
	Auth          = 8
	SetClientName = 9
	Sinks         = 22
	Sources       = 24
	Clients       = 28
	SinkInputs    = 30
	SourceOutputs = 32
)

// Device is a sink or a source.
type Device struct {
	Index     uint32
	Name      string
	Title     string
	MonitorOf uint32 // of a source; None where it is no monitor
	State     uint32 // 0 running, 1 idle, 2 suspended
	Ports     int
}

// Stream is a sink input or a source output.
type Stream struct {
	Index, Client, Device uint32
	Corked, Muted         bool
	Props                 map[string]string
}

// Client is a connected program.
type Client struct {
	Index uint32
	Props map[string]string
}

// Script is what the server has, and how it behaves.
type Script struct {
	Version    uint32 // 35 unless set
	Sinks      []Device
	Sources    []Device
	Players    []Stream
	Recorders  []Stream
	Clients    []Client
	Misbehave  Fault
	At         uint32 // the command at which it does; Auth unless set
	Chatter    int    // events before every answer
	AppendTail []byte // behind the entries of every list
}

// Fault is a way to misbehave.
type Fault string

// The faults.
const (
	Hang     Fault = "hang"     // no answer
	Close    Fault = "close"    // the connection ends
	Garbage  Fault = "garbage"  // bytes that mean nothing
	Huge     Fault = "huge"     // a frame of 1 GiB is announced
	Drip     Fault = "drip"     // one byte at a time
	Deny     Fault = "deny"     // "access denied"
	Truncate Fault = "truncate" // an answer that ends in the middle
	WrongTag Fault = "wrong-tag"
	Flood    Fault = "flood" // events without end
)

// Peer is who connected.
type Peer struct {
	UID     uint32 // as the kernel says of the connection
	SentUID uint32 // as the first message says
}

// Server is a running server.
type Server struct {
	listener *net.UnixListener
	mu       sync.Mutex
	script   Script
	peers    []Peer
}

// Start listens at path until the test ends.
func Start(t testing.TB, path string, script Script) *Server {
	t.Helper()
	return StartAs(t, path, os.Geteuid(), script)
}

// StartAs is Start for a server that clients take for one of that user.
func StartAs(t testing.TB, path string, uid int, script Script) *Server {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := listen(path, uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: l, script: script}
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn, stop) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(stop)
		all.Wait()
	})
	return s
}

// listen listens as a user: the kernel keeps who called it, and tells it to
// whoever connects.
func listen(path string, uid int) (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	done := make(chan error)
	go func() {
		if was := os.Geteuid(); uid != was {
			// This thread alone, which is given back as it was: threads that end
			// take the children along that were started with Pdeathsig.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := setUser(uid); err != nil {
				done <- err
				return
			}
			defer setUser(was)
		}
		done <- unix.Listen(fd, 16)
	}()
	if err := <-done; err != nil {
		return nil, err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

func setUser(uid int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return errno
	}
	return nil
}

// Set changes the script for the commands that come from now on.
func (s *Server) Set(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Peers lists who connected.
func (s *Server) Peers() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Peer{}, s.peers...)
}

func (s *Server) serve(conn *net.UnixConn, stop <-chan struct{}) {
	defer conn.Close()
	go func() {
		<-stop
		conn.Close()
	}()
	in := &reader{conn: conn}
	in.greet(s)
	for {
		command, tag, ok := in.command()
		if !ok {
			return
		}
		s.mu.Lock()
		script := s.script
		s.mu.Unlock()
		at := script.At
		if at == 0 {
			at = Auth
		}
		if script.Misbehave != "" && command == at {
			misbehave(conn, script.Misbehave, tag, stop)
			return
		}
		for range script.Chatter {
			conn.Write(frame(66, None, nil)) // a subscription event
		}
		if _, err := conn.Write(frame(2, tag, script.answer(command))); err != nil {
			return
		}
	}
}

// reader takes commands off a connection.
type reader struct {
	conn *net.UnixConn
	held []byte
}

// greet reads the first bytes with the credentials that come along.
func (r *reader) greet(s *Server) {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return
	}
	p := Peer{UID: None, SentUID: None}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
		if c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p.UID = c.Uid
		}
	})
	buf, oob := make([]byte, 4096), make([]byte, 256)
	n, oobn, _, _, err := r.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return
	}
	r.held = buf[:n]
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) > 0 {
		if c, err := unix.ParseUnixCredentials(&messages[0]); err == nil {
			p.SentUID = c.Uid
		}
	}
	s.mu.Lock()
	s.peers = append(s.peers, p)
	s.mu.Unlock()
}

func (r *reader) need(n int) bool {
	for len(r.held) < n {
		buf := make([]byte, 4096)
		got, err := r.conn.Read(buf)
		if err != nil {
			return false
		}
		r.held = append(r.held, buf[:got]...)
	}
	return true
}

func (r *reader) command() (command, tag uint32, ok bool) {
	if !r.need(20) {
		return 0, 0, false
	}
	length := int(binary.BigEndian.Uint32(r.held))
	if length < 10 || length > 1<<16 || !r.need(20+length) {
		return 0, 0, false
	}
	body := r.held[20 : 20+length]
	command, tag = binary.BigEndian.Uint32(body[1:]), binary.BigEndian.Uint32(body[6:])
	r.held = r.held[20+length:]
	return command, tag, true
}

func misbehave(conn *net.UnixConn, f Fault, tag uint32, stop <-chan struct{}) {
	switch f {
	case Close:
		return
	case Garbage:
		b := make([]byte, 1<<16)
		for i := range b {
			b[i] = byte(i*7 + 3)
		}
		conn.Write(b)
	case Huge:
		h := make([]byte, 20)
		binary.BigEndian.PutUint32(h, 1<<30)
		binary.BigEndian.PutUint32(h[4:], None)
		conn.Write(h)
	case Drip:
		for _, b := range frame(2, tag, u32(nil, 35)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	case Deny:
		conn.Write(frame(0, tag, u32(nil, 1)))
	case Truncate:
		conn.Write(frame(2, tag, []byte{'L', 0, 0}))
	case WrongTag:
		conn.Write(frame(2, tag+1000, u32(nil, 35)))
	case Flood:
		for {
			if _, err := conn.Write(frame(66, None, nil)); err != nil {
				return
			}
		}
	}
	<-stop
}

// answer is what an answer carries.
func (s Script) answer(command uint32) (b []byte) {
	version := s.Version
	if version == 0 {
		version = 35
	}
	switch command {
	case Auth:
		return u32(b, version)
	case SetClientName:
		return u32(b, 1)
	case Sinks:
		for _, d := range s.Sinks {
			b = d.encode(b, None, min(version, 32))
		}
	case Sources:
		for _, d := range s.Sources {
			b = d.encode(b, d.MonitorOf, min(version, 32))
		}
	case SinkInputs:
		for _, x := range s.Players {
			b = x.player(b)
		}
	case SourceOutputs:
		for _, x := range s.Recorders {
			b = x.recorder(b)
		}
	case Clients:
		for _, c := range s.Clients {
			b = text(u32(b, c.Index), "a client")
			b = props(text(u32(b, None), "driver.c"), c.Props)
		}
	}
	return append(b, s.AppendTail...)
}

func (d Device) encode(b []byte, of, version uint32) []byte {
	b = text(text(u32(b, d.Index), d.Name), d.Title)
	b = channels(spec(b))
	b = flag(volumes(u32(b, None)), false)
	b = text(u32(b, of), "the other")
	b = u32(text(micros(b), "driver.c"), 0)
	b = micros(props(b, map[string]string{"device.class": "sound"}))
	b = append(b, 'V', 0, 1, 0, 0)
	b = u32(u32(u32(b, d.State), 65537), None)
	b = u32(b, uint32(d.Ports))
	for range d.Ports {
		b = u32(text(text(b, "port"), "a port"), 100)
		if version >= 24 {
			b = u32(b, 0)
		}
	}
	b = text(b, "port")
	return format(append(b, 'B', 1))
}

func (x Stream) begin(b []byte) []byte {
	b = u32(text(u32(b, x.Index), "title"), None)
	return channels(spec(u32(u32(b, x.Client), x.Device)))
}

func (x Stream) player(b []byte) []byte {
	b = micros(micros(volumes(x.begin(b))))
	b = flag(text(text(b, "copy"), "driver.c"), x.Muted)
	b = flag(props(b, x.Props), x.Corked)
	return format(flag(flag(b, true), true))
}

func (x Stream) recorder(b []byte) []byte {
	b = text(text(micros(micros(x.begin(b))), "copy"), "driver.c")
	b = flag(props(b, x.Props), x.Corked)
	b = flag(volumes(b), x.Muted)
	return format(flag(flag(b, true), true))
}

// frame is a message on the control channel.
func frame(command, tag uint32, args []byte) []byte {
	body := append(u32(u32(nil, command), tag), args...)
	h := make([]byte, 20, 20+len(body))
	binary.BigEndian.PutUint32(h, uint32(len(body)))
	binary.BigEndian.PutUint32(h[4:], None)
	return append(h, body...)
}

func u32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(append(b, 'L'), v) }

func text(b []byte, s string) []byte { return append(append(append(b, 't'), s...), 0) }

func flag(b []byte, v bool) []byte {
	if v {
		return append(b, '1')
	}
	return append(b, '0')
}

func spec(b []byte) []byte { return append(b, 'a', 3, 2, 0, 0, 0xbb, 0x80) }

func channels(b []byte) []byte { return append(b, 'm', 2, 1, 2) }

func volumes(b []byte) []byte { return append(b, 'v', 2, 0, 1, 0, 0, 0, 1, 0, 0) }

func micros(b []byte) []byte { return append(b, 'U', 0, 0, 0, 0, 0, 0, 0, 9) }

func props(b []byte, m map[string]string) []byte {
	b = append(b, 'P')
	for k, v := range m {
		b = u32(text(b, k), uint32(len(v)+1))
		b = binary.BigEndian.AppendUint32(append(b, 'x'), uint32(len(v)+1))
		b = append(append(b, v...), 0)
	}
	return append(b, 'N')
}

func format(b []byte) []byte { return props(append(b, 'f', 'B', 1), nil) }

// Answers are the bytes that a whole conversation with the script brings, for
// fuzzing what reads them.
func (s Script) Answers() []byte {
	var all []byte
	for i, command := range []uint32{Auth, SetClientName, Sinks, Sources, SinkInputs, SourceOutputs, Clients} {
		all = append(all, frame(2, uint32(i+1), s.answer(command))...)
	}
	return all
}
