package config

import (
	"strings"
	"time"
)

// GuardAudio says what counts as sound that nobody may cut off.
type GuardAudio struct {
	Settle         Duration // between two looks that both find silence
	ServerTimeout  Duration // for the answer of one audio server
	Ignore         []string // names that programs give themselves
	Workstations   []string // process names; "*" at the end stands for anything
	BlockLoopbacks bool
}

func defaultAudio() GuardAudio {
	return GuardAudio{
		Settle:        Duration(300 * time.Millisecond),
		ServerTimeout: Duration(2 * time.Second),
		Ignore:        []string{"cava", "glava", "easyeffects"},
		Workstations: strings.Fields(`reaper ardour* Bitwig* bitwig-studio mixbus* Mixbus* renoise qtractor lmms rosegarden
			zrythm Waveform* tracktion* audacity tenacity`),
	}
}

func audioKeys() []definition {
	return []definition{
		{path: "guards.audio.settle", at: func(c *Config) any { return &c.Guards.Audio.Settle }, example: `"1s"`, doc: "How long after a look that found nothing the guard looks again. A program that plays files one after the other is silent for a moment between them, and a restarted audio server says for a moment that everything is paused."},
		{path: "guards.audio.serverTimeout", at: func(c *Config) any { return &c.Guards.Audio.ServerTimeout }, example: `"500ms"`, doc: "Bounds one look at one user's audio server. A server that has not answered by then can't be judged, which is an inspection error. Two looks and guards.audio.settle have to fit into timeouts.guard."},
		{path: "guards.audio.ignore", at: func(c *Config) any { return &c.Guards.Audio.Ignore }, empty: true, example: `["cava"]`, doc: "Programs whose playing is nobody's work, nor is their recording of what the machine plays: visualisers and effects. A name is compared with what a program says of itself (application.name, application.id, its executable, node.name), in any case of letters. Recording from a microphone or another input blocks whoever does it."},
		{path: "guards.audio.workstations", at: func(c *Config) any { return &c.Guards.Audio.Workstations }, empty: true, check: wrongProcessPattern, allowed: "process names of at most 15 bytes, or beginnings of them with \"*\"", example: `["reaper", "ardour*"]`, doc: "Programs in which people make music. One that is open blocks even while it is silent: its work may not be saved. Names are those of /proc/PID/comm without the \".\" and \"-wrapped\" of NixOS. An empty list leaves it to what plays and records."},
		{path: "guards.audio.blockLoopbacks", at: func(c *Config) any { return &c.Guards.Audio.BlockLoopbacks }, example: "true", doc: "Whether a loopback of the audio server (module-loopback, pw-loopback) counts as playing. Set it where people listen to an instrument through one."},
	}
}

// wrongProcessPattern is wrongProcess for a name that may end in a star.
func wrongProcessPattern(s string) string {
	stem, _ := strings.CutSuffix(s, "*")
	switch {
	case stem == "":
		return "would match every process; write the beginning of a name before the *"
	case strings.Contains(stem, "*"):
		return "has a * that is not at its end; write the beginning of a name and one *"
	}
	return wrongProcess(stem)
}
