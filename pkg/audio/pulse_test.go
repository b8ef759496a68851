package audio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/tests/audio/fakepulse"
)

// desk is a server with one of everything.
var desk = fakepulse.Script{
	Sinks: []fakepulse.Device{
		{Index: 1, Name: "alsa_output.usb", Title: "Scarlett 2i2 USB", Ports: 2},
		{Index: 2, Name: "hdmi", State: 2},
	},
	Sources: []fakepulse.Device{
		{Index: 1, Name: "alsa_output.usb.monitor", MonitorOf: 1, State: 1},
		{Index: 3, Name: "alsa_input.usb", MonitorOf: fakepulse.None},
	},
	Players: []fakepulse.Stream{
		{Index: 10, Client: 20, Device: 1, Props: map[string]string{
			"application.name": "Firefox", "application.process.id": "104", "application.process.binary": "/usr/lib/firefox", "media.name": "a tab",
		}},
		{Index: 11, Client: 20, Device: 1, Corked: true, Muted: true, Props: map[string]string{"media.role": "Notification", "node.name": "ding"}},
	},
	Recorders: []fakepulse.Stream{
		{Index: 12, Client: fakepulse.None, Device: 3, Props: map[string]string{"resample.peaks": "true", "application.id": "org.pulse.meter"}},
		{Index: 13, Client: 21, Device: 1, Muted: true, Props: map[string]string{"stream.capture.sink": "true"}},
	},
	Clients: []fakepulse.Client{
		{Index: 20, Props: map[string]string{"application.name": "Firefox", "pipewire.sec.pid": "777"}},
		{Index: 21, Props: map[string]string{"client.api": "jack", "application.process.id": "-1"}},
	},
}

var deskGraph = &Graph{
	Version: 32,
	Devices: []Device{
		{Index: 1, Direction: Playback, Name: "alsa_output.usb", Title: "Scarlett 2i2 USB"},
		{Index: 2, Direction: Playback, Name: "hdmi", State: DeviceSuspended},
		{Index: 1, Direction: Capture, Name: "alsa_output.usb.monitor", Monitor: true, State: DeviceIdle},
		{Index: 3, Direction: Capture, Name: "alsa_input.usb"},
	},
	Streams: []Stream{
		{Index: 10, Client: 20, Device: 1, Direction: Playback, Labels: Labels{App: "Firefox", Binary: "/usr/lib/firefox", PID: 104}},
		{Index: 11, Client: 20, Device: 1, Direction: Playback, Corked: true, Muted: true, Labels: Labels{Role: "notification", Node: "ding"}},
		{Index: 12, Client: noIndex, Device: 3, Direction: Capture, Meter: true, Labels: Labels{AppID: "org.pulse.meter"}},
		{Index: 13, Client: 21, Device: 1, Direction: Capture, Muted: true, Sink: true},
	},
	Clients: []Client{
		{Index: 20, TruePID: 777, Labels: Labels{App: "Firefox"}},
		{Index: 21, Jack: true},
	},
}

func TestConverse(t *testing.T) {
	for _, test := range []struct {
		name    string
		version uint32
		chatter int
		want    int
	}{
		{"newest", 35, 0, 32},
		{"flags beside the version", 0xc0000000 | 35, 0, 32},
		{"before port availability", 23, 0, 23},
		{"oldest", 22, 0, 22},
		{"with events in between", 35, maxForeign - 1, 32},
	} {
		t.Run(test.name, func(t *testing.T) {
			script := desk
			script.Version, script.Chatter = test.version, test.chatter
			root := tree(t, nil)
			server := fakepulse.Start(t, root.Path("s"), script)
			got, err := askServer(bounded(t, 5*time.Second), root.Path("s"), user{os.Getuid(), os.Getgid()}, os.Getuid())
			if err != nil {
				t.Fatal(err)
			}
			want := *deskGraph
			want.Version, want.PeerUID = test.want, os.Getuid()
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			me := uint32(os.Getuid())
			if diff := cmp.Diff([]fakepulse.Peer{{UID: me, SentUID: me}}, server.Peers()); diff != "" {
				t.Errorf("the server saw (-want +got):\n%s", diff)
			}
		})
	}
}

