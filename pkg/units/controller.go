package units

import (
	"path"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

// quick bounds the stop of what has nothing to do when it is stopped.
const quick = span(10 * time.Second)

// margin is the time a program needs besides what the configuration bounds:
// to start on a busy machine and to get its records onto the disk.
const margin = 30 * time.Second

// transitionBound is the longest that one way from a mode to another may take
// with everything at its bound.
func transitionBound(cfg config.Config) time.Duration {
	cfg.VLLM.Enable = true // switching it on must not need another unit
	var longest time.Duration
	for _, row := range mode.Transitions() {
		longest = max(longest, plan.ForState(row.From.State(), row.To, cfg).Bound(cfg).Forward)
	}
	return longest
}

// stateDirs are the folders of the controller's records.
func stateDirs() []entry {
	return []entry{
		set("RuntimeDirectory", text(path.Base(record.RunDir)),
			"systemd-tmpfiles makes this folder at boot; here it is made again where it is missing, and may be written.",
			"It outlives the unit: it holds what the others read."),
		set("RuntimeDirectoryMode", text("0755")),
		set("RuntimeDirectoryPreserve", yes),
	}
}

// history is the folder of the record of all transitions.
func history() []entry {
	return []entry{set("StateDirectory", text(path.Base(record.StateDir))), set("StateDirectoryMode", text("0755"))}
}

// inspector is the sandbox of what looks at the whole machine as root.
func inspector() sandbox {
	return sandbox{
		home: text("read-only"),
		homeWhy: "The audio servers of the sessions are asked through /run/user, which counts as a home; " +
			"a socket can be used on a read-only mount.",
		caps: tokens{"CAP_CHECKPOINT_RESTORE", "CAP_DAC_READ_SEARCH", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_PTRACE"},
		capsWhy: "Other people's /proc/PID/fd, maps and map_files are read to see who holds a GPU (SYS_PTRACE, DAC_READ_SEARCH, CHECKPOINT_RESTORE), " +
			"and what speaks with a person's audio server does so as that person (SETUID, SETGID).",
		families:    tokens{"AF_UNIX", "AF_INET", "AF_INET6"},
		familiesWhy: "D-Bus and audio servers; vLLM's health and metrics.",
		devices:     tokens{"char-nvidia*"},
		devicesWhy:  "NVML. No other device is opened; who holds one is read from /proc.",
	}
}

func modeController(cfg config.Config, p Paths) Unit {
	once := transitionBound(cfg)
	box := inspector()
	box.caps = append(box.caps, "CAP_KILL", "CAP_DAC_OVERRIDE")
	box.capsWhy += " What is left of a session is ended (KILL), and people are told on their terminals (DAC_OVERRIDE)."
	box.write = metricsFolder(cfg)
	box.devices = append(box.devices, "char-pts", "char-tty")
	box.devicesWhy = "NVML, and the terminals on which people are told what is about to happen."
	return Unit{
		Name: "mode-controller@.service",
		Comments: []string{
			"The only thing that changes the mode, as an instance named after the mode that is asked for: " +
				"mode-controller@compute.service. It is a unit so that the transition outlives the terminal, and the session, that asked for it.",
			"It has no Before=, After=, Requires= or Conflicts= of its own: ordered with anything that it starts or stops, it would wait for itself. " +
				"A test walks the graph of the units.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", unitfile.Concat{text("Dubnium transition to "), unitfile.Specifier('i')}),
				set("Documentation", tokens{"man:reconcile(8)", "man:mode(1)"}),
				set("IgnoreOnIsolate", yes, "It survives an isolate by hand of a mode's target, with the transition that it carries out."),
				set("StartLimitIntervalSec", span(0), "A blocked request counts as a failed start; a person may ask as often as they like."),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("ExecStart", unitfile.Exec{
						Path: text(p.bin("reconcile")),
						Args: []unitfile.Word{text("--"), unitfile.Specifier('i')},
					}, "%i, not %I: the latter would make studio/local of studio-local. "+
						"Behind the two hyphens no instance can be taken for a flag; whoever may start this unit chooses its instance."),
					set("Slice", text("system.slice"),
						"Named, because instances would get a slice of their own, which goes away with them."),
					set("TimeoutStartSec", span(2*once+margin),
						"The longest transition with every step at its bound, and the way back from its last step."),
					set("TimeoutStopSec", span(once+margin),
						"Stopping the controller cancels the transition: it gets the time to restore the mode that it came from."),
					set("KillMode", text("mixed"),
						"The controller is told to stop, the guards that it runs are not: it ends those itself. What is left at the end is killed."),
					set("OOMScoreAdjust", unitfile.Int(-500), "Killed half-way, it would leave the machine between two modes."),
				},
				stateDirs(), history(), box.entries(),
			)},
		},
	}
}

// metricsFolder is where the metrics go, "" for nowhere. It may belong to the
// user of node_exporter.
func metricsFolder(cfg config.Config) string {
	if cfg.Metrics.Textfile == "" {
		return ""
	}
	return path.Dir(cfg.Metrics.Textfile)
}

