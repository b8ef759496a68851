package audio

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Effect is what a finding means to somebody who wants the machine to himself.
type Effect string

// The effects.
const (
	Blocks Effect = "block" // somebody's sound would be cut off
	Noted  Effect = "note"  // audio, but nothing that would be missed
	Fails  Effect = "error" // nobody knows: a source could not be read
)

// Kind is a stable word for what was found.
type Kind string

// The kinds that block, the most telling first.
const (
	Recording        Kind = "recording"         // a microphone, or another input, is recorded
	MonitorRecording Kind = "monitor-recording" // what the machine plays is recorded
	Playing          Kind = "playback"          // a stream that is neither paused nor muted
	JackAudio        Kind = "jack-audio"        // a JACK client, and a device that runs
	PCMRunning       Kind = "pcm-running"       // a substream runs that no asked server accounts for
	Unexplained      Kind = "unexplained-device"
	WorkstationOpen  Kind = "workstation-open" // a program in which people make music is open
	Loopback         Kind = "loopback"         // a stream that the server itself connects; blocks where asked for
)

// The kinds that are only noted. A loopback is one unless the policy says else.
const (
	PausedStream Kind = "paused"
	MutedStream  Kind = "muted"
	Notification Kind = "notification"
	LevelMeter   Kind = "level-meter"
	IgnoredName  Kind = "ignored" // on the policy's list
	JackIdle     Kind = "jack-idle"
	IdlePCM      Kind = "pcm-idle" // open, but no sound moves
	Outsider     Kind = "container-server"
)

// The kinds of sources that could not be read.
const (
	SourceUnreadable Kind = "source-unreadable"
	SourceHidden     Kind = "source-hidden"
	ServerTimeout    Kind = "server-timeout"
	ServerRefused    Kind = "server-refused"
	ServerGarbled    Kind = "server-garbled"
	ServerForeign    Kind = "server-foreign"
	ServerDeaf       Kind = "server-not-askable"
)

// order ranks the kinds, so that the first of two findings is the one to tell.
var order = []Kind{
	Recording, MonitorRecording, Playing, JackAudio, PCMRunning, Unexplained, WorkstationOpen, Loopback,
	SourceHidden, ServerTimeout, ServerRefused, ServerGarbled, ServerForeign, ServerDeaf, SourceUnreadable,
	PausedStream, MutedStream, Notification, LevelMeter, IgnoredName, JackIdle, IdlePCM, Outsider,
}

// Finding is one fact and what it means. Message names the culprit; Program,
// Device and User are what it says in parts, and PID is 0 where nobody knows.
type Finding struct {
	Kind    Kind   `json:"kind"`
	Effect  Effect `json:"effect"`
	Message string `json:"message"`
	Program string `json:"program,omitempty"`
	PID     int    `json:"pid,omitempty"`
	User    string `json:"user,omitempty"`
	UID     *int   `json:"uid,omitempty"`
	Device  string `json:"device,omitempty"`
}

// Policy says what counts.
type Policy struct {
	// Ignore names programs whose playing, and whose recording of what is
	// played, are nobody's work: a visualiser in a bar. What they record from
	// an input counts all the same.
	Ignore []string
	// Loopbacks tells whether a loopback blocks: somebody who listens to an
	// instrument through the machine does so by one.
	Loopbacks bool
}

