package units

import (
	"net"
	"path"
	"strconv"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

// MemoryUser owns the memories and their database.
const MemoryUser = "dubnium-memory"

const (
	memorySocket   = "dubnium-memory-api.socket"
	memoryService  = "dubnium-memory-api.service"
	memoryWorker   = "dubnium-embed-worker.service"
	memoryExpire   = "dubnium-memory-expire.service"
	memoryTimer    = "dubnium-memory-expire.timer"
	memoryDatabase = "dubnium-memory-database.service"

	memoryWatchdog = 30 * time.Second
	// memoryStart is for the first start, which makes a database, and for one
	// after a crash, which reads its log again.
	memoryStart = 3 * time.Minute
	memoryStop  = 45 * time.Second
)

// memoryUnits are the memory service, its worker, and what looks after them.
func memoryUnits(cfg config.Config, p Paths) []Unit {
	units := []Unit{memoryAPISocket(cfg), memoryAPI(cfg, p), embedWorker(cfg, p), memoryExpiry(p), memoryExpiryTimer()}
	if cfg.Memory.Database.Unit != "" {
		units = append(units, memoryDatabaseSetUp(cfg, p))
	}
	return units
}

func memoryAPISocket(cfg config.Config) Unit {
	api := cfg.Memory.API
	socket := []entry{
		set("ListenStream", unitfile.Path(api.Socket)),
		set("SocketMode", text("0660"), "Who may connect may read and write every scope: the operators, nobody else."),
		set("SocketGroup", text(config.OperatorsGroup)),
		set("DirectoryMode", text("0755")),
	}
	if api.Port != 0 {
		socket = append(socket, set("ListenStream", text(net.JoinHostPort(api.Host, strconv.Itoa(api.Port))),
			"Every process of this machine may connect here; memory.api.port 0 closes it."))
	}
	return Unit{
		Name: memorySocket,
		Comments: []string{
			"The memory service begins at the first connection, and a restart of it refuses none: they wait here.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium memory API socket")),
				set("Documentation", tokens{"man:memory-api(8)"}),
				set("IgnoreOnIsolate", yes, "The memories are there in every mode."),
			}},
			{Name: "Socket", Entries: append(socket, set("RemoveOnStop", yes))},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"sockets.target"})}},
		},
	}
}

// memoryNeeds are the units of others that the service and its workers need
// before them. Redis is wanted and no more: without it the work goes on from
// the database, and what stops it must not stop the memories.
func memoryNeeds(cfg config.Config, ours ...string) []entry {
	var need names
	if unit := cfg.Memory.Database.Unit; unit != "" {
		need = append(need, unit, memoryDatabase)
	}
	need = append(need, ours...)
	var entries []entry
	if len(need) > 0 {
		entries = append(entries, set("Requires", need))
	}
	if unit := cfg.Memory.Redis.Unit; unit != "" {
		entries = append(entries, set("Wants", names{unit}, "Without Redis the work goes on from the database."))
		need = append(need, unit)
	}
	if len(need) > 0 {
		entries = append(entries, set("After", need))
	}
	return entries
}

// memoryBox is the sandbox of the service, its private database and its
// worker.
func memoryBox(cfg config.Config) sandbox {
	box := sandbox{
		families:    tokens{"AF_UNIX", "AF_INET", "AF_INET6"},
		familiesWhy: "The database, Redis and the embedding endpoint.",
		refused:     tokens{"@privileged"},
	}
	if dir := cfg.Memory.Artifacts.Directory; !below(dir, config.MemoryDirectory) {
		box.write = dir
	}
	return box
}

func below(dir, top string) bool { return len(dir) > len(top) && dir[:len(top)+1] == top+"/" }

// asMemoryUser are the entries of everything that works on the memories.
func asMemoryUser(state bool) []entry {
	entries := []entry{
		set("User", text(MemoryUser)),
		set("Slice", text("platform.slice")),
		set("MemoryDenyWriteExecute", yes),
		set("PrivateIPC", yes),
	}
	if state {
		entries = append(entries,
			set("StateDirectory", text(path.Base(config.MemoryDirectory))),
			set("StateDirectoryMode", text("0700"), "What agents remember is nobody else's to read."))
	}
	return entries
}

func memoryAPI(cfg config.Config, p Paths) Unit {
	service := []entry{
		set("Type", text("notify"), "Started means that requests are answered: the database runs and its tables are current."),
		set("ExecStart", unitfile.Command(p.bin("memory-api"))),
		set("SupplementaryGroups", text(config.OperatorsGroup)),
		set("ProtectProc", text("default"), "The unit of whoever asks is recorded with the request, and is read from its process."),
		set("TimeoutStartSec", span(memoryStart), "The first start makes the database; one after a crash reads its log again."),
		set("TimeoutStopSec", span(memoryStop), "Requests under way are finished, and the private database writes a checkpoint."),
		set("KillMode", text("mixed"), "The service stops its private database itself."),
		set("WatchdogSec", span(memoryWatchdog)),
		set("Restart", text("on-failure")),
		set("RestartSec", span(2*time.Second)),
		set("LimitNOFILE", unitfile.Int(8192)),
	}
	box := memoryBox(cfg)
	if dir := cfg.Memory.Database.Directory; cfg.Memory.Database.Private() && !below(dir, config.MemoryDirectory) {
		service = append(service, set("ReadWritePaths", unitfile.Path("-"+dir)))
	}
	return Unit{
		Name: memoryService,
		Sections: []section{
			{Name: "Unit", Entries: append([]entry{
				set("Description", text("Dubnium memory API")),
				set("Documentation", tokens{"man:memory-api(8)", "man:ai-memory(1)"}),
				set("IgnoreOnIsolate", yes, "The memories are there in every mode."),
			}, memoryNeeds(cfg, memorySocket)...)},
			{Name: "Service", Entries: joined(service, asMemoryUser(true), box.entries())},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"multi-user.target"}), set("Also", names{memorySocket, memoryTimer})}},
		},
	}
}