func modeObserve(cfg config.Config, p Paths) Unit {
	box := inspector()
	if box.write = metricsFolder(cfg); box.write != "" {
		box.caps = append(box.caps, "CAP_DAC_OVERRIDE")
		box.capsWhy += " The folder of the metrics may belong to node_exporter's user (DAC_OVERRIDE)."
	}
	return Unit{
		Name: "mode-observe.service",
		Comments: []string{
			"Caches the observation in " + path.Join(record.RunDir, "current") + ". Started at boot, it says at once that it is ready and " +
				"observes when the boot is over: it is part of the boot, which could not end before it did.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium mode observation")),
				set("Documentation", tokens{"man:observe-current(1)"}),
				set("After", names{"mode-boot.service"}, "Which holds the controller's lock, and would be taken for a transition."),
				set("IgnoreOnIsolate", yes),
				set("StartLimitIntervalSec", span(0), "Looking is harmless, however often."),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("notify"), "After the boot, started means that the observation is written."),
					set("ExecStart", unitfile.Command(p.bin("observe-current"), "--write", "--await-boot")),
					set("Slice", text("system.slice")),
					set("TimeoutStartSec", span(cfg.Timeouts.Observe.Std()+margin)),
					set("TimeoutStopSec", quick),
				},
				stateDirs(), box.entries(),
			)},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"multi-user.target"})}},
		},
	}
}

const observeTimer = "mode-observe.timer"

// modeObserveTimer keeps the metrics fresh between transitions.
func modeObserveTimer(cfg config.Config) Unit {
	interval := cfg.Metrics.Interval
	if interval == 0 {
		interval = usualRefresh // a timer needs one; nothing starts this one by itself
	}
	only := []entry{}
	if folder := metricsFolder(cfg); folder != "" {
		only = append(only, set("ConditionPathIsDirectory", text(folder), "Without node_exporter, nobody reads what it would write."))
	}
	return Unit{
		Name:     observeTimer,
		Comments: []string{"Looks again and again, for the metrics. It starts with the machine where metrics.interval is set."},
		Sections: []section{
			{Name: "Unit", Entries: joined([]entry{
				set("Description", text("Dubnium mode observation, again and again")),
				set("Documentation", tokens{"man:observe-current(1)"}),
				set("IgnoreOnIsolate", yes),
			}, only)},
			{Name: "Timer", Entries: []entry{
				set("OnActiveSec", span(interval)),
				set("OnUnitInactiveSec", span(interval), "From the end of one look to the next: they never pile up."),
				set("AccuracySec", span(time.Second)),
			}},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"timers.target"})}},
		},
	}
}

// usualRefresh is how often a timer looks that was started by hand.
const usualRefresh = config.Duration(time.Minute)

func modeGuard(cfg config.Config, p Paths) Unit {
	return Unit{
		Name: "mode-guard@.service",
		Comments: []string{
			"Runs one guard by hand, with the rights that it has in a transition: systemctl start mode-guard@audio_idle.service. " +
				"Its document goes to the journal, its exit code is ExecMainStatus in systemctl show.",
			"A guard that blocks is a failed unit: a start that succeeded would read as a pass, and the status of a unit that " +
				"did not fail is forgotten at once. systemctl reset-failed forgets this one.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", unitfile.Concat{text("Dubnium guard "), unitfile.Specifier('i')}),
				set("Documentation", tokens{"man:mode(1)"}),
				set("IgnoreOnIsolate", yes),
				set("StartLimitIntervalSec", span(0), "Looking is harmless, however often."),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("ExecStart", unitfile.Exec{Path: unitfile.Concat{text(p.bin("check_")), unitfile.Specifier('i')}},
						"An instance's name holds no slash, so that it can only be a guard of this folder."),
					set("Slice", text("system.slice")),
					set("TimeoutStartSec", span(cfg.Timeouts.Guard.Std()+margin),
						"A guard has a deadline of its own; this ends one that does not keep it."),
					set("TimeoutStopSec", quick),
				},
				inspector().entries(),
			)},
		},
	}
}

func modeBoot(cfg config.Config, p Paths) Unit {
	return Unit{
		Name: "mode-boot.service",
		Comments: []string{
			"Begins the configured default mode at boot. It asks for the mode's target and does not wait for it: " +
				"the target comes after multi-user.target, which waits for this unit.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium default mode")),
				set("Documentation", tokens{"man:reconcile(8)"}),
				set("ConditionPathExists", text("!"+path.Join(record.RunDir, "desired")),
					"Once a boot. Each start of a mode's target starts whatever multi-user.target wants and is not active: "+
						"had this unit failed at boot, a later transition would call the default mode in the middle of it."),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("RemainAfterExit", yes),
					set("ExecStart", unitfile.Command(p.bin("reconcile"), "--boot")),
					set("Slice", text("system.slice")),
					set("TimeoutStartSec", span(cfg.Timeouts.Observe.Std()+margin), "The boot waits for it, but not for ever."),
					set("TimeoutStopSec", quick),
				},
				stateDirs(), history(), sandbox{
					network:  true,
					families: tokens{"AF_UNIX"}, familiesWhy: "D-Bus: systemd starts the target, this only asks.",
				}.entries(),
			)},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"multi-user.target"})}},
		},
	}
}
