package audio

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// tree makes a machine of files.
func tree(t testing.TB, files map[string]string) hostfs.Root {
	t.Helper()
	root, err := os.MkdirTemp("", "a-") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	add(t, hostfs.Root(root), files)
	return hostfs.Root(root)
}

func add(t testing.TB, root hostfs.Root, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := root.Path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// studio are the kernel's files of a machine with a graphics card's HDMI
// output and an interface on which somebody records.
var studio = map[string]string{
	"/proc/meminfo":                           "MemTotal: 1 kB\n",
	"/proc/asound/cards":                      " 0 [HDMI           ]: HDA-Intel - HDA ATI HDMI\n                      HDA ATI HDMI at 0xfcf60000 irq 98\n 2 [USB            ]: USB-Audio - Scarlett 2i2 USB\n                      Focusrite Scarlett 2i2 USB at usb-0000:00:14.0-1, high speed\n",
	"/proc/asound/card0/id":                   "HDMI\n",
	"/proc/asound/card0/pcm3p/info":           "card: 0\ndevice: 3\nstream: PLAYBACK\nid: HDMI 0\nname: HDMI 0\n",
	"/proc/asound/card0/pcm3p/sub0/status":    "closed\n",
	"/proc/asound/card0/pcm3p/sub0/hw_params": "closed\n",
	"/proc/asound/card0/codec#0":              "Codec: ATI R6xx HDMI\n",
	"/proc/asound/card2/id":                   "USB\n",
	"/proc/asound/card2/pcm0p/sub0/status":    "state: PREPARED\nowner_pid   : 4243\ntrigger_time: 0.0\n",
	"/proc/asound/card2/pcm0p/sub0/info":      "card: 2\nid: USB Audio\nname: \n",
	"/proc/asound/card2/pcm0p/sub0/hw_params": "no setup\n",
	"/proc/asound/card2/pcm0c/sub0/status":    "state: RUNNING\nowner_pid   : 4242\ntrigger_time: 812.1\ntstamp      : 0.0\ndelay       : 12\navail       : 12\n-----\nhw_ptr      : 9\nappl_ptr    : 3\n",
	"/proc/asound/card2/pcm0c/sub0/info":      "card: 2\ndevice: 0\nid: USB Audio\nname: USB Audio #1\n",
	"/proc/asound/card2/pcm0c/sub0/hw_params": "access: MMAP_INTERLEAVED\nformat: S32_LE\nchannels: 2\nrate: 48000 (48000/1)\nperiod_size: 64\n",
	"/proc/asound/seq/clients":                "Client info\n",
	"/proc/asound/version":                    "Advanced Linux Sound Architecture Driver\n",
}

func TestReadSound(t *testing.T) {
	usb := Card{Index: 2, ID: "USB", Name: "Scarlett 2i2 USB"}
	want := Sound{
		Present: true, Substreams: 3,
		Cards: []Card{{Index: 0, ID: "HDMI", Name: "HDA ATI HDMI"}, usb},
		Open: []Substream{
			{Card: usb, Direction: Playback, Name: "USB Audio", State: Prepared, Owner: Process{PID: 4243}},
			{Card: usb, Direction: Capture, Name: "USB Audio #1", State: Running, Owner: Process{PID: 4242}, RateHz: 48000, Channels: 2},
		},
	}
	got, err := ReadSound(t.Context(), tree(t, studio))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadSoundElsewhere(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		want    Sound
		trouble Trouble
	}{
		{name: "no sound system", files: map[string]string{"/proc/meminfo": ""}},
		{
			name:  "no cards",
			files: map[string]string{"/proc/meminfo": "", "/proc/asound/cards": "--- no soundcards ---\n"},
			want:  Sound{Present: true},
		},
		{name: "a /proc of processes only", files: map[string]string{"/proc/1/comm": "systemd\n"}, trouble: Hidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadSound(t.Context(), tree(t, test.files))
			var e *SourceError
			if errors.As(err, &e) != (test.trouble != "") || (e != nil && e.Trouble != test.trouble) {
				t.Errorf("error %v, want trouble %q", err, test.trouble)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is wrong with a file that decides is an error that names the file.
func TestReadSoundFaults(t *testing.T) {
	const status = "/proc/asound/card2/pcm0c/sub0/status"
	many := map[string]string{}
	for i := range maxSubstreams + 1 {
		many["/proc/asound/card0/pcm0p/sub"+itoa(i)+"/status"] = "closed\n"
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		spoil func(t *testing.T, path string)
		want  string
	}{
		{name: "empty status", files: map[string]string{status: ""}, want: status},
		{name: "garbled status", files: map[string]string{status: "\x00\xff\x00"}, want: status},
		{name: "garbled owner", files: map[string]string{status: "state: RUNNING\nowner_pid: x\n"}, want: "owner_pid"},
		{name: "huge status", files: map[string]string{status: strings.Repeat("x", maxProcFile+1)}, want: status},
		{name: "too many substreams", files: many, want: "more than 2048"},
		{name: "a FIFO", spoil: func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644)); err != nil {
				t.Fatal(err)
			}
		}, want: status},
		{name: "a folder", spoil: func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
				t.Fatal(err)
			}
		}, want: status},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, studio)
			add(t, root, test.files)
			if test.spoil != nil {
				test.spoil(t, root.Path(status))
			}
			_, err := ReadSound(t.Context(), root)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to name %q", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadSound(ctx, tree(t, studio)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestStates(t *testing.T) {
	got := map[State][2]bool{}
	for _, s := range []State{Open, Setup, Prepared, Running, XRun, Draining, Paused, Suspended, Disconnected, "NEW"} {
		got[s] = [2]bool{s.Known(), s.Active()}
	}
	want := map[State][2]bool{
		Open: {true, false}, Setup: {true, false}, Prepared: {true, false}, Running: {true, true}, XRun: {true, true},
		Draining: {true, true}, Paused: {true, false}, Suspended: {true, false}, Disconnected: {true, false}, "NEW": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzSoundFiles(f *testing.F) {
	for _, content := range studio {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for index, name := range parseCards(data) {
			checkText(t, name)
			if index < 0 {
				t.Errorf("card %d", index)
			}
		}
		s, err := parseStatus(data)
		if err == nil && !s.closed && s.state == "" {
			t.Error("open without a state")
		}
		checkText(t, string(s.state))
		checkText(t, parseInfo(data))
		if rate, channels := parseParams(data); rate < 0 || channels < 0 {
			t.Errorf("%d Hz, %d channels", rate, channels)
		}
		if n := parseTgid(data); n < 0 {
			t.Errorf("process %d", n)
		}
		checkText(t, parseUserName(data))
		checkText(t, undress(string(data)))
		for _, c := range parseJackClients(strings.Split(string(data), "\n"), 1000) {
			checkText(t, c)
		}
	})
}

// checkText holds what messages rely on: short, printable, valid.
func checkText(t *testing.T, s string) {
	t.Helper()
	if len(s) > maxText || clean(s) != s {
		t.Errorf("%q is not fit for a message", s)
	}
}
