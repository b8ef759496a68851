package record

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/ryjen/dubnium/pkg/eventlog"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Head is what a list of events needs of one; Line is all of it, as it was
// written, and valid only during the call that gives it. Most of a line is
// evidence, of which a Head takes no notice.
type Head struct {
	Type       Type
	Timestamp  string
	ID         string
	BootID     string
	Requested  mode.Mode
	Prior      mode.State
	Final      mode.State
	Outcome    Outcome
	Success    bool
	ExitCode   exitcode.Code
	Reason     string
	DurationMS float64
	AskedBy    *Asker // nil where that is not known

	Line []byte
}

// Event decodes the whole event.
func (h Head) Event() (Event, error) {
	var ev Event
	err := json.Unmarshal(h.Line, &ev)
	return ev, err
}

// headKeys are the keys of a Head's fields, as parseHead takes them.
var headKeys = []string{
	"id", "type", "timestamp", "boot_id", "requested", "prior", "final", "outcome", "reason", "success", "exit_code", "duration_ms", "asked_by",
}

// parseHead reads a Head; a line without an id is none of ours.
func parseHead(line []byte) (Head, bool) {
	var v [13][]byte
	h := Head{Line: line}
	ok := eventlog.Object(line, headKeys, v[:]) &&
		word(v[0], &h.ID) && word(v[1], &h.Type) && word(v[2], &h.Timestamp) && word(v[3], &h.BootID) &&
		word(v[4], &h.Requested) && word(v[5], &h.Prior) && word(v[6], &h.Final) && word(v[7], &h.Outcome) &&
		word(v[8], &h.Reason) && truth(v[9], &h.Success) && whole(v[10], &h.ExitCode) && number(v[11], &h.DurationMS) &&
		asker(v[12], &h.AskedBy)
	return h, ok && h.ID != ""
}

// Sum is the part of an event that is counted.
type Sum struct {
	ID         string
	Type       Type
	Timestamp  string
	Requested  mode.Mode
	Prior      mode.State
	Outcome    Outcome
	DurationMS float64
	AskedBy    *Asker
	Guards     []SumGuard
	Actions    []SumAction
}

// SumGuard is a guard's answer without its message and evidence.
type SumGuard struct {
	Guard  string
	OK     bool
	Class  guard.Class
	Hard   bool
	Reason string
}

// SumAction is how long a step took.
type SumAction struct {
	Action     mode.Action
	Unit       string
	Status     Status
	DurationMS float64
}

// Keys of a Sum and its parts.
var (
	sumKeys    = []string{"id", "type", "timestamp", "requested", "prior", "outcome", "duration_ms", "asked_by", "guards", "actions"}
	guardKeys  = []string{"guard", "ok", "class", "hard", "reason"}
	actionKeys = []string{"action", "unit", "status", "duration_ms"}
	askerKeys  = []string{"uid", "login_uid", "user", "pid", "unit", "cut_off"}
)

// parseSum reads a Sum; a line without an id is none of ours.
func parseSum(line []byte) (Sum, bool) {
	var v [10][]byte
	s := Sum{}
	ok := eventlog.Object(line, sumKeys, v[:]) &&
		word(v[0], &s.ID) && word(v[1], &s.Type) && word(v[2], &s.Timestamp) && word(v[3], &s.Requested) &&
		word(v[4], &s.Prior) && word(v[5], &s.Outcome) && number(v[6], &s.DurationMS) &&
		asker(v[7], &s.AskedBy) && items(v[8], &s.Guards, parseGuard) && items(v[9], &s.Actions, parseAction)
	return s, ok && s.ID != ""
}

func parseGuard(item []byte) (g SumGuard, ok bool) {
	var v [5][]byte
	ok = eventlog.Object(item, guardKeys, v[:]) &&
		word(v[0], &g.Guard) && truth(v[1], &g.OK) && word(v[2], &g.Class) && truth(v[3], &g.Hard) && word(v[4], &g.Reason)
	return g, ok
}

func parseAction(item []byte) (a SumAction, ok bool) {
	var v [4][]byte
	ok = eventlog.Object(item, actionKeys, v[:]) &&
		word(v[0], &a.Action) && word(v[1], &a.Unit) && word(v[2], &a.Status) && number(v[3], &a.DurationMS)
	return a, ok
}

// asker sets who asked from its JSON text, and tells whether that is one.
func asker(raw []byte, to **Asker) bool {
	if absent(raw) {
		return true
	}
	var v [6][]byte
	a := &Asker{}
	*to = a
	return eventlog.Object(raw, askerKeys, v[:]) &&
		whole(v[0], &a.UID) && whole(v[1], &a.LoginUID) && word(v[2], &a.User) && whole(v[3], &a.PID) && word(v[4], &a.Unit) && truth(v[5], &a.CutOff)
}

// absent tells whether a value leaves its field as it is, as encoding/json has
// it.
func absent(raw []byte) bool { return raw == nil || string(raw) == "null" }

// word sets a string from its JSON text, and tells whether that is one.
func word[T ~string](raw []byte, to *T) bool {
	if absent(raw) {
		return true
	}
	if raw[0] != '"' {
		return false
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		*to = T(inner)
		return true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	*to = T(s)
	return err == nil
}

func truth(raw []byte, to *bool) bool {
	*to = string(raw) == "true"
	return *to || absent(raw) || string(raw) == "false"
}

func number(raw []byte, to *float64) bool {
	if absent(raw) {
		return true
	}
	var err error
	*to, err = strconv.ParseFloat(string(raw), 64)
	return err == nil
}

func whole[T ~int](raw []byte, to *T) bool {
	if absent(raw) {
		return true
	}
	n, err := strconv.Atoi(string(raw))
	*to = T(n)
	return err == nil
}

// items sets a list from its JSON text, and tells whether that is one whose
// items are all right.
func items[T any](raw []byte, to *[]T, parse func([]byte) (T, bool)) bool {
	return absent(raw) || eventlog.Array(raw, func(item []byte) bool {
		v, ok := parse(item)
		*to = append(*to, v)
		return ok
	})
}
