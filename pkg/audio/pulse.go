package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The commands of the protocol that are used here. They ask, and change
// nothing but the name by which the server knows us.
const (
	cmdError         = 0
	cmdReply         = 2
	cmdAuth          = 8
	cmdSetClientName = 9
	cmdSinks         = 22
	cmdSources       = 24
	cmdClients       = 28
	cmdSinkInputs    = 30
	cmdSourceOutputs = 32
)

const (
	// ownVersion is the version of the protocol that we speak, and oldest the
	// least that a server may speak: PulseAudio 2.0, of 2012.
	ownVersion = 32
	oldest     = 22
	// versionMask takes off the flags that stand beside a version.
	versionMask = 0xffff

	cookieSize = 256
	headerSize = 20
	// control is the channel of everything but sound itself.
	control = 1<<32 - 1
	// maxForeign is how many frames may come before the answer that we wait for.
	maxForeign = 64
)

// Graph is what a sound server told: who plays and records, on what.
type Graph struct {
	// Version is the protocol's as the server speaks it.
	Version int
	// PeerUID is the user that answers.
	PeerUID int
	Streams []Stream
	Clients []Client
	Devices []Device
}

// Stream is one program's sound: a sink input, or a source output.
type Stream struct {
	Index     uint32
	Client    uint32 // noIndex where a module of the server made it
	Device    uint32
	Direction Direction
	Corked    bool // paused by its program
	Muted     bool
	// Meter tells that only the level is asked for, or that the stream calls
	// itself a monitor for such a purpose.
	Meter bool
	// Sink tells that a capture stream asks for what a sink plays.
	Sink bool
	Labels
	// Program is the living process of the server's user with the number that
	// the labels give; without one its PID is 0.
	Program Process
}

// Labels are what a program says about itself. Nothing of it is proved.
type Labels struct {
	App    string // application.name
	AppID  string // application.id
	Binary string // application.process.binary
	Node   string // node.name
	Role   string // media.role, in lower case
	PID    int    // application.process.id, as its own namespace counts
}

// Client is a program that is connected, with or without a stream.
type Client struct {
	Index uint32
	Jack  bool // it came over PipeWire's JACK
	Labels
	// TruePID is what the kernel told PipeWire; of a client of the pulse
	// protocol it is the pulse server's.
	TruePID int
	Program Process // as in Stream
}

// Device is a sink or a source.
type Device struct {
	Index     uint32
	Direction Direction // Playback for a sink
	Name      string
	Title     string // for people
	Monitor   bool   // a source that gives what a sink plays
	State     DeviceState
}

// String names the device, for messages.
func (d Device) String() string {
	if d.Title != "" {
		return d.Title
	}
	return d.Name
}

// DeviceState is what a device does.
type DeviceState uint32

// The states of a device. Others are possible.
const (
	DeviceRunning   DeviceState = 0
	DeviceIdle      DeviceState = 1
	DeviceSuspended DeviceState = 2
)

// serverError is an error that a server answered with.
type serverError uint32

func (e serverError) Error() string {
	names := map[serverError]string{
		1: "access denied", 2: "unknown command", 5: "no such entity", 6: "connection refused",
		7: "protocol error", 8: "timeout", 9: "no authentication key", 10: "internal error", 16: "version mismatch",
	}
	if name, ok := names[e]; ok {
		return "the server says: " + name
	}
	return fmt.Sprintf("the server says: error %d", uint32(e))
}

// conversation is one with a server, over a stream whose deadlines somebody
// else sets.
type conversation struct {
	rw  io.ReadWriter
	tag uint32
}

