package audio

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/machine"
)

// desk is a machine on which tester has a desktop.
type desk struct {
	*machine.Machine
	t *testing.T
}

// result is what the guard says, as far as it matters here.
type result struct {
	Code     int
	Reason   string
	Message  string
	Evidence struct {
		Looks    int     `json:"looks"`
		SettleMS float64 `json:"settle_ms"`
		Servers  []struct {
			Name   string  `json:"name"`
			TookMS float64 `json:"took_ms"`
		} `json:"servers"`
	}
	DurationMS float64 `json:"duration_ms"`
}

func start(t *testing.T) desk {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/check_audio_idle", "./tests/audio/cmd/stream")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	m := machine.Start(t, machine.Options{
		Overlay: []string{filepath.Join("..", "..", "dist", "root")},
		BinDir:  bin,
		Files: []machine.File{
			{Path: "/etc/pipewire/pipewire.conf.d/50-devices.conf", Content: devices},
			{Path: "/usr/share/tone.wav", Content: tone(20)},
		},
	})
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := desk{m, t}
	d.Eventually(t, 10*time.Second, func() error {
		if r := d.tester("systemctl", "--user", "is-active", "pipewire-pulse.socket"); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	return d
}

// tester runs a command with what a program of tester's session gets.
func (d desk) tester(argv ...string) machine.Result {
	return d.Exec(d.t.Context(), machine.Command{Args: argv, User: "tester", Env: []string{
		"XDG_RUNTIME_DIR=/run/user/1000", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus",
	}})
}

func (d desk) must(t *testing.T, argv ...string) string {
	t.Helper()
	r := d.tester(argv...)
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	return r.Stdout
}

// runs runs a program of tester's until the test ends.
func (d desk) runs(t *testing.T, unit string, argv ...string) {
	t.Helper()
	d.must(t, append([]string{"systemd-run", "--user", "--quiet", "--collect", "--unit=" + unit, "--"}, argv...)...)
	t.Cleanup(func() {
		d.tester("systemctl", "--user", "stop", unit)
		d.becomes(t, 0, "idle", "")
	})
}

// ask runs the guard.
func (d desk) ask(argv ...string) (result, machine.Result) {
	d.t.Helper()
	if argv == nil {
		argv = []string{"check_audio_idle"}
	}
	r := d.Run(d.t.Context(), argv...)
	var got result
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || strings.Count(r.Stdout, "\n") != 1 || r.Stderr != "" {
		d.t.Errorf("no single line of JSON: %v: %s", err, r)
	}
	if got.Code != r.Code {
		d.t.Errorf("the line's code is %d: %s", got.Code, r)
	}
	return got, r
}

// becomes asks until the guard gives the answer: streams take their time to
// come and go.
func (d desk) becomes(t *testing.T, code int, reason, message string, argv ...string) (last result) {
	t.Helper()
	d.Eventually(t, 15*time.Second, func() error {
		got, raw := d.ask(argv...)
		if got.Code != code || got.Reason != reason || !strings.Contains(got.Message, message) {
			return fmt.Errorf("want %d %s with %q: %s", code, reason, message, raw)
		}
		last = got
		return nil
	})
	return last
}

// untouched fails the test if asking has started a server.
func (d desk) untouched(t *testing.T, units ...string) {
	t.Helper()
	for _, unit := range units {
		if r := d.tester("systemctl", "--user", "is-active", unit); strings.TrimSpace(r.Stdout) != "inactive" {
			t.Errorf("%s is %s", unit, r.Stdout)
		}
	}
}

var servers = []string{"pipewire.service", "wireplumber.service", "pipewire-pulse.service"}

func TestAudioIdle(t *testing.T) {
	t.Parallel()
	d := start(t)
	t.Run("only sockets", func(t *testing.T) {
		d.becomes(t, 0, "no-audio", "")
		d.untouched(t, servers...)
	})
	d.must(t, append([]string{"systemctl", "--user", "start"}, servers...)...)
	t.Run("nothing", func(t *testing.T) {
		got := d.becomes(t, 0, "idle", "1 audio servers")
		if got.Evidence.Looks != 2 || got.Evidence.SettleMS != 300 || got.DurationMS < 300 {
			t.Errorf("%+v", got)
		}
	})
	for _, test := range []struct {
		name            string
		argv            []string
		code            int
		reason, message string
	}{
		{"paplay", []string{"paplay", "/usr/share/tone.wav"}, 10, "playback", "of tester plays on Speakers"},
		{"pw-play", []string{"pw-play", "/usr/share/tone.wav"}, 10, "playback", "of tester plays on Speakers"},
		{"parecord", []string{"parecord", "--device=microphone", "/tmp/a.wav"}, 10, "recording", "of tester records from Microphone"},
		{"pw-record", []string{"pw-record", "--target", "microphone", "/tmp/b.wav"}, 10, "recording", "of tester records from Microphone"},
		{"monitor", []string{"parecord", "--device=speakers.monitor", "/tmp/c.wav"}, 10, "monitor-recording", "of tester records what is played"},
		{"monitor, native", []string{"pw-record", "-P", "{ stream.capture.sink = true }", "--target", "speakers", "/tmp/d.wav"}, 10, "monitor-recording", "of tester records what is played"},
		{"long name", []string{"pw-play", "-P", `{ media.name = "` + strings.Repeat("x", 3000) + `" }`, "/usr/share/tone.wav"}, 10, "playback", "plays on Speakers"},
		{"playing silence", []string{"stream", "play", "name=Silence"}, 10, "playback", "Silence (pid "},
		{"paused", []string{"stream", "play", "corked", "name=Tab"}, 0, "quiet", "of tester has paused playing"},
		{"muted", []string{"stream", "play", "muted", "name=Tab"}, 0, "quiet", "of tester plays muted on Speakers"},
		{"notification", []string{"stream", "play", "role=event"}, 0, "quiet", "plays a notification on Speakers"},
		{"meter of what is played", []string{"stream", "record", "peaks", "device=speakers.monitor"}, 0, "quiet", "meters the level from Monitor of Speakers"},
		{"meter of the microphone", []string{"stream", "record", "peaks", "device=microphone"}, 0, "quiet", "meters the level from Microphone"},
		{"recorder paused", []string{"stream", "record", "corked", "device=microphone"}, 0, "quiet", "has paused recording"},
		{"recorder by hand", []string{"stream", "record", "device=microphone", "name=Dictation"}, 10, "recording", "Dictation (pid "},
		{"visualiser", []string{"stream", "record", "device=speakers.monitor", "name=cava"}, 0, "quiet", "list of those to ignore"},
		{"loopback", []string{"pw-loopback"}, 0, "quiet", "as a loopback of the server"},
		{"JACK, not linked", []string{"pw-jack", "jack_metro", "-b", "120"}, 0, "quiet", "is connected to JACK, and no device runs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d.runs(t, "case", test.argv...)
			d.becomes(t, test.code, test.reason, test.message)
			// What blocks does so at once, and all of it stays as it is.
			got, raw := d.ask()
			if atOnce := got.Evidence.Looks == 1; got.Reason != test.reason || atOnce != (test.code == 10) {
				t.Errorf("asked again, after %d looks: %s", got.Evidence.Looks, raw)
			}
		})
	}
	t.Run("JACK, linked", func(t *testing.T) {
		d.runs(t, "case", "pw-jack", "jack_metro", "-b", "120")
		d.becomes(t, 0, "quiet", "JACK")
		d.Eventually(t, 5*time.Second, func() error {
			if r := d.tester("pw-link", "metro:120_bpm", "speakers:playback_FL"); r.Code != 0 {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
		d.becomes(t, 10, "jack-audio", "uses JACK while Speakers runs")
	})
	t.Run("muted later", func(t *testing.T) {
		d.runs(t, "case", "paplay", "/usr/share/tone.wav")
		d.becomes(t, 10, "playback", "")
		index, _, _ := strings.Cut(d.must(t, "pactl", "list", "short", "sink-inputs"), "\t")
		d.must(t, "pactl", "set-sink-input-mute", index, "1")
		// WirePlumber keeps it for the next stream of the kind.
		defer d.must(t, "pactl", "set-sink-input-mute", index, "0")
		d.becomes(t, 0, "quiet", "plays muted")
	})
	t.Run("who asks", func(t *testing.T) { testAskers(t, d) })
	t.Run("servers in trouble", func(t *testing.T) { testTrouble(t, d) })
	t.Run("JACK alone", func(t *testing.T) { testJACK(t, d) })
	t.Run("PulseAudio", func(t *testing.T) { testPulseAudio(t, d) })
}

// testAskers asks with the rights of the units, with fewer, and as people.
func testAskers(t *testing.T, d desk) {
	d.runs(t, "case", "paplay", "/usr/share/tone.wav")
	d.becomes(t, 10, "playback", "")
	sandbox := sandboxOf(t, "mode-controller@.service")
	run := func(more ...string) []string {
		argv := []string{"systemd-run", "--quiet", "--pipe", "--wait", "--collect"}
		for _, p := range append(slices.Clone(sandbox), more...) {
			argv = append(argv, "--property="+p)
		}
		return append(argv, "check_audio_idle")
	}
	d.becomes(t, 10, "playback", "of tester plays on Speakers", run()...)
	d.becomes(t, 20, "source-hidden", "can't be seen", run("ProtectHome=yes")...)
	d.becomes(t, 20, "source-hidden", "can't be seen", run("ProtectHome=tmpfs")...)
	d.becomes(t, 10, "playback", "", run("ProcSubset=pid", "ProtectProc=invisible")...)
	d.becomes(t, 20, "server-refused", "become user 1000", run("CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SETGID")...)
	d.becomes(t, 10, "playback", "", "setpriv", "--reuid=tester", "--regid=tester", "--init-groups", "check_audio_idle")
	d.becomes(t, 20, "server-refused", "not permitted", "setpriv", "--reuid=guest", "--regid=guest", "--init-groups", "check_audio_idle")

	// As a unit, as reconcile's operators run it.
	d.Run(t.Context(), "systemctl", "start", "mode-guard@audio_idle.service")
	if got := d.MustRun(t, "systemctl", "show", "--value", "--property=ExecMainStatus", "mode-guard@audio_idle.service"); got != "10\n" {
		t.Errorf("the unit ended with %s", got)
	}
	d.MustRun(t, "systemctl", "reset-failed", "mode-guard@audio_idle.service")
	figures(t, d)
}

// sandboxOf gives the properties of a unit that are about what it may do.
func sandboxOf(t *testing.T, unit string) (props []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "units", unit))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"Protect", "Private", "NoNewPrivileges", "Restrict", "CapabilityBoundingSet", "Device", "LockPersonality", "SystemCall", "UMask",
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(line, a) }) {
			props = append(props, line)
		}
	}
	if len(props) < 20 {
		t.Fatalf("%s has the properties %q", unit, props)
	}
	return props
}