// Judge tells what a snapshot means, the most telling first. A block stands
// whatever else could not be read.
func Judge(s Snapshot, p Policy) []Finding {
	found := []Finding{}
	for _, e := range s.Problems {
		found = append(found, Finding{Kind: kindOf(e.Trouble), Effect: Fails, Message: e.Error()})
	}
	for _, server := range s.Servers {
		switch {
		case server.Graph != nil:
			found = append(found, judgeGraph(server, p)...)
		case server.Kind == Jack:
			found = append(found, judgeJack(server)...)
		}
	}
	for _, one := range s.Sound.Open {
		if f, ok := judgeSubstream(one, s.Servers); ok {
			found = append(found, f)
		}
	}
	for _, w := range s.Workstations {
		found = append(found, by(w, Finding{
			Kind: WorkstationOpen, Effect: Blocks,
			Message: fmt.Sprintf("%s of %s is open: save the work and close it", w, w.Owner()),
		}))
	}
	for _, o := range s.Foreign {
		found = append(found, by(o, Finding{
			Kind: Outsider, Effect: Noted,
			Message: fmt.Sprintf("%s serves audio in a container and is not asked", o),
		}))
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return found
}

// Worst is the finding that decides: the first that blocks, else the first
// error. Nil means that neither is there.
func Worst(found []Finding) *Finding {
	for _, effect := range []Effect{Blocks, Fails} {
		for i := range found {
			if found[i].Effect == effect {
				return &found[i]
			}
		}
	}
	return nil
}

func kindOf(t Trouble) Kind {
	switch t {
	case Hidden:
		return SourceHidden
	case Timeout:
		return ServerTimeout
	case Refused:
		return ServerRefused
	case Garbled:
		return ServerGarbled
	case Stranger:
		return ServerForeign
	case Deaf:
		return ServerDeaf
	default:
		return SourceUnreadable
	}
}

// by fills in whose program it is.
func by(p Process, f Finding) Finding {
	f.User = p.Owner()
	if p.Comm != "" {
		f.UID = &p.UID
	}
	f.Program, f.PID = cmp.Or(f.Program, p.Comm), cmp.Or(f.PID, p.PID)
	return f
}

// graph is what a server told, put in order for judging.
type graph struct {
	Server
	policy  Policy
	clients map[uint32]Client
	devices map[deviceKey]Device
}

type deviceKey struct {
	way   Direction
	index uint32
}

func judgeGraph(server Server, p Policy) []Finding {
	g := graph{server, p, map[uint32]Client{}, map[deviceKey]Device{}}
	for _, c := range server.Graph.Clients {
		g.clients[c.Index] = c
	}
	for _, d := range server.Graph.Devices {
		g.devices[deviceKey{d.Direction, d.Index}] = d
	}
	var found []Finding
	explained := map[deviceKey]bool{}
	for _, s := range server.Graph.Streams {
		kind, effect := g.stream(s)
		found = append(found, g.tell(s, kind, effect))
		if !s.Corked {
			explained[deviceKey{s.Direction, s.Device}] = true
		}
	}
	return append(found, g.running(explained)...)
}

// stream judges one stream.
func (g graph) stream(s Stream) (Kind, Effect) {
	client, known := g.clients[s.Client]
	ignored := slices.ContainsFunc(append(s.names(), client.names()...), func(n string) bool { return same(g.policy.Ignore, n) })
	device := g.devices[deviceKey{s.Direction, s.Device}]
	loopback := !known && s.App == ""
	switch {
	case s.Corked:
		return PausedStream, Noted
	case s.Direction == Capture && s.Meter:
		return LevelMeter, Noted
	case loopback && g.policy.Loopbacks:
		return Loopback, Blocks
	case loopback:
		return Loopback, Noted
	case s.Direction == Capture && !device.Monitor && !s.Sink:
		return Recording, Blocks
	case s.Direction == Playback && s.Muted:
		return MutedStream, Noted
	case ignored:
		return IgnoredName, Noted
	case s.Direction == Capture:
		return MonitorRecording, Blocks
	case s.Role == "event" || s.Role == "notification" || client.Role == "event" || client.Role == "notification":
		return Notification, Noted
	default:
		return Playing, Blocks
	}
}

// running judges the devices that run without a stream that would explain it,
// and the JACK clients, which have no streams. A JACK client may sound on any
// device that runs, whatever else does.
func (g graph) running(explained map[deviceKey]bool) []Finding {
	var found []Finding
	var runs, unexplained *Device
	for i := range g.Graph.Devices {
		d := &g.Graph.Devices[i]
		if d.State != DeviceRunning || d.Monitor {
			continue
		}
		if runs == nil {
			runs = d
		}
		if unexplained == nil && !explained[deviceKey{d.Direction, d.Index}] {
			unexplained = d
		}
	}
	jack := false
	for _, c := range g.Graph.Clients {
		if !c.Jack || slices.ContainsFunc(c.names(), func(n string) bool { return same(g.policy.Ignore, n) }) {
			continue
		}
		f := g.whose(Stream{Client: c.Index}, Finding{Kind: JackIdle, Effect: Noted})
		f.Message = fmt.Sprintf("%s is connected to JACK, and no device runs", subject(f))
		if runs != nil {
			jack = true
			f.Kind, f.Effect, f.Device = JackAudio, Blocks, runs.String()
			f.Message = fmt.Sprintf("%s uses JACK while %s runs", subject(f), runs)
		}
		found = append(found, f)
	}
	if unexplained != nil && !jack {
		found = append(found, by(g.Process, Finding{
			Kind: Unexplained, Effect: Blocks, Device: unexplained.String(),
			Message: fmt.Sprintf("%s of %s runs, and no stream of %s explains it", unexplained, g.Owner(), g.Process),
		}))
	}
	return found
}

// tell makes the finding of a stream.
func (g graph) tell(s Stream, kind Kind, effect Effect) Finding {
	f := g.whose(s, Finding{Kind: kind, Effect: effect})
	device, on := g.devices[deviceKey{s.Direction, s.Device}], ""
	if f.Device = device.String(); f.Device != "" {
		on = map[Direction]string{Playback: " on ", Capture: " from "}[s.Direction] + f.Device
	}
	does := map[Direction]string{Playback: "plays", Capture: "records"}[s.Direction]
	switch kind {
	case PausedStream:
		does = map[Direction]string{Playback: "has paused playing", Capture: "has paused recording"}[s.Direction]
	case MutedStream:
		does += " muted"
	case Notification:
		does += " a notification"
	case LevelMeter:
		does = "meters the level"
	case MonitorRecording:
		does = "records what is played"
	case Loopback:
		does += " as a loopback of the server"
	case IgnoredName:
		does = "is on the list of those to ignore, and " + does
	}
	f.Message = fmt.Sprintf("%s %s%s", subject(f), does, on)
	return f
}

// whose fills in the program of a stream or a client. What its process is
// called is what the kernel says, where a living process of that user has the
// number that the program gave.
func (g graph) whose(s Stream, f Finding) Finding {
	client := g.clients[s.Client]
	f.Program = cmp.Or(s.App, client.App, s.Node, client.Node)
	for _, p := range []Process{s.Program, client.Program} {
		if p.PID != 0 {
			f.PID = p.PID
			f.Program = cmp.Or(f.Program, p.Comm)
			break
		}
	}
	f.User, f.UID = g.Owner(), &g.UID
	return f
}

// subject names a program and its user, to begin a sentence.
func subject(f Finding) string {
	name := cmp.Or(f.Program, "an unnamed program")
	if f.PID != 0 {
		name += fmt.Sprintf(" (pid %d)", f.PID)
	}
	return name + " of " + f.User
}

func judgeJack(server Server) []Finding {
	if len(server.Clients) == 0 {
		return []Finding{by(server.Process, Finding{
			Kind: JackIdle, Effect: Noted,
			Message: fmt.Sprintf("%s of %s runs without a client", server.Process, server.Owner()),
		})}
	}
	return []Finding{by(server.Process, Finding{
		Kind: JackAudio, Effect: Blocks, Program: server.Clients[0],
		Message: fmt.Sprintf("%s of %s uses JACK, served by %s", strings.Join(server.Clients[:min(len(server.Clients), 4)], ", "), server.Owner(), server.Process),
	})}
}

// judgeSubstream judges an open substream. One that a server holds and tells
// of is judged by the server's streams, and is no finding of its own.
func judgeSubstream(one Substream, servers []Server) (Finding, bool) {
	f := Finding{Device: one.String()}
	opened := "opened by a process that can't be seen from here"
	if one.Owner.PID != 0 {
		f = by(one.Owner, f)
		opened = "opened by " + one.Owner.String()
		if one.Owner.Comm != "" {
			opened += " of " + one.Owner.Owner()
		} else {
			f.User = ""
		}
	}
	does := map[Direction]string{Playback: "playing", Capture: "recording"}[one.Direction]
	switch {
	case !one.State.Known():
		f.Kind, f.Effect = SourceUnreadable, Fails
		f.Message = fmt.Sprintf("%s, %s, is in the state %s, which is not known", one, opened, one.State)
		return f, true
	case !one.State.Active():
		f.Kind, f.Effect = IdlePCM, Noted
		f.Message = fmt.Sprintf("%s is open for %s and %s, %s", one, one.Direction, strings.ToLower(string(one.State)), opened)
		return f, true
	}
	switch answers, asked := answersFor(one, servers); {
	case answers:
		return Finding{}, false
	case one.Direction == Capture && !asked:
		f.Kind = Recording
	default:
		f.Kind = PCMRunning
	}
	f.Effect = Blocks
	f.Message = fmt.Sprintf("%s is %s, %s", one, does, opened)
	return f, true
}

// answersFor tells whether a server that holds the substream tells of a device
// of that direction that runs, or is a JACK server, whose clients tell. Asked
// tells whether the holder is a server at all.
func answersFor(one Substream, servers []Server) (answers, asked bool) {
	for _, s := range servers {
		switch {
		case s.Kind == Jack && s.PID == one.Owner.PID:
			return s.Clients != nil, true
		case s.Kind == Pulse && s.UID == one.Owner.UID && serves(one.Owner.Comm):
			if s.Graph == nil {
				return false, true
			}
			return slices.ContainsFunc(s.Graph.Devices, func(d Device) bool {
				return d.Direction == one.Direction && !d.Monitor && d.State == DeviceRunning
			}), true
		}
	}
	return false, serves(one.Owner.Comm)
}

// serves tells whether a program of this name plays for others.
func serves(comm string) bool {
	return comm == coreServer || slices.Contains(pulseServers, comm) || slices.Contains(jackServers, comm)
}
