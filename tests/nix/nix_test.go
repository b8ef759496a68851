// Package nix holds the NixOS module to its promises, as far as that is
// possible without NixOS.
//
// Four levels, each with the same cases: every file is parsed; the module is
// evaluated with a small module system of our own (eval/shim.nix) and a stub of
// NixOS; with DUBNIUM_NIXPKGS_LIB, a checkout of nixpkgs' lib, the real module
// system has to come to the same; with DUBNIUM_NIXPKGS, a checkout of nixpkgs,
// all of NixOS has. The commands that a build would run are run, with the real
// programs, and their units are given to systemd.
package nix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const moduleDir = "../../nixos-module"

// outcome is what a case comes to (eval/run.nix).
type outcome struct {
	Enable   bool
	Settings map[string]any
	Failed   []string // messages of assertions
	Warnings []string
	Units    map[string]struct {
		Text             string
		WantedBy         []string
		OverrideStrategy string
	}
	Packages []struct {
		Name, Path, Command string
		Inputs              map[string]input
	}
	Tmpfiles []string
	Tools    []string
	Etc      map[string]string
	Groups   map[string]struct{ Members []string }
	Users    map[string]struct {
		Description  string
		ExtraGroups  []string
		Group, Home  string
		IsNormalUser bool
		IsSystemUser bool
	}
	Network struct {
		Ports, Tailnet []int
		Aliases        []string
	}
	Services map[string]bool
	Sops     map[string]string
	System   string // the derivation of all of it, where it was asked for
}

// input is what a command of a build is given: a file with a value, or a folder
// of links.
type input struct {
	Path  string
	Value string
	Links []struct{ Name, Path string }
}

// level is a module system, and what it evaluates.
type level []string

var shim = level{}

func realLib() level { return level{"--argstr", "lib", os.Getenv("DUBNIUM_NIXPKGS_LIB")} }

// nix runs a program of Nix that changes nothing, and gives what it prints.
func nix(t *testing.T, args ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// Its caches and its profile belong to nobody.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NIX_CONFIG=experimental-features = nix-command", "NIX_STATE_DIR="+t.TempDir())
	err = cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		t.Fatalf("%v: run scripts/setup test, which installs nix-bin", err)
	}
	return out.Bytes(), errs.String(), err
}

// evaluate gives an expression's value as JSON.
func evaluate(t *testing.T, args ...string) (value []byte, stderr string, err error) {
	t.Helper()
	return nix(t, append([]string{"nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json"}, args...)...)
}

// caseFolder holds all cases as files, and store is where their packages are.
var caseFolder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dubnium-nix-")
	if err != nil {
		return "", err
	}
	all := map[string]string{}
	for _, name := range exampleNames {
		text, err := os.ReadFile(filepath.Join(moduleDir, "examples", name+".nix"))
		if err != nil {
			return "", err
		}
		all[name] = string(text)
	}
	for _, c := range cases {
		all[c.name] = c.module
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name+".nix"), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
})

const storePath = "/nix/store/00000000000000000000000000000000"

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := caseFolder(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// run evaluates cases by name; what Nix says goes to stderr when it refuses
// one.
func run(t *testing.T, l level, store string, names ...string) (outcomes map[string]outcome, raw map[string]json.RawMessage, stderr string) {
	t.Helper()
	dir, err := caseFolder()
	if err != nil {
		t.Fatal(err)
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	args := append([]string{
		"eval/run.nix", "--argstr", "cases", dir, "--argstr", "store", store, "--arg", "only", "[ " + strings.Join(quoted, " ") + " ]",
	}, l...)
	out, stderr, err := evaluate(t, args...)
	if err != nil {
		return nil, nil, stderr
	}
	if err := errors.Join(json.Unmarshal(out, &outcomes), json.Unmarshal(out, &raw)); err != nil {
		t.Fatalf("read what Nix printed: %v", err)
	}
	return outcomes, raw, ""
}

// accepted evaluates, with the shim, all cases that are no error, once.
func accepted(t *testing.T) map[string]outcome {
	t.Helper()
	return acceptedOnce(t)
}

var acceptedOnce = func() func(t *testing.T) map[string]outcome {
	var once sync.Once
	var all map[string]outcome
	return func(t *testing.T) map[string]outcome {
		once.Do(func() {
			var stderr string
			if all, _, stderr = run(t, shim, storePath, acceptedNames()...); stderr != "" {
				t.Errorf("nix-instantiate: %s", stderr)
			}
		})
		if all == nil {
			t.Fatal("the cases can't be evaluated")
		}
		return all
	}
}()

// nixFiles lists every file in Nix's language.
func nixFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{moduleDir + "/*.nix", moduleDir + "/examples/*.nix", "eval/*.nix"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing is at %s: %v", pattern, err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return all
}

func TestParse(t *testing.T) {
	out, stderr, err := nix(t, append([]string{"nix-instantiate", "--parse"}, nixFiles(t)...)...)
	if err != nil || len(out) == 0 {
		t.Errorf("nix-instantiate --parse: %v\n%s", err, stderr)
	}
	// What it relies on: an undefined variable and an attribute given twice.
	for _, bad := range []string{"{ a = b; }", "{ a = 1; a = 2; }", "{ a = 1 }"} {
		file := filepath.Join(t.TempDir(), "bad.nix")
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := nix(t, "nix-instantiate", "--parse", file); err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

// TestShimIsClosed holds that a name which the shim does not know is an error,
// not a pass.
func TestShimIsClosed(t *testing.T) {
	for name, c := range map[string]struct{ expression, says string }{
		"function": {"(import ./eval/shim.nix).mkRenamedOptionModule", "attribute 'mkRenamedOptionModule' missing"},
		"type":     {"(import ./eval/shim.nix).types.lines", "attribute 'lines' missing"},
		"package":  {"(import ./eval/packages.nix { lib = import ./eval/shim.nix; store = \"\"; }).hello", "attribute 'hello' missing"},
		"option of NixOS": {
			"((import ./eval/shim.nix).evalModules { modules = [ ./eval/nixos.nix { services.nginx.enable = true; } ]; }).config.services.k3s.enable",
			"`services.nginx' does not exist",
		},
		"a key beside config": {
			"((import ./eval/shim.nix).evalModules { modules = [ { config = { }; services.nginx = 1; } ]; }).config.x",
			"has the attribute services beside",
		},
	} {
		_, stderr, err := evaluate(t, "--expr", c.expression)
		if err == nil || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %v, and it does not say %q:\n%s", name, err, c.says, stderr)
		}
	}
}
