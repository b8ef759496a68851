package guards

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/tests/audio/fakepulse"
	"github.com/ryjen/dubnium/tests/hosts"
)

const adaPulse = "run/user/1000/pulse/native"

// listening gives ada a pulse server beside her PipeWire, which answers as uid.
func listening(t *testing.T, uid int, script fakepulse.Script) func(*hosts.Host) {
	return func(h *hosts.Host) {
		adaRuns(h, 1601, "pipewire")
		adaRuns(h, 1603, "pipewire-pulse")
		fakepulse.StartAs(t, h.Root().Path(adaPulse), uid, script)
		must(errors.Join(os.Chown(h.Root().Path("run/user/1000"), 1000, 1000), os.Chmod(h.Root().Path(), 0o755)))
	}
}

// adaRuns adds a process of ada's own service manager.
func adaRuns(h *hosts.Host, pid int, comm string) {
	process(h, pid, 1530, comm, "/user.slice/user-1000.slice/user@1000.service/session.slice/"+comm+".service")
	must(os.Chown(h.Root().Path("proc", itoa(pid)), 1000, 1000))
}

func itoa(n int) string { return string(mustJSON(n)) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	must(err)
	return b
}

var (
	playing   = fakepulse.Stream{Client: 5, Device: 1, Props: map[string]string{"application.name": "Firefox", "application.process.id": "1661"}}
	recording = fakepulse.Stream{Client: 5, Device: 2, Props: map[string]string{"application.name": "Recorder"}}
	outputs   = []fakepulse.Device{{Index: 1, Title: "Speakers", State: 1}}
	inputs    = []fakepulse.Device{{Index: 2, Title: "Microphone", MonitorOf: fakepulse.None, State: 1}, {Index: 3, Title: "Monitor", MonitorOf: 1, State: 1}}
	programs  = []fakepulse.Client{{Index: 5}}
)

