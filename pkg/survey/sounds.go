package survey

import (
	"context"
	"errors"
	"fmt"

	"github.com/ryjen/dubnium/pkg/audio"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// sounds takes one look at who plays and records, as check_audio_idle looks and
// judges. A server gets at most half of what an observation may take to answer,
// and one that does not run is not started. What could not be asked is an
// error, beside what could: a user without rights can ask its own server only.
func sounds(ctx context.Context, root hostfs.Root, cfg config.Config) (evidence.Audio, error) {
	o := guards.AudioOptions(cfg.Guards.Audio)
	o.ServerTimeout = min(o.ServerTimeout, cfg.Timeouts.Observe.Std()/2)
	s := audio.Look(ctx, root, o)
	ev, err := hear(audio.Judge(s, guards.AudioPolicy(cfg.Guards.Audio)))
	ev.Cards, ev.Servers = len(s.Sound.Cards), len(s.Servers)
	return ev, err
}

// maxSounds bounds how many sounds are told one by one.
const maxSounds = 16

// hear puts findings into the words of evidence. Those that count as failures
// become the error.
func hear(found []audio.Finding) (evidence.Audio, error) {
	ev := evidence.Audio{Activity: evidence.Idle}
	var failures []string
	for _, f := range found {
		switch f.Effect {
		case audio.Fails:
			failures = append(failures, f.Message)
			if ev.Activity == evidence.Idle {
				ev.Activity = evidence.AudioUnknown
			}
		case audio.Blocks:
			if len(ev.Sounds) == 0 {
				ev.Activity = activity(f.Kind) // the first tells most
			}
			if len(ev.Sounds) == maxSounds {
				ev.LeftOut++
				continue
			}
			ev.Sounds = append(ev.Sounds, evidence.Sound{
				Kind: string(f.Kind), Message: f.Message, Program: f.Program, PID: f.PID, User: f.User, Device: f.Device,
			})
		}
	}
	switch n := len(failures); n {
	case 0:
		return ev, nil
	case 1:
		return ev, errors.New(failures[0])
	default:
		return ev, fmt.Errorf("%s, and %d more", failures[0], n-1)
	}
}

// activity is what a sound of a kind amounts to.
func activity(k audio.Kind) evidence.Activity {
	switch k {
	case audio.Recording, audio.MonitorRecording:
		return evidence.Recording
	case audio.WorkstationOpen:
		return evidence.Open
	default:
		return evidence.Playing
	}
}