// converse signs on and asks for everything.
func converse(rw io.ReadWriter) (*Graph, error) {
	c := &conversation{rw: rw}
	version, err := c.signOn()
	if err != nil {
		return nil, err
	}
	g := &Graph{Version: version}
	for _, list := range []struct {
		name    string
		command uint32
		read    func(*Graph, *decoder)
	}{
		// What plays before who plays: a client that comes in between is then
		// known, and one that went away is no mystery.
		{"sinks", cmdSinks, func(g *Graph, d *decoder) { g.Devices = append(g.Devices, decodeDevice(d, version, Playback)) }},
		{"sources", cmdSources, func(g *Graph, d *decoder) { g.Devices = append(g.Devices, decodeDevice(d, version, Capture)) }},
		{"playing streams", cmdSinkInputs, func(g *Graph, d *decoder) { g.Streams = append(g.Streams, decodePlayer(d)) }},
		{"recording streams", cmdSourceOutputs, func(g *Graph, d *decoder) { g.Streams = append(g.Streams, decodeRecorder(d)) }},
		{"clients", cmdClients, func(g *Graph, d *decoder) { g.Clients = append(g.Clients, decodeClient(d)) }},
	} {
		d, err := c.ask(list.command, nil)
		if err == nil {
			err = d.list(func() { list.read(g, d) })
		}
		if err != nil {
			return nil, fmt.Errorf("list the %s: %w", list.name, err)
		}
	}
	return g, nil
}

// signOn says who we are and gives the version of the protocol that both
// speak. The cookie is empty: a server lets its own user in without.
func (c *conversation) signOn() (int, error) {
	var e encoder
	e.u32(ownVersion)
	e.bytes(make([]byte, cookieSize))
	d, err := c.ask(cmdAuth, e.b)
	if err != nil {
		return 0, fmt.Errorf("sign on: %w", err)
	}
	version := d.u32() & versionMask
	if d.err != nil {
		return 0, fmt.Errorf("sign on: %w", d.err)
	}
	if version < oldest {
		return 0, fmt.Errorf("sign on: %w: version %d, where at least %d is needed", errProtocol, version, oldest)
	}
	e = encoder{}
	e.property("application.name", "dubnium")
	if _, err := c.ask(cmdSetClientName, e.b); err != nil {
		return 0, fmt.Errorf("give a name: %w", err)
	}
	return int(min(version, ownVersion)), nil
}

// ask sends a command and waits for its answer. What else the server sends
// meanwhile is passed over.
func (c *conversation) ask(command uint32, args []byte) (*decoder, error) {
	c.tag++
	var e encoder
	e.u32(command)
	e.u32(c.tag)
	frame := make([]byte, headerSize, headerSize+len(e.b)+len(args))
	binary.BigEndian.PutUint32(frame, uint32(len(e.b)+len(args)))
	binary.BigEndian.PutUint32(frame[4:], control)
	frame = append(append(frame, e.b...), args...)
	if _, err := c.rw.Write(frame); err != nil {
		return nil, err
	}
	for range maxForeign {
		channel, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		if channel != control {
			continue
		}
		d := &decoder{b: payload}
		op, tag := d.u32(), d.u32()
		switch {
		case d.err != nil:
			return nil, d.err
		case tag != c.tag || (op != cmdReply && op != cmdError):
			continue
		case op == cmdError:
			code := d.u32()
			if d.err != nil {
				return nil, d.err
			}
			return nil, serverError(code)
		}
		return d, nil
	}
	return nil, fmt.Errorf("%w: no answer among %d frames", errProtocol, maxForeign)
}

