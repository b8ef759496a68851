package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rooms are the disposable sandboxes of this machine.
type Rooms struct {
	Directory string           // of the images
	Vault     string           // the only folder of which rooms see anything
	Named     map[string]*Room // nil where there is none; see wrongRoomName for the names
}

// Network says what of the network a room has.
type Network string

// The networks of a room.
const (
	NetworkNone Network = "none" // a loopback interface of its own
	NetworkHost Network = "host" // that of the machine, as it is
)

// Room is one room.
type Room struct {
	Image       string   // a name in Rooms.Directory, or an absolute path
	SHA256      string   // of the image, 64 digits in lower case
	Command     []string // the program's path in the room, and its arguments
	Network     Network
	GPU         bool
	VaultRead   []string // sub-paths of Rooms.Vault
	VaultWrite  []string // the same, of which none is in VaultRead
	OverlaySize Size     // of all that the room writes outside of the vault
	MemoryMax   Size     // 0: no limit but the slice's
	TasksMax    int      // 0: systemd's own
}

func defaultRooms() Rooms {
	return Rooms{Directory: "/var/lib/dubnium/rooms", Vault: "/var/lib/dubnium/vault"}
}

func defaultRoom() Room {
	return Room{Command: []string{}, Network: NetworkNone, VaultRead: []string{}, VaultWrite: []string{}, OverlaySize: GiB}
}

// Names lists the rooms in order.
func (r Rooms) Names() []string { return slices.Sorted(maps.Keys(r.Named)) }

// AnyName stands for a name that the configuration gives, in the path of a key.
const AnyName = "<name>"

const roomsTable = "rooms.named"

func roomKeys() []definition {
	folder := func(path, doc, example string, at func(*Config) any) definition {
		return definition{path: "rooms." + path, at: at, doc: doc, check: wrongFolder, allowed: "an absolute path of letters, digits and ./_+:@-", example: example}
	}
	room := func(name string, of func(*Room) any, d definition) definition {
		d.path, d.of = roomsTable+"."+AnyName+"."+name, of
		d.at = func(*Config) any {
			r := defaultRoom()
			return of(&r)
		}
		return d
	}
	return []definition{
		folder("directory", "The folder of the images.", `"/srv/rooms"`, func(c *Config) any { return &c.Rooms.Directory }),
		folder("vault", "The vault: the only folder of this machine of which a room sees anything, and so the only one in which anything of a room survives.", `"/srv/vault"`, func(c *Config) any { return &c.Rooms.Vault }),

		room("image", func(r *Room) any { return &r.Image }, definition{required: true, check: wrongImage, allowed: "a file's name, or an absolute path", example: `"demo.sqsh"`, doc: "The squashfs image that is the room's root: a file of rooms.directory, or an absolute path. It has to be root's, and nobody else may be able to write to it."}),
		room("sha256", func(r *Room) any { return &r.SHA256 }, definition{required: true, check: wrongDigest, allowed: "64 hexadecimal digits in lower case", example: `"` + strings.Repeat("0f", 32) + `"`, doc: "The SHA-256 of the image. The room does not start from any other content. room image prints it, as sha256sum does."}),
		room("command", func(r *Room) any { return &r.Command }, definition{required: true, repeat: true, example: `["/bin/train", "--epochs", "3"]`, doc: "The program that the room runs, by its path in the image, and its arguments. No shell reads them. The room ends with it."}),
		room("network", func(r *Room) any { return &r.Network }, definition{enum: []string{string(NetworkNone), string(NetworkHost)}, example: `"host"`, doc: "\"none\" is a loopback interface of the room's own and nothing else. \"host\" is this machine's network as it is, its local services and abstract sockets included."}),
		room("gpu", func(r *Room) any { return &r.GPU }, definition{example: "true", doc: "Whether the room has the device nodes of the NVIDIA driver that this machine has when the room starts. It does not start where there are none. The driver's libraries are the image's own affair: they have to be of the version of this machine's driver."}),
		room("vaultRead", func(r *Room) any { return &r.VaultRead }, definition{empty: true, check: wrongSubPath, allowed: "paths below rooms.vault", example: `["models"]`, doc: "Folders of the vault that the room can read, at /vault and their path. A symbolic link that leads out of the vault is refused. No program is run from the vault."}),
		room("vaultWrite", func(r *Room) any { return &r.VaultWrite }, definition{empty: true, check: wrongSubPath, allowed: "paths below rooms.vault", example: `["results/demo"]`, doc: "Folders of the vault that the room can write to as well. What it writes there is all that survives of it."}),
		room("overlaySize", func(r *Room) any { return &r.OverlaySize }, definition{example: `"8GiB"`, doc: "How much the room can write outside of the vault, and once more in its /dev/shm. It is memory, counted to the room, and gone when the room ends."}),
		room("memoryMax", func(r *Room) any { return &r.MemoryMax }, definition{empty: true, example: `"16GiB"`, doc: "The most memory that the room takes, what it has written outside of the vault included; empty is no limit but that of ai.slice. A room with a limit starts only where a control group holds it to it, as room@.service does: systemctl daemon-reload after a change."}),
		room("tasksMax", func(r *Room) any { return &r.TasksMax }, definition{max: 1 << 22, example: "512", doc: "The most processes and threads that the room has; 0 is systemd's own limit for a service. What is said of memoryMax holds for it too."}),
	}
}

