package audio

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	speakers = Device{Index: 1, Direction: Playback, Name: "out", Title: "Speakers", State: DeviceSuspended}
	mic      = Device{Index: 2, Direction: Capture, Name: "mic", Title: "Microphone", State: DeviceSuspended}
	monitor  = Device{Index: 3, Direction: Capture, Name: "out.monitor", Monitor: true, State: DeviceIdle}
)

// state puts devices into a state.
func state(s DeviceState, devices ...Device) []Device {
	for i := range devices {
		devices[i].State = s
	}
	return devices
}

func pulse(g Graph) Server {
	return Server{Process: Process{PID: 70, Comm: "pipewire-pulse", UID: 1000, User: "ada"}, Kind: Pulse, Graph: &g}
}

func player(change ...func(*Stream)) Stream {
	s := Stream{Index: 9, Client: 5, Device: 1, Direction: Playback, Labels: Labels{App: "Player"}, Program: Process{PID: 99, Comm: "mpv", UID: 1000}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func recorder(device uint32, change ...func(*Stream)) Stream {
	return player(append([]func(*Stream){func(s *Stream) { s.Direction, s.Device, s.App = Capture, device, "Recorder" }}, change...)...)
}

func corked(s *Stream) { s.Corked = true }
func muted(s *Stream)  { s.Muted = true }
func meter(s *Stream)  { s.Meter = true }
func nobody(s *Stream) { s.Client, s.App = noIndex, "" }
func role(r string) func(*Stream) {
	return func(s *Stream) { s.Role = r }
}

func named(n string) func(*Stream) {
	return func(s *Stream) { s.App = n }
}

func substream(way Direction, s State, owner Process) Substream {
	return Substream{Card: Card{Index: 1, Name: "Scarlett 2i2"}, Direction: way, State: s, Owner: owner}
}

// TestJudge is the decision table: what was seen, and the words for it in the
// order of their weight.
func TestJudge(t *testing.T) {
	client := []Client{{Index: 5, Labels: Labels{App: "Player"}}}
	jack := []Client{{Index: 6, Jack: true, Labels: Labels{App: "ardour"}}}
	graph := func(devices []Device, streams ...Stream) Snapshot {
		return Snapshot{Servers: []Server{pulse(Graph{Devices: devices, Streams: streams, Clients: client})}}
	}
	withJack := func(devices []Device, streams ...Stream) Snapshot {
		return Snapshot{Servers: []Server{pulse(Graph{Devices: devices, Streams: streams, Clients: append(jack, client...)})}}
	}
	all := []Device{speakers, mic, monitor}
	reaper := Process{PID: 4242, Comm: "reaper", UID: 1000, User: "ada"}
	pipewire := Process{PID: 69, Comm: "pipewire", UID: 1000, User: "ada"}
	jackd := func(clients ...string) Server {
		return Server{Process: Process{PID: 80, Comm: "jackd", UID: 1000, User: "ada"}, Kind: Jack, Clients: append([]string{}, clients...)}
	}
	sound := func(servers []Server, open ...Substream) Snapshot {
		return Snapshot{Servers: servers, Sound: Sound{Open: open}}
	}
	policy := Policy{Ignore: []string{"cava"}}
	loopbacks := Policy{Loopbacks: true}
	for _, test := range []struct {
		name   string
		see    Snapshot
		policy Policy
		want   string
	}{
		{"nothing", Snapshot{}, policy, ""},
		{"a server without streams", graph(all), policy, ""},
		{"idle devices", graph(state(DeviceIdle, speakers, mic)), policy, ""},

		{"playing", graph(all, player()), policy, "block playback: Player (pid 99) of ada plays on Speakers"},
		{"playing on no device", graph(nil, player()), policy, "block playback: Player (pid 99) of ada plays"},
		{"playing, running device", graph(state(DeviceRunning, speakers), player()), policy, "block playback: Player (pid 99) of ada plays on Speakers"},
		{"paused", graph(all, player(corked)), policy, "note paused: Player (pid 99) of ada has paused playing on Speakers"},
		{"muted", graph(state(DeviceRunning, speakers), player(muted)), policy, "note muted: Player (pid 99) of ada plays muted on Speakers"},
		{"event", graph(state(DeviceRunning, speakers), player(role("event"))), policy, "note notification: Player (pid 99) of ada plays a notification on Speakers"},
		{"notification", graph(all, player(role("notification"))), policy, "note notification: Player (pid 99) of ada plays a notification on Speakers"},
		{"music", graph(all, player(role("music"))), policy, "block playback: Player (pid 99) of ada plays on Speakers"},
		{"ignored", graph(all, player(named("Cava"))), policy, "note ignored: Cava (pid 99) of ada is on the list of those to ignore, and plays on Speakers"},
		{"the client has the name", graph(all, player(named(""))), policy, "block playback: Player (pid 99) of ada plays on Speakers"},

		{"recording", graph(all, recorder(2)), policy, "block recording: Recorder (pid 99) of ada records from Microphone"},
		{"recording on no device", graph(all, recorder(77)), policy, "block recording: Recorder (pid 99) of ada records"},
		{"recording, muted", graph(all, recorder(2, muted)), policy, "block recording: Recorder (pid 99) of ada records from Microphone"},
		{"recording, ignored name", graph(all, recorder(2, named("cava"))), policy, "block recording: cava (pid 99) of ada records from Microphone"},
		{"recording a notification", graph(all, recorder(2, role("event"))), policy, "block recording: Recorder (pid 99) of ada records from Microphone"},
		{"recording paused", graph(all, recorder(2, corked)), policy, "note paused: Recorder (pid 99) of ada has paused recording from Microphone"},
		{"monitor", graph(all, recorder(3)), policy, "block monitor-recording: Recorder (pid 99) of ada records what is played from out.monitor"},
		{"monitor by property", graph(all, recorder(77, func(s *Stream) { s.Sink = true })), policy, "block monitor-recording: Recorder (pid 99) of ada records what is played"},
		{"visualiser", graph(all, recorder(3, named("cava"))), policy, "note ignored: cava (pid 99) of ada is on the list of those to ignore, and records from out.monitor"},
		{"meter of the monitor", graph(all, recorder(3, meter)), policy, "note level-meter: Recorder (pid 99) of ada meters the level from out.monitor"},
		{"meter of the microphone", graph(state(DeviceRunning, mic), recorder(2, meter)), policy, "note level-meter: Recorder (pid 99) of ada meters the level from Microphone"},

		{"loopback", graph(all, player(nobody), recorder(2, nobody)), policy, "note loopback: mpv (pid 99) of ada plays as a loopback of the server on Speakers|note loopback: mpv (pid 99) of ada records as a loopback of the server from Microphone"},
		{"loopback that counts", graph(all, player(nobody)), loopbacks, "block loopback: mpv (pid 99) of ada plays as a loopback of the server on Speakers"},
		{"loopback that counts, paused", graph(all, player(nobody, corked)), loopbacks, "note paused: mpv (pid 99) of ada has paused playing on Speakers"},
		{"no client, but a name", graph(all, player(func(s *Stream) { s.Client = noIndex })), policy, "block playback: Player (pid 99) of ada plays on Speakers"},

		{"a device runs", graph(state(DeviceRunning, speakers)), policy, "block unexplained-device: Speakers of ada runs, and no stream of pipewire-pulse (pid 70) explains it"},
		{"a device runs for a paused stream", graph(state(DeviceRunning, speakers), player(corked)), policy, "block unexplained-device: Speakers of ada runs, and no stream of pipewire-pulse (pid 70) explains it|note paused: Player (pid 99) of ada has paused playing on Speakers"},
		{"a monitor runs", graph(state(DeviceRunning, monitor)), policy, ""},

		{"idle JACK client", withJack(all), policy, "note jack-idle: ardour of ada is connected to JACK, and no device runs"},
		{"JACK", withJack(state(DeviceRunning, speakers)), policy, "block jack-audio: ardour of ada uses JACK while Speakers runs"},
		{"JACK beside a muted stream", withJack(state(DeviceRunning, speakers), player(muted)), policy, "block jack-audio: ardour of ada uses JACK while Speakers runs|note muted: Player (pid 99) of ada plays muted on Speakers"},
		{"JACK that is ignored", withJack(state(DeviceRunning, speakers), player(muted)), Policy{Ignore: []string{"Ardour"}}, "note muted: Player (pid 99) of ada plays muted on Speakers"},
		{"jackd without clients", Snapshot{Servers: []Server{jackd()}}, policy, "note jack-idle: jackd (pid 80) of ada runs without a client"},
		{"jackd with clients", Snapshot{Servers: []Server{jackd("ardour", "hydrogen")}}, policy, "block jack-audio: ardour, hydrogen of ada uses JACK, served by jackd (pid 80)"},
		{"jackd holds the card", sound([]Server{jackd()}, substream(Playback, Running, Process{PID: 80, Comm: "jackd", UID: 1000, User: "ada"})), policy, "note jack-idle: jackd (pid 80) of ada runs without a client"},

		{"a program plays past the servers", sound(nil, substream(Playback, Running, reaper)), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by reaper (pid 4242) of ada"},
		{"a program records past them", sound(nil, substream(Capture, Running, reaper)), policy, "block recording: card 1 device 0 (Scarlett 2i2) is recording, opened by reaper (pid 4242) of ada"},
		{"and was too late", sound(nil, substream(Capture, XRun, reaper)), policy, "block recording: card 1 device 0 (Scarlett 2i2) is recording, opened by reaper (pid 4242) of ada"},
		{"and plays the rest", sound(nil, substream(Playback, Draining, reaper)), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by reaper (pid 4242) of ada"},
		{"nobody is seen", sound(nil, substream(Playback, Running, Process{})), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by a process that can't be seen from here"},
		{"only its number is seen", sound(nil, substream(Playback, Running, Process{PID: 5})), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by pid 5"},
		{"open", sound(nil, substream(Playback, Prepared, reaper)), policy, "note pcm-idle: card 1 device 0 (Scarlett 2i2) is open for playback and prepared, opened by reaper (pid 4242) of ada"},
		{"paused by hardware", sound(nil, substream(Capture, Paused, reaper)), policy, "note pcm-idle: card 1 device 0 (Scarlett 2i2) is open for capture and paused, opened by reaper (pid 4242) of ada"},
		{"unheard-of state", sound(nil, substream(Playback, "MELTING", reaper)), policy, "error source-unreadable: card 1 device 0 (Scarlett 2i2), opened by reaper (pid 4242) of ada, is in the state MELTING, which is not known"},

		{"the server accounts for it", sound([]Server{pulse(Graph{Devices: state(DeviceRunning, mic), Clients: client, Streams: []Stream{recorder(2, meter)}})}, substream(Capture, Running, pipewire)), policy, "note level-meter: Recorder (pid 99) of ada meters the level from Microphone"},
		{"the server accounts for the other direction", sound([]Server{pulse(Graph{Devices: state(DeviceRunning, speakers), Clients: client, Streams: []Stream{player(muted)}})}, substream(Capture, Running, pipewire)), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is recording, opened by pipewire (pid 69) of ada|note muted: Player (pid 99) of ada plays muted on Speakers"},
		{"the server says nothing runs", sound([]Server{pulse(Graph{Devices: all})}, substream(Playback, Running, pipewire)), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by pipewire (pid 69) of ada"},
		{"another user's server accounts", sound([]Server{pulse(Graph{Devices: state(DeviceRunning, speakers), Clients: client, Streams: []Stream{player(muted)}})}, substream(Playback, Running, Process{PID: 1, Comm: "pipewire", UID: 1001, User: "bob"})), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by pipewire (pid 1) of bob|note muted: Player (pid 99) of ada plays muted on Speakers"},
		{"the server told nothing", sound([]Server{{Process: pipewire, Kind: Pulse}}, substream(Playback, Running, pipewire)), policy, "block pcm-running: card 1 device 0 (Scarlett 2i2) is playing, opened by pipewire (pid 69) of ada"},

		{"a workstation", Snapshot{Workstations: []Process{reaper}}, policy, "block workstation-open: reaper (pid 4242) of ada is open: save the work and close it"},
		{"a server in a container", Snapshot{Foreign: []Process{{PID: 7, Comm: "pulseaudio", UID: 0}}}, policy, "note container-server: pulseaudio (pid 7) serves audio in a container and is not asked"},

		{"the worst comes first", graph(all, player(corked), player(), recorder(3), recorder(2)), policy, "block recording: Recorder (pid 99) of ada records from Microphone|block monitor-recording: Recorder (pid 99) of ada records what is played from out.monitor|block playback: Player (pid 99) of ada plays on Speakers|note paused: Player (pid 99) of ada has paused playing on Speakers"},
		{"a block stands beside an error", Snapshot{Workstations: []Process{reaper}, Problems: []*SourceError{{Timeout, "pulse", errors.New("slow")}}}, policy, "block workstation-open: reaper (pid 4242) of ada is open: save the work and close it|error server-timeout: ask pulse: slow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range Judge(test.see, test.policy) {
				got = append(got, string(f.Effect)+" "+string(f.Kind)+": "+f.Message)
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "|")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Every trouble has a word of its own, and is an error.
func TestTroubles(t *testing.T) {
	seen := map[Kind]Trouble{}
	for _, trouble := range []Trouble{Unreadable, Hidden, Timeout, Refused, Garbled, Stranger, Deaf} {
		found := Judge(Snapshot{Problems: []*SourceError{{trouble, "it", errors.New("why")}}}, Policy{})
		if len(found) != 1 || found[0].Effect != Fails || found[0].Message != "ask it: why" {
			t.Errorf("%s: %+v", trouble, found)
			continue
		}
		if other, taken := seen[found[0].Kind]; taken {
			t.Errorf("%s and %s are both %s", trouble, other, found[0].Kind)
		}
		seen[found[0].Kind] = trouble
	}
}

// Every kind has its rank, and the worst is what the verdict is.
func TestWorst(t *testing.T) {
	for _, test := range []struct {
		name string
		in   []Finding
		want Kind
	}{
		{"nothing", nil, ""},
		{"notes", []Finding{{Kind: PausedStream, Effect: Noted}}, ""},
		{"error and note", []Finding{{Kind: PausedStream, Effect: Noted}, {Kind: ServerTimeout, Effect: Fails}}, ServerTimeout},
		{"error before block", []Finding{{Kind: ServerTimeout, Effect: Fails}, {Kind: Playing, Effect: Blocks}}, Playing},
		{"first of two", []Finding{{Kind: Recording, Effect: Blocks}, {Kind: Playing, Effect: Blocks}}, Recording},
	} {
		var got Kind
		if f := Worst(test.in); f != nil {
			got = f.Kind
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	seen := map[Kind]bool{}
	for _, k := range order {
		if seen[k] {
			t.Errorf("%s has two ranks", k)
		}
		seen[k] = true
	}
	if len(seen) != 23 {
		t.Errorf("%d kinds have a rank", len(seen))
	}
}

// TestWhoseItIs holds that a finding has a user's number exactly where its
// process was seen: 0 would be root.
func TestWhoseItIs(t *testing.T) {
	if f := by(Process{PID: 7, Comm: "reaper", UID: 1000}, Finding{}); f.UID == nil || *f.UID != 1000 || f.Program != "reaper" || f.PID != 7 {
		t.Errorf("a process that was seen: %+v", f)
	}
	if f := by(Process{PID: 7}, Finding{Program: "told"}); f.UID != nil || f.Program != "told" || f.PID != 7 {
		t.Errorf("a process that was not seen: %+v", f)
	}
}

// TestJackAnswersForItsOwnDevice holds that what a JACK server tells is about
// the device that it has open, and about no other program's.
func TestJackAnswersForItsOwnDevice(t *testing.T) {
	jack := Server{Process: Process{PID: 80, Comm: "jackd"}, Kind: Jack, Clients: []string{"ardour"}}
	own, others := Substream{Owner: jack.Process}, Substream{Owner: Process{PID: 4242, Comm: "reaper"}}
	if answers, asked := answersFor(own, []Server{jack}); !answers || !asked {
		t.Errorf("its own device: answers %v, asked %v", answers, asked)
	}
	if answers, asked := answersFor(others, []Server{jack}); answers || asked {
		t.Errorf("another program's device: answers %v, asked %v", answers, asked)
	}
}

func TestTell(t *testing.T) {
	usb := Card{Index: 2, ID: "USB", Name: "Scarlett"}
	s := Snapshot{
		Sound: Sound{Cards: []Card{{ID: "HDMI"}, usb}, Substreams: 3, Open: []Substream{
			{Card: usb, Device: 1, Direction: Capture, Name: "in", State: Running, Owner: Process{PID: 4, Comm: "arecord"}, RateHz: 48000, Channels: 2},
		}},
		Servers: []Server{pulse(Graph{Streams: make([]Stream, 3), Clients: make([]Client, 2)}), {Process: Process{PID: 9, Comm: "jackd"}, Kind: Jack, Clients: []string{"a"}}},
	}
	want := Evidence{
		Cards: []string{"HDMI", "Scarlett"}, Substreams: 3, Findings: []Finding{},
		PCMs: []PCM{{Card: 2, Device: 1, Name: "in", Direction: Capture, State: Running, Owner: "arecord", OwnerPID: 4, RateHz: 48000, Channels: 2}},
		Servers: []ServerFacts{
			{Name: "pipewire-pulse", PID: 70, UID: 1000, User: "ada", Answered: true, Streams: 3, Clients: 2},
			{Name: "jackd", PID: 9, Answered: true, Clients: 1},
		},
	}
	if diff := cmp.Diff(want, Tell(s, []Finding{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	many := Tell(Snapshot{Servers: make([]Server, maxTold+2)}, make([]Finding, maxFindings+1))
	if diff := cmp.Diff(map[string]int{"findings": 1, "servers": 2}, many.LeftOut); diff != "" || len(many.Findings) != maxFindings {
		t.Errorf("%d findings, left out (-want +got):\n%s", len(many.Findings), diff)
	}
}
