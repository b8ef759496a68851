package config

// GuardLoad says from when on the machine is too busy for a transition.
type GuardLoad struct {
	Slices           []string // slice units
	SlicePressurePct int      // share of time; 100 switches it off
	HostPressurePct  int
	Window           Duration // of each of two looks
}

// RemoteSessions says when a session from another machine is work.
type RemoteSessions string

// The choices.
const (
	RemoteWorking RemoteSessions = "working" // with a program in it that is no idle shell
	RemoteAny     RemoteSessions = "any"
	RemoteIgnored RemoteSessions = "ignored"
)

// GuardJobs says what counts as work of people. Programs are named as
// /proc/PID/comm has them, at most 15 bytes.
type GuardJobs struct {
	Window            Duration // between the two looks at processor time
	CPUPct            int      // of one processor, by one session or user unit
	Programs          []string
	PackageManagers   []string
	LockFiles         []string
	Multiplexers      []string
	Shells            []string
	Exempt            []string
	RemoteSessions    RemoteSessions
	Terminals         bool
	TerminalEmulators []string
}

// maxCPUPct is a thousand processors.
const maxCPUPct = 100_000

func loadKeys() []definition {
	return []definition{
		{path: "guards.load.slices", at: func(c *Config) any { return &c.Guards.Load.Slices }, empty: true, check: wrongUnit(".slice"), allowed: "names of .slice units", example: `["user.slice"]`, doc: "The slices whose own pressure is looked at before that of the whole machine. One that does not exist now has no work in it."},
		{path: "guards.load.slicePressurePct", at: func(c *Config) any { return &c.Guards.Load.SlicePressurePct }, max: 100, example: "30", doc: "The share of time in which some task of such a slice may wait for a processor, in percent. More than that blocks; 100 lets everything pass."},
		{path: "guards.load.hostPressurePct", at: func(c *Config) any { return &c.Guards.Load.HostPressurePct }, max: 100, example: "60", doc: "The same for the whole machine, containers and AI work included. On a kernel without pressure accounting it bounds the share of looks that find more runnable tasks than processors."},
		{path: "guards.load.window", at: func(c *Config) any { return &c.Guards.Load.Window }, example: `"1s"`, doc: "How long the pressure is watched. Above the limit it is watched once more for as long, and blocks when it stays there: a burst does not."},
	}
}

func jobKeys() []definition {
	names := func(leaf, doc, example string, at func(*GuardJobs) *[]string) definition {
		return definition{
			path: "guards.jobs." + leaf, at: func(c *Config) any { return at(&c.Guards.Jobs) }, doc: doc, example: example,
			empty: true, check: wrongProcess, allowed: "process names of at most 15 bytes",
		}
	}
	return []definition{
		{path: "guards.jobs.window", at: func(c *Config) any { return &c.Guards.Jobs.Window }, example: `"1s"`, doc: "The time between the two looks from which the use of processors is computed."},
		{path: "guards.jobs.cpuPct", at: func(c *Config) any { return &c.Guards.Jobs.CPUPct }, min: 1, max: maxCPUPct, example: "80", doc: "How much processor time a session or a user's unit may use without being work, in percent of one processor."},
		names("programs", "Programs that are work for as long as they run: builders, copies, backups. The main process of a system service is none.", `["make", "rsync"]`, func(j *GuardJobs) *[]string { return &j.Programs }),
		names("packageManagers", "Programs that change what is installed. Being cut off, they leave a broken system behind.", `["apt", "dpkg"]`, func(j *GuardJobs) *[]string { return &j.PackageManagers }),
		{path: "guards.jobs.lockFiles", at: func(c *Config) any { return &c.Guards.Jobs.LockFiles }, empty: true, check: wrongPath, allowed: "absolute paths", example: `["/var/lib/dpkg/lock-frontend"]`, doc: "The lock files of package managers. One that is really locked (fcntl or flock, as /proc/locks tells) is work under way; that it exists says nothing."},
		names("multiplexers", "Programs that keep others running without a terminal. What runs below them is work, an idle shell excepted.", `["tmux: server"]`, func(j *GuardJobs) *[]string { return &j.Multiplexers }),
		names("shells", "Programs that are idle while nothing runs below them: shells, and what starts one.", `["bash", "zsh"]`, func(j *GuardJobs) *[]string { return &j.Shells }),
		names("exempt", "Programs that are never work: sound servers, which have a guard of their own, agents and indexers. Those of desktop.compositors and Dubnium's own are exempt too.", `["pipewire"]`, func(j *GuardJobs) *[]string { return &j.Exempt }),
		{path: "guards.jobs.remoteSessions", at: func(c *Config) any { return &c.Guards.Jobs.RemoteSessions }, enum: []string{string(RemoteWorking), string(RemoteAny), string(RemoteIgnored)}, example: `"any"`, doc: "When a session from another machine (ssh) is work: \"working\" when a program runs in it that is no idle shell, so that somebody may ask for a transition over ssh; \"any\" always; \"ignored\" never by itself."},
		{path: "guards.jobs.terminals", at: func(c *Config) any { return &c.Guards.Jobs.Terminals }, example: "true", doc: "Whether a program in the foreground of a terminal is work, whatever it is."},
		names("terminalEmulators", "The terminals that are looked below when guards.jobs.terminals is true.", `["foot", "kitty"]`, func(j *GuardJobs) *[]string { return &j.TerminalEmulators }),
	}
}