func bounded(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Everything that a server can do wrong is an error of the right kind, in time.
func TestFaults(t *testing.T) {
	const limit = 300 * time.Millisecond
	for _, test := range []struct {
		name string
		set  func(*fakepulse.Script)
		want Trouble
	}{
		{"hang at sign-on", fault(fakepulse.Hang, 0), Timeout},
		{"hang at the name", fault(fakepulse.Hang, fakepulse.SetClientName), Timeout},
		{"hang at a list", fault(fakepulse.Hang, fakepulse.Clients), Timeout},
		{"slow trickle", fault(fakepulse.Drip, 0), Timeout},
		{"close at once", fault(fakepulse.Close, 0), Garbled},
		{"close at a list", fault(fakepulse.Close, fakepulse.SinkInputs), Garbled},
		{"garbage", fault(fakepulse.Garbage, 0), Garbled},
		{"garbage for a list", fault(fakepulse.Garbage, fakepulse.Sinks), Garbled},
		{"a frame of 1 GiB", fault(fakepulse.Huge, 0), Garbled},
		{"cut answer", fault(fakepulse.Truncate, 0), Garbled},
		{"cut list", fault(fakepulse.Truncate, fakepulse.Sources), Garbled},
		{"answer to nobody", fault(fakepulse.WrongTag, 0), Timeout},
		{"events without end", fault(fakepulse.Flood, 0), Garbled},
		{"refused", fault(fakepulse.Deny, 0), Refused},
		{"refused a list", fault(fakepulse.Deny, fakepulse.SourceOutputs), Refused},
		{"too old", func(s *fakepulse.Script) { s.Version = 21 }, Garbled},
		{"rest behind a list", func(s *fakepulse.Script) { s.AppendTail = []byte{0} }, Garbled},
		{"too many entries", func(s *fakepulse.Script) { s.Clients = make([]fakepulse.Client, maxEntries+1) }, Garbled},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := desk
			test.set(&script)
			root := tree(t, nil)
			fakepulse.Start(t, root.Path("s"), script)
			start := time.Now()
			g, err := askServer(bounded(t, limit), root.Path("s"), user{os.Getuid(), os.Getgid()}, os.Getuid())
			if err == nil {
				t.Fatalf("no error, but %+v", g)
			}
			if got := troubleOf(err); got != test.want {
				t.Errorf("trouble %q, want %q: %v", got, test.want, err)
			}
			if took := time.Since(start); took > limit+200*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

func fault(f fakepulse.Fault, at uint32) func(*fakepulse.Script) {
	return func(s *fakepulse.Script) { s.Misbehave, s.At = f, at }
}

// What is no server is told apart.
func TestNoServer(t *testing.T) {
	root := tree(t, map[string]string{"/file": ""})
	fakepulse.Start(t, root.Path("s"), desk)
	dead, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dead)
	if err := unix.Bind(dead, &unix.SockaddrUnix{Name: root.Path("dead")}); err != nil {
		t.Fatal(err)
	}
	full := root.Path("full")
	clog(t, full)
	for _, test := range []struct {
		name, path string
		peer       int
		want       Trouble
	}{
		{"nothing", root.Path("none"), os.Getuid(), Hidden},
		{"a file", root.Path("file"), os.Getuid(), Refused},
		{"nobody listens", root.Path("dead"), os.Getuid(), Refused},
		{"a full queue", full, os.Getuid(), Timeout},
		{"somebody else", root.Path("s"), os.Getuid() + 1, Stranger},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := askServer(bounded(t, 5*time.Second), test.path, user{os.Getuid(), os.Getgid()}, test.peer)
			if err == nil {
				t.Fatal("no error")
			}
			if got := sourceError(troubleOf(err), "s", err).Trouble; got != test.want {
				t.Errorf("trouble %q, want %q: %v", got, test.want, err)
			}
		})
	}
}

// clog listens at path and fills the queue of those that nobody lets in.
func clog(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		c, err := dial(path)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue has no end")
}