func TestAudioIdle(t *testing.T) {
	d := AudioIdle
	told := func(change func(*fakepulse.Script), reason, message string) looking {
		script := fakepulse.Script{Sinks: outputs, Sources: inputs, Clients: programs}
		change(&script)
		return looking{guard: d, host: "idle-desktop", change: listening(t, 1000, script), reason: reason, message: message}
	}
	plays := func(change func(*fakepulse.Stream)) func(*fakepulse.Script) {
		return func(s *fakepulse.Script) {
			one := playing
			change(&one)
			s.Players = append(s.Players, one)
		}
	}
	fails := func(f fakepulse.Fault) func(*fakepulse.Script) {
		return func(s *fakepulse.Script) { s.Misbehave = f }
	}
	quick := func(c *config.Config) { c.Guards.Audio.ServerTimeout = config.Duration(200 * time.Millisecond) }
	const pcm = "proc/asound/card0/pcm0p/sub0/status"
	loopback := told(plays(func(s *fakepulse.Stream) { s.Client, s.Props = fakepulse.None, map[string]string{"node.name": "loop"} }), "loopback", "loop of uid 1000 plays as a loopback")
	loopback.config = func(c *config.Config) { c.Guards.Audio.BlockLoopbacks = true }
	hanging := told(fails(fakepulse.Hang), "server-timeout", "ask pipewire-pulse (pid 1603) of uid 1000: no answer within")
	hanging.config = quick
	both := told(fails(fakepulse.Hang), "pcm-running", "card 0 device 0 is playing, opened by waybar (pid 1661)")
	both.config = quick
	hang := both.change
	both.change = func(h *hosts.Host) { hang(h); h.Write(pcm, "state: RUNNING\nowner_pid : 1661\n") }
	named := told(plays(func(*fakepulse.Stream) {}), "playback", "Firefox of ada plays on Speakers")
	listen := named.change
	named.change = func(h *hosts.Host) { listen(h); h.Write("run/systemd/users/1000", "NAME=ada\n") }
	holds(t, map[string]looking{
		"nothing at all":  {guard: d, host: "empty", reason: "no-audio", message: "no sound card and no audio server"},
		"no servers":      {guard: d, host: "empty", change: with("proc/asound/card0/id", "PCH\n"), reason: "idle", message: "on 1 cards and 0 audio servers"},
		"nothing plays":   told(func(*fakepulse.Script) {}, "idle", "on 0 cards and 1 audio servers"),
		"paused":          told(plays(func(s *fakepulse.Stream) { s.Corked = true }), "quiet", "Firefox of uid 1000 has paused playing on Speakers"),
		"muted":           told(plays(func(s *fakepulse.Stream) { s.Muted = true }), "quiet", "plays muted"),
		"paused and more": told(func(s *fakepulse.Script) { p := playing; p.Corked = true; s.Players = []fakepulse.Stream{p, p, p} }, "quiet", ", and 2 more"),
		"open device":     {guard: d, host: "empty", change: with(pcm, "state: PREPARED\nowner_pid : 0\n"), reason: "quiet", message: "open for playback and prepared"},
		"a container":     {guard: d, host: "empty", change: func(h *hosts.Host) { process(h, 77, 1, "pulseaudio", "/kubepods.slice/x.scope") }, reason: "quiet", message: "in a container"},

		"plays":       told(plays(func(*fakepulse.Stream) {}), "playback", "Firefox of uid 1000 plays on Speakers"),
		"plays, ada":  named,
		"records":     told(func(s *fakepulse.Script) { s.Recorders = []fakepulse.Stream{recording} }, "recording", "Recorder of uid 1000 records from Microphone"),
		"records all": told(func(s *fakepulse.Script) { r := recording; r.Device = 3; s.Recorders = []fakepulse.Stream{r} }, "monitor-recording", "Recorder of uid 1000 records what is played from Monitor"),
		"both": told(func(s *fakepulse.Script) {
			s.Recorders, s.Players = []fakepulse.Stream{recording}, []fakepulse.Stream{playing}
		}, "recording", "Microphone, and 1 more"),
		"JACK": told(func(s *fakepulse.Script) {
			s.Sinks = []fakepulse.Device{{Index: 1, Title: "Speakers"}}
			s.Clients = []fakepulse.Client{{Index: 5, Props: map[string]string{"client.api": "jack", "application.name": "ardour"}}}
		}, "jack-audio", "ardour of uid 1000 uses JACK while Speakers runs"),
		"device runs": told(func(s *fakepulse.Script) { s.Sinks = []fakepulse.Device{{Index: 1, Title: "Speakers"}} }, "unexplained-device", "Speakers of uid 1000 runs"),
		"PCM":         {guard: d, host: "empty", change: with(pcm, "state: RUNNING\nowner_pid : 0\n"), reason: "pcm-running", message: "card 0 device 0 is playing"},
		"PCM records": {guard: d, host: "empty", change: with("proc/asound/card0/pcm0c/sub0/status", "state: RUNNING\nowner_pid : 0\n"), reason: "recording", message: "card 0 device 0 is recording"},
		"workstation": {guard: d, host: "studio", reason: "workstation-open", message: "reaper (pid "},
		"loopback":    loopback,

		"block and error":    both,
		"server hangs":       hanging,
		"server refuses":     told(fails(fakepulse.Deny), "server-refused", "access denied"),
		"server garbles":     told(fails(fakepulse.Garbage), "server-garbled", "not the native protocol"),
		"server hangs up":    told(fails(fakepulse.Close), "server-garbled", "EOF"),
		"server of others":   {guard: d, host: "idle-desktop", change: listening(t, 1001, fakepulse.Script{}), reason: "server-foreign", message: "uid 1001 answers there, and not uid 1000"},
		"server unseen":      {guard: d, host: "idle-desktop", change: func(h *hosts.Host) { adaRuns(h, 1603, "pipewire-pulse") }, reason: "source-hidden", message: "its socket can't be seen"},
		"server not there":   {guard: d, host: "idle-desktop", change: func(h *hosts.Host) { adaRuns(h, 1601, "pipewire") }, reason: "server-not-askable", message: "pipewire (pid 1601): pipewire-pulse, which tells who plays, does not run: install it where it is missing, and start it as uid 1000: systemctl --user start pipewire-pulse"},
		"PCM is a pipe":      {guard: d, host: "empty", change: func(h *hosts.Host) { h.Write(pcm, ""); fifo(pcm)(h) }, reason: "source-unreadable", message: pcm},
		"PCM is garbled":     {guard: d, host: "empty", change: with(pcm, "\xff"), reason: "source-unreadable", message: pcm},
		"no time for a look": {guard: d, host: "idle-desktop", within: silent, change: listening(t, 1000, fakepulse.Script{}), reason: "deadline", message: "no time for the second one", config: func(c *config.Config) { c.Guards.Audio.Settle = config.Duration(time.Minute) }},
	})
}