// inRoom is the definition of a key of one room.
func (d definition) inRoom(name string) definition {
	of := d.of
	d.path = strings.Replace(d.path, AnyName, name, 1)
	d.at = func(c *Config) any {
		r := c.Rooms.Named[name]
		if r == nil { // whoever asks for the type alone has no room
			r = new(Room)
		}
		return of(r)
	}
	return d
}

// room begins the room that a key or table is of, if it is of one, and tells
// whether it may.
func (p *parser) room(parts []string, line int) bool {
	_, name := generic(parts)
	if name == "" || p.config.Rooms.Named[name] != nil {
		return true
	}
	if wrong := WrongRoomName(name); wrong != "" {
		p.problem(line, roomsTable, "%s %s", cut(name, 80), wrong)
		return false
	}
	if p.config.Rooms.Named == nil {
		p.config.Rooms.Named = map[string]*Room{}
	}
	r := defaultRoom()
	p.config.Rooms.Named[name], p.roomLine[name] = &r, line
	return true
}

// generic is the path of a key or table with AnyName in the place of a room's
// name.
func generic(parts []string) (path, name string) {
	if len(parts) > 2 && strings.Join(parts[:2], ".") == roomsTable {
		name = parts[2]
		parts = slices.Concat(parts[:2], []string{AnyName}, parts[3:])
	}
	return strings.Join(parts, "."), name
}

// maxRoomName lets a loop device carry the name with what stands before it.
const maxRoomName = 48

// WrongRoomName says why no room can have this name; "" if one can.
func WrongRoomName(s string) string {
	switch {
	case len(s) > maxRoomName:
		return fmt.Sprintf("is longer than the %d bytes of a room's name", maxRoomName)
	case s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || s[0] == '-' || s[len(s)-1] == '-':
		return "is no name of a room; one is made of lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen"
	}
	return ""
}

func wrongFolder(s string) string {
	if wrong := wrongPath(s); wrong != "" {
		return wrong
	}
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_+:@-") != "" {
		return "holds characters other than letters, digits and ./_+:@-"
	}
	return ""
}

func wrongImage(s string) string {
	switch {
	case strings.HasPrefix(s, "/"):
		return wrongPath(s)
	case strings.Contains(s, "/") || s == "." || s == "..":
		return "is neither a file's name in rooms.directory nor an absolute path"
	}
	return ""
}

func wrongDigest(s string) string {
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return "is no SHA-256; write its 64 hexadecimal digits in lower case, as sha256sum prints them"
	}
	return ""
}

func wrongSubPath(s string) string {
	if strings.HasPrefix(s, "/") || s == "." || wrongPath("/"+s) != "" || slices.Contains(strings.Split(s, "/"), "..") {
		return "is no path below the vault; write one without a leading slash and without . or .., such as models/qwen"
	}
	return ""
}

// rooms looks for what a room lacks, and for what contradicts itself.
func (p *parser) rooms() {
	for _, name := range p.config.Rooms.Names() {
		room, table := p.config.Rooms.Named[name], roomsTable+"."+name
		for _, d := range roomKeys() {
			key := strings.Replace(d.path, AnyName, name, 1)
			if d.required && p.set[key] == 0 {
				p.problem(p.roomLine[name], key, "is not set, and no room is without it; write %s, such as %s", d.wanted(), d.example)
			}
		}
		if command := table + ".command"; !p.wrong[command] && len(room.Command) > 0 {
			if wrong := wrongPath(room.Command[0]); wrong != "" {
				p.problem(p.set[command], command, "the program %q %s", cut(room.Command[0], 80), wrong)
			}
		}
		for _, sub := range room.VaultWrite {
			if slices.Contains(room.VaultRead, sub) {
				p.problem(p.set[table+".vaultWrite"], table+".vaultWrite", "%q is in %s.vaultRead too; leave one of them out", cut(sub, 80), table)
			}
		}
	}
}
