package nix

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// packageSpec is what package.nix gives to buildGoModule.
type packageSpec struct {
	Pname, Version, VendorHash string
	SubPackages                []string
	HardeningDisable           []string
	Ldflags                    []string
	PostBuild, PostInstall     string
	DoInstallCheck             bool
	InstallCheckPhase          string
	Env                        map[string]any
	Meta                       struct{ MainProgram, Description string }
}

func spec(t *testing.T) packageSpec {
	t.Helper()
	out, stderr, err := evaluate(t, "--expr", `((import ./eval/packages.nix { lib = import ./eval/shim.nix; store = "/s"; }).callPackage ../../nixos-module/package.nix { }).spec`)
	if err != nil {
		t.Fatal(stderr)
	}
	var s packageSpec
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPackage(t *testing.T) {
	s := spec(t)
	found, err := os.ReadDir("../../cmd")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range found {
		if d.Name() != "generate-docs" && d.Name() != "observe-gpu" {
			want = append(want, "cmd/"+d.Name())
		}
	}
	if diff := cmp.Diff(want, s.SubPackages); diff != "" {
		t.Errorf("programs (-cmd +package):\n%s", diff)
	}
	newest := regexp.MustCompile(`(?m)^## ([0-9]\S*)`).FindStringSubmatch(read(t, "../../docs/changelog.md"))
	if newest == nil || s.Version != newest[1] || !slices.ContainsFunc(s.Ldflags, func(f string) bool { return strings.HasSuffix(f, "/version.Version="+s.Version) }) {
		t.Errorf("the version is %q, of the changelog %q, and the programs' flags are %q", s.Version, newest, s.Ldflags)
	}
	if !slices.Contains(want, "cmd/"+s.Meta.MainProgram) || s.Meta.Description == "" {
		t.Errorf("meta is %+v", s.Meta)
	}
	// The one program with cgo, whose library is looked for only when it is used.
	if !slices.Contains(s.HardeningDisable, "bindnow") || s.Env["CGO_ENABLED"] != 0.0 ||
		!regexp.MustCompile(`^CGO_ENABLED=1 go install .*-extldflags=-Wl,-z,lazy.* \./cmd/observe-gpu\n$`).MatchString(s.PostBuild) {
		t.Errorf("observe-gpu is built by %q, with %q off, and the rest with %v", s.PostBuild, s.HardeningDisable, s.Env)
	}
}

// TestVendorHash compares the hash that is written down with that of the
// modules which go.mod names now.
func TestVendorHash(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "../../scripts/nix/vendor-hash").Output()
	if err != nil {
		t.Fatalf("scripts/nix/vendor-hash: %v", err)
	}
	if got, want := spec(t).VendorHash, strings.TrimSpace(string(out)); got != want || !strings.HasPrefix(want, "sha256-") {
		t.Errorf("nixos-module/vendor-hash is %s, and the modules have %s: run scripts/nix/vendor-hash --write", got, want)
	}
	// The script hashes what the package takes.
	sources := regexp.MustCompile(`(?m)^      \.\./(\S+)$`).FindAllStringSubmatch(read(t, moduleDir+"/package.nix"), -1)
	var names []string
	for _, s := range sources {
		if s[1] != "docs" {
			names = append(names, s[1])
		}
	}
	if line := "cp -r " + strings.Join(names, " ") + " "; len(names) == 0 || !strings.Contains(read(t, "../../scripts/nix/vendor-hash"), line) {
		t.Errorf("the package is made of %q, and scripts/nix/vendor-hash of something else", names)
	}
}

// TestPackageInstalls runs the package's own commands on a tree with the
// documents and the programs, with stand-ins for nixpkgs' functions that take
// only files.
func TestPackageInstalls(t *testing.T) {
	s, dir := spec(t), t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.CopyFS(filepath.Join(dir, "source/docs"), os.DirFS("../../docs")); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.SubPackages {
		program(t, filepath.Join(out, "bin", filepath.Base(p)))
	}
	program(t, filepath.Join(out, "bin", "observe-gpu"))
	readelf := filepath.Join(dir, "readelf")
	put(t, readelf, "#!/bin/sh\ncat "+dir+"/flags\n", 0o755)
	const functions = `
installManPage() { for f; do [[ -f $f ]] || { echo "no file $f" >&2; exit 9; }; echo "man ${f##*/}"; done; }
installShellCompletion() { local shell=; for f; do case $f in --*) shell=${f#--} ;; *) [[ -f $f ]] || { echo "no file $f" >&2; exit 9; }; echo "$shell ${f##*/}" ;; esac; done; }
runHook() { :; }
set -euo pipefail
`
	phase := func(commands string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", functions+commands)
		cmd.Dir = filepath.Join(dir, "source")
		cmd.Env = append(os.Environ(), "out="+out, "READELF="+readelf, "TMPDIR="+dir)
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	said, err := phase(s.PostInstall)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var want []string
	for _, kind := range []struct{ word, pattern string }{
		{"man", "man/man*/*"}, {"bash", "completions/bash/*"}, {"fish", "completions/fish/*"}, {"zsh", "completions/zsh/*"},
	} {
		files, err := filepath.Glob("../../docs/" + kind.pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", kind.pattern, err)
		}
		for _, f := range files {
			if name := filepath.Base(f); name != "generate-docs.8" {
				want = append(want, kind.word+" "+name)
			}
		}
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(said), "\n")); diff != "" {
		t.Errorf("pages and completions (-docs +package):\n%s", diff)
	}
	for file, there := range map[string]bool{"bin/generate-units": false, "libexec/dubnium/generate-units": true, "share/dubnium/dubnium.toml.example": true} {
		if _, err := os.Stat(filepath.Join(out, file)); (err == nil) != there {
			t.Errorf("%s: %v", file, err)
		}
	}

	// The build's own look at observe-gpu, with what readelf says of both kinds.
	for flags, right := range map[string]bool{
		" 0x000000006ffffffb (FLAGS_1)            Flags: PIE":     true,
		" 0x000000006ffffffb (FLAGS_1)            Flags: NOW PIE": false,
		" 0x000000000000001e (FLAGS)              BIND_NOW":       false,
	} {
		put(t, filepath.Join(dir, "flags"), flags+"\n", 0o644)
		if said, err := phase(s.InstallCheckPhase); (err == nil) != right || !s.DoInstallCheck {
			t.Errorf("%q: %v\n%s", flags, err, said)
		}
	}
}
