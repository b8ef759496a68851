// Package tests holds what is true of the repository as a whole.
package tests

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ryjen/dubnium/"

// layers lists the packages from the ground up. A package may import those of
// its own layer and of the layers below.
var layers = []struct {
	name     string
	packages []string
}{
	{"base: no knowledge of Dubnium", []string{
		"exitcode", "hostfs", "atomicfile", "eventlog", "flock", "journal", "textfile", "version", "unitfile",
	}},
	{"facts: readers of the machine, each with a deadline", []string{
		"audio", "bundle", "bus", "caller", "gpu", "gpu/holders", "login", "systemd", "procinfo", "vllm",
	}},
	{"domain: data in, data out", []string{
		"mode", "config", "evidence", "observe", "guard", "plan",
		"memory", "memory/meter", "memory/outbox", "memory/redact", "memory/residue", "memory/rank",
	}},
	{"gathering: facts into the domain's words", []string{"collect", "guards", "jobs", "record", "survey", "units"}},
	{"engines: what acts", []string{
		"guardproc", "siteguard", "unitctl", "reconcile", "idle", "room",
		"memory/embed", "memory/store", "memory/cluster", "memory/service", "memory/httpapi", "memory/worker", "memory/client",
	}},
	{"edge: what people and systemd run", []string{
		"cli", "clidoc", "gpu/observegpu", "unitgen", "programs", "docgen",
		"memory/apid", "memory/workerd", "memory/aimemory", "memory/mcp", "memory/daemon",
	}},
}

// rules are the single prohibitions, each with its reason. A package in from
// is one of ours without the module's path; "*" stands for all. The imports
// are looked for in everything that the package links.
var rules = []struct {
	from, never, reason string
	except              []string
}{
	{"guards", "net/http", "4 MB in every guard, for a status code", nil},
	{"programs", "net/http", "4 MB in tools that people wait for", nil},
	{"cli", "net/http", "every binary links the runner", nil},
	{"observe", "github.com/ryjen/dubnium/pkg/record", "the observer must not be able to learn what was requested", nil},
	{"observe", "github.com/ryjen/dubnium/pkg/config", "the classifier is told a policy, and reads no files", nil},
	{"guards", "github.com/ryjen/dubnium/pkg/record", "a guard looks at the machine, not at what the controller thinks of it", []string{}},
	{"guards", "github.com/coreos/go-systemd/v22/dbus", "a guard only looks: what acts stays out, and so do 300 kB", nil},
	{"*", "github.com/NVIDIA/go-nvml/pkg/nvml", "cgo, and a hung driver must not hang a guard: only observe-gpu links it", nil},
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,GoFiles,Dir"}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

type pkg struct {
	ImportPath, Dir string
	Imports, Deps   []string
	GoFiles         []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"pkg/") }

func layerOf(name string) int {
	return slices.IndexFunc(layers, func(l struct {
		name     string
		packages []string
	},
	) bool {
		return slices.Contains(l.packages, name)
	})
}

// TestLayers holds that imports go down, or stay in a layer.
func TestLayers(t *testing.T) {
	for _, p := range list(t, "./pkg/...") {
		own := layerOf(p.name())
		if own < 0 {
			t.Errorf("%s is in no layer: add it to the list, with a thought about where", p.name())
			continue
		}
		for _, imp := range p.Imports {
			name, ours := strings.CutPrefix(imp, module+"pkg/")
			if ours && layerOf(name) > own {
				t.Errorf("%s (%s) imports %s (%s)", p.name(), layers[own].name, name, layers[layerOf(name)].name)
			}
			if strings.HasPrefix(imp, module+"tests/") || strings.HasPrefix(imp, module+"cmd/") {
				t.Errorf("%s imports %s: tests and commands are not imported", p.name(), imp)
			}
		}
	}
}

// TestLayersAreDocumented holds that the documentation has the same list.
func TestLayersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		row := "| " + strings.Replace(l.name, ":", ",", 1) + " | `" + strings.Join(l.packages, "` `") + "` |\n"
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/design.md has to have the row\n%s", row)
		}
	}
}

// TestRules holds the single prohibitions.
func TestRules(t *testing.T) {
	all := list(t, "./pkg/...")
	for _, r := range rules {
		seen := false
		for _, p := range all {
			if (r.from != "*" && r.from != p.name()) || slices.Contains(r.except, p.name()) {
				continue
			}
			seen = true
			if slices.Contains(p.Deps, r.never) {
				t.Errorf("%s links %s, which it must not: %s", p.name(), r.never, r.reason)
			}
		}
		if !seen {
			t.Errorf("the rule about %s and %s concerns no package", r.from, r.never)
		}
	}
}

// TestOnlyTheRunnerExits holds that only pkg/cli ends processes, and only the
// packages that exist for it start them.
func TestOnlyTheRunnerExits(t *testing.T) {
	exit := regexp.MustCompile(`\bos\.Exit\(|\blog\.Fatal`)
	starts := map[string]string{
		"guardproc": "guards are processes, so that they can't take the controller along",
		"gpu":       "observe-gpu is a process, so that a driver that hangs or crashes can't take its reader along",

		"room": "a room's first process is in namespaces of its own, and images are made by mksquashfs",

		"memory/cluster": "a private Postgres is a process, and Postgres has no other form",
	}
	for _, p := range list(t, "./pkg/...", "./cmd/...") {
		if slices.Contains(p.Imports, "os/exec") && starts[p.name()] == "" {
			t.Errorf("%s starts processes", p.name())
		}
		for _, f := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if p.name() != "cli" && exit.Match(data) {
				t.Errorf("%s/%s ends the process: only pkg/cli does", p.name(), f)
			}
		}
	}
}

// TestPathsGoThroughTheRoot holds that nothing opens the machine's files past
// the root value: the os package gets no literal absolute path.
func TestPathsGoThroughTheRoot(t *testing.T) {
	direct := regexp.MustCompile(`\bos\.(Open|OpenFile|ReadFile|ReadDir|Stat|Lstat|Readlink|Create|WriteFile|MkdirAll)\("/`)
	for _, p := range list(t, "./pkg/...") {
		for _, f := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if m := direct.Find(data); m != nil && p.name() != "hostfs" {
				t.Errorf("%s/%s: %s…: paths go through hostfs.Root", p.name(), f, m)
			}
		}
	}
}

// TestMainsAreSmall holds that a main builds its dependencies and calls one
// function.
func TestMainsAreSmall(t *testing.T) {
	mains, err := filepath.Glob("../cmd/*/main.go")
	if err != nil || len(mains) < 10 {
		t.Fatalf("%d mains found, %v", len(mains), err)
	}
	for _, path := range mains {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code := 0
		for line := range strings.Lines(string(data)) {
			if s := strings.TrimSpace(line); s != "" && !strings.HasPrefix(s, "//") {
				code++
			}
		}
		if code > 15 {
			t.Errorf("%s has %d lines of code", path, code)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, data, parser.ParseComments)
		if err != nil || f.Doc == nil {
			t.Errorf("%s has no package comment (%v)", path, err)
		}
	}
}

// TestFilesStayReadable holds the size of files and that none names the
// machine it was written on.
func TestFilesStayReadable(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, d.Name()) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := strings.Count(string(data), "\n"); n > 500 && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %s lines: is it still one concept?", path, strconv.Itoa(n))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
