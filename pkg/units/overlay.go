package units

import (
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

// within leaves a unit two thirds of the time that the controller waits for
// it, so that systemd has killed what hangs, and told why, before the
// controller gives up.
func within(d config.Duration) span {
	return span((d.Std() * 2 / 3).Truncate(time.Millisecond))
}

func studioPolicy(cfg config.Config, p Paths) Unit {
	return Unit{
		Name: string(mode.StudioPolicy),
		Comments: []string{
			"The marker of the studio contract: while it is active, local audio work has the machine. It does nothing by itself.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium studio-local policy")),
				set("Documentation", tokens{"man:mode(1)"}),
				set("Conflicts", names{string(mode.ComputeTarget)}),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("RemainAfterExit", yes),
					set("ExecStart", unitfile.Command(p.True)),
					set("Slice", text("system.slice")),
					set("TimeoutStartSec", within(cfg.Timeouts.StartUnit)),
					set("TimeoutStopSec", within(cfg.Timeouts.StopUnit)),
				},
				sandbox{private: true, families: tokens{"none"}, network: true}.entries(),
			)},
		},
	}
}

// weights are the resource settings of one slice. No limit on memory is 0.
type weights struct {
	cpu, io int
	high    config.Size
}

// settings are the words for systemctl set-property.
func (w weights) settings() []string {
	high := "infinity"
	if w.high != 0 {
		high = strconv.FormatUint(w.high.Bytes(), 10)
	}
	return []string{fmt.Sprintf("CPUWeight=%d", w.cpu), fmt.Sprintf("IOWeight=%d", w.io), "MemoryHigh=" + high}
}

// budget is one slice in both states of the overlay.
type budget struct {
	slice            string
	baseline, studio weights
}

// budgets are the slices that the overlay sets.
func budgets(cfg config.Config) []budget {
	of := func(slice string, s config.Slice) budget {
		return budget{
			slice,
			weights{s.CPUWeight, s.IOWeight, s.MemoryHigh},
			weights{s.StudioCPUWeight, s.StudioIOWeight, s.StudioMemoryHigh},
		}
	}
	all := []budget{
		of("interactive.slice", cfg.Slices.Interactive),
		of("ai.slice", cfg.Slices.AI),
		of("platform.slice", cfg.Slices.Platform),
	}
	// Sessions live in user.slice, which is systemd's own and has the kernel's
	// defaults.
	return append(all, budget{"user.slice", weights{cpu: 100, io: 100}, all[0].studio})
}

// runtimeDropIns is where systemd keeps what set-property --runtime was told.
const runtimeDropIns = "/run/systemd/system.control"

func audioPriority(cfg config.Config, p Paths) Unit {
	service := []entry{
		set("Type", text("oneshot")),
		set("RemainAfterExit", yes),
	}
	var back []entry
	forget := unitfile.Command(p.Rm, "-f")
	forget.Prefix = "-"
	for _, b := range budgets(cfg) {
		service = append(service, setProperty("ExecStart", "", p, b.slice, b.studio))
		back = append(back, setProperty("ExecStopPost", "-", p, b.slice, b.baseline))
		for _, property := range []string{"CPUWeight", "IOWeight", "MemoryHigh"} {
			forget.Args = append(forget.Args, text(path.Join(runtimeDropIns, b.slice+".d", "50-"+property+".conf")))
		}
	}
	back[0].Why = "Back to the baseline, also when the start failed half-way. A slice that can't be set does not keep the next one " +
		"from it: whether all are back is what the observer looks at."
	service = append(service, back...)
	service = append(service,
		set("ExecStopPost", forget,
			"The baseline holds by now. Left there, these files would go on to win over the slices' own files, "+
				"and a new baseline would count for nothing until the next boot."),
		set("Slice", text("system.slice")),
		set("TimeoutStartSec", within(cfg.Timeouts.StartUnit)),
		set("TimeoutStopSec", within(cfg.Timeouts.StopUnit)),
	)
	return Unit{
		Name: string(mode.AudioPriority),
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium audio priority")),
				set("Documentation", tokens{"man:mode(1)"}),
				set("Requires", names{string(mode.StudioPolicy)}, "Never without the marker, so that nobody meets weights without a reason."),
				set("After", names{string(mode.StudioPolicy)}),
				set("Conflicts", names{string(mode.ComputeTarget)}),
			}},
			{Name: "Service", Entries: joined(service, sandbox{
				private: true, network: true,
				families: tokens{"AF_UNIX"}, familiesWhy: "D-Bus: systemd changes the slices, this only asks.",
				write: runtimeDropIns,
			}.entries())},
		},
	}
}

func setProperty(key, prefix string, p Paths, slice string, w weights) entry {
	e := unitfile.Command(p.Systemctl, append([]string{"set-property", "--runtime", slice}, w.settings()...)...)
	e.Prefix = prefix
	return set(key, e)
}
