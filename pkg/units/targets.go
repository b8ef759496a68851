package units

import (
	"github.com/ryjen/dubnium/pkg/mode"
)

// onlyManual keeps a rebuild of NixOS from starting the target again.
var onlyManual = set("X-OnlyManualStart", yes,
	"Read by NixOS alone, whose rebuild would otherwise start an active target, and all that it wants, again.")

// base keeps the system up under an isolate by hand.
var base = []entry{
	set("Requires", names{"multi-user.target"},
		"An isolate by hand stops all that the target does not pull in: logind, D-Bus, ssh and the network hang on this one."),
	set("After", names{"multi-user.target"}),
}

func desktopTarget() Unit {
	return Unit{Name: string(mode.DesktopTarget), Sections: []section{{Name: "Unit", Entries: append([]entry{
		set("Description", text("Dubnium desktop mode")),
		set("Documentation", tokens{"man:mode(1)"}),
		base[0], base[1],
		set("Wants", names{"graphical.target"},
			"It wants the display manager, where there is one. A machine without one is a desktop all the same: people log in on a console."),
		set("Before", names{"graphical.target"},
			"Without this it would come after it, as targets do after what they want, and be reached only once the display manager is up: "+
				"a display manager that hangs would then look like a desktop.target that does."),
		set("Conflicts", names{string(mode.ComputeTarget)}),
		set("AllowIsolate", yes),
	}, onlyManual)}}, Comments: noInstall}
}

func computeTarget() Unit {
	return Unit{Name: string(mode.ComputeTarget), Sections: []section{{Name: "Unit", Entries: append([]entry{
		set("Description", text("Dubnium compute mode")),
		set("Documentation", tokens{"man:mode(1)"}),
		base[0], base[1],
		set("Conflicts", names{string(mode.DesktopTarget), "graphical.target"},
			"graphical.target would hold the claim of a desktop, and bring the display manager back at its next start."),
		set("Conflicts", names{string(mode.StudioPolicy), string(mode.AudioPriority)},
			"The studio overlay lies on a desktop alone."),
		set("After", names{string(mode.DesktopTarget), "graphical.target", string(mode.StudioPolicy), string(mode.AudioPriority)},
			"Reached only once these are gone: of two units in an order, the stop of one comes before the start of the other."),
		set("AllowIsolate", yes),
	}, onlyManual)}}, Comments: noInstall}
}

var noInstall = []string{
	"There is no [Install] section: mode-boot.service starts the target of the configured default mode, " +
		"and after that only mode-controller@.service goes from one to the other.",
}
