package reconcile

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/caller"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// Asker is a host that can tell who asks for a mode, as far as that is known.
type Asker interface {
	Asked(target mode.Mode) []record.Asker
}

// asked is who asks for a transition. Of several that differ it is not known
// which one has started this controller: then it is none, and nothing is cut off
// for anybody.
func (e *Engine) asked(target mode.Mode) *record.Asker {
	host, can := e.Host.(Asker)
	if !can {
		return nil
	}
	list := host.Asked(target)
	list = slices.CompactFunc(list, func(a, b record.Asker) bool {
		return a.UID == b.UID && a.LoginUID == b.LoginUID && a.CutOff == b.CutOff
	})
	if len(list) != 1 {
		return nil
	}
	return &list[0]
}

// Asked asks the kernel who says that they ask. A controller that no unit has
// started was asked for by who runs it. What can't be seen is not known.
func (m *Machine) Asked(target mode.Mode) []record.Asker {
	list, err := caller.Find(m.Root, string(target), config.OperatorsGroup)
	if err != nil {
		return nil
	}
	if self := caller.Self(m.Root); len(list) == 0 && self.Unit != Unit(target) {
		list = append(list, self)
	}
	var out []record.Asker
	for _, c := range list {
		out = append(out, record.Asker{UID: c.UID, LoginUID: c.LoginUID, User: c.User, PID: c.PID, Unit: c.Unit, CutOff: c.CutOff})
	}
	return out
}

// Unit is the unit that brings the machine to a mode.
func Unit(target mode.Mode) string { return "mode-controller@" + string(target) + ".service" }
