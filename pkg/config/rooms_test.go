package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

const needed = "image = \"i\"\nsha256 = \"" + digest + "\"\ncommand = [\"/c\"]\n"

func TestRooms(t *testing.T) {
	demo := &Room{
		Image: "demo.sqsh", SHA256: digest, Command: []string{"/bin/sh", "-c", "-c"}, Network: NetworkHost, GPU: true,
		VaultRead: []string{"models/a b"}, VaultWrite: []string{"out"}, OverlaySize: 2 * GiB, MemoryMax: 4 * GiB, TasksMax: 9,
	}
	other := &Room{
		Image: "/srv/i", SHA256: digest, Command: []string{"/c"}, Network: NetworkNone,
		VaultRead: []string{}, VaultWrite: []string{}, OverlaySize: GiB,
	}
	want := Rooms{Directory: "/srv/rooms", Vault: "/var/lib/dubnium/vault", Named: map[string]*Room{"demo": demo, "other-1": other}}
	const demoKeys = `image = "demo.sqsh"
sha256 = "` + digest + `"
command = ["/bin/sh", "-c", "-c"]
network = "host"
gpu = true
vaultRead = ["models/a b"]
vaultWrite = ["out"]
overlaySize = "2GiB"
memoryMax = "4GiB"
tasksMax = 9
`
	const otherKeys = `image = "/srv/i", sha256 = "` + digest + `", command = ["/c"]`
	for name, text := range map[string]string{
		"headers":     "[rooms]\ndirectory = \"/srv/rooms\"\n[rooms.named.demo]\n" + demoKeys + "[rooms.named.other-1]\n" + strings.ReplaceAll(otherKeys, ", ", "\n"),
		"braces":      "[rooms]\ndirectory = \"/srv/rooms\"\nnamed.demo = {" + strings.ReplaceAll(strings.TrimSpace(demoKeys), "\n", ", ") + "}\nnamed.other-1 = {" + otherKeys + "}\n",
		"dotted keys": "rooms.directory = \"/srv/rooms\"\nrooms.named.other-1 = {" + otherKeys + "}\nrooms.named.demo." + strings.ReplaceAll(strings.TrimSpace(demoKeys), "\n", "\nrooms.named.demo."),
	} {
		got, err := Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got.Rooms); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRoomProblems(t *testing.T) {
	long := strings.Repeat("a", 49)
	for name, c := range map[string]struct{ text, want string }{
		"nothing is set": {"[rooms.named.demo]", `f:1: rooms.named.demo.image: is not set, and no room is without it; write a file's name, or an absolute path, such as "demo.sqsh"
f:1: rooms.named.demo.sha256: is not set, and no room is without it; write 64 hexadecimal digits in lower case, such as "` + strings.Repeat("0f", 32) + `"
f:1: rooms.named.demo.command: is not set, and no room is without it; write a list of strings, such as ["/bin/train", "--epochs", "3"]`},
		"no digest":         {"[rooms.named.demo]\nimage = \"i\"\ncommand = [\"/c\"]", "f:1: rooms.named.demo.sha256: is not set, and no room is without it; write 64 hexadecimal digits in lower case, such as \"" + strings.Repeat("0f", 32) + "\""},
		"typo":              {"[rooms.named.demo]\n" + needed + "imagee = 1", "f:5: rooms.named.demo.imagee: unknown key; did you mean rooms.named.demo.image?"},
		"key like none":     {"[rooms.named.demo]\n" + needed + "zzzzzz = 1", "f:5: rooms.named.demo.zzzzzz: unknown key; the keys of [rooms.named.demo] are image, sha256, command, network, gpu, vaultRead, vaultWrite, overlaySize, memoryMax, tasksMax"},
		"name with a slash": {"[rooms.named.\"a/b\"]", "f:1: rooms.named: \"a/b\" is no name of a room; one is made of lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen"},
		"long name":         {"[rooms.named." + long + "]", "f:1: rooms.named: " + long + " is longer than the 48 bytes of a room's name"},
		"hyphen first":      {"rooms.named.-a.gpu = true", "f:1: rooms.named: -a is no name of a room; one is made of lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen"},
		"no table":          {"rooms.named.demo = 1", "f:1: rooms.named.demo: is a table and no key; write [rooms.named.demo] and its keys below\nf:1: rooms.named.demo.image: is not set, and"},
		"below a key":       {"[rooms.named.demo.gpu]", "f:1: rooms.named.demo.gpu: is a key and no table; write gpu below [rooms.named.demo]"},
		"twice":             {"[rooms.named.demo]\n" + needed + "[rooms.named.demo]", "f:5: rooms.named.demo: the table is already defined on line 1; a table is written once"},
		"upper-case digest": {"[rooms.named.demo]\n" + strings.Replace(needed, digest, strings.ToUpper(digest), 1), `f:3: rooms.named.demo.sha256: "` + strings.ToUpper(digest) + `" is no SHA-256; write its 64 hexadecimal digits in lower case, as sha256sum prints them`},
		"image elsewhere":   {"[rooms.named.demo]\n" + strings.Replace(needed, "\"i\"", "\"../i\"", 1), `f:2: rooms.named.demo.image: "../i" is neither a file's name in rooms.directory nor an absolute path`},
		"relative program":  {"[rooms.named.demo]\n" + strings.Replace(needed, "/c", "c", 1), `f:4: rooms.named.demo.command: the program "c" is not an absolute path; write one that begins with /`},
		"no command":        {"[rooms.named.demo]\n" + strings.Replace(needed, "\"/c\"", "", 1), `f:4: rooms.named.demo.command: is empty; write a list of strings, such as ["/bin/train", "--epochs", "3"]`},
		"wrong network":     {"[rooms.named.demo]\n" + needed + "network = \"wan\"", `f:5: rooms.named.demo.network: "wan" is not known; write "none" or "host"`},
		"out of the vault":  {"[rooms.named.demo]\n" + needed + "vaultRead = [\"a/../../b\"]", `f:5: rooms.named.demo.vaultRead: "a/../../b" is no path below the vault; write one without a leading slash and without . or .., such as models/qwen`},
		"the vault itself":  {"[rooms.named.demo]\n" + needed + "vaultWrite = [\".\"]", `f:5: rooms.named.demo.vaultWrite: "." is no path below the vault; write one without a leading slash and without . or .., such as models/qwen`},
		"read and write":    {"[rooms.named.demo]\n" + needed + "vaultRead = [\"a\"]\nvaultWrite = [\"a\"]", `f:6: rooms.named.demo.vaultWrite: "a" is in rooms.named.demo.vaultRead too; leave one of them out`},
		"no memory":         {"[rooms.named.demo]\n" + needed + "memoryMax = \"0\"", `f:5: rooms.named.demo.memoryMax: 0 would leave no memory at all; write "" for no limit, or a size, such as "16GiB"`},
		"odd folder":        {"[rooms]\nvault = \"/a b\"", `f:2: rooms.vault: "/a b" holds characters other than letters, digits and ./_+:@-`},
	} {
		if _, err := Parse("f", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", name, err, c.want)
		}
	}
}
