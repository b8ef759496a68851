package systemd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/bus"
)

const (
	dest         = "org.freedesktop.systemd1"
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
	unitIface    = "org.freedesktop.systemd1.Unit"
)

// Query reads units and the manager's state in two round trips that other
// questions can share: send Calls in one batch, then Follow in the next, then
// take Result.
type Query struct {
	names  []string
	detail []string

	list, manager *bus.Call
	fallback      []*bus.Call // of names, when the list was refused
	unitProps     []*bus.Call // of detail
	typeProps     []*bus.Call // of detail; nil where the type has none of interest
}

// NewQuery asks for units by name, and for the Detail of those in detail.
func NewQuery(units []string, detail ...string) *Query {
	names := slices.Clone(units)
	for _, name := range detail {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return &Query{
		names: names, detail: detail,
		list:    &bus.Call{Dest: dest, Path: managerPath, Method: managerIface + ".ListUnitsByNames", Args: []any{names}},
		manager: bus.GetAll(dest, managerPath, managerIface),
	}
}

// Calls are the questions of the first batch.
func (q *Query) Calls() []*bus.Call { return []*bus.Call{q.list, q.manager} }

// Follow are the questions of the second batch: the details asked for. Should
// the manager not know, or not allow, the call that lists units by name, each
// unit is asked for by itself.
func (q *Query) Follow() []*bus.Call {
	var calls []*bus.Call
	q.fallback, q.unitProps, q.typeProps = nil, nil, nil
	if bus.IsUnknownMethod(q.list.Err) || bus.IsAccessDenied(q.list.Err) {
		for _, name := range q.names {
			q.fallback = append(q.fallback, bus.GetAll(dest, UnitPath(name), unitIface))
		}
		calls = append(calls, q.fallback...)
	}
	for _, name := range q.detail {
		// All that is wanted of a slice is in its own interface, and the other
		// one costs systemd milliseconds, since it lists every dependency.
		var unit, typed *bus.Call
		if !strings.HasSuffix(name, ".slice") {
			unit = bus.GetAll(dest, UnitPath(name), unitIface)
			calls = append(calls, unit)
		}
		q.unitProps = append(q.unitProps, unit)
		if iface := typeIface(name); iface != "" {
			typed = bus.GetAll(dest, UnitPath(name), iface)
			calls = append(calls, typed)
		}
		q.typeProps = append(q.typeProps, typed)
	}
	return calls
}

// Result is what the two batches brought. The error says that units, or the
// details of some, could not be looked at; State then holds the others. Details
// that were never asked for, since Follow was left out, are such an error.
func (q *Query) Result() (State, error) {
	var s State
	var errs []error
	if q.fallback != nil {
		s.Units, s.Problems, errs = q.oneByOne()
	} else if q.list.Err != nil {
		errs = append(errs, fmt.Errorf("list the units: %w", q.list.Err))
	} else {
		var err error
		if s.Units, err = parseUnits(q.names, q.list.Body); err != nil {
			errs = append(errs, err)
		}
	}
	for i, name := range q.detail {
		if i >= len(q.unitProps) {
			errs = append(errs, fmt.Errorf("read unit %s: nobody asked for its details", name))
			continue
		}
		at := slices.IndexFunc(s.Units, func(u Unit) bool { return u.Asked == name })
		if at < 0 {
			continue // already an error
		}
		detail, problems, err := readDetail(name, q.unitProps[i], q.typeProps[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("read unit %s: %w", name, err))
			continue
		}
		s.Units[at].Detail = detail
		s.Problems = append(s.Problems, problems...)
	}
	q.readManager(&s)
	return s, errors.Join(errs...)
}

func (q *Query) readManager(s *State) {
	values, err := q.manager.Props()
	if err != nil {
		s.ManagerErr = fmt.Errorf("read the manager's properties: %w", err)
		return
	}
	p := bus.NewProps("the manager", values)
	s.SystemState = bus.Essential[string](p, "SystemState")
	s.Version = bus.Value[string](p, "Version")
	s.FinishMonoUsec = bus.Value[uint64](p, "FinishTimestampMonotonic")
	s.Jobs = bus.Value[uint32](p, "NJobs")
	s.FailedUnits = bus.Value[uint32](p, "NFailedUnits")
	s.ManagerErr = errors.Join(p.Problems()...)
}

func (q *Query) oneByOne() (units []Unit, problems, errs []error) {
	for i, name := range q.names {
		values, err := q.fallback[i].Props()
		switch {
		case bus.IsUnknownObject(err):
			units = append(units, Unit{Asked: name, Name: name, LoadState: "not-found", ActiveState: ActiveStateInactive, SubState: "dead"})
		case err != nil:
			errs = append(errs, fmt.Errorf("read unit %s: %w", name, err))
		default:
			p := bus.NewProps("unit "+name, values)
			u := decodeUnit(name, p)
			units, problems = append(units, u), append(problems, p.Problems()...)
		}
	}
	return units, problems, errs
}

// parseUnits reads the answer of ListUnitsByNames, a(ssssssouso): one row a
// name, in the order asked, under the unit's primary name.
func parseUnits(names []string, body []any) ([]Unit, error) {
	var table [][]any
	if len(body) == 1 {
		table, _ = body[0].([][]any)
	}
	if len(table) != len(names) {
		return nil, fmt.Errorf("list the units: %d rows came back for %d names", len(table), len(names))
	}
	var units []Unit
	var errs []error
	for i, cells := range table {
		u := Unit{Asked: names[i]}
		ok := len(cells) >= 9
		for column, field := range []*string{&u.Name, &u.Description, &u.LoadState, &u.ActiveState, &u.SubState} {
			if ok {
				*field, ok = cells[column].(string)
			}
		}
		if ok {
			u.Job.ID, ok = cells[7].(uint32)
		}
		if ok {
			u.Job.Type, ok = cells[8].(string)
		}
		if !ok {
			errs = append(errs, fmt.Errorf("list the units: the row of %s is not what it should be: %v", names[i], cells))
			continue
		}
		units = append(units, u)
	}
	return units, errors.Join(errs...)
}

// Decode reads a unit with its Detail from the properties of all of its
// interfaces. What had a type nobody expected is told beside it.
func Decode(asked string, values map[string]dbus.Variant) (Unit, []error) {
	p := bus.NewProps("unit "+asked, values)
	u := decodeUnit(asked, p)
	u.Detail = decodeDetail(p)
	return u, p.Problems()
}

// decodeUnit reads the head of a unit from its Unit interface.
func decodeUnit(asked string, p *bus.Props) Unit {
	return Unit{
		Asked:       asked,
		Name:        bus.Essential[string](p, "Id"),
		Description: bus.Value[string](p, "Description"),
		LoadState:   bus.Essential[string](p, "LoadState"),
		ActiveState: bus.Essential[string](p, "ActiveState"),
		SubState:    bus.Value[string](p, "SubState"),
		Job:         Job{ID: bus.First[uint32](p, "Job")},
	}
}

func readDetail(name string, calls ...*bus.Call) (Detail, []error, error) {
	all := map[string]dbus.Variant{}
	for _, call := range calls {
		if call == nil {
			continue
		}
		values, err := call.Props()
		if err != nil {
			return Detail{}, nil, err
		}
		maps.Copy(all, values)
	}
	p := bus.NewProps("unit "+name, all)
	return decodeDetail(p), p.Problems(), nil
}

// decodeDetail reads a unit's details from the properties of its interfaces,
// thrown together.
func decodeDetail(p *bus.Props) Detail {
	return Detail{
		Known:               true,
		MainPID:             bus.Value[uint32](p, "MainPID"),
		ControlGroup:        bus.Value[string](p, "ControlGroup"),
		Result:              bus.Value[string](p, "Result"),
		ExecMainStatus:      bus.Value[int32](p, "ExecMainStatus"),
		ExecMainCode:        bus.Value[int32](p, "ExecMainCode"),
		NRestarts:           bus.Value[uint32](p, "NRestarts"),
		InvocationID:        invocation(bus.Value[[]byte](p, "InvocationID")),
		FragmentPath:        bus.Value[string](p, "FragmentPath"),
		ConditionResult:     bus.Value[bool](p, "ConditionResult"),
		StateChangeMonoUsec: bus.Value[uint64](p, "StateChangeTimestampMonotonic"),
		CPUWeight:           setting(p, "CPUWeight"),
		IOWeight:            setting(p, "IOWeight"),
		MemoryHigh:          setting(p, "MemoryHigh"),
	}
}

func setting(p *bus.Props, name string) Setting {
	v, known := bus.Lookup[uint64](p, name)
	if !known || v == unset {
		return Setting{}
	}
	return Setting{Value: v, Set: true}
}

// invocation spells an invocation ID; one that is all zero is none.
func invocation(id []byte) string {
	if s := hex.EncodeToString(id); strings.Trim(s, "0") != "" {
		return s
	}
	return ""
}

// typeIface is the interface with the properties that are peculiar to a type
// of unit; empty for a type of which nothing more is read.
func typeIface(unit string) string {
	for suffix, iface := range map[string]string{
		".service": "Service", ".slice": "Slice", ".scope": "Scope",
	} {
		if strings.HasSuffix(unit, suffix) {
			return dest + "." + iface
		}
	}
	return ""
}

// UnitPath is the D-Bus object of a unit. Asking it loads the unit if need be,
// and an alias leads to the unit that it stands for.
func UnitPath(unit string) dbus.ObjectPath {
	var b strings.Builder
	b.WriteString(managerPath + "/unit/")
	if unit == "" {
		b.WriteByte('_')
	}
	for i, c := range []byte(unit) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if letter || (c >= '0' && c <= '9' && i > 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return dbus.ObjectPath(b.String())
}
