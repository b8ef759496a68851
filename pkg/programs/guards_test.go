package programs

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// TestChanges holds what is new in a look, as it is told and as it is drawn.
func TestChanges(t *testing.T) {
	audio := guard.Result{Guard: "check_audio_idle", OK: true, Class: guard.Pass, Hard: true, Reason: "idle", Message: "nothing plays"}
	memory := guard.Result{Guard: "check_memory_headroom", OK: true, Class: guard.Pass, Reason: "enough", Message: "8192.5 MiB are available", DurationMS: 2}
	with := func(r guard.Result, change func(*guard.Result)) guard.Result {
		change(&r)
		return r
	}
	playing := with(audio, func(r *guard.Result) {
		r.OK, r.Class, r.Code, r.Reason, r.Message = false, guard.Block, 10, "playback", "reaper (pid 12)\nplays"
	})
	begin := time.Date(2026, 5, 28, 0, 0, 0, 0, time.UTC)
	look := func(from mode.State, results ...guard.Result) guardsLook {
		return guardsLook{at: begin, state: from, row: mode.Find(from, mode.Compute), results: results}
	}
	first := look(mode.Desktop.State(), audio, memory).after(guardsFrame{})
	const at = "2026-05-28T00:00:01.000Z "
	for _, test := range []struct {
		name   string
		before guardsFrame
		look   guardsLook
		told   string
		marked []string
	}{
		{
			"the first look",
			guardsFrame{},
			look(mode.Desktop.State(), audio, memory),
			at + "way     desktop -> compute, from desktop\n" + at + "pass    check_audio_idle idle: nothing plays\n" +
				at + "pass    check_memory_headroom enough: 8192.5 MiB are available\n", nil,
		},
		{"nothing", first, look(mode.Desktop.State(), audio, memory), "", nil},
		{
			"a figure and a duration", first,
			look(mode.Desktop.State(), audio, with(memory, func(r *guard.Result) { r.Message, r.DurationMS = "7000 MiB are available", 9 })), "", nil,
		},
		{
			"a verdict", first, look(mode.Desktop.State(), playing, memory),
			at + "block   check_audio_idle playback: reaper (pid 12) plays\n",
			[]string{"check_audio_idle"},
		},
		{
			"a class alone", first, look(mode.Desktop.State(), with(audio, func(r *guard.Result) { r.Class = guard.Error }), memory),
			at + "error   check_audio_idle idle: nothing plays\n",
			[]string{"check_audio_idle"},
		},
		{
			"a reason alone", first, look(mode.Desktop.State(), with(audio, func(r *guard.Result) { r.Reason = "quiet" }), memory),
			at + "pass    check_audio_idle quiet: nothing plays\n",
			[]string{"check_audio_idle"},
		},
		{
			"a culprit", look(mode.Desktop.State(), playing).after(guardsFrame{}),
			look(mode.Desktop.State(), with(playing, func(r *guard.Result) { r.Message = "firefox (pid 12) plays" })),
			at + "block   check_audio_idle playback: firefox (pid 12) plays\n",
			[]string{"check_audio_idle"},
		},
		{"one gone", first, look(mode.Desktop.State(), audio), at + "gone    check_memory_headroom\n", nil},
		{
			"one come", look(mode.Desktop.State(), audio).after(guardsFrame{}), look(mode.Desktop.State(), audio, memory),
			at + "pass    check_memory_headroom enough: 8192.5 MiB are available\n",
			[]string{"check_memory_headroom"},
		},
		{
			"another way", first, look(mode.StudioLocal.State(), audio, memory),
			at + "way     studio-local -> compute, from studio-local\n", nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.look.at = begin.Add(time.Second)
			frame := test.look.after(test.before)
			var out bytes.Buffer
			if err := frame.Tell(&cli.Env{Stdout: &out}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.told, out.String()); diff != "" {
				t.Error(diff)
			}
			if news := test.told != "" && !test.before.at.IsZero(); news != !frame.since.IsZero() || news && !frame.since.Equal(test.look.at) {
				t.Errorf("something changed at %v", frame.since)
			}
			out.Reset()
			if err := frame.Draw(&cli.Env{Stdout: &out, Terminal: true, Width: 100}); err != nil {
				t.Fatal(err)
			}
			for _, r := range test.look.results {
				name := []byte(r.Guard[len("check_"):])
				if marked := bytes.Contains(out.Bytes(), append([]byte("* "), name...)); marked != slices.Contains(test.marked, r.Guard) || !bytes.Contains(out.Bytes(), name) {
					t.Errorf("%s is marked %v:\n%s", r.Guard, marked, out.String())
				}
			}
			// What came later has no part in when it changed.
			if again := test.look.after(frame); again.since != frame.since {
				t.Errorf("the same look again changed something at %v", again.since)
			}
		})
	}
}
