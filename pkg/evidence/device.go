package evidence

// GPU is who holds graphics cards.
type GPU struct {
	// Cards counts those that the PCI bus has.
	Cards int   `json:"cards"`
	Scope Scope `json:"scope"`
	// Holders are those found within the scope, ordered by pid.
	Holders []Holder `json:"holders,omitempty"`
}

// Scope says whose processes were looked at for holders of a card.
type Scope string

// Everybody is people, the login path, the compute workload and logind: looked
// at while compute.target is up, when nobody of a desktop should hold a card.
// LeftBehind is what has outlived its session, its user's last one or its
// display manager, which should hold none in any mode. The living are left out
// then: a desktop holds its card by right, and has ten thousand descriptors.
const (
	Everybody  Scope = "everybody"
	LeftBehind Scope = "left-behind"
)

// Holder is a process that holds a graphics card.
type Holder struct {
	PID     int    `json:"pid"`
	Comm    string `json:"comm"`
	UID     int    `json:"uid"`
	Class   string `json:"class"`             // as pkg/gpu/holders classifies
	Place   string `json:"place"`             // session, unit or cgroup
	Session string `json:"session,omitempty"` // id of the session in whose scope it is
	Devices string `json:"devices"`
	// Display tells that it is of a desktop: a compositor, a session, a login
	// screen or the login path.
	Display bool `json:"display"`
	// Elsewhere tells that it holds nothing but cards of other makers, one of
	// which has the display (hardware.displayGpu is absent).
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Outlived says what the process has outlived: a session that is gone or
	// closing, its user's last session at a seat, a display manager that is
	// stopped. It is "" for one that is where it belongs.
	Outlived string `json:"outlived,omitempty"`
}

// Audio is what the machine plays and records. It comes from one look: between
// two songs a player is silent, so Idle is no promise. check_audio_idle, which
// makes one, looks twice.
type Audio struct {
	Activity Activity `json:"activity"`
	// Sounds are who plays or records, the most telling first.
	Sounds []Sound `json:"sounds,omitempty"`
	// LeftOut counts the sounds beyond those that are told.
	LeftOut int `json:"left_out,omitempty"`
	Cards   int `json:"cards"`
	// Servers counts the audio servers that run.
	Servers int `json:"servers"`
}

// Activity is the most telling of what goes on.
type Activity string

// The activities. Playing includes sound whose direction nobody tells: of JACK
// clients, and of devices that run without a stream. Open is a program in which
// people make music, and which is silent. Unknown is silence where a source
// could not be read.
const (
	Recording    Activity = "recording"
	Playing      Activity = "playing"
	Open         Activity = "workstation-open"
	Idle         Activity = "idle"
	AudioUnknown Activity = "unknown"
)

// Sound is one program that plays, records or is open for it.
type Sound struct {
	Kind    string `json:"kind"` // as pkg/audio has it
	Message string `json:"message"`
	Program string `json:"program,omitempty"`
	PID     int    `json:"pid,omitempty"`
	User    string `json:"user,omitempty"`
	Device  string `json:"device,omitempty"`
}
