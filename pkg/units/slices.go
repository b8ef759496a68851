package units

import (
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

// sliceUnits are the three groups of work with their baseline budgets.
func sliceUnits(cfg config.Config) []Unit {
	return []Unit{
		slice("interactive.slice", "Dubnium interactive work", cfg.Slices.Interactive),
		slice("ai.slice", "Dubnium AI work", cfg.Slices.AI),
		slice("platform.slice", "Dubnium platform services", cfg.Slices.Platform),
	}
}

func slice(name, description string, s config.Slice) Unit {
	high := unitfile.Unlimited
	if s.MemoryHigh != 0 {
		high = unitfile.Bytes(s.MemoryHigh)
	}
	return Unit{Name: name, Sections: []section{
		{Name: "Unit", Entries: []entry{
			set("Description", text(description)),
			set("Documentation", tokens{"man:mode(1)"}),
		}},
		{Name: "Slice", Entries: []entry{
			set("CPUWeight", unitfile.Weight(s.CPUWeight), "The baseline; during studio-local, audio-priority.service sets others."),
			set("IOWeight", unitfile.Weight(s.IOWeight)),
			set("MemoryHigh", high),
		}},
	}}
}
