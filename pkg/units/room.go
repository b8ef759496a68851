package units

import (
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

const (
	roomService = "room@.service"
	// roomStart is for reading the whole image.
	roomStart = 10 * time.Minute
	roomStop  = 30 * time.Second
)

// roomUnit runs a room: the launcher stays outside of it.
func roomUnit(cfg config.Config, p Paths) Unit {
	command := unitfile.Exec{Path: text(p.bin("room")), Args: []unitfile.Word{text("run"), text("--"), unitfile.Specifier('i')}}
	return Unit{
		Name: roomService,
		Comments: []string{
			"Runs the room that is named behind the @. What a room may use is in a drop-in of its own where the configuration says " +
				"something of it: its memory, its tasks, the GPU.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", unitfile.Concat{text("Room "), unitfile.Specifier('i')}),
				set("Documentation", tokens{"man:room(1)"}),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("notify"), "Started means that the room's command runs. A room that is refused fails the start."),
					set("ExecStart", command),
					set("Slice", text("ai.slice")),
					set("TimeoutStartSec", span(roomStart), "The whole image is read and compared with its digest."),
					set("TimeoutStopSec", span(roomStop)),
					set("KillMode", text("mixed"), "The launcher passes SIGTERM on to the command, and the kernel ends the room with the launcher."),
					set("LimitNOFILE", unitfile.Int(vllmDescriptors)),
					set("LimitMEMLOCK", text("infinity"), "What GPUs read is locked in memory; the memory limit counts it."),
					set("OOMScoreAdjust", unitfile.Int(500), "When memory runs out, it goes before anything that cannot be started again at will."),
					set("KeyringMode", text("private")),
				},
				sandbox{
					home: "read-only", homeWhy: "An image may be in a home, by its absolute path.",
					caps: tokens{
						"CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SETPCAP", "CAP_NET_ADMIN",
						"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID",
					},
					capsWhy: "The room's command has none of CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETPCAP and CAP_NET_ADMIN: the launcher mounts, makes a /dev and " +
						"a loopback interface, and drops them before that.",
					families:    tokens{"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"},
					familiesWhy: "What a room's program may need, in a network that is the room's own unless configured otherwise.",
					devices:     tokens{"/dev/loop-control", "block-loop"},
					devicesWhy:  "The image is mounted from a loop device. A room has no node of one, can make none, and has no mount on which one would work.",
					calls:       tokens{"@system-service", "@mount", "capset", "sethostname", "pidfd_getfd"},
					callsWhy:    "The launcher mounts. In the room the capabilities for that are gone.",
					refused:     tokens{"@keyring"},
					write:       cfg.Rooms.Vault,
					openat2:     "It refuses openat2(2), with which the launcher stays in the vault. No file system of a room knows setuid.",
					builds:      tokens{"mnt", "pid", "ipc", "uts", "net", "cgroup"},
					buildsWhy: "Those of a room. User namespaces, in which its root would have powers again, are not among them. " +
						"ProtectHostname= is left out: a room has a host name.",
				}.entries(),
			)},
		},
	}
}

// roomDropIns are what the units of single rooms have beyond the template.
func roomDropIns(cfg config.Config) []Unit {
	var all []Unit
	for _, name := range cfg.Rooms.Names() {
		r := cfg.Rooms.Named[name]
		var unit, service []entry
		if r.MemoryMax > 0 {
			service = append(service, set("MemoryMax", unitfile.Bytes(r.MemoryMax)))
		}
		if r.TasksMax > 0 {
			service = append(service, set("TasksMax", unitfile.Int(r.TasksMax)))
		}
		if r.GPU {
			const uvm = "modprobe@nvidia_uvm.service"
			unit = append(unit,
				set("Wants", names{uvm}, "DeviceAllow= knows only the devices of the modules that are there at the start."),
				set("After", names{uvm}))
			service = append(service, set("DeviceAllow", tokens{"char-nvidia*", "rwm"}, "This room has the GPU. The launcher makes the nodes in the room's own /dev."))
		}
		if len(service) == 0 {
			continue
		}
		u := Unit{Name: dropInFor("room@" + name + ".service")}
		if unit != nil {
			u.Sections = append(u.Sections, section{Name: "Unit", Entries: unit})
		}
		u.Sections = append(u.Sections, section{Name: "Service", Entries: service})
		all = append(all, u)
	}
	return all
}
