package record

import (
	"strconv"
	"strings"
)

// Asker is who asked for a transition, as the kernel told it while it was asked
// for (see the package caller).
type Asker struct {
	UID      int    `json:"uid" doc:"the user of the process that asked"`
	LoginUID int    `json:"login_uid" doc:"who had logged in, before any sudo; -1 where the kernel doesn't say"`
	User     string `json:"user" doc:"the name of the latter, or of the former"`
	PID      int    `json:"pid" doc:"the process"`
	Unit     string `json:"unit,omitempty" doc:"the service that it was part of, or the scope of its session"`
	CutOff   bool   `json:"cut_off,omitempty" doc:"it let requests be cut off that vLLM was at"`
}

// What a transition was asked for by.
const (
	ByIdle     = "idle"     // mode-idle.service
	ByOperator = "operator" // a person, or a program of theirs
	ByUnit     = "unit"     // whatever started the unit: who that was is not known
)

// IdleUnit is the service that asks for compute while nobody is there.
const IdleUnit = "mode-idle.service"

// Trigger is what kind of asker it is; nil is one that is not known.
func (a *Asker) Trigger() string {
	switch {
	case a == nil:
		return ByUnit
	case a.UID == 0 && a.Unit == IdleUnit:
		return ByIdle
	default:
		return ByOperator
	}
}

// Nobody stands for an asker who is not known, in [Asker.Is].
const Nobody = "unknown"

// Is tells whether name means the asker: a user's name, or uid before any sudo,
// a unit, a service also without its suffix, and Nobody one that is not known.
func (a *Asker) Is(name string) bool {
	if a == nil {
		return name == Nobody
	}
	uid := a.LoginUID
	if uid < 0 {
		uid = a.UID
	}
	return name == a.User || name == strconv.Itoa(uid) || a.Unit != "" && (name == a.Unit || name == strings.TrimSuffix(a.Unit, ".service"))
}

// Question is what a transition left to a person: it ended without an answer,
// and a request can bring one.
type Question struct {
	About   string `json:"about" doc:"drain: may requests be cut off that vLLM is still at when vllm.drainTimeout is over?"`
	Unit    string `json:"unit" doc:"vLLM's unit"`
	Running int    `json:"running" doc:"requests being answered"`
	Waiting int    `json:"waiting" doc:"requests queued"`
	Yes     string `json:"yes" doc:"the command that cuts them off"`
}

// AboutDrain is what a question is about.
const AboutDrain = "drain"
