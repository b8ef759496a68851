package hosts

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"testing"

	sysd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

const (
	systemd1     = "org.freedesktop.systemd1"
	systemd1Path = "/org/freedesktop/systemd1"
	noJob        = "/"
	infinity     = "18446744073709551615"
)

// Systemd is the machine's system manager. A unit that the archive does not
// name is not found; of one that it names, what it does not give is filled in.
type Systemd struct {
	service
	manager map[string]dbus.Variant
	units   map[string]*unit
	aliases map[string]string
	jobs    uint32

	outcomes map[string][]Outcome // by "verb unit"
	after    map[string]func()    // by "verb unit"
}

// systemdFile is dbus/systemd1.json.
type systemdFile struct {
	Manager Props             `json:"manager"`
	Units   map[string]Props  `json:"units"`
	Aliases map[string]string `json:"aliases"`
}

type unit struct {
	name  string
	props Props
	job   uint32
	verb  string // of the job
}

var unitSchema = map[string]string{
	"Id": "s", "Description": "s", "LoadState": "s", "ActiveState": "s", "SubState": "s",
	"FragmentPath": "s", "InvocationID": "ay", "StateChangeTimestampMonotonic": "t",
	"ConditionResult": "b", "NeedDaemonReload": "b", "CanStart": "b", "Following": "s",
}

var cgroupSchema = map[string]string{
	"ControlGroup": "s", "Slice": "s", "CPUWeight": "t", "IOWeight": "t",
	"MemoryHigh": "t", "MemoryMax": "t", "MemoryCurrent": "t",
}

var serviceSchema = map[string]string{
	"Type": "s", "Restart": "s", "MainPID": "u", "Result": "s", "ExecMainStatus": "i",
	"ExecMainCode": "i", "ExecMainPID": "u", "NRestarts": "u", "StatusText": "s",
}

var systemdManagerSchema = map[string]string{
	"Version": "s", "SystemState": "s", "FinishTimestampMonotonic": "t", "NJobs": "u",
	"NFailedUnits": "u", "NNames": "u", "Architecture": "s", "Tainted": "s",
}

// ifaces gives the interfaces of a unit with their properties.
func ifaces(name string) map[string]map[string]string {
	all := map[string]map[string]string{systemd1 + ".Unit": unitSchema}
	switch path.Ext(name) {
	case ".service":
		all[systemd1+".Service"] = merge(cgroupSchema, serviceSchema)
	case ".slice":
		all[systemd1+".Slice"] = cgroupSchema
	case ".scope":
		all[systemd1+".Scope"] = cgroupSchema
	case ".target":
		all[systemd1+".Target"] = map[string]string{}
	}
	return all
}

func merge(schemas ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, s := range schemas {
		for k, v := range s {
			out[k] = v
		}
	}
	return out
}

func startSystemd(t testing.TB, address string, data []byte) *Systemd {
	t.Helper()
	var file systemdFile
	unmarshal(t, "dbus/systemd1.json", data, &file)
	s := &Systemd{
		units: map[string]*unit{}, aliases: file.Aliases, jobs: 1000,
		outcomes: map[string][]Outcome{}, after: map[string]func(){},
	}
	var err error
	s.manager, err = typed(over(Props{
		"Version": "257.9-1", "SystemState": "running", "FinishTimestampMonotonic": 9000000,
		"NJobs": 0, "NFailedUnits": 0, "NNames": 300, "Architecture": "x86-64", "Tainted": "",
	}, file.Manager), systemdManagerSchema)
	if err != nil {
		t.Fatalf("fixture dbus/systemd1.json: the manager: %v", err)
	}
	for name, p := range file.Units {
		u := newUnit(name, p)
		for _, schema := range ifaces(name) {
			if _, err := u.typed(schema); err != nil {
				t.Fatalf("fixture dbus/systemd1.json: unit %s: %v", name, err)
			}
		}
		for key := range p {
			if _, known := merge(unitSchema, cgroupSchema, serviceSchema)[key]; !known && key != "raw" {
				t.Fatalf("fixture dbus/systemd1.json: unit %s: no property %s in the schema", name, key)
			}
		}
		s.units[name] = u
	}
	s.answer = s.dispatch
	s.serve(t, address, systemd1)
	return s
}

