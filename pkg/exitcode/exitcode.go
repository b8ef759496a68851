// Package exitcode is the exit-code contract of every Dubnium binary.
//
// The codes fall into bands, so that a caller that knows only the band acts
// rightly: 0 is success, 10 to 19 a policy block, 20 to 29 a check that could
// not be carried out, 30 to 32 misuse or a fault of ours, 40 to 45 the outcome
// of a transition. No binary exits 1 or 2 on a path that we wrote: those mean
// a fault outside this contract (the Go runtime, a shell).
package exitcode

import "fmt"

// Code is a process exit status of a Dubnium binary.
type Code int

// The exit codes. A guard's inspection error is its block code plus ten.
const (
	OK Code = 0 // pass, converged, done

	AudioActive         Code = 10 // audio is playing or being recorded
	DisplayGPUOwned     Code = 11 // the display GPU is still owned
	CPULoadHigh         Code = 12 // the CPU load is too high
	UserJobsActive      Code = 13 // user jobs are active
	MemoryLow           Code = 14 // too little memory headroom
	VLLMNotDrainable    Code = 15 // vLLM is not drainable
	GraphicalAbsent     Code = 16 // no graphical session, but one is required
	GraphicalPresent    Code = 17 // a graphical session is present, but forbidden or not terminable
	TargetUnreachable   Code = 18 // the target is unreachable, invalid, or its paths are not ready
	CapabilityNotPlaced Code = 19 // the capability is not placed on this machine

	Inspection Code = 20 // the check could not be carried out (first of 20-29)

	Usage    Code = 30 // bad usage: unknown flag, missing argument, unknown mode
	Config   Code = 31 // bad configuration
	Internal Code = 32 // internal fault: a recovered panic, an impossible state

	RolledBack   Code = 40 // an action failed; the prior mode was restored and verified
	Failed       Code = 41 // no stable contract could be verified
	Degraded     Code = 42 // usable, but not all guarantees are met
	TimedOut     Code = 43 // the bound on time ran out; the prior mode was restored
	Locked       Code = 44 // another transition holds the lock
	NotPermitted Code = 45 // needs root, or the operators' group through polkit
)

// Band is a class of exit codes that a caller may act on without knowing the
// single code.
type Band string

// The bands. BandOutside holds every status that the contract does not know:
// 1 and 2 of the Go runtime and of shells, 127, 128+signal.
const (
	BandPass       Band = "pass"
	BandBlock      Band = "block"
	BandError      Band = "error"
	BandMisuse     Band = "misuse"
	BandTransition Band = "transition"
	BandOutside    Band = "outside"
)

// Band tells which band c falls into.
func (c Code) Band() Band {
	switch {
	case c == OK:
		return BandPass
	case c >= 10 && c <= 19:
		return BandBlock
	case c >= 20 && c <= 29:
		return BandError
	case c >= Usage && c <= Internal:
		return BandMisuse
	case c >= RolledBack && c <= NotPermitted:
		return BandTransition
	default:
		return BandOutside
	}
}

// InspectionOf returns the code with which a guard whose block code is c says
// that it could not look: 20 plus the last digit of c.
func (c Code) InspectionOf() Code {
	return Inspection + c%10
}

// Entry is one row of the documented table.
type Entry struct {
	Code    Code
	Meaning string
}

// Table lists every single code with its meaning, in order; the inspection
// band is one row, that of its first code.
func Table() []Entry {
	return []Entry{
		{OK, "pass, converged, done"},
		{AudioActive, "blocked: audio active"},
		{DisplayGPUOwned, "blocked: display GPU still owned"},
		{CPULoadHigh, "blocked: CPU load too high"},
		{UserJobsActive, "blocked: user jobs active"},
		{MemoryLow, "blocked: too little memory headroom"},
		{VLLMNotDrainable, "blocked: vLLM not drainable"},
		{GraphicalAbsent, "blocked: graphical session absent, but required"},
		{GraphicalPresent, "blocked: graphical session present, but forbidden or not terminable"},
		{TargetUnreachable, "blocked: target unreachable, invalid, or its paths are not ready"},
		{CapabilityNotPlaced, "blocked: the capability is not placed on this machine"},
		{Inspection, "the check could not be carried out (20 plus the last digit of the guard's block code)"},
		{Usage, "bad usage: unknown flag, missing argument, unknown mode"},
		{Config, "bad configuration: file, line, key, and what would be right"},
		{Internal, "internal fault: a bug of ours"},
		{RolledBack, "an action failed; the machine is back in its prior mode, verified by observation"},
		{Failed, "failed transition: no stable contract could be verified"},
		{Degraded, "degraded: the target is usable but does not meet all of its guarantees"},
		{TimedOut, "the bound on time ran out, and the prior mode was restored"},
		{Locked, "another transition holds the lock"},
		{NotPermitted, "not permitted: needs root, or the operators' group through polkit"},
	}
}

// Meaning says what c means, for people.
func (c Code) Meaning() string {
	for _, e := range Table() {
		if e.Code == c {
			return e.Meaning
		}
	}
	if c.Band() == BandError {
		return "the check could not be carried out"
	}
	return fmt.Sprintf("exit status %d, outside the contract", int(c))
}

// Coder is an error that knows the exit code it should end the process with.
type Coder interface {
	error
	ExitCode() Code
}

// Error is an error with an exit code.
type Error struct {
	Code Code
	Err  error
}

// Errorf makes an error that ends the process with code.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// With gives err the exit code code; a nil err stays nil.
func With(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err}
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the wrapped error to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode implements Coder.
func (e *Error) ExitCode() Code { return e.Code }
