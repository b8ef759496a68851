package config

import "time"

// Idle says whether a machine that nobody uses goes to compute by itself.
type Idle struct {
	Enable    bool
	Quiet     Duration
	Interval  Duration
	Pause     Duration
	PauseMost Duration // not below Pause
}

func defaultIdle() Idle {
	return Idle{
		Quiet: Duration(30 * time.Minute), Interval: Duration(time.Minute),
		Pause: Duration(5 * time.Minute), PauseMost: Duration(4 * time.Hour),
	}
}

func idleKeys() []definition {
	return []definition{
		{path: "idle.enable", at: func(c *Config) any { return &c.Idle.Enable }, example: "true", doc: "Whether mode-idle.service asks for compute when nobody uses the machine. It asks as a person would, through mode-controller@compute.service with all of its guards, only from desktop, and never from studio-local. systemctl restart mode-idle.service after a change of this table."},
		{path: "idle.quiet", at: func(c *Config) any { return &c.Idle.Quiet }, example: `"1h"`, doc: "For how long nobody may have been active: each session of a person at the machine has told logind so long ago that it is idle (its IdleHint), or nobody was logged in; and the mode has not changed. A session that never tells, as with a compositor without an idle daemon, is taken for neither, and nothing is asked for while it is there. An inhibitor of idle or sleep in block mode holds it up, too."},
		{path: "idle.interval", at: func(c *Config) any { return &c.Idle.Interval }, example: `"30s"`, doc: "How often it looks."},
		{path: "idle.pause", at: func(c *Config) any { return &c.Idle.Pause }, example: `"10m"`, doc: "How long it waits after guards said no. Each further no for the same reasons doubles it; other reasons, another session or a person who came back begin anew."},
		{path: "idle.pauseMost", at: func(c *Config) any { return &c.Idle.PauseMost }, example: `"12h"`, doc: "The longest such pause. It is also the one after a transition that failed, which only a person's return at the machine shortens."},
	}
}
