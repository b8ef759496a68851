// Package audio boots a machine on which PipeWire, WirePlumber and
// pipewire-pulse, and by hand PulseAudio, run for real as a user's services,
// and holds the audio guard to what it promises about them.
//
// There is no sound card: a sink and a source of PipeWire that lead nowhere
// play and record in real time. What ALSA says of a card is in
// files/snd-dummy.bash, for a machine with a kernel of its own.
package audio

import (
	_ "embed"
	"encoding/binary"
	"math"
)

// SndDummy is a script for a machine with the module snd-dummy: it plays and
// records on a card past all servers, and holds check_audio_idle to it.
//
//go:embed files/snd-dummy.bash
var SndDummy string

// devices gives PipeWire a sink and a source that lead nowhere. Modules that a
// client loads would go with pipewire-pulse when it restarts.
const devices = `context.objects = [
  { factory = adapter args = { factory.name = support.null-audio-sink node.name = speakers node.description = Speakers media.class = Audio/Sink object.linger = true audio.position = [ FL FR ] } }
  { factory = adapter args = { factory.name = support.null-audio-sink node.name = microphone node.description = Microphone media.class = Audio/Source/Virtual object.linger = true audio.position = [ MONO ] } }
]
`

// tone is a WAV file of a 440 Hz tone, in 16 bits and two channels.
func tone(seconds int) string {
	const rate = 48000
	frames := rate * seconds
	data := make([]byte, 0, 4*frames)
	for i := range frames {
		v := uint16(int16(6000 * math.Sin(2*math.Pi*440*float64(i)/rate)))
		data = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(data, v), v)
	}
	le := binary.LittleEndian
	head := append([]byte("RIFF"), le.AppendUint32(nil, uint32(36+len(data)))...)
	head = append(head, "WAVEfmt "...)
	head = le.AppendUint32(head, 16)
	head = le.AppendUint16(le.AppendUint16(head, 1), 2)
	head = le.AppendUint32(le.AppendUint32(head, rate), 4*rate)
	head = le.AppendUint16(le.AppendUint16(head, 4), 16)
	head = le.AppendUint32(append(head, "data"...), uint32(len(data)))
	return string(append(head, data...))
}
