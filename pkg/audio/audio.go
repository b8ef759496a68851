// Package audio looks whether sound is being played or recorded: at the
// substreams of ALSA, at the streams of PipeWire and PulseAudio, at JACK and at
// programs that people make music with.
//
// Looking and judging are apart. [Look] gathers a [Snapshot] within a deadline
// and never starts, wakes or changes anything. [Judge] turns a snapshot into
// findings, and reads nothing.
//
// The streams are asked for over the native protocol of PulseAudio, which
// pipewire-pulse speaks too, and which shows the streams of PipeWire's own
// clients. The state of a device or node alone says little: the node of a JACK
// client runs from its start to its end, a muted stream keeps its device
// running, and a level meter does so with a microphone.
package audio

import (
	"errors"
	"fmt"
	"time"
)

// Direction is the way that sound goes.
type Direction string

// The directions.
const (
	Playback Direction = "playback" // out of the machine
	Capture  Direction = "capture"  // into it
)

// Options say how to look.
type Options struct {
	// ServerTimeout bounds the conversation with one audio server.
	ServerTimeout time.Duration
	// Workstations names the programs to look for besides audio servers, by
	// /proc/PID/comm; a "*" at the end of a name stands for anything.
	Workstations []string
}

// DefaultServerTimeout bounds the conversation with a server where the options
// do not.
const DefaultServerTimeout = 2 * time.Second

// Snapshot is one look at the machine.
type Snapshot struct {
	Sound   Sound
	Servers []Server
	// Workstations are the programs of Options.Workstations that run.
	Workstations []Process
	// Foreign are audio servers of containers, which nobody here can ask. What
	// they play on this machine's hardware shows among its substreams.
	Foreign []Process
	// Problems are the sources that could not be read. What they would have
	// told is unknown, never nothing.
	Problems []*SourceError
	Took     time.Duration
}

// Process is a program that has to do with audio.
type Process struct {
	PID  int
	Comm string // as in /proc/PID/comm, without the dressing of NixOS
	UID  int
	User string // the login name, "" where it is not known
}

// Owner names the user of the process, for messages.
func (p Process) Owner() string { return ownerName(p.User, p.UID) }

// String names the process, for messages.
func (p Process) String() string {
	if p.Comm == "" {
		return fmt.Sprintf("pid %d", p.PID)
	}
	return fmt.Sprintf("%s (pid %d)", p.Comm, p.PID)
}

func ownerName(user string, uid int) string {
	if user != "" {
		return user
	}
	return fmt.Sprintf("uid %d", uid)
}

// ServerKind is what an audio server is.
type ServerKind string

// The kinds of servers.
const (
	Pulse ServerKind = "pulse" // PulseAudio, or PipeWire seen through pipewire-pulse
	Jack  ServerKind = "jack"  // jackd or jackdbus, without PipeWire
)

// Server is an audio server and what it told.
type Server struct {
	Process
	Kind ServerKind
	// Graph is what a server of the kind Pulse told, nil when it told nothing.
	Graph *Graph
	// Clients are those of a server of the kind Jack, by name.
	Clients []string
	Took    time.Duration
}

// Trouble is the kind of a reason for which a source could not be read.
type Trouble string

// The troubles.
const (
	Unreadable Trouble = "unreadable" // a file, or a source that is no server
	Hidden     Trouble = "hidden"     // the process may not see it: ProtectHome=, ProcSubset=, hidepid
	Timeout    Trouble = "timeout"    // the server did not answer in time
	Refused    Trouble = "refused"    // the server, or the way to it, let nobody in
	Garbled    Trouble = "garbled"    // the server does not keep the protocol
	Stranger   Trouble = "stranger"   // somebody else answers at the socket
	Deaf       Trouble = "deaf"       // the server runs without the part that can be asked
)

// SourceError says which source could not be read, and why.
type SourceError struct {
	Trouble Trouble
	// Source is a path, or a server's name and its user.
	Source string
	Err    error
}

// Error says what was tried on what, and why it did not work.
func (e *SourceError) Error() string { return fmt.Sprintf("ask %s: %v", e.Source, e.Err) }

// Unwrap gives the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// sourceError wraps err, unless it is a SourceError itself.
func sourceError(trouble Trouble, source string, err error) *SourceError {
	var e *SourceError
	if errors.As(err, &e) {
		return e
	}
	return &SourceError{trouble, source, err}
}
