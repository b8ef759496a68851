package docgen

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
)

// repository writes everything that is generated into a folder with the
// sources of the guards.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "pkg", "guards"), os.DirFS("../guards")); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := cli.Execute(Program(), []string{"--output", dir}, nil, &stdout, &stderr, os.Getenv); code != 0 || stdout.Len()+stderr.Len() > 0 {
		t.Fatalf("code %d: %s%s", code, &stdout, &stderr)
	}
	return dir
}

// stale lists what of a repository is not what a registry of guards says.
func stale(t *testing.T, dir string, registry []guard.Descriptor) []string {
	t.Helper()
	files, err := filesWith(registry)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Stale(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// newcomer is a guard that the repository does not have.
var newcomer = guard.Descriptor{
	Name: "moon_phase", Question: "Is the moon right?", Manual: "Looks out of the window.",
	Block: exitcode.UserJobsActive, Target: mode.Compute,
	Reasons: []guard.Reason{{Word: "full", Class: guard.Pass, Meaning: "the moon is full"}, {Word: "new", Class: guard.Block, Meaning: "it is not"}},
	Check:   func(context.Context, guard.Env) guard.Verdict { return guard.Say("full", nil, "look") },
}

// TestMutationsAreNoticed holds that whatever differs between definition and
// repository is named.
func TestMutationsAreNoticed(t *testing.T) {
	dir := repository(t)
	all := guards.All()
	if got := stale(t, dir, all); len(got) > 0 {
		t.Fatalf("what was just written is not current: %q", got)
	}
	changed := func(change func(d *guard.Descriptor)) []guard.Descriptor {
		out := slices.Clone(all)
		i := slices.IndexFunc(out, func(d guard.Descriptor) bool { return d.Name == "memory_headroom" })
		change(&out[i])
		return out
	}
	const page, manual = "docs/reference/check_memory_headroom.md", "docs/man/man1/check_memory_headroom.1"
	tests := map[string]struct {
		registry []guard.Descriptor
		want     []string
	}{
		"a guard more": {append(slices.Clone(all), newcomer), []string{
			"cmd/check_moon_phase/main.go", "docs/exit-codes.md", "docs/guards.md", "docs/man/man1/check_moon_phase.1", "docs/reference/check_moon_phase.md",
		}},
		"a guard less": {slices.DeleteFunc(slices.Clone(all), func(d guard.Descriptor) bool { return d.Name == "memory_headroom" }), []string{
			"cmd/check_memory_headroom/main.go", "docs/exit-codes.md", "docs/guards.md", manual, page,
		}},
		"another question": {changed(func(d *guard.Descriptor) { d.Question = "Is there room?" }), []string{
			"cmd/check_memory_headroom/main.go", "docs/guards.md", manual, page,
		}},
		"another code": {changed(func(d *guard.Descriptor) { d.Block = exitcode.CPULoadHigh }), []string{
			"cmd/check_memory_headroom/main.go", "docs/exit-codes.md", "docs/guards.md", manual, page,
		}},
		"another reason": {changed(func(d *guard.Descriptor) {
			d.Reasons = append(slices.Clone(d.Reasons), guard.Reason{Word: "odd", Class: guard.Block, Meaning: "it is odd"})
		}), []string{"docs/guards.md", manual, page}},
		"another manual": {changed(func(d *guard.Descriptor) { d.Manual = "Ask the landlord." }), []string{manual, page}},
		"hard, not soft": {changed(func(d *guard.Descriptor) { d.Hard = true }), []string{"docs/guards.md", manual, page}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, stale(t, dir, tt.registry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryFileIsWatched(t *testing.T) {
	dir := repository(t)
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	stale := func() []string {
		names, err := Stale(dir, maps.Clone(files))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, append(bytes.Clone(data), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := stale(); !slices.Equal(got, []string{name}) {
			t.Errorf("%s was changed, and %q are named", name, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if got := stale(); !slices.Equal(got, []string{name}) {
			t.Errorf("%s was removed, and %q are named", name, got)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, left := range []string{"cmd/check_gone/main.go", "docs/man/man8/gone.8", "docs/reference/gone.md", "docs/completions/zsh/_gone"} {
		path := filepath.Join(dir, left)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := stale(); !slices.Equal(got, []string{left}) {
			t.Errorf("%s is left over, and %q are named", left, got)
		}
		var out bytes.Buffer
		if code := cli.Execute(Program(), []string{"--output", dir}, nil, &out, &out, os.Getenv); code != 0 {
			t.Errorf("code %d: %s", code, &out)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left over, and was not removed", left)
		}
	}
}

// TestReproducible holds that nothing in the files depends on when or where
// they are made, and that each says that it is generated.
func TestReproducible(t *testing.T) {
	first, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := Files()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("two runs differ:\n%s", diff)
		}
	}
	for name, data := range first {
		line, _, _ := strings.Cut(string(data), "\n")
		// zsh wants its own word first; the example is there to be copied and edited.
		exempt := strings.HasPrefix(line, "#compdef") || name == "docs/dubnium.toml.example"
		if !strings.Contains(strings.ToLower(line), "generated") && !exempt {
			t.Errorf("the first line of %s does not say that it is generated: %s", name, line)
		}
	}
}

func TestNamesOfVariables(t *testing.T) {
	for name, want := range map[string]string{
		"memory_headroom": "MemoryHeadroom", "gpu_display_released": "GPUDisplayReleased",
		"cpu_load_safe": "CPULoadSafe", "vllm_drainable": "VLLMDrainable", "x": "X",
	} {
		if got := camel(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestNewGuardIsListed holds that a guard's file is all that its list needs:
// one that is there and not in the list is noticed.
func TestNewGuardIsListed(t *testing.T) {
	dir := repository(t)
	source := "package guards\n\nvar MoonPhase = guard.Descriptor{Name: \"moon_phase\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "pkg", "guards", "moon_phase.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := stale(t, dir, guards.All()); !slices.Equal(got, []string{"pkg/guards/all.go"}) {
		t.Errorf("%q are named", got)
	}
}
