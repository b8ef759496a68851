package nix

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/ryjen/dubnium/pkg/config"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// whole makes the whole numbers of a JSON document whole again.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
}

// tomlOf writes settings as nixpkgs' formats.toml would.
func tomlOf(t *testing.T, settings map[string]any) []byte {
	t.Helper()
	text, err := toml.Marshal(whole(settings))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func configOf(t *testing.T, o outcome) config.Config {
	t.Helper()
	cfg, err := config.Parse("dubnium.toml", tomlOf(t, o.Settings))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestDefaultsAreTheProgramsOwn holds that the module without any setting is the
// configuration without a file, except for what NixOS tells better.
func TestDefaultsAreTheProgramsOwn(t *testing.T) {
	want := config.Default()
	want.Desktop.LoginUnits = []string{}
	if diff := cmp.Diff(want, configOf(t, accepted(t)["enabled"])); diff != "" {
		t.Errorf("(-programs +module):\n%s", diff)
	}
}

// exclusive is a key that cannot be beside another.
const exclusive = "memory.database.dsnFile"

// allExamples is a module that gives each key of the configuration its example.
func allExamples() string {
	file, err := filepath.Abs(moduleDir + "/options.json")
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{ lib, ... }: {
  dubnium = lib.mkMerge ([ { enable = true; } ] ++ map (o: lib.setAttrByPath (lib.splitString "." (builtins.replaceStrings [ "<name>" ] [ "demo" ] o.path)) o.example)
    (builtins.filter (o: o.key && o.example != null && o.path != %q) (builtins.fromJSON (builtins.readFile %s)).options));
}`, exclusive, file)
}

// TestExamples holds that every key's option sets this key, and takes the
// example of its documentation.
func TestExamples(t *testing.T) {
	settings := accepted(t)["all-examples"].Settings
	for _, k := range config.Reference() {
		if k.Path == exclusive {
			continue
		}
		var want struct{ V any }
		if err := toml.Unmarshal([]byte("v = "+k.Example), &want); err != nil {
			t.Fatal(err)
		}
		var got any = settings
		for _, name := range strings.Split(strings.Replace(k.Path, config.AnyName, "demo", 1), ".") {
			table, _ := got.(map[string]any)
			got = table[name]
		}
		if diff := cmp.Diff(want.V, whole(got)); diff != "" {
			t.Errorf("dubnium.%s = %s does not set the key (-want +got):\n%s", k.Path, k.Example, diff)
		}
	}
}

// TestWrongTypes gives every option values of other types, and numbers just
// out of its bounds.
func TestWrongTypes(t *testing.T) {
	out, stderr, err := evaluate(t, "eval/wrong.nix")
	if err != nil {
		t.Fatal(stderr)
	}
	var got struct {
		Tried    int
		Accepted []string
		Right    []string // of the values that are right, those that were refused
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Accepted)+len(got.Right) > 0 || got.Tried < 3*len(config.Reference()) {
		t.Errorf("%d wrong values: these passed: %q; refused are the right ones of %q", got.Tried, got.Accepted, got.Right)
	}
}

// TestFirstConfiguration holds what a new user writes to ten lines.
func TestFirstConfiguration(t *testing.T) {
	if n := strings.Count(read(t, moduleDir+"/examples/first.nix"), "\n"); n > 10 {
		t.Errorf("the first configuration has %d lines, and should have 10 at most", n)
	}
}