// figures logs what a look costs.
func figures(t *testing.T, d desk) {
	var whole, server []float64
	for range 20 {
		got, _ := d.ask()
		whole = append(whole, got.DurationMS)
		if len(got.Evidence.Servers) == 1 {
			server = append(server, got.Evidence.Servers[0].TookMS)
		}
	}
	slices.Sort(whole)
	slices.Sort(server)
	t.Logf("one look with a block: %.1f ms in the median, %.1f ms at most; of that the server %.1f and %.1f ms",
		whole[len(whole)/2], whole[len(whole)-1], server[len(server)/2], server[len(server)-1])
	var process []time.Duration
	for range 20 {
		_, raw := d.ask()
		process = append(process, raw.Duration)
	}
	slices.Sort(process)
	t.Logf("with its process, and nsenter's: %v in the median", process[len(process)/2])
	for _, argv := range [][]string{{"sh", "-c", "PIPEWIRE_RUNTIME_DIR=/run/user/1000 pw-dump >/dev/null"}, {"sh", "-c", "PULSE_SERVER=unix:/run/user/1000/pulse/native pactl list sink-inputs >/dev/null"}, {"true"}} {
		process = nil
		for range 10 {
			process = append(process, d.Run(t.Context(), argv...).Duration)
		}
		slices.Sort(process)
		t.Logf("%s: %v", argv[len(argv)-1], process[len(process)/2])
	}
}