// Silence takes two looks, and the second one decides.
func TestAudioIsLookedAtTwice(t *testing.T) {
	h := hosts.Unpack(t, hosts.Load(t, "idle-desktop"))
	listening(t, 1000, fakepulse.Script{})(h)
	env := guard.Env{Root: h.Root(), Config: config.Default(), Target: AudioIdle.Target}
	type look struct {
		Reason string
		Looks  int
		Settle float64
		Waited []time.Duration
	}
	check := func(between func()) (got look) {
		start := time.Now()
		v := checkAudio(t.Context(), env, func(_ context.Context, d time.Duration) error {
			got.Waited = append(got.Waited, d)
			between()
			return nil
		})
		r := guard.Finish(AudioIdle, AudioIdle.Target, v, start)
		var ev struct {
			Looks    int     `json:"looks"`
			SettleMS float64 `json:"settle_ms"`
		}
		must(json.Unmarshal(r.Evidence, &ev))
		got.Reason, got.Looks, got.Settle = r.Reason, ev.Looks, ev.SettleMS
		return got
	}
	once := []time.Duration{300 * time.Millisecond}
	if diff := cmp.Diff(look{"idle", 2, 300, once}, check(func() {})); diff != "" {
		t.Errorf("silence (-want +got):\n%s", diff)
	}
	var server *fakepulse.Server
	must(os.Remove(h.Root().Path(adaPulse)))
	server = fakepulse.StartAs(t, h.Root().Path(adaPulse), 1000, fakepulse.Script{})
	begin := func() { server.Set(fakepulse.Script{Players: []fakepulse.Stream{playing}}) }
	if diff := cmp.Diff(look{"playback", 2, 300, once}, check(begin)); diff != "" {
		t.Errorf("it begins in between (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(look{"playback", 1, 0, nil}, check(func() {})); diff != "" {
		t.Errorf("it plays at once (-want +got):\n%s", diff)
	}
	server.Set(fakepulse.Script{})
	fail := func() { server.Set(fakepulse.Script{Misbehave: fakepulse.Deny}) }
	if diff := cmp.Diff(look{"server-refused", 2, 300, once}, check(fail)); diff != "" {
		t.Errorf("it refuses in between (-want +got):\n%s", diff)
	}
}

// However much there is, the guard's line stays below what its caller takes.
func TestAudioEvidenceIsBounded(t *testing.T) {
	var script fakepulse.Script
	evil := map[string]string{"application.name": string(make([]byte, 2000)), "media.name": string(make([]byte, 6000)), "node.name": "<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\<&>\"\\"}
	for i := range 300 {
		script.Players = append(script.Players, fakepulse.Stream{Index: uint32(i), Client: uint32(i), Device: 1, Props: evil})
		script.Sinks = append(script.Sinks, fakepulse.Device{Index: uint32(i), Title: evil["node.name"]})
	}
	for i := range 60 {
		script.Players[i].Props = map[string]string{"application.name": evil["node.name"]}
	}
	h := hosts.Unpack(t, hosts.Load(t, "idle-desktop"))
	listening(t, 1000, script)(h)
	r := guard.Run(t.Context(), AudioIdle, guard.Env{Root: h.Root(), Config: config.Default(), Target: AudioIdle.Target})
	if r.Code != exitcode.AudioActive {
		t.Errorf("code %d: %s", r.Code, r.Message)
	}
	if n := len(mustJSON(r)); n > 48<<10 {
		t.Errorf("the line has %d bytes", n)
	}
}
