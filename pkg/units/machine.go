package units

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Link is a symbolic link, by its path below a folder of units.
type Link struct {
	Path string
	To   string
}

// dropIn is the name of our drop-ins for units of others.
const dropIn = "50-dubnium.conf"

// ForMachine gives what a machine's configuration adds to the shipped units,
// which are those of the default configuration: the units whose text is
// another, and those that are enabled, with their links; drop-ins for units of
// others; a mask on a unit of ours that another one stands in for. What it
// gives is complete: nothing of it depends on what was there before.
func ForMachine(cfg config.Config, p Paths) (files []File, links []Link, err error) {
	shipped := map[string]string{}
	for _, u := range All(config.Default(), p) {
		if shipped[u.Name], err = u.Render(); err != nil {
			return nil, nil, fmt.Errorf("render the units of the default configuration: %w", err)
		}
	}
	ours := All(cfg, p)
	for _, u := range slices.Concat(ours, dropIns(cfg)) {
		text, err := u.Render()
		if err != nil {
			return nil, nil, fmt.Errorf("render the units: %w", err)
		}
		enabled := enabled(u.Name, cfg)
		if text != shipped[u.Name] || enabled {
			files = append(files, File{Path: u.Name, Text: forMachine(text)})
		}
		if enabled {
			for _, target := range wantedBy(u) {
				links = append(links, want(target, u.Name))
			}
		}
		delete(shipped, u.Name)
	}
	for name := range shipped {
		links = append(links, Link{Path: name, To: "/dev/null"})
	}
	if cfg.VLLM.Enable && foreignVLLM(cfg) {
		links = append(links, want(string(mode.ComputeTarget), cfg.VLLM.Unit))
	}
	return files, links, nil
}

// want is the link with which a target wants a unit.
func want(target, unit string) Link {
	return Link{Path: path.Join(target+".wants", unit), To: path.Join("..", unit)}
}

// enabled tells whether the configuration wants a unit of ours to start by
// itself.
func enabled(unit string, cfg config.Config) bool {
	switch unit {
	case config.Default().VLLM.Unit:
		return cfg.VLLM.Enable
	case planoService:
		return cfg.Plano.Enable
	case idleService:
		return cfg.Idle.Enable
	case observeTimer:
		return cfg.Metrics.Textfile != "" && cfg.Metrics.Interval > 0
	case memorySocket, memoryService, memoryTimer:
		return cfg.Memory.Enable
	case memoryWorker:
		// The service embeds by itself what needs neither a queue nor a model
		// elsewhere.
		m := cfg.Memory
		return m.Enable && m.Embeddings.Provider != config.EmbedderNone &&
			(m.Redis.URL != "" || m.Embeddings.Provider != config.EmbedderBuiltin)
	}
	return false
}

// wantedBy lists the targets of a unit's [Install] section.
func wantedBy(u Unit) []string {
	for _, s := range u.Sections {
		for _, e := range s.Entries {
			if list, ok := e.Value.(names); ok && s.Name == "Install" && e.Key == "WantedBy" {
				return list
			}
		}
	}
	return nil
}

func foreignVLLM(cfg config.Config) bool { return cfg.VLLM.Unit != config.Default().VLLM.Unit }

// dropIns are what we add to units of others, and to instances of our own.
func dropIns(cfg config.Config) []Unit {
	var all []Unit
	if cfg.K3s.Enable {
		all = append(all, Unit{Name: dropInFor(cfg.K3s.Unit), Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("IgnoreOnIsolate", yes, "It stays up in every mode, also when a mode's target is isolated by hand."),
			}},
			{Name: "Service", Entries: []entry{set("Slice", text("platform.slice"), "A mode changes the budget of this slice, and nothing else of it.")}},
		}})
	}
	if cfg.VLLM.Enable && foreignVLLM(cfg) {
		all = append(all, Unit{Name: dropInFor(cfg.VLLM.Unit), Sections: []section{
			{Name: "Unit", Entries: []entry{set("PartOf", names{string(mode.ComputeTarget)}, "It ends with compute mode.")}},
			{Name: "Service", Entries: append([]entry{set("Slice", text("ai.slice"))}, gpuEnvironment(cfg)...)},
		}})
	}
	return append(all, roomDropIns(cfg)...)
}

func dropInFor(unit string) string { return path.Join(unit+".d", dropIn) }

// machineHeader is the first line of what is made on the machine.
const machineHeader = "Made by dubnium-generator from " + config.DefaultPath +
	": change that, then systemctl daemon-reload. A unit in /etc/systemd/system wins over this one."

// forMachine puts the header of the machine in the place of the repository's.
func forMachine(text string) string {
	return "# " + machineHeader + "\n" + strings.TrimPrefix(text, "# "+Header+"\n")
}
