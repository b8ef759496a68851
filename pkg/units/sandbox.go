package units

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/unitfile"
)

// sandbox is what a service may do beyond the strictest that all have. Each
// exception carries its reason into the text.
type sandbox struct {
	private bool // of the machine it sees no other process, and it may do next to nothing
	network bool // a network of its own, without interfaces

	home    unitfile.Text // "yes" unless set
	homeWhy string

	caps    tokens // none unless set
	capsWhy string

	families    tokens
	familiesWhy string

	devices    tokens // none but the harmless ones unless set
	devicesWhy string

	calls    tokens // of the system call filter; @system-service unless set
	callsWhy string
	refused  tokens // taken out again

	write string // the one folder, perhaps absent, that may be written

	openat2 string // why RestrictSUIDSGID= is left out, which refuses this call

	builds    tokens // the namespaces that it makes, each with a host name of its own; none unless set
	buildsWhy string
}

func (s sandbox) entries() []entry {
	home, calls := s.home, s.calls
	if home == "" {
		home = "yes"
	}
	if calls == nil {
		calls = tokens{"@system-service"}
	}
	refused := s.refused
	if s.private {
		refused = tokens{"@privileged", "@resources"}
	}
	entries := []entry{
		set("ProtectSystem", text("strict")),
		set("ProtectHome", home, lines(s.homeWhy)...),
		set("PrivateTmp", yes),
		set("NoNewPrivileges", yes),
		set("RestrictSUIDSGID", unitfile.Bool(s.openat2 == ""), lines(s.openat2)...),
		set("CapabilityBoundingSet", capabilities(s.caps), lines(s.capsWhy)...),
	}
	if s.write != "" {
		entries = append(entries, set("ReadWritePaths", unitfile.Path("-"+s.write)))
	}
	if s.private {
		entries = append(entries,
			set("ProtectProc", text("invisible")), set("ProcSubset", text("pid")),
			set("MemoryDenyWriteExecute", yes))
	}
	if s.network {
		entries = append(entries, set("PrivateNetwork", yes))
	}
	if len(s.devices) == 0 {
		entries = append(entries, set("PrivateDevices", yes))
	}
	for i, d := range s.devices {
		if i == 0 {
			entries = append(entries, set("DevicePolicy", text("closed"), lines(s.devicesWhy)...))
		}
		entries = append(entries, set("DeviceAllow", tokens{d, "rw"}))
	}
	entries = append(entries,
		set("ProtectClock", yes),
		set("ProtectControlGroups", yes),
	)
	namespaces := unitfile.Value(yes)
	if s.builds == nil {
		entries = append(entries, set("ProtectHostname", yes))
	} else {
		namespaces = s.builds
	}
	entries = append(entries,
		set("ProtectKernelLogs", yes),
		set("ProtectKernelModules", yes),
		set("ProtectKernelTunables", yes),
		set("LockPersonality", yes),
		set("RestrictNamespaces", namespaces, lines(s.buildsWhy)...),
		set("RestrictRealtime", yes),
		set("RestrictAddressFamilies", s.families, lines(s.familiesWhy)...),
		set("SystemCallArchitectures", text("native")),
		set("SystemCallFilter", calls, lines(s.callsWhy)...),
	)
	if len(refused) > 0 {
		entries = append(entries, set("SystemCallFilter", append(tokens{"~" + refused[0]}, refused[1:]...)))
	}
	return append(entries,
		set("SystemCallErrorNumber", text("EPERM"), "A refused call is an error that a program can name, not its death."),
		set("UMask", text("0022")),
	)
}

// capabilities is the bounding set; an empty one is none.
func capabilities(caps tokens) unitfile.Value {
	if len(caps) == 0 {
		return unitfile.Reset
	}
	return tokens(slices.Sorted(slices.Values(caps)))
}

// lines is a reason, where there is one.
func lines(why string) []string {
	if why == "" {
		return nil
	}
	return []string{why}
}

// joined puts the parts of a section together.
func joined(parts ...[]entry) []entry { return slices.Concat(parts...) }
