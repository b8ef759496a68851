package units

import (
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

const idleService = "mode-idle.service"

// watchdog is how long mode-idle may be silent. It speaks while it waits, too,
// as long as what it waits for is within its own bound.
const watchdog = span(time.Minute)

func modeIdle(cfg config.Config, p Paths) Unit {
	return Unit{
		Name: idleService,
		Comments: []string{
			"Asks for compute, as a person may by starting mode-controller@compute.service, when nobody has used the machine for a while. " +
				"Off unless idle.enable is true: it then says so and ends.",
			"It changes nothing itself. What it runs are the guards, to know whether a request would get through.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium request for compute while nobody is there")),
				set("Documentation", tokens{"man:mode-idle(8)", "man:mode(1)"}),
				set("After", names{"mode-boot.service"}),
				set("IgnoreOnIsolate", yes, "It goes on in the mode that it has asked for."),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("notify"), "Its status line says what it waits for."),
					set("ExecStart", unitfile.Command(p.bin("mode-idle"))),
					set("Restart", text("on-failure"), "Not where it has nothing to do: that is a success."),
					set("RestartSec", span(10*time.Second)),
					set("WatchdogSec", watchdog),
					set("Slice", text("system.slice")),
					set("TimeoutStartSec", span(margin)),
					set("TimeoutStopSec", quick, "A transition that it has asked for goes on without it."),
				},
				stateDirs(), inspector().entries(),
			)},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"multi-user.target"})}},
		},
	}
}
