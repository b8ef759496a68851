package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/audio"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/tests/audio/fakepulse"
	"github.com/ryjen/dubnium/tests/hosts"
)

// serve gives the machine a pulse server of ada's, which answers as her.
func serve(t *testing.T, h *hosts.Host, script fakepulse.Script) *fakepulse.Server {
	t.Helper()
	for pid, comm := range map[string]string{"1601": "pipewire", "1603": "pipewire-pulse"} {
		h.Write("proc/"+pid+"/stat", pid+" ("+comm+") S 1530 1 1 0 -1 4194560 0 0 0 0 40 20 0 0 20 0 1 0 1440 0 0\n")
		h.Write("proc/"+pid+"/comm", comm+"\n")
		h.Write("proc/"+pid+"/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/session.slice/"+comm+".service\n")
		if err := os.Chown(h.Root().Path("proc", pid), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	server := fakepulse.StartAs(t, h.Root().Path("run/user/1000/pulse/native"), 1000, script)
	if err := errors.Join(os.Chown(h.Root().Path("run/user/1000"), 1000, 1000), os.Chmod(h.Root().Path(), 0o755)); err != nil {
		t.Fatal(err)
	}
	return server
}

// TestAudio holds what one look at a desktop tells of its sound, and how far
// the observation can be relied upon with what it could not tell.
func TestAudio(t *testing.T) {
	player := fakepulse.Stream{Client: 5, Device: 1, Props: map[string]string{"application.name": "Firefox", "application.process.id": "1661"}}
	recorder := fakepulse.Stream{Client: 5, Device: 2, Props: map[string]string{"application.name": "Recorder"}}
	paused := player
	paused.Corked = true
	desk := fakepulse.Script{
		Sinks:   []fakepulse.Device{{Index: 1, Title: "Speakers", State: 1}},
		Sources: []fakepulse.Device{{Index: 2, Title: "Microphone", MonitorOf: fakepulse.None, State: 1}},
		Clients: []fakepulse.Client{{Index: 5}},
	}
	with := func(change func(*fakepulse.Script)) *fakepulse.Script {
		s := desk
		change(&s)
		return &s
	}
	plays := evidence.Sound{Kind: "playback", Message: "Firefox of uid 1000 plays on Speakers", Program: "Firefox", User: "uid 1000", Device: "Speakers"}
	records := evidence.Sound{Kind: "recording", Message: "Recorder of uid 1000 records from Microphone", Program: "Recorder", User: "uid 1000", Device: "Microphone"}
	for name, tt := range map[string]struct {
		host   string
		script *fakepulse.Script
		change func(h *hosts.Host)
		want   evidence.Audio
		says   string // the error
	}{
		"nothing":  {host: "empty", want: evidence.Audio{Activity: evidence.Idle}},
		"silence":  {host: "idle-desktop", script: &desk, want: evidence.Audio{Activity: evidence.Idle, Servers: 1}},
		"paused":   {host: "idle-desktop", script: with(func(s *fakepulse.Script) { s.Players = []fakepulse.Stream{paused} }), want: evidence.Audio{Activity: evidence.Idle, Servers: 1}},
		"playing":  {host: "idle-desktop", script: with(func(s *fakepulse.Script) { s.Players = []fakepulse.Stream{player} }), want: evidence.Audio{Activity: evidence.Playing, Servers: 1, Sounds: []evidence.Sound{plays}}},
		"recorded": {host: "idle-desktop", script: with(func(s *fakepulse.Script) { s.Recorders = []fakepulse.Stream{recorder} }), want: evidence.Audio{Activity: evidence.Recording, Servers: 1, Sounds: []evidence.Sound{records}}},
		"both": {host: "idle-desktop", script: with(func(s *fakepulse.Script) {
			s.Players, s.Recorders = []fakepulse.Stream{player}, []fakepulse.Stream{recorder}
		}), want: evidence.Audio{Activity: evidence.Recording, Servers: 1, Sounds: []evidence.Sound{records, plays}}},
		"a workstation": {host: "studio", want: evidence.Audio{Activity: evidence.Open, Sounds: []evidence.Sound{
			{Kind: "workstation-open", Message: "reaper (pid 4242) of root is open: save the work and close it", Program: "reaper", PID: 4242, User: "root"},
		}}},
		"without a server": {host: "desktop-playing", want: evidence.Audio{Activity: evidence.Playing, Cards: 1, Sounds: []evidence.Sound{
			{
				Kind: "pcm-running", Message: "card 0 device 0 (HDA Intel PCH) is playing, opened by mpv (pid 1710) of root",
				Program: "mpv", PID: 1710, User: "root", Device: "card 0 device 0 (HDA Intel PCH)",
			},
		}}},
		"a server that hangs":   {host: "idle-desktop", script: &fakepulse.Script{Misbehave: fakepulse.Hang}, want: evidence.Audio{Activity: evidence.AudioUnknown, Servers: 1}, says: "no answer within"},
		"a server that refuses": {host: "idle-desktop", script: &fakepulse.Script{Misbehave: fakepulse.Deny}, want: evidence.Audio{Activity: evidence.AudioUnknown, Servers: 1}, says: "access denied"},
		"a server that garbles": {host: "idle-desktop", script: &fakepulse.Script{Misbehave: fakepulse.Garbage}, want: evidence.Audio{Activity: evidence.AudioUnknown, Servers: 1}, says: "not the native protocol"},
		"a garbled device":      {host: "idle-desktop", change: func(h *hosts.Host) { h.Write("proc/asound/card0/pcm0p/sub0/status", "x") }, want: evidence.Audio{Activity: evidence.AudioUnknown, Cards: 1}, says: "pcm0p"},
		"playing, and a server that hangs": {host: "desktop-playing", script: &fakepulse.Script{Misbehave: fakepulse.Hang}, want: evidence.Audio{Activity: evidence.Playing, Cards: 1, Servers: 1, Sounds: []evidence.Sound{
			{
				Kind: "pcm-running", Message: "card 0 device 0 (HDA Intel PCH) is playing, opened by mpv (pid 1710) of root",
				Program: "mpv", PID: 1710, User: "root", Device: "card 0 device 0 (HDA Intel PCH)",
			},
		}}, says: "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, tt.host)
			if tt.script != nil {
				serve(t, h, *tt.script)
			}
			if tt.change != nil {
				tt.change(h)
			}
			cfg := config.Default()
			cfg.Timeouts.Observe = config.Duration(time.Second)
			begin := time.Now()
			o := Observe(t.Context(), h.Root(), cfg, 0)
			if took := time.Since(begin); took > cfg.Timeouts.Observe.Std()+time.Second {
				t.Errorf("took %v", took)
			}
			got := o.Signals.Audio
			for i := range got.Value.Sounds {
				if tt.script != nil && got.Value.Sounds[i].PID == 1661 {
					t.Errorf("a process of another user is named: %+v", got.Value.Sounds[i])
				}
			}
			if diff := cmp.Diff(tt.want, got.Value); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (got.Status == evidence.OK) != (tt.says == "") || !strings.Contains(got.Error, tt.says) {
				t.Errorf("status %s: %s, want one with %q", got.Status, got.Error, tt.says)
			}
			want := map[bool]observe.Confidence{true: observe.High, false: observe.Medium}[tt.says == ""]
			if tt.host != "empty" && o.Confidence != want {
				t.Errorf("confidence %s, want %s: %+v", o.Confidence, want, o.InspectionErrors)
			}
		})
	}
}

// TestNoServerIsStarted holds that a socket behind which nobody runs is left
// alone: systemd would start the server for it.
func TestNoServerIsStarted(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	server := serve(t, h, fakepulse.Script{})
	h.Remove("proc/1601")
	h.Remove("proc/1603")
	o := Observe(t.Context(), h.Root(), config.Default(), 0)
	if n := len(server.Peers()); n != 0 || o.Signals.Audio.Value.Activity != evidence.Idle || o.Confidence != observe.High {
		t.Errorf("%d connections, %+v, confidence %s", n, o.Signals.Audio, o.Confidence)
	}
}

// TestHear holds that what is told stays short, and what failed is counted.
func TestHear(t *testing.T) {
	var found []audio.Finding
	for i := range maxSounds + 3 {
		found = append(found, audio.Finding{Kind: audio.Loopback, Effect: audio.Blocks, Message: fmt.Sprint(i)})
	}
	found = append(found, audio.Finding{Kind: audio.SourceHidden, Effect: audio.Fails, Message: "a"}, audio.Finding{Kind: audio.ServerDeaf, Effect: audio.Fails, Message: "b"})
	got, err := hear(found)
	if got.Activity != evidence.Playing || len(got.Sounds) != maxSounds || got.LeftOut != 3 || err == nil || err.Error() != "a, and 1 more" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := hear(found[maxSounds+4:]); got.Activity != evidence.AudioUnknown || len(got.Sounds) != 0 || err == nil || err.Error() != "b" {
		t.Errorf("%+v, %v", got, err)
	}
	for kind, want := range map[audio.Kind]evidence.Activity{
		audio.Recording: evidence.Recording, audio.MonitorRecording: evidence.Recording, audio.WorkstationOpen: evidence.Open,
		audio.Playing: evidence.Playing, audio.JackAudio: evidence.Playing, audio.PCMRunning: evidence.Playing, audio.Unexplained: evidence.Playing,
	} {
		if got := activity(kind); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// TestCards holds whose cards are looked at, in which mode, and what is said
// where nobody could look.
func TestCards(t *testing.T) {
	const drivers = "Character devices:\n195 nvidia\n226 drm\n"
	blind := func(pids ...string) func(h *hosts.Host) {
		return func(h *hosts.Host) {
			h.Write("proc/devices", drivers)
			for _, pid := range pids {
				if err := errors.Join(os.RemoveAll(h.Root().Path("proc", pid, "fd")), unix.Mkfifo(h.Root().Path("proc", pid, "fd"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	type look struct {
		Status     evidence.Status
		Scope      evidence.Scope
		Holders    string
		Confidence observe.Confidence
	}
	for name, tt := range map[string]struct {
		host   string
		change func(h *hosts.Host)
		want   look
		says   string
	}{
		"a desktop's own processes are left alone": {"idle-desktop", blind("1", "1604", "1661"), look{evidence.OK, evidence.LeftBehind, "", observe.High}, ""},
		"who is left behind is found":              {"desktop-stale-holder", nil, look{evidence.OK, evidence.LeftBehind, "render-helper: session 1, which logind does not list", observe.Low}, ""},
		"who is left behind can't be seen":         {"desktop-stale-holder", blind("1888"), look{evidence.Failed, evidence.LeftBehind, "", observe.Medium}, "pid 1888"},
		"process 1 can't be seen":                  {"desktop-stale-holder", blind("1"), look{evidence.OK, evidence.LeftBehind, "render-helper: session 1, which logind does not list", observe.Low}, ""},
		"no control groups":                        {"idle-desktop", func(h *hosts.Host) { h.Remove("sys/fs/cgroup/cgroup.controllers") }, look{evidence.Failed, evidence.LeftBehind, "", observe.Medium}, "control group"},
		"compute, everybody":                       {"compute-display-holder", nil, look{evidence.OK, evidence.Everybody, "blender: |VLLM::EngineCor: ", observe.Low}, ""},
		"compute, somebody can't be seen":          {"compute", blind("5188"), look{evidence.Failed, evidence.Everybody, "", observe.Medium}, "pid 5188"},
		"no driver is loaded":                      {"compute", nil, look{evidence.OK, evidence.Everybody, "", observe.High}, ""},
		"a closing session": {"compute-stale-holder", nil, look{
			evidence.OK, evidence.Everybody, "render-helper: session 2 of ada, which is closing|VLLM::EngineCor: ", observe.Low,
		}, ""},
		"without sessions nobody is looked at": {"compute-stale-holder", func(h *hosts.Host) {
			h.Login.Refuse("ListSessions", "org.freedesktop.DBus.Error.AccessDenied")
		}, look{evidence.NotCollected, "", "", observe.Low}, ""},
		"a stopped display manager's": {"desktop-stale-holder", func(h *hosts.Host) {
			h.Systemd.SetUnit("greetd.service", hosts.Props{"ActiveState": "failed"})
			h.Write("proc/902/fd/4", "")
			h.Write("devices.table", "/proc/902/fd/4 226:0\n")
		}, look{evidence.OK, evidence.LeftBehind, "greetd: display-manager.service (greetd.service) is failed", observe.Low}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, tt.host)
			if tt.change != nil {
				tt.change(h)
			}
			o := Observe(t.Context(), h.Root(), config.Default(), 0)
			g := o.Signals.GPU
			var who []string
			for _, x := range g.Value.Holders {
				who = append(who, x.Comm+": "+x.Outlived)
			}
			if diff := cmp.Diff(tt.want, look{g.Status, g.Value.Scope, strings.Join(who, "|"), o.Confidence}); diff != "" {
				t.Errorf("-want +got:\n%s\n%+v", diff, o.InspectionErrors)
			}
			if !strings.Contains(g.Error, tt.says) {
				t.Errorf("%q does not say %q", g.Error, tt.says)
			}
		})
	}
}

// TestHoldersAreNamed holds that a conflict names who holds what.
func TestHoldersAreNamed(t *testing.T) {
	for host, want := range map[string]string{
		"compute-display-holder": "blender (pid 2044, user-session) of uid %d holds nvidia0, nvidiactl in compute",
		"desktop-stale-holder":   "render-helper (pid 1888, user-session) of uid %d in session 1 holds renderD129 and has outlived session 1, which logind does not list",
		"compute-stale-holder":   "tty session 2 of ada (render-helper (pid 1888) holds card0) is closing, but processes of it are left",
	} {
		o := Observe(t.Context(), hosts.Start(t, host).Root(), config.Default(), 0)
		if len(o.Conflicts) == 0 || o.Conflicts[0].Message != strings.ReplaceAll(want, "%d", strconv.Itoa(os.Getuid())) {
			t.Errorf("%s: %+v, want %q", host, o.Conflicts, want)
		}
	}
}

// TestAnotherCardHasTheDisplay holds that, where the profile gives no NVIDIA GPU
// to the display, compute is not degraded by who holds another card.
func TestAnotherCardHasTheDisplay(t *testing.T) {
	hybrid := config.Default().Hardware
	hybrid.PresentGPUs, hybrid.ComputeGPUs = []int{0}, []int{0}
	first := 0
	for name, tt := range map[string]struct {
		held   string // by blender, in compute
		change func(*config.Hardware)
		want   mode.State
	}{
		"another card":             {"226:0", func(*config.Hardware) {}, mode.StateCompute},
		"an NVIDIA GPU":            {"226:1", func(*config.Hardware) {}, mode.DegradedCompute},
		"the display's GPU":        {"226:0", func(c *config.Hardware) { c.DisplayGPU = &first }, mode.DegradedCompute},
		"nothing is known of GPUs": {"226:0", func(c *config.Hardware) { c.PresentGPUs, c.ComputeGPUs = nil, nil }, mode.DegradedCompute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, "compute-display-holder")
			h.AddCard("0000:00:02.0", "0x8086", "0")
			h.AddCard("0000:01:00.0", "0x10de", "1")
			h.Write("devices.table", "/proc/2044/fd/12 "+tt.held+"\n")
			cfg := config.Default()
			cfg.Hardware = hybrid
			tt.change(&cfg.Hardware)
			o := Observe(t.Context(), h.Root(), cfg, 0)
			if o.State != tt.want || len(o.Signals.GPU.Value.Holders) == 0 {
				t.Errorf("%s, want %s: %+v %+v", o.State, tt.want, o.Conflicts, o.Signals.GPU)
			}
		})
	}
}

// lookAt makes this test binary print one observation of the machine whose root
// it names, instead of running tests.
const lookAt = "DUBNIUM_TEST_LOOK_AT"

func TestMain(m *testing.M) {
	if root := os.Getenv(lookAt); root != "" {
		o := Observe(context.Background(), hostfs.Root(root), config.Default(), 0)
		if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestWithoutRights holds that a user without rights is told what could not be
// looked at, and that the mode is known all the same.
func TestWithoutRights(t *testing.T) {
	for name, tt := range map[string]struct {
		host       string
		state      mode.State
		confidence observe.Confidence
		gpu, audio evidence.Status
	}{
		"somebody is left behind":    {"desktop-stale-holder", mode.StateDesktop, observe.Medium, evidence.Failed, evidence.Failed},
		"nobody is, and nobody asks": {"desktop-playing", mode.StateDesktop, observe.High, evidence.OK, evidence.OK},
		"compute":                    {"compute-display-holder", mode.StateCompute, observe.Medium, evidence.Failed, evidence.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosts.Start(t, tt.host)
			if tt.audio == evidence.Failed {
				serve(t, h, fakepulse.Script{})
			}
			// As it is on a machine: nobody sees the descriptors of others.
			all, err := filepath.Glob(h.Root().Path("proc/*/fd"))
			for _, fd := range all {
				err = errors.Join(err, os.Chmod(fd, 0o500))
			}
			self, exeErr := os.ReadFile("/proc/self/exe")
			program := h.Root().Path("look")
			if err := errors.Join(err, exeErr, os.WriteFile(program, self, 0o755), os.Chmod(h.Root().Path(), 0o755)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program)
			cmd.Env = append(os.Environ(), lookAt+"="+string(h.Root()))
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.Output()
			var o observe.Observation
			if err := errors.Join(err, json.Unmarshal(out, &o)); err != nil {
				t.Fatal(err)
			}
			if o.State != tt.state || o.Confidence != tt.confidence || o.Signals.GPU.Status != tt.gpu || o.Signals.Audio.Status != tt.audio {
				t.Errorf("%s, confidence %s, cards %s, audio %s: %+v", o.State, o.Confidence, o.Signals.GPU.Status, o.Signals.Audio.Status, o.InspectionErrors)
			}
			for _, e := range o.InspectionErrors {
				if !strings.Contains(e.Message, "root") {
					t.Errorf("%s: %q does not say who could", e.Source, e.Message)
				}
			}
		})
	}
}