func newUnit(name string, p Props) *unit {
	defaults := Props{
		"Id": name, "Description": name, "LoadState": "loaded", "ActiveState": "inactive",
		"FragmentPath": "/etc/systemd/system/" + name, "InvocationID": "",
		"StateChangeTimestampMonotonic": 9000000, "ConditionResult": true,
		"NeedDaemonReload": false, "CanStart": true, "Following": "",
		"ControlGroup": "", "Slice": "system.slice", "CPUWeight": infinity, "IOWeight": infinity,
		"MemoryHigh": infinity, "MemoryMax": infinity, "MemoryCurrent": infinity,
		"Type": "simple", "Restart": "no", "MainPID": 0, "Result": "success", "ExecMainStatus": 0,
		"ExecMainCode": 0, "ExecMainPID": 0, "NRestarts": 0, "StatusText": "",
	}
	if p["ActiveState"] == "active" {
		defaults["InvocationID"] = hex.EncodeToString(fmt.Appendf(nil, "%16.16s", name))
		if path.Ext(name) == ".slice" {
			defaults["ControlGroup"] = "/" + name
		}
	}
	u := &unit{name: name, props: over(defaults, p)}
	if _, given := p["SubState"]; !given {
		u.props["SubState"] = u.subState()
	}
	return u
}

// subState is the one that goes with ActiveState as a rule.
func (u *unit) subState() string {
	active := fmt.Sprint(u.props["ActiveState"])
	switch {
	case active == "inactive":
		return "dead"
	case active == "activating":
		return "start"
	case active == "deactivating":
		return "stop-sigterm"
	case active == "active" && path.Ext(u.name) == ".service":
		return "running"
	}
	return active
}

// typed gives the unit's properties that are in schema, raw ones included.
func (u *unit) typed(schema map[string]string) (map[string]dbus.Variant, error) {
	part := Props{}
	for name := range schema {
		part[name] = u.props[name]
	}
	raw := map[string]any{}
	if all, ok := u.props["raw"].(map[string]any); ok {
		for name, text := range all {
			_, here := schema[name]
			_, elsewhere := merge(unitSchema, cgroupSchema, serviceSchema)[name]
			if here || !elsewhere {
				raw[name] = text
			}
		}
	}
	part["raw"] = raw
	return typed(part, schema)
}

// SetUnit changes properties of a unit, by their D-Bus names, and tells those
// who listen. A unit that was not found appears.
func (s *Systemd) SetUnit(name string, p Props) {
	s.t.Helper()
	s.mu.Lock()
	u := s.units[name]
	if u == nil {
		u = newUnit(name, p)
		s.units[name] = u
	}
	u.set(p)
	changed, err := u.typed(unitSchema)
	s.mu.Unlock()
	if err != nil {
		s.t.Fatalf("unit %s: %v", name, err)
	}
	s.emitChanged(name, changed)
}

func (u *unit) set(p Props) {
	u.props = over(u.props, p)
	if _, given := p["SubState"]; !given {
		u.props["SubState"] = u.subState()
	}
}

func (s *Systemd) emitChanged(name string, changed map[string]dbus.Variant) {
	s.emit(unitPath(name), "org.freedesktop.DBus.Properties.PropertiesChanged",
		systemd1+".Unit", changed, []string{})
}

// State is a unit's ActiveState, for tests that look what became of it.
func (s *Systemd) State(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.find(name); u != nil {
		return fmt.Sprint(u.props["ActiveState"])
	}
	return "not-found"
}

// find follows aliases.
func (s *Systemd) find(name string) *unit {
	if primary, ok := s.aliases[name]; ok {
		name = primary
	}
	return s.units[name]
}

