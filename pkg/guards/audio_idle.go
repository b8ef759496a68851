package guards

import (
	"context"
	"fmt"
	"time"

	"github.com/ryjen/dubnium/pkg/audio"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// AudioIdle asks whether ending the desktop would cut off somebody's sound.
var AudioIdle = guard.Descriptor{
	Name:     "audio_idle",
	Question: "Is nothing being played or recorded?",
	Manual: `Looks at three things. The substreams of ALSA in /proc/asound: one that runs blocks, unless an audio server holds it and tells what for. The streams of every user's PipeWire or PulseAudio, asked over the pulse protocol as that user, and only where a server runs already: asking never starts one. JACK, and the programs of guards.audio.workstations.

Recording always blocks, and so does a playing stream that is neither paused nor muted. Paused and muted streams, notifications, level meters, loopbacks (see guards.audio.blockLoopbacks), the programs of guards.audio.ignore and devices that are open without running do not. A program of guards.audio.workstations blocks while it is open, silent or not, because its work may not be saved. A JACK client tells nobody whether it sounds: it blocks while any device runs.

Silence takes two looks, guards.audio.settle apart: a program that plays one file after another is silent for a moment in between. What could not be read is never silence.

After a block, stop what the message names, or close it. When an audio server does not answer, see systemctl --user --machine=USER@ status pipewire-pulse wireplumber.`,
	Block:  exitcode.AudioActive,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "no-audio", Class: guard.Pass, Meaning: "there is no sound card and no audio server"},
		{Word: "idle", Class: guard.Pass, Meaning: "two looks found no stream and no open device"},
		{Word: "quiet", Class: guard.Pass, Meaning: "two looks found only what does not count: paused, muted, a notification, a level meter, an open device that does not run"},

		{Word: string(audio.Recording), Class: guard.Block, Meaning: "a microphone or another input is being recorded"},
		{Word: string(audio.MonitorRecording), Class: guard.Block, Meaning: "what the machine plays is being recorded"},
		{Word: string(audio.Playing), Class: guard.Block, Meaning: "a stream plays, neither paused nor muted"},
		{Word: string(audio.JackAudio), Class: guard.Block, Meaning: "a JACK client is connected while a device runs"},
		{Word: string(audio.PCMRunning), Class: guard.Block, Meaning: "a device of ALSA runs, and no audio server accounts for it"},
		{Word: string(audio.Unexplained), Class: guard.Block, Meaning: "a device of an audio server runs, and no stream explains it"},
		{Word: string(audio.WorkstationOpen), Class: guard.Block, Meaning: "a program in which people make music is open"},
		{Word: string(audio.Loopback), Class: guard.Block, Meaning: "a loopback plays, and guards.audio.blockLoopbacks is set"},

		{Word: string(audio.SourceHidden), Class: guard.Error, Meaning: "a source can't be seen from here: another user's, or hidden by a sandbox"},
		{Word: string(audio.ServerTimeout), Class: guard.Error, Meaning: "an audio server, or a file of the kernel, did not answer in time"},
		{Word: string(audio.ServerRefused), Class: guard.Error, Meaning: "an audio server let nobody in, or does not listen"},
		{Word: string(audio.ServerGarbled), Class: guard.Error, Meaning: "an audio server does not keep the protocol"},
		{Word: string(audio.ServerForeign), Class: guard.Error, Meaning: "somebody else than its user answers at an audio server's socket"},
		{Word: string(audio.ServerDeaf), Class: guard.Error, Meaning: "PipeWire runs without pipewire-pulse, which is what can be asked"},
	},
	Window: func(c config.Config) time.Duration { return c.Guards.Audio.Settle.Std() },
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		return checkAudio(ctx, env, audioSettle)
	},
}

// audioEvidence is the last look, and how long silence was waited for.
type audioEvidence struct {
	Looks    int     `json:"looks"`
	SettleMS float64 `json:"settle_ms"`
	audio.Evidence
}

// checkAudio looks, and looks again before it says that nothing is there.
func checkAudio(ctx context.Context, env guard.Env, wait func(context.Context, time.Duration) error) guard.Verdict {
	cfg := env.Config.Guards.Audio
	look := func() (audio.Snapshot, []audio.Finding) {
		s := audio.Look(ctx, env.Root, AudioOptions(cfg))
		return s, audio.Judge(s, AudioPolicy(cfg))
	}
	s, found := look()
	if audio.Worst(found) != nil || soundless(s, found) {
		return judgeAudio(s, found, 1, 0)
	}
	settle := cfg.Settle.Std()
	if err := wait(ctx, settle); err != nil {
		ev := audioEvidence{1, 0, audio.Tell(s, found)}
		return guard.Say(guard.Deadline.Word, ev, "one look found silence, and there was no time for the second one, %v later", settle)
	}
	s, found = look()
	return judgeAudio(s, found, 2, settle)
}

// AudioOptions says how to look, as it is configured.
func AudioOptions(cfg config.GuardAudio) audio.Options {
	return audio.Options{ServerTimeout: cfg.ServerTimeout.Std(), Workstations: cfg.Workstations}
}

// AudioPolicy says what counts, as it is configured.
func AudioPolicy(cfg config.GuardAudio) audio.Policy {
	return audio.Policy{Ignore: cfg.Ignore, Loopbacks: cfg.BlockLoopbacks}
}

// judgeAudio turns the findings of the last look into a verdict.
func judgeAudio(s audio.Snapshot, found []audio.Finding, looks int, settle time.Duration) guard.Verdict {
	ev := audioEvidence{looks, float64(settle.Microseconds()) / 1000, audio.Tell(s, found)}
	if worst := audio.Worst(found); worst != nil {
		return guard.Say(string(worst.Kind), ev, "%s%s", worst.Message, audioMore(found, worst.Effect))
	}
	switch {
	case len(found) > 0:
		return guard.Say("quiet", ev, "nothing that counts: %s%s", found[0].Message, audioMore(found, audio.Noted))
	case soundless(s, found):
		return guard.Say("no-audio", ev, "there is no sound card and no audio server")
	default:
		return guard.Say("idle", ev, "nothing plays or records on %d cards and %d audio servers", len(s.Sound.Cards), len(s.Servers))
	}
}

// soundless tells whether there is nothing that could make a sound, however often
// one looks.
func soundless(s audio.Snapshot, found []audio.Finding) bool {
	return len(s.Sound.Cards) == 0 && len(s.Servers) == 0 && len(found) == 0
}

// audioMore says that a message is not the only one of its kind.
func audioMore(found []audio.Finding, effect audio.Effect) string {
	n := -1
	for _, f := range found {
		if f.Effect == effect {
			n++
		}
	}
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// audioSettle waits, unless ctx ends before.
func audioSettle(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