// testTrouble holds that a server that can't be asked is never silence.
func testTrouble(t *testing.T, d desk) {
	for _, unit := range servers {
		t.Run(unit+" is stopped", func(t *testing.T) {
			d.runs(t, "case", "paplay", "/usr/share/tone.wav")
			d.becomes(t, 10, "playback", "")
			d.must(t, "systemctl", "--user", "kill", "--signal=STOP", unit)
			defer d.must(t, "systemctl", "--user", "kill", "--signal=CONT", unit)
			got, raw := d.ask()
			if got.Reason != "server-timeout" || got.Code != 20 || raw.Duration > 3*time.Second {
				t.Errorf("%s", raw)
			}
		})
	}
	t.Run("killed and back", func(t *testing.T) {
		d.runs(t, "case", "pw-play", "/usr/share/tone.wav")
		d.becomes(t, 10, "playback", "")
		d.must(t, "systemctl", "--user", "kill", "--signal=KILL", "pipewire-pulse.service")
		d.becomes(t, 10, "playback", "")
	})
	t.Run("PipeWire alone", func(t *testing.T) {
		d.must(t, "systemctl", "--user", "stop", "pipewire-pulse.service")
		d.runs(t, "case", "pw-play", "/usr/share/tone.wav") // which PipeWire plays all the same
		got := d.becomes(t, 20, "server-not-askable", "pipewire-pulse, which tells who plays, does not run")
		d.untouched(t, "pipewire-pulse.service")
		// What the message says to do helps.
		_, remedy, _ := strings.Cut(got.Message, "as tester: ")
		d.must(t, strings.Fields(remedy)...)
		d.becomes(t, 10, "playback", "of tester plays on Speakers")
	})
	t.Run("gone, with their sockets", func(t *testing.T) {
		d.must(t, append([]string{"systemctl", "--user", "stop"}, servers...)...)
		d.becomes(t, 0, "no-audio", "")
		d.untouched(t, servers...)
	})
}

