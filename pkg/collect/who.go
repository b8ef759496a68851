package collect

import (
	"errors"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Who is what it takes to say who holds a graphics card: the sessions and the
// primary names of the login path in an answer, and what the configuration
// calls benign. Beside an error it holds what could be told all the same.
func Who(root hostfs.Root, cfg config.Config, a Answer) (holders.Who, error) {
	who := holders.Who{
		Workload: cfg.VLLM.Unit, Compositors: cfg.Desktop.Compositors,
		BenignUnits: cfg.GPU.BenignUnits, BenignPrograms: cfg.GPU.BenignPrograms,
	}
	sessions, err := Sessions(root, a)
	for _, s := range sessions {
		who.Sessions = append(who.Sessions, holders.Session{ID: s.ID, UID: s.UID, Class: s.Class})
	}
	for _, name := range cfg.Desktop.LoginUnits {
		who.LoginUnits = append(who.LoginUnits, name)
		if u := Unit(a, name); u.ID != "" {
			who.LoginUnits = append(who.LoginUnits, u.ID)
		}
	}
	return who, errors.Join(err, a.SystemdErr)
}