func (s *Systemd) dispatch(r request) ([]any, func(), *dbus.Error) {
	if r.member == "GetAll" {
		return s.getAll(r)
	}
	if r.path != systemd1Path || r.iface != systemd1+".Manager" {
		return nil, nil, unknownMethod(r)
	}
	name := r.str(0)
	switch r.member {
	case "ListUnitsByNames":
		names, _ := r.args[0].([]string)
		return []any{s.list(names)}, nil, nil
	case "Subscribe", "Unsubscribe":
		return nil, nil, nil
	case "LoadUnit":
		return []any{unitPath(name)}, nil, nil
	case "GetUnit":
		if s.find(name) == nil {
			return nil, nil, noUnit(name, "loaded")
		}
		return []any{unitPath(s.find(name).name)}, nil, nil
	case "StartUnit":
		return s.job("start", name)
	case "StopUnit":
		return s.job("stop", name)
	case "ResetFailedUnit":
		return s.resetFailed(name)
	}
	return nil, nil, unknownMethod(r)
}

func noUnit(name, what string) *dbus.Error {
	return errorOf("org.freedesktop.systemd1.NoSuchUnit", "Unit %s not %s.", name, what)
}

// listRow is a row of ListUnitsByNames.
type listRow struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	JobID                                           uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

func (s *Systemd) list(names []string) []listRow {
	rows := []listRow{}
	for _, name := range names {
		u := s.find(name)
		if u == nil {
			u = newUnit(name, Props{"LoadState": "not-found", "FragmentPath": ""})
		}
		text := func(property string) string { return fmt.Sprint(u.props[property]) }
		rows = append(rows, listRow{
			u.name, text("Description"), text("LoadState"), text("ActiveState"), text("SubState"), "",
			unitPath(u.name), u.job, u.verb, jobPath(u.job),
		})
	}
	return rows
}

func jobPath(id uint32) dbus.ObjectPath {
	if id == 0 {
		return noJob
	}
	return dbus.ObjectPath(fmt.Sprintf("%s/job/%d", systemd1Path, id))
}

func (s *Systemd) getAll(r request) ([]any, func(), *dbus.Error) {
	if r.path == systemd1Path {
		return []any{s.manager}, nil, nil
	}
	var u *unit
	for name, candidate := range s.units {
		if unitPath(name) == r.path {
			u = candidate
		}
	}
	for alias := range s.aliases {
		if unitPath(alias) == r.path {
			u = s.find(alias)
		}
	}
	if u == nil {
		name := unescape(strings.TrimPrefix(string(r.path), systemd1Path+"/unit/"))
		u = newUnit(name, Props{"LoadState": "not-found", "FragmentPath": ""})
	}
	schema := map[string]string{}
	for iface, part := range ifaces(u.name) {
		if iface == r.str(0) || r.str(0) == "" {
			schema = merge(schema, part)
		}
	}
	if len(schema) == 0 && ifaces(u.name)[r.str(0)] == nil {
		return nil, nil, errorOf("org.freedesktop.DBus.Error.UnknownInterface", "Unknown interface %s.", r.str(0))
	}
	values, err := u.typed(schema)
	if err != nil {
		return nil, nil, errorOf("org.freedesktop.DBus.Error.Failed", "fixture: %v", err)
	}
	if _, ok := schema["Id"]; ok {
		type job struct {
			ID   uint32
			Path dbus.ObjectPath
		}
		values["Job"] = dbus.MakeVariant(job{u.job, jobPath(u.job)})
	}
	return []any{values}, nil, nil
}

// unescape is the inverse of systemd.UnitPath.
func unescape(label string) string {
	var b strings.Builder
	for i := 0; i < len(label); i++ {
		var c byte
		if label[i] == '_' && i+2 < len(label) {
			if _, err := fmt.Sscanf(label[i+1:i+3], "%02x", &c); err == nil {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(label[i])
	}
	return b.String()
}

// unitPath is go-systemd's idea of a unit's object: the code under test has
// its own.
func unitPath(name string) dbus.ObjectPath {
	return dbus.ObjectPath(systemd1Path + "/unit/" + sysd.PathBusEscape(name))
}