// testPulseAudio asks the other server, which lets only its own user in.
func testPulseAudio(t *testing.T, d desk) {
	d.must(t, append([]string{"systemctl", "--user", "stop", "pipewire.socket", "pipewire-pulse.socket"}, servers...)...)
	d.must(t, "systemd-run", "--user", "--quiet", "--collect", "--unit=pulse", "pulseaudio", "-n", "--exit-idle-time=-1", "--daemonize=no",
		"-L", "module-native-protocol-unix", "-L", "module-null-sink sink_name=speakers sink_properties=device.description=Speakers")
	d.becomes(t, 0, "idle", "1 audio servers")
	if r := d.Shell(t.Context(), "PULSE_COOKIE=/dev/null PULSE_SERVER=unix:/run/user/1000/pulse/native pactl info"); r.Code == 0 {
		t.Errorf("root is let in, so that this test shows nothing: %s", r)
	}
	for _, test := range []struct{ argv, reason, message string }{
		{"paplay /usr/share/tone.wav", "playback", "of tester plays on Speakers"},
		{"parecord --device=speakers.monitor /tmp/e.wav", "monitor-recording", "of tester records what is played"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			d.runs(t, "case", strings.Fields(test.argv)...)
			d.becomes(t, 10, test.reason, test.message)
		})
	}
	d.becomes(t, 20, "server-refused", "not permitted", "setpriv", "--reuid=guest", "--regid=guest", "--init-groups", "check_audio_idle")
}