// frame reads one frame: its length, its channel, three numbers that matter to
// sound only, and what it carries.
func (c *conversation) frame() (channel uint32, payload []byte, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(c.rw, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > maxFrame {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", errProtocol, length)
	}
	// It grows with what comes: an announcement alone costs nothing.
	var body bytes.Buffer
	body.Grow(int(min(length, 4<<10)))
	if _, err := io.CopyN(&body, c.rw, int64(length)); err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint32(header[4:]), body.Bytes(), nil
}

// decodePlayer reads a sink input as versions from 22 on write it.
func decodePlayer(d *decoder) Stream {
	s := decodeStream(d, Playback)
	d.skip(tagVolumes, tagMicros, tagMicros, tagString, tagString) // volume, two latencies, resampling, driver
	s.Muted = d.flag()
	s.properties(d)
	s.Corked = d.flag()
	d.skip(tagTrue, tagTrue, tagFormat) // has a volume, which may be set; format
	return s
}

// decodeRecorder reads a source output.
func decodeRecorder(d *decoder) Stream {
	s := decodeStream(d, Capture)
	d.skip(tagMicros, tagMicros, tagString, tagString)
	s.properties(d)
	s.Corked = d.flag()
	d.skip(tagVolumes)
	s.Muted = d.flag()
	d.skip(tagTrue, tagTrue, tagFormat)
	return s
}

// decodeStream reads what both begin with.
func decodeStream(d *decoder, way Direction) Stream {
	s := Stream{Index: d.u32(), Direction: way}
	d.skip(tagString, tagU32) // title, module
	s.Client, s.Device = d.u32(), d.u32()
	d.skip(tagSpec, tagMap)
	return s
}

func (s *Stream) properties(d *decoder) {
	d.properties(func(key string, value []byte) {
		switch key {
		case "resample.peaks", "stream.monitor":
			s.Meter = s.Meter || truth(value)
		case "stream.capture.sink":
			s.Sink = truth(value)
		default:
			s.set(key, value)
		}
	})
}

func decodeClient(d *decoder) Client {
	c := Client{Index: d.u32()}
	d.skip(tagString, tagU32, tagString) // name, module, driver
	d.properties(func(key string, value []byte) {
		switch key {
		case "client.api":
			c.Jack = string(value) == "jack"
		case "pipewire.sec.pid":
			c.TruePID = pid(value)
		default:
			c.set(key, value)
		}
	})
	return c
}

// decodeDevice reads a sink or a source, which are written alike: where a sink
// has its monitor, a source has the sink that it is the monitor of.
func decodeDevice(d *decoder, version int, way Direction) Device {
	x := Device{Index: d.u32(), Direction: way}
	x.Name = clean(d.text())
	x.Title = clean(d.text())
	d.skip(tagSpec, tagMap, tagU32, tagVolumes, tagTrue) // module, volume, mute
	of := d.u32()
	x.Monitor = way == Capture && of != noIndex
	d.skip(tagString, tagMicros, tagString, tagU32, tagProperties) // its name, latency, driver, flags
	d.skip(tagMicros, tagVolume)
	x.State = DeviceState(d.u32())
	d.skip(tagU32, tagU32) // volume steps, card
	ports := d.u32()
	for n := uint32(0); n < ports && d.err == nil; n++ {
		d.skip(tagString, tagString, tagU32)
		if version >= 24 {
			d.skip(tagU32)
		}
	}
	d.skip(tagString) // active port
	formats := d.u8()
	for n := byte(0); n < formats && d.err == nil; n++ {
		d.format()
	}
	return x
}

// set keeps a property that is one of the labels.
func (l *Labels) set(key string, value []byte) {
	switch key {
	case "application.name":
		l.App = clean(value)
	case "application.id":
		l.AppID = clean(value)
	case "application.process.binary":
		l.Binary = clean(value)
	case "application.process.id":
		l.PID = pid(value)
	case "node.name":
		l.Node = clean(value)
	case "media.role":
		l.Role = strings.ToLower(clean(value))
	}
}

// names lists what a program may be called by.
func (l Labels) names() []string {
	return []string{l.App, l.AppID, l.Binary[strings.LastIndexByte(l.Binary, '/')+1:], l.Node}
}

// truth reads a boolean as PipeWire and PulseAudio write it.
func truth(value []byte) bool {
	s := string(value)
	return s == "true" || s == "1" || s == "yes"
}

// pid reads a process id; what is none is 0.
func pid(value []byte) int {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