// A server is asked as its own user, by a thread of its own: every other one
// stays root.
func TestAskAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("run as root: becoming another user is what is tested")
	}
	root := tree(t, nil)
	if err := os.Chmod(root.Path(), 0o755); err != nil {
		t.Fatal(err)
	}
	groups, err := unix.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	server := fakepulse.Start(t, root.Path("s"), desk)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := askServer(bounded(t, 5*time.Second), root.Path("s"), user{1234, 1235}, 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	peers := server.Peers()
	for _, p := range peers {
		if want := (fakepulse.Peer{UID: 1234, SentUID: 1234}); p != want {
			t.Errorf("the server saw %+v, want %+v", p, want)
		}
	}
	if len(peers) != 8 {
		t.Errorf("%d connections", len(peers))
	}
	// Many threads, those that were somebody else among them: all are root.
	for range 4 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			got, err := unix.Getgroups()
			if unix.Geteuid() != 0 || unix.Getegid() != 0 || err != nil || !cmp.Equal(groups, got) {
				t.Errorf("a thread is %d:%d, groups %v, %v", unix.Geteuid(), unix.Getegid(), got, err)
			}
		})
	}
	all.Wait()
	// With no more rights than the user has.
	if err := os.Chmod(root.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := askServer(bounded(t, 5*time.Second), root.Path("s"), user{1234, 1235}, 0); troubleOf(err) != Refused {
		t.Errorf("through a closed folder: %v", err)
	}
}

// A name that somebody chose to do harm is cut, and harms nothing.
func TestLongNames(t *testing.T) {
	script := fakepulse.Script{Players: []fakepulse.Stream{{
		Client: fakepulse.None, Device: 1,
		Props: map[string]string{"media.name": strings.Repeat("x", 3000), "application.name": "\x1b[2J" + strings.Repeat("é", 100) + "\xff"},
	}}}
	g, err := converse(&exchange{Reader: bytes.NewReader(script.Answers())})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, g.Streams[0].App)
	if want := "?[2J" + strings.Repeat("é", 30); g.Streams[0].App != want {
		t.Errorf("got %q, want %q", g.Streams[0].App, want)
	}
}

// exchange answers with what it has, whatever is asked.
type exchange struct{ io.Reader }

func (*exchange) Write(b []byte) (int, error) { return len(b), nil }

func FuzzConverse(f *testing.F) {
	f.Add(desk.Answers())
	f.Add(fakepulse.Script{}.Answers())
	f.Add(fakepulse.Script{Version: 22, Sinks: desk.Sinks}.Answers())
	f.Add([]byte("\x00\x00\x00\x0a\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := converse(&exchange{Reader: bytes.NewReader(data)})
		if err != nil {
			if g != nil {
				t.Error("an error and a graph")
			}
			return
		}
		for _, s := range g.Streams {
			for _, name := range append(s.names(), s.Role) {
				if len(name) > maxText {
					t.Errorf("a name of %d bytes", len(name))
				}
			}
		}
		// What was told can be judged, whatever it is.
		Judge(Snapshot{Servers: []Server{{Kind: Pulse, Graph: g}}}, Policy{})
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{tagProperties, tagString, 'a', 0, tagU32, 0, 0, 0, 1, tagArbitrary, 0, 0, 0, 1, 'x', tagNull})
	f.Add([]byte{tagFormat, tagU8, 1, tagProperties, tagNull})
	f.Add([]byte{tagMap, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func(*decoder){
			func(d *decoder) { decodePlayer(d) }, func(d *decoder) { decodeRecorder(d) }, func(d *decoder) { decodeClient(d) },
			func(d *decoder) { decodeDevice(d, 32, Playback) }, func(d *decoder) { decodeDevice(d, 22, Capture) },
			func(d *decoder) {
				d.skip(tagString, tagTrue, tagProperties, tagFormat, tagU8, tagU32, tagVolume, tagSpec, tagMicros, tagMap, tagVolumes)
			},
		} {
			d := &decoder{b: data}
			read(d)
			if d.err != nil && !errors.Is(d.err, errProtocol) {
				t.Errorf("%v", d.err)
			}
			if d.err != nil && d.more() {
				t.Error("more after an error")
			}
		}
	})
}
