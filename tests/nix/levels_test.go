package nix

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameAsShim holds that another level accepts and refuses what the shim does,
// with the same outcome.
func sameAsShim(t *testing.T, l level, same func(a, b any) string) {
	t.Helper()
	_, want, stderr := run(t, shim, storePath, acceptedNames()...)
	if stderr != "" {
		t.Fatal(stderr)
	}
	_, got, stderr := run(t, l, storePath, acceptedNames()...)
	if stderr != "" {
		t.Fatal(stderr)
	}
	for _, name := range acceptedNames() {
		var a, b any
		if json.Unmarshal(want[name], &a) != nil || json.Unmarshal(got[name], &b) != nil {
			t.Fatalf("%s: no JSON", name)
		}
		if diff := same(a, b); diff != "" {
			t.Errorf("%s (-shim +other):\n%s", name, diff)
		}
	}
	for _, c := range cases {
		if c.refused == "" {
			continue
		}
		_, _, stderr := run(t, l, storePath, c.name)
		option, _, _ := strings.Cut(strings.TrimPrefix(c.refused, "`"), "'")
		if stderr == "" || !strings.Contains(stderr, option) {
			t.Errorf("%s: the shim refuses it, and the other does not, or does not name %s:\n%s", c.name, option, stderr)
		}
	}
}

func TestRealLib(t *testing.T) {
	dir := os.Getenv("DUBNIUM_NIXPKGS_LIB")
	if dir == "" {
		t.Skip("DUBNIUM_NIXPKGS_LIB, a checkout of nixpkgs' lib, is not set: the module was evaluated with the shim alone")
	}
	if _, err := os.Stat(filepath.Join(dir, "modules.nix")); err != nil {
		t.Fatalf("DUBNIUM_NIXPKGS_LIB is to be the folder lib of nixpkgs: %v", err)
	}
	sameAsShim(t, realLib(), func(a, b any) string { return cmp.Diff(a, b) })

	// What NixOS's manual has of the options.
	out, stderr, err := evaluate(t, "--argstr", "lib", dir, "--expr", `{ lib }:
let
  l = import (/. + lib);
  known = (builtins.fromJSON (builtins.readFile ../../nixos-module/options.json)).options;
  options = (l.evalModules {
    modules = [ ../../nixos-module/default.nix { _module.check = false; _module.args.pkgs = import ./eval/packages.nix { lib = l; store = "/s"; }; } ];
  }).options;
  # What has to be set has no default, but for a list, which the module system takes for an empty one.
  required = map (o: "dubnium.${o.path}") (builtins.filter (o: o.required or false) known);
  defaulted = o: o ? default || builtins.elem o.name required;
  documented = builtins.filter (o: o.visible && !o.internal && l.hasPrefix "dubnium." o.name) (l.optionAttrSetToDocList options);
in {
  missing = l.subtractLists (map (o: o.name) documented) (map (o: "dubnium.${o.path}") known);
  wordless = map (o: o.name) (builtins.filter (o: (o.description or "") == "" || !(defaulted o)) documented);
}`)
	if err != nil || string(bytes.TrimSpace(out)) != `{"missing":[],"wordless":[]}` {
		t.Errorf("the options' documentation: %v %s\n%s", err, out, stderr)
	}
}

// TestWholeNixOS compares the directives of units, not their texts: NixOS adds
// PATH, LOCALE_ARCHIVE and TZDIR to each, and says of 26.11 on in [Install]
// what wantedBy says. Paths of packages are the store's.
func TestWholeNixOS(t *testing.T) {
	sameAsShim(t, wholeNixOS(t), func(a, b any) string { return cmp.Diff(essence(a), essence(b)) })
}

// TestSystems holds that the systems of the examples can be made, as far as
// that is said before anything is built.
func TestSystems(t *testing.T) {
	all, _, stderr := run(t, append(wholeNixOS(t), "--arg", "systems", "true"), storePath, exampleNames...)
	if stderr != "" {
		t.Fatal(stderr)
	}
	for _, name := range exampleNames {
		if o := all[name]; !strings.HasSuffix(o.System, ".drv") || len(o.Failed)+len(o.Warnings) > 0 {
			t.Errorf("%s: the system is %q, failed assertions %q, warnings %q", name, o.System, o.Failed, o.Warnings)
		}
	}
}

// wholeNixOS is the level with all of NixOS, and its packages.
func wholeNixOS(t *testing.T) level {
	t.Helper()
	return level{"--argstr", "nixpkgs", checkoutOfNixpkgs(t)}
}

func checkoutOfNixpkgs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DUBNIUM_NIXPKGS")
	if dir == "" {
		t.Skip("DUBNIUM_NIXPKGS, a checkout of nixpkgs, is not set: the module was evaluated with a stub of NixOS")
	}
	if _, err := os.Stat(filepath.Join(dir, "nixos/lib/eval-config.nix")); err != nil {
		t.Fatalf("DUBNIUM_NIXPKGS is to be the top of nixpkgs: %v", err)
	}
	return dir
}

// essence is what NixOS and its stub have to agree on.
func essence(v any) map[string]any {
	o := v.(map[string]any)
	units := map[string]any{}
	for name, u := range o["units"].(map[string]any) {
		unit := u.(map[string]any)
		if name == "k3s.service" && strings.Contains(unit["text"].(string), "\nExecStart=") {
			continue // it is NixOS's own
		}
		units[name] = []any{unit["wantedBy"], unit["overrideStrategy"], ownLines(unit["text"].(string))}
	}
	network := o["network"].(map[string]any)
	network["aliases"] = slices.DeleteFunc(network["aliases"].([]any), func(name any) bool { return name == "localhost" })
	for _, u := range o["users"].(map[string]any) {
		if user := u.(map[string]any); user["isNormalUser"] == true {
			delete(user, "home") // NixOS has defaults for people
			delete(user, "group")
		}
	}
	var commands []string
	for _, p := range o["packages"].([]any) {
		commands = append(commands, inStore.ReplaceAllString(p.(map[string]any)["command"].(string), "STORE/$1"))
	}
	all := map[string]any{
		"units": units, "settings": withoutPaths(o["settings"]), "network": network, "commands": commands,
		"etc": slices.Sorted(maps.Keys(o["etc"].(map[string]any))),
	}
	for _, name := range []string{"failed", "warnings", "groups", "users", "services", "tmpfiles", "sops"} {
		all[name] = o[name]
	}
	return all
}

// inStore is the path of a package, up to what is in it.
var inStore = regexp.MustCompile(`/nix/store/[^ ]*?/(bin|libexec)\b`)

// ownLines are the directives of a unit that are not NixOS's own; of the
// environment, the names.
func ownLines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `"`, "")
		key, value, directive := strings.Cut(line, "=")
		if !directive || strings.HasPrefix(line, "#") {
			continue
		}
		if key == "WantedBy" {
			continue
		}
		if key == "Environment" {
			name, _, _ := strings.Cut(value, "=")
			if name == "PATH" || name == "LOCALE_ARCHIVE" || name == "TZDIR" {
				continue
			}
			line = key + "=" + name
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// withoutPaths puts one name in the place of all that are in the store.
func withoutPaths(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "/nix/store/") {
			return "STORE"
		}
	case map[string]any:
		for k := range v {
			v[k] = withoutPaths(v[k])
		}
	}
	return v
}
