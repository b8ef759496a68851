package guards

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/jobs"
	"github.com/ryjen/dubnium/pkg/mode"
)

// UserJobsSafe asks whether anybody's work would be cut off.
var UserJobsSafe = guard.Descriptor{
	Name:     "user_jobs_safe",
	Question: "Is nobody's work under way on this machine?",
	Manual: `Looks for work of people, in this order: package managers that run or really hold one of the locks in guards.jobs.lockFiles; programs in guards.jobs.programs (builders, copies, backups); sessions and units of users that use more than guards.jobs.cpuPct of a processor over guards.jobs.window; programs below tmux, screen and the like; sessions from other machines in which something runs; and, with guards.jobs.terminals, programs in terminals.

Shells that wait for somebody to type are no work, nor are compositors, sound servers (check_audio_idle looks at sound), what runs in containers, nor the command line that asks.

After a block, finish or end what the message names. An operator who knows better may override this guard.`,
	Block:  exitcode.UserJobsActive,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "no-jobs", Class: guard.Pass, Meaning: "no work of people was found"},
		{Word: "package-manager", Class: guard.Block, Meaning: "a package manager runs or holds its lock"},
		{Word: "program-running", Class: guard.Block, Meaning: "a program runs that is configured as work: a build, a copy, a backup"},
		{Word: "session-busy", Class: guard.Block, Meaning: "a session or a user's unit uses processors"},
		{Word: "multiplexer-working", Class: guard.Block, Meaning: "a program runs below tmux, screen or the like"},
		{Word: "remote-session", Class: guard.Block, Meaning: "somebody works from another machine"},
		{Word: "terminal-working", Class: guard.Block, Meaning: "a program runs in a terminal, and the configuration counts that"},
	},
	Window: func(c config.Config) time.Duration { return c.Guards.Jobs.Window.Std() },
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		policy := env.Config.Guards.Jobs
		sight, err := jobs.Look(ctx, env.Root, policy)
		found := jobs.Find(sight, policy, env.Config.Desktop.Compositors)
		return judgeJobs(newJobsEvidence(sight, found, float64(policy.CPUPct)), err)
	},
}

// Bounds of the evidence: a result is one line of at most 64 KiB.
const (
	maxJobsShown   = 24
	maxGroupsShown = 8
)

type jobsEvidence struct {
	WindowMS  float64      `json:"window_ms"` // between the looks at processor time
	CPUPct    float64      `json:"cpu_limit_pct"`
	Processes int          `json:"processes"`
	JobCount  int          `json:"job_count"`
	Jobs      []jobs.Job   `json:"jobs"`
	Groups    []groupUsage `json:"busiest"` // sessions and units of users, the busiest first
	Remote    []string     `json:"remote_sessions"`
}

type groupUsage struct {
	Cgroup string  `json:"cgroup"`
	CPUPct float64 `json:"cpu_pct"` // of one processor
}

func newJobsEvidence(s jobs.Sight, found []jobs.Job, limit float64) jobsEvidence {
	ev := jobsEvidence{
		CPUPct: limit, Processes: len(s.Processes), JobCount: len(found),
		Jobs: found[:min(len(found), maxJobsShown)], Groups: []groupUsage{}, Remote: []string{},
	}
	for _, g := range s.Groups {
		ev.WindowMS = max(ev.WindowMS, float64(g.Window.Microseconds())/1000)
		ev.Groups = append(ev.Groups, groupUsage{g.Cgroup, tenths(g.CPUPct())})
	}
	slices.SortStableFunc(ev.Groups, func(a, b groupUsage) int { return cmp.Compare(b.CPUPct, a.CPUPct) })
	ev.Groups = ev.Groups[:min(len(ev.Groups), maxGroupsShown)]
	for _, session := range s.Sessions {
		if session.Remote && len(ev.Remote) < maxGroupsShown {
			ev.Remote = append(ev.Remote, name(session))
		}
	}
	return ev
}

// jobReasons are the words for the kinds of work.
var jobReasons = map[jobs.Kind]string{
	jobs.PackageManager: "package-manager", jobs.Program: "program-running", jobs.Busy: "session-busy",
	jobs.Multiplexed: "multiplexer-working", jobs.Remote: "remote-session", jobs.Foreground: "terminal-working",
}

// judgeJobs blocks for work that was seen, even where not all could be: what
// could not be seen would not take it away.
func judgeJobs(ev jobsEvidence, err error) guard.Verdict {
	if len(ev.Jobs) == 0 {
		if err != nil {
			return guard.CannotSee(err, ev)
		}
		return guard.Say("no-jobs", ev, "no work of people is under way among %d processes", ev.Processes)
	}
	worst := ev.Jobs[0]
	more := ""
	if n := ev.JobCount - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return guard.Say(jobReasons[worst.Kind], ev, "%s%s", worst, more)
}