func embedWorker(cfg config.Config, p Paths) Unit {
	needs := memoryNeeds(cfg, memoryService)
	if !cfg.Memory.Database.Private() {
		needs = append(memoryNeeds(cfg), set("After", names{memoryService},
			"Where both start on one machine, the service brings the tables up to date first. A worker on another machine has no service beside it."))
	}
	return Unit{
		Name: memoryWorker,
		Comments: []string{
			"Embeds memories apart from the service, as many as one likes and on other machines too. With the built-in embedder and without Redis " +
				"the service does it itself, and this unit is not needed.",
		},
		Sections: []section{
			{Name: "Unit", Entries: append([]entry{
				set("Description", text("Dubnium embedding worker")),
				set("Documentation", tokens{"man:embed-worker(8)"}),
				set("IgnoreOnIsolate", yes),
			}, needs...)},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("notify")),
					set("ExecStart", unitfile.Command(p.bin("embed-worker"))),
					set("ProtectProc", text("invisible")),
					set("TimeoutStartSec", span(memoryStart)),
					set("TimeoutStopSec", span(cfg.Memory.Embeddings.Timeout.Std()+margin), "Texts under way are finished; the others go back to the queue."),
					set("WatchdogSec", span(memoryWatchdog)),
					set("Restart", text("on-failure")),
					set("RestartSec", span(5*time.Second)),
				},
				asMemoryUser(false), memoryBox(cfg).entries(),
			)},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"multi-user.target"})}},
		},
	}
}

func memoryExpiry(p Paths) Unit {
	return Unit{
		Name: memoryExpire,
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Removal of expired memories")),
				set("Documentation", tokens{"man:ai-memory(1)"}),
				set("IgnoreOnIsolate", yes),
				set("Requires", names{memorySocket}),
				set("After", names{memorySocket}),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("ExecStart", unitfile.Command(p.bin("ai-memory"), "expire")),
					set("DynamicUser", yes),
					set("SupplementaryGroups", text(config.OperatorsGroup), "Which may use the service's socket."),
					set("Slice", text("platform.slice")),
					set("TimeoutStartSec", span(memoryStart)),
					set("TimeoutStopSec", quick),
				},
				sandbox{private: true, families: tokens{"AF_UNIX", "AF_INET", "AF_INET6"}, familiesWhy: "The service."}.entries(),
			)},
		},
	}
}

func memoryExpiryTimer() Unit {
	return Unit{
		Name: memoryTimer,
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Daily removal of expired memories")),
				set("Documentation", tokens{"man:ai-memory(1)"}),
				set("IgnoreOnIsolate", yes),
			}},
			{Name: "Timer", Entries: []entry{
				set("OnCalendar", text("daily"), "An expired memory is never returned; this marks it, and the service gives its room back a month later."),
				set("RandomizedDelaySec", span(time.Hour)),
				set("Persistent", yes),
			}},
			{Name: "Install", Entries: []entry{set("WantedBy", names{"timers.target"})}},
		},
	}
}

// memoryDatabaseSetUp makes role, database and extension on a Postgres of this
// machine that is not our own.
func memoryDatabaseSetUp(cfg config.Config, p Paths) Unit {
	return Unit{
		Name: memoryDatabase,
		Comments: []string{
			"Makes the role, the database and the extension of the memory service. It changes nothing that is there already.",
		},
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Dubnium memory database set-up")),
				set("Documentation", tokens{"man:memory-api(8)"}),
				set("IgnoreOnIsolate", yes),
				set("Requires", names{cfg.Memory.Database.Unit}),
				set("After", names{cfg.Memory.Database.Unit}),
			}},
			{Name: "Service", Entries: joined(
				[]entry{
					set("Type", text("oneshot")),
					set("RemainAfterExit", yes),
					set("ExecStart", unitfile.Command(p.bin("memory-api"), "set-up-database")),
					set("User", text("postgres"), "Postgres knows its superuser by this name."),
					set("Slice", text("platform.slice")),
					set("TimeoutStartSec", span(memoryStart)),
					set("TimeoutStopSec", quick),
				},
				sandbox{private: true, families: tokens{"AF_UNIX"}, familiesWhy: "The socket of the database."}.entries(),
			)},
		},
	}
}
