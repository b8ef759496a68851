package audio

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/tests/audio/fakepulse"
)

// machine is a tree with the processes of a desktop of the test's own user.
func machine(t testing.TB, names ...string) hostfs.Root {
	t.Helper()
	root := tree(t, map[string]string{"/proc/meminfo": "", "/run/systemd/users/" + itoa(os.Getuid()): "NAME=ada\n"})
	add(t, root, process(1, "systemd", "/init.scope"))
	for i, name := range names {
		uid := itoa(os.Getuid())
		add(t, root, process(100+i, name, "/user.slice/user-"+uid+".slice/user@"+uid+".service/session.slice/"+name+".service"))
	}
	return root
}

func socketOf(root hostfs.Root) string { return root.Path(runtimeDir(os.Getuid()), "pulse/native") }

// words are the kinds of what a look found.
func words(s Snapshot) []Kind {
	kinds := []Kind{}
	for _, f := range Judge(s, Policy{}) {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

func TestLook(t *testing.T) {
	root := machine(t, "pipewire", "pipewire-pulse", "wireplumber", ".reaper-wrapped", "firefox")
	add(t, root, studio)
	// The recording substream is a thread's of the workstation.
	add(t, root, map[string]string{"/proc/4242/status": "Name:\taudio\nTgid:\t103\n"})
	fakepulse.Start(t, socketOf(root), desk)
	s := Look(t.Context(), root, Options{Workstations: []string{"reaper"}})
	if len(s.Problems) != 0 {
		t.Fatalf("problems: %v", s.Problems)
	}
	me := Process{PID: 101, Comm: "pipewire-pulse", UID: os.Getuid(), User: "ada"}
	if len(s.Servers) != 1 || s.Servers[0].Process != me || s.Servers[0].Graph == nil || s.Servers[0].Took <= 0 {
		t.Errorf("servers %+v", s.Servers)
	}
	var firefox *Finding
	found := Judge(s, Policy{})
	for i := range found {
		if found[i].Kind == Playing {
			firefox = &found[i]
		}
	}
	if firefox == nil || firefox.Program != "Firefox" || firefox.PID != 104 || firefox.User != "ada" || firefox.Device != "Scarlett 2i2 USB" {
		t.Errorf("the player is %+v", firefox)
	}
	if got := s.Sound.Open[1].Owner; got != (Process{PID: 103, Comm: "reaper", UID: os.Getuid(), User: "ada"}) {
		t.Errorf("the recording belongs to %+v", got)
	}
	if diff := cmp.Diff([]Kind{Recording, MonitorRecording, Playing, JackAudio, WorkstationOpen, PausedStream, LevelMeter, IdlePCM}, words(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What can't be asked is a problem, and nothing is ever taken for silence.
func TestLookProblems(t *testing.T) {
	for _, test := range []struct {
		name  string
		names []string
		setUp func(t *testing.T, root hostfs.Root)
		want  []Kind
	}{
		{name: "no servers", want: []Kind{}},
		{name: "a socket without a server is left alone", setUp: func(t *testing.T, root hostfs.Root) {
			server := fakepulse.Start(t, socketOf(root), desk)
			t.Cleanup(func() {
				if n := len(server.Peers()); n != 0 {
					t.Errorf("%d connections", n)
				}
			})
		}, want: []Kind{}},
		{name: "a server without a socket", names: []string{"pipewire-pulse"}, want: []Kind{SourceHidden}},
		{name: "PipeWire without its pulse server", names: []string{"pipewire"}, setUp: func(t *testing.T, root hostfs.Root) {
			server := fakepulse.Start(t, socketOf(root), desk)
			t.Cleanup(func() {
				if n := len(server.Peers()); n != 0 {
					t.Errorf("%d connections", n)
				}
			})
		}, want: []Kind{ServerDeaf}},
		{name: "a server of the whole machine", names: []string{"pulseaudio"}, setUp: func(t *testing.T, root hostfs.Root) {
			fakepulse.Start(t, root.Path(systemSocket), fakepulse.Script{})
		}, want: []Kind{}},
		{name: "a hanging server", names: []string{"pipewire-pulse"}, setUp: func(t *testing.T, root hostfs.Root) {
			fakepulse.Start(t, socketOf(root), fakepulse.Script{Misbehave: fakepulse.Hang})
		}, want: []Kind{ServerTimeout}},
		{name: "a refusing server", names: []string{"pipewire-pulse"}, setUp: func(t *testing.T, root hostfs.Root) {
			fakepulse.Start(t, socketOf(root), fakepulse.Script{Misbehave: fakepulse.Deny})
		}, want: []Kind{ServerRefused}},
		{name: "a garbling server", names: []string{"pulseaudio"}, setUp: func(t *testing.T, root hostfs.Root) {
			fakepulse.Start(t, socketOf(root), fakepulse.Script{Misbehave: fakepulse.Garbage})
		}, want: []Kind{ServerGarbled}},
		{name: "somebody else's folder", names: []string{"pulseaudio"}, setUp: func(t *testing.T, root hostfs.Root) {
			fakepulse.Start(t, socketOf(root), desk)
			if err := os.Chown(root.Path(runtimeDir(os.Getuid())), 1234, 1234); err != nil {
				t.Fatal(err)
			}
		}, want: []Kind{ServerForeign}},
		{name: "JACK without a place for its clients", names: []string{"jackd"}, want: []Kind{SourceUnreadable, JackIdle}},
		{name: "JACK with a client", names: []string{"jackd"}, setUp: func(t *testing.T, root hostfs.Root) {
			add(t, root, map[string]string{"/dev/shm/jack_sem." + itoa(os.Getuid()) + "_default_ardour": ""})
		}, want: []Kind{JackAudio}},
		{name: "JACK with a client, whose semaphore it has mapped", names: []string{"jackd"}, setUp: func(t *testing.T, root hostfs.Root) {
			name := "/dev/shm/jack_sem." + itoa(os.Getuid()) + "_default_ardour"
			add(t, root, map[string]string{name: "", "/proc/100/maps": "7f00-7f01 rw-s 00000000 00:19 7   " + name + "\n"})
		}, want: []Kind{JackAudio}},
		{name: "JACK with what a client left", names: []string{"jackd"}, setUp: func(t *testing.T, root hostfs.Root) {
			name := "/dev/shm/jack_sem." + itoa(os.Getuid()) + "_default_ardour"
			add(t, root, map[string]string{name: "", "/proc/100/maps": "7f00-7f01 rw-s 00000000 00:19 7   " + name + "2\n"})
		}, want: []Kind{JackIdle}},
		{name: "no /proc", setUp: func(t *testing.T, root hostfs.Root) {
			if err := os.RemoveAll(root.Path("/proc")); err != nil {
				t.Fatal(err)
			}
		}, want: []Kind{SourceHidden, SourceUnreadable}},
		{name: "a garbled process", setUp: func(t *testing.T, root hostfs.Root) {
			add(t, root, map[string]string{"/proc/55/stat": "\xff"})
		}, want: []Kind{SourceUnreadable}},
		{name: "a garbled substream", setUp: func(t *testing.T, root hostfs.Root) {
			add(t, root, map[string]string{"/proc/asound/card0/pcm0p/sub0/status": ""})
		}, want: []Kind{SourceUnreadable}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := machine(t, test.names...)
			if test.setUp != nil {
				test.setUp(t, root)
			}
			s := Look(t.Context(), root, Options{ServerTimeout: 200 * time.Millisecond})
			if diff := cmp.Diff(test.want, words(s)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, s.Problems)
			}
			for _, p := range s.Problems {
				if p.Source == "" || p.Err == nil {
					t.Errorf("%#v names no source", p)
				}
			}
		})
	}
}

// Two users' servers are asked at the same time, and one that hangs takes
// nothing from the other.
func TestLookAtTwoUsers(t *testing.T) {
	root := machine(t, "pipewire-pulse")
	add(t, root, process(200, "pulseaudio", "/user.slice/user-1234.slice/user@1234.service/session.slice/pulseaudio.service"))
	if err := errors.Join(os.Chown(root.Path("/proc/200"), 1234, 1234), os.Chmod(root.Path(), 0o755)); err != nil {
		t.Fatal(err)
	}
	fakepulse.Start(t, socketOf(root), fakepulse.Script{Misbehave: fakepulse.Hang})
	server := fakepulse.StartAs(t, root.Path(runtimeDir(1234), "pulse/native"), 1234, fakepulse.Script{Players: desk.Players[:1]})
	if err := os.Chown(root.Path(runtimeDir(1234)), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s := Look(t.Context(), root, Options{ServerTimeout: 300 * time.Millisecond})
	if diff := cmp.Diff([]Kind{Playing, ServerTimeout}, words(s)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, s.Problems)
	}
	if took := time.Since(start); took > 550*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if diff := cmp.Diff([]fakepulse.Peer{{UID: 1234, SentUID: 1234}}, server.Peers()); diff != "" {
		t.Errorf("asked as (-want +got):\n%s", diff)
	}
}

// A look whose time is over says of each source that it was not read.
func TestLookOutOfTime(t *testing.T) {
	root := machine(t, "pipewire-pulse")
	fakepulse.Start(t, socketOf(root), desk)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	s := Look(ctx, root, Options{})
	if diff := cmp.Diff([]Kind{ServerTimeout, ServerTimeout}, words(s)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, s.Problems)
	}
}

func TestFileTrouble(t *testing.T) {
	for want, err := range map[Trouble]error{
		Timeout: context.DeadlineExceeded, Hidden: &os.PathError{Op: "open", Path: "/proc", Err: unix.EACCES}, Unreadable: errors.New("x"),
	} {
		if got := fileTrouble(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// The cost of a look at a server with twenty streams.
func BenchmarkLook(b *testing.B) {
	root := machine(b, "pipewire", "pipewire-pulse")
	script := desk
	for range 20 {
		script.Players = append(script.Players, desk.Players[0])
	}
	fakepulse.Start(b, socketOf(root), script)
	b.ReportAllocs()
	for b.Loop() {
		if s := Look(b.Context(), root, Options{}); len(s.Problems) > 0 {
			b.Fatal(s.Problems)
		}
	}
}
