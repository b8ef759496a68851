package nix

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nixpkgs = "github:NixOS/nixpkgs/nixos-unstable"

// offline puts a folder in the place of nixpkgs: eval, which has a stand-in for
// it, or a checkout.
func offline(t *testing.T, flake, folder string) string {
	t.Helper()
	if strings.Count(flake, nixpkgs) != 1 {
		t.Fatalf("a flake that has not %s:\n%s", nixpkgs, flake)
	}
	at, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(flake, nixpkgs, "path:"+at, 1)
}

// checkout is the repository as somebody has it who cloned it: a folder of git,
// with as much as the flake and the package look at, and a folder for nixpkgs.
func checkout(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "cmd", "docs", "pkg/version", "nixos-module"} {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		command(t, "cp", "-r", filepath.Join("../..", name), to)
	}
	_ = os.Remove(filepath.Join(dir, "nixos-module/flake.lock")) // of somebody who has built here
	put(t, filepath.Join(dir, "nixos-module/flake.nix"), offline(t, read(t, moduleDir+"/flake.nix"), folder), 0o644)
	command(t, "git", "-C", dir, "init", "--quiet")
	command(t, "git", "-C", dir, "add", "--all")
	command(t, "git", "-C", dir, "-c", "user.name=tester", "-c", "user.email=tester@localhost", "commit", "--quiet", "--message=all")
	return dir
}

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// flakes runs Nix on flakes, in a store of the test's own.
func flakes(t *testing.T) func(args ...string) string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "store")
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", store).Run() }) // it is read-only
	return func(args ...string) string {
		t.Helper()
		out, stderr, err := nix(t, append([]string{"nix", "--extra-experimental-features", "nix-command flakes", "--store", store}, args...)...)
		if err != nil {
			t.Fatalf("nix %s: %s", strings.Join(args, " "), stderr)
		}
		return string(out)
	}
}

// TestFlake holds what somebody meets who has the address of the flake: every
// output is what `nix flake check` wants it to be, for each system, and the
// sources of the package are the whole repository, of which the flake is a folder.
func TestFlake(t *testing.T) {
	dir, run := checkout(t, "eval"), flakes(t)
	clone := "git+file://" + dir + "?dir=nixos-module"
	run("flake", "check", "--no-build", filepath.Join(dir, "nixos-module")) // as in the README
	// The README says of the lock that Nix makes one.
	if _, err := os.Stat(filepath.Join(dir, "nixos-module/flake.lock")); err != nil {
		t.Errorf("nix writes no lock into a clone: %v", err)
	}

	user := t.TempDir()
	put(t, filepath.Join(user, "flake.nix"), `{
  inputs.dubnium.url = "`+clone+`";
  inputs.nixpkgs.follows = "dubnium/nixpkgs";
  outputs = { dubnium, nixpkgs, ... }:
    let
      name = builtins.mapAttrs (_: builtins.mapAttrs (_: d: d.name));
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
      src = dubnium.packages.aarch64-linux.dubnium.spec.src;
    in {
      seen = {
        packages = name dubnium.packages;
        checks = name dubnium.checks;
        overlay = (dubnium.overlays.default pkgs pkgs).dubnium.name;
        sources = builtins.attrNames (builtins.readDir src);
        module = nixpkgs.lib.removePrefix src (toString dubnium.nixosModules.default.imports);
        container = dubnium.nixosConfigurations.container.config.dubnium.enable;
      };
    };
}
`, 0o644)
	var got any
	if err := json.Unmarshal([]byte(run("eval", "--json", "path:"+user+"#seen")), &got); err != nil {
		t.Fatal(err)
	}
	version := "dubnium-" + spec(t).Version
	each := func(one map[string]any) map[string]any {
		return map[string]any{"aarch64-linux": one, "x86_64-linux": one}
	}
	if diff := cmp.Diff(map[string]any{
		"packages":  each(map[string]any{"default": version, "dubnium": version}),
		"checks":    each(map[string]any{"package": version, "machine": "vm-test-run-dubnium"}),
		"overlay":   version,
		"sources":   []any{"cmd", "docs", "go.mod", "go.sum", "nixos-module", "pkg"},
		"module":    "/nixos-module/default.nix",
		"container": true,
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWholeFlake is the check of the README, with the real nixpkgs: the package,
// the machine of the NixOS test and the container come to derivations.
func TestWholeFlake(t *testing.T) {
	dir := checkout(t, checkoutOfNixpkgs(t))
	flakes(t)("flake", "check", "--no-build", filepath.Join(dir, "nixos-module"))
}

// TestFirstFlake makes the machine of the documentation's first flake.
func TestFirstFlake(t *testing.T) {
	page := read(t, "../../docs/getting-started.md")
	_, rest, _ := strings.Cut(page, "\n```nix\n")
	text, _, found := strings.Cut(rest, "```\n")
	if lines := strings.Count(text, "\n"); !found || lines > 10 {
		t.Fatalf("the first flake has %d lines, and should have 10 at most:\n%s", lines, text)
	}
	const address = "github:ryjen/dubnium?dir="
	if strings.Count(text, address) != 1 || !strings.Contains(read(t, moduleDir+"/README.md"), address) {
		t.Fatalf("the address of the flake is not %s:\n%s", address, text)
	}
	run, dir := flakes(t), t.TempDir()
	put(t, filepath.Join(dir, "flake.nix"), strings.Replace(offline(t, text, "eval"), address, "git+file://"+checkout(t, "eval")+"?dir=", 1), 0o644)
	put(t, filepath.Join(dir, "configuration.nix"), "{ services.greetd.enable = true; }\n", 0o644)
	out := run("eval", "--json", "path:"+dir+"#nixosConfigurations.box.config", "--apply", `config: {
  inherit (config.dubnium) enable;
  login = config.dubnium.desktop.loginUnits;
  package = config.dubnium.package.name;
}`)
	var got struct {
		Enable  bool
		Login   []string
		Package string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Enable || !cmp.Equal(got.Login, []string{"greetd.service"}) || got.Package != "dubnium-"+spec(t).Version {
		t.Errorf("the machine has %+v", got)
	}
	var lock struct{ Nodes map[string]any }
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "flake.lock"))), &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Nodes) != 3 { // the root, dubnium, and one nixpkgs for both
		t.Errorf("the lock has %d nodes: %v", len(lock.Nodes), lock.Nodes)
	}
}
