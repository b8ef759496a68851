package login

import (
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/bus"
)

const (
	dest         = "org.freedesktop.login1"
	managerPath  = "/org/freedesktop/login1"
	managerIface = "org.freedesktop.login1.Manager"
	sessionIface = "org.freedesktop.login1.Session"
)

// Query reads logind's state in two round trips that other questions can
// share: send Calls in one batch, then Follow in the next, then take Result.
type Query struct {
	sessions, inhibitors, manager *bus.Call

	rows    []row
	details []*bus.Call // of rows, in order
}

// row is a session as ListSessions gives it.
type row struct {
	id         string
	uid        uint32
	user, seat string
	path       dbus.ObjectPath
}

// NewQuery makes a query that was not sent yet.
func NewQuery() *Query {
	call := func(member string) *bus.Call {
		return &bus.Call{Dest: dest, Path: managerPath, Method: managerIface + "." + member}
	}
	return &Query{
		sessions:   call("ListSessions"),
		inhibitors: call("ListInhibitors"),
		manager:    bus.GetAll(dest, managerPath, managerIface),
	}
}

// Calls are the questions of the first batch.
func (q *Query) Calls() []*bus.Call {
	return []*bus.Call{q.sessions, q.inhibitors, q.manager}
}

// Follow are the questions of the second batch, one a session that the first
// one found. It is empty when there is none.
func (q *Query) Follow() []*bus.Call {
	q.rows, q.details = nil, nil
	rows, _ := parseSessions(q.sessions.Body)
	for _, r := range rows {
		q.rows = append(q.rows, r)
		q.details = append(q.details, bus.GetAll(dest, r.path, sessionIface))
	}
	return q.details
}

// Result is what the two batches brought. The error says that the sessions, or
// some of them, could not be looked at; State then holds the others. Sessions
// that were listed and never asked for, since Follow was left out, are such an
// error.
func (q *Query) Result() (State, error) {
	var s State
	var errs []error
	if q.sessions.Err != nil {
		errs = append(errs, fmt.Errorf("list the sessions: %w", q.sessions.Err))
	} else if rows, err := parseSessions(q.sessions.Body); err != nil {
		errs = append(errs, err)
	} else if len(rows) != len(q.rows) {
		errs = append(errs, fmt.Errorf("read the sessions: nobody asked for the details of %d of them", len(rows)-len(q.rows)))
	}
	for i, r := range q.rows {
		values, err := q.details[i].Props()
		switch {
		case bus.IsUnknownObject(err): // it ended between the two batches
		case err != nil:
			errs = append(errs, fmt.Errorf("read session %s: %w", r.id, err))
		default:
			session, problems := decodeSession(r, values)
			s.Sessions = append(s.Sessions, session)
			s.Problems = append(s.Problems, problems...)
		}
	}
	s.Inhibitors, s.InhibitorsErr = q.readInhibitors()
	values, err := q.manager.Props()
	if err != nil {
		s.ManagerErr = fmt.Errorf("read logind's properties: %w", err)
	} else {
		p := bus.NewProps("logind", values)
		s.PreparingForShutdown = bus.Value[bool](p, "PreparingForShutdown")
		s.PreparingForSleep = bus.Value[bool](p, "PreparingForSleep")
		s.ManagerErr = errors.Join(p.Problems()...)
	}
	return s, errors.Join(errs...)
}

func (q *Query) readInhibitors() ([]Inhibitor, error) {
	if q.inhibitors.Err != nil {
		return nil, fmt.Errorf("list the inhibitors: %w", q.inhibitors.Err)
	}
	return parseInhibitors(q.inhibitors.Body)
}

// parseSessions reads the answer of ListSessions, a(susso). Rows may have more
// columns than that; one that has others is an error, and the rest is kept.
func parseSessions(body []any) ([]row, error) {
	table, err := rowsOf(body, "the list of sessions")
	if err != nil {
		return nil, err
	}
	var rows []row
	var errs []error
	for _, cells := range table {
		var r row
		if err := take(cells, &r.id, &r.uid, &r.user, &r.seat, &r.path); err != nil {
			errs = append(errs, fmt.Errorf("read a row of the list of sessions: %w", err))
			continue
		}
		rows = append(rows, r)
	}
	return rows, errors.Join(errs...)
}

// parseInhibitors reads the answer of ListInhibitors, a(ssssuu).
func parseInhibitors(body []any) ([]Inhibitor, error) {
	table, err := rowsOf(body, "the list of inhibitors")
	if err != nil {
		return nil, err
	}
	var list []Inhibitor
	var errs []error
	for _, cells := range table {
		var i Inhibitor
		var what string
		if err := take(cells, &what, &i.Who, &i.Why, &i.Mode, &i.UID, &i.PID); err != nil {
			errs = append(errs, fmt.Errorf("read a row of the list of inhibitors: %w", err))
			continue
		}
		i.What = strings.FieldsFunc(what, func(r rune) bool { return r == ':' })
		list = append(list, i)
	}
	return list, errors.Join(errs...)
}

func decodeSession(r row, values map[string]dbus.Variant) (Session, []error) {
	p := bus.NewProps("session "+r.id, values)
	s := Session{
		ID: r.id, UID: r.uid, User: r.user, Seat: r.seat, Path: string(r.path),

		VT:      bus.Value[uint32](p, "VTNr"),
		Type:    bus.Essential[string](p, "Type"),
		Class:   bus.Essential[string](p, "Class"),
		State:   bus.Essential[string](p, "State"),
		Active:  bus.Value[bool](p, "Active"),
		Remote:  bus.Value[bool](p, "Remote"),
		Leader:  bus.Value[uint32](p, "Leader"),
		Scope:   bus.Value[string](p, "Scope"),
		Service: bus.Value[string](p, "Service"),
		Desktop: bus.Value[string](p, "Desktop"),
		TTY:     bus.Value[string](p, "TTY"),
		Display: bus.Value[string](p, "Display"),
		Locked:  bus.Value[bool](p, "LockedHint"),
		Idle:    bus.Value[bool](p, "IdleHint"),

		IdleSinceUsec:          bus.Value[uint64](p, "IdleSinceHint"),
		IdleSinceMonotonicUsec: bus.Value[uint64](p, "IdleSinceHintMonotonic"),
	}
	return s, p.Problems()
}

// rowsOf takes the array of structures that is the whole of an answer.
func rowsOf(body []any, what string) ([][]any, error) {
	if len(body) == 1 {
		if table, ok := body[0].([][]any); ok {
			return table, nil
		}
	}
	return nil, fmt.Errorf("%s is no table but %T", what, body)
}

// take copies the first cells of a row into fields of the right types.
func take(cells []any, fields ...any) error {
	if len(cells) < len(fields) {
		return fmt.Errorf("%d columns, where at least %d were expected", len(cells), len(fields))
	}
	for i, field := range fields {
		ok := false
		switch f := field.(type) {
		case *string:
			*f, ok = cells[i].(string)
		case *uint32:
			*f, ok = cells[i].(uint32)
		case *dbus.ObjectPath:
			*f, ok = cells[i].(dbus.ObjectPath)
		}
		if !ok {
			return fmt.Errorf("column %d is %T, which is not the type it should have", i, cells[i])
		}
	}
	return nil
}
