package programs

import (
	"context"
	"fmt"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/idle"
	"github.com/ryjen/dubnium/pkg/record"
)

// idleStatus is what is known of mode-idle.service.
type idleStatus struct {
	Enabled bool         `json:"enabled"`
	Silent  bool         `json:"silent"` // it is to look, and has not told of it in time
	Told    *record.Idle `json:"told,omitempty"`
}

// idleOf reads what mode-idle.service has told last. While a transition runs,
// it may be the one that waits for it, and silent.
func idleOf(store record.Store, cfg config.Config, now time.Time) (idleStatus, error) {
	s := idleStatus{Enabled: cfg.Idle.Enable}
	if !s.Enabled {
		return s, nil
	}
	told, found, err := store.Idle()
	if err != nil {
		return s, err
	}
	s.Silent = true
	if found {
		s.Told = &told
		next, err := time.Parse(time.RFC3339, told.NextLook)
		s.Silent = err != nil || now.After(next.Add(slack))
	}
	if s.Silent {
		lock, err := store.Lock()
		s.Silent = err != nil || !lock.Held
	}
	return s, nil
}

// String says it for people.
func (s idleStatus) String() string {
	switch {
	case !s.Enabled:
		return "off: compute is never asked for while nobody is there"
	case s.Told == nil:
		return "on, but mode-idle.service has not told anything since boot"
	case s.Silent:
		return "on, but mode-idle.service has been silent since " + s.Told.Timestamp
	}
	text := "on: " + s.Told.Message
	if s.Told.AsksAt != "" {
		text += "; would ask for compute at " + s.Told.AsksAt
	}
	if s.Told.Tries > 0 && s.Told.Reason != string(idle.BackingOff) {
		text += fmt.Sprintf(" (stopped %d times by %s)", s.Told.Tries, s.Told.Blocked)
	}
	return text
}

// idle looks whether mode-idle.service does what the configuration says.
func (d *doctor) idle(context.Context) {
	const area, unit = "idle", "mode-idle.service"
	s, err := idleOf(d.store, d.cfg, time.Now())
	switch {
	case err != nil:
		d.fault(area, record.IdleFile, "remove it: mode-idle.service writes it again", "%v", err)
	case s.Silent:
		d.fault(area, unit, "systemctl enable --now mode-idle.service; journalctl -u mode-idle.service says why it ended", "%s", s)
	case s.Enabled && s.Told != nil && s.Told.Reason == string(idle.HintUntold):
		d.warn(area, unit, "run hypridle, swayidle or the like in the session, with logind's idle hint", "%s", s.Told.Message)
	default:
		d.ok(area, unit, "%s", s)
	}
}
