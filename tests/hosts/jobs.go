package hosts

import (
	"encoding/hex"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// Outcome is what becomes of one job. The zero value is a job that is done and
// leaves the unit as its verb says.
type Outcome struct {
	Error  string // D-Bus error name: there is no job at all
	Result string // of the job; "done" when empty
	State  Props  // of the unit afterwards, in place of what the verb brings
	Lost   bool   // nobody is told that the job has ended
	Stuck  bool   // the job never ends
	Early  bool   // the end of the job is told before the call is answered
}

// OnJob says what becomes of the next jobs of a unit: verb is "start" or
// "stop", and each outcome is used once.
func (s *Systemd) OnJob(verb, unit string, outcomes ...Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[verb+" "+unit] = outcomes
}

// After runs f each time a job of a unit has ended well, before anybody is
// told: what the unit's programs would have done to the machine.
func (s *Systemd) After(verb, unit string, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after[verb+" "+unit] = f
}

func (s *Systemd) resetFailed(name string) ([]any, func(), *dbus.Error) {
	u := s.find(name)
	if u == nil {
		return nil, nil, noUnit(name, "loaded")
	}
	if u.props["ActiveState"] == "failed" {
		u.set(Props{"ActiveState": "inactive", "Result": "success"})
	}
	u.props["NRestarts"] = 0
	return nil, nil, nil
}

// job queues a job and ends it as the test said.
func (s *Systemd) job(verb, name string) ([]any, func(), *dbus.Error) {
	u := s.find(name)
	if u == nil {
		return nil, nil, noUnit(name, map[string]string{"start": "found", "stop": "loaded"}[verb])
	}
	if u.props["LoadState"] == "masked" && verb == "start" {
		return nil, nil, errorOf("org.freedesktop.systemd1.UnitMasked", "Unit %s is masked.", name)
	}
	key := verb + " " + u.name
	var o Outcome
	if next := s.outcomes[key]; len(next) > 0 {
		o, s.outcomes[key] = next[0], next[1:]
	}
	if o.Error != "" {
		return nil, nil, errorOf(o.Error, "%s of %s is refused by the fixture", verb, name)
	}
	s.jobs++
	id := s.jobs
	reply := []any{jobPath(id)}
	u.job, u.verb = id, verb
	if o.Stuck {
		return reply, nil, nil
	}
	effect := s.after[key]
	end := func() { s.finish(u, verb, id, o, effect) }
	if o.Early {
		s.mu.Unlock() // finish takes it, as it does after the reply
		end()
		s.mu.Lock()
		return reply, nil, nil
	}
	return reply, end, nil
}

func (s *Systemd) finish(u *unit, verb string, id uint32, o Outcome, effect func()) {
	result := o.Result
	if result == "" {
		result = "done"
	}
	if result == "done" && effect != nil {
		effect()
	}
	s.mu.Lock()
	switch {
	case o.State != nil:
		u.set(o.State)
	case result != "done":
	case verb == "start" && u.props["ActiveState"] != "active":
		u.set(Props{
			"ActiveState": "active", "Result": "success",
			"InvocationID": hex.EncodeToString(fmt.Appendf(nil, "%016d", id)),
		})
	case verb == "stop":
		u.set(Props{"ActiveState": "inactive", "MainPID": 0, "ControlGroup": ""})
	}
	u.job, u.verb = 0, ""
	changed, err := u.typed(unitSchema)
	s.mu.Unlock()
	if err != nil {
		s.t.Errorf("unit %s: %v", u.name, err)
		return
	}
	s.emitChanged(u.name, changed)
	if !o.Lost {
		s.emit(systemd1Path, systemd1+".Manager.JobRemoved", id, jobPath(id), u.name, result)
	}
}
