package tests

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

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/docgen"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/unitgen"
	"github.com/ryjen/dubnium/pkg/units"
)

// TestGeneratedFilesAreCurrent holds that mains of guards, man pages,
// completions, reference pages, tables and the configuration's reference and
// example are what the definitions say. Adding a guard is its file and this.
// pkg/docgen tests that every difference is noticed.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := docgen.Files()
	if err != nil {
		t.Fatal(err)
	}
	stale, err := docgen.Stale("..", files)
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("not current, run make generate:\n%s", strings.Join(stale, "\n"))
	}
}

// TestUnitsAreCurrent holds that units/ is what pkg/units says, and that a
// unit that is edited, missing or left over is noticed.
func TestUnitsAreCurrent(t *testing.T) {
	check := func(dir string) (exitcode.Code, string) {
		var stdout, stderr bytes.Buffer
		code := cli.Execute(unitgen.Program(), []string{"--output", dir, "--check"}, nil, &stdout, &stderr, os.Getenv)
		return code, stdout.String()
	}
	if code, out := check("../units"); code != exitcode.OK {
		t.Errorf("not current, run make generate:\n%s", out)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../units")); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "left-over.service")
	if err := os.WriteFile(left, []byte("# "+units.Header+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	edited := filepath.Join(dir, "compute.target")
	data, err := os.ReadFile(edited)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(edited, append(data, "Wants=x.service\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ai.slice")); err != nil {
		t.Fatal(err)
	}
	code, out := check(dir)
	if want := "ai.slice: not current\ncompute.target: not current\nleft-over.service: left over\n"; code != exitcode.Config || out != want {
		t.Errorf("of a mutated folder: code %d,\n%swant\n%s", code, out, want)
	}
}

// TestEveryProgramIsSound holds the conventions of the command line.
func TestEveryProgramIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range docgen.Programs() {
		if err := cli.Check(p); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if seen[p.Name] {
			t.Errorf("two programs are called %s", p.Name)
		}
		seen[p.Name] = true
	}
}

// missing lists what a has and b lacks.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// folders lists the binaries that cmd/ has.
func folders(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("../cmd/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("%d mains, %v", len(mains), err)
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	return names
}

// TestBinariesAndProgramsAgree holds that each program that is documented is
// built, and the other way round.
func TestBinariesAndProgramsAgree(t *testing.T) {
	var documented []string
	for _, p := range docgen.Programs() {
		documented = append(documented, p.Name)
	}
	built := folders(t)
	if m := missing(built, documented); len(m) > 0 {
		t.Errorf("cmd has %q, which docgen.Programs does not list", m)
	}
	if m := missing(documented, built); len(m) > 0 {
		t.Errorf("docgen.Programs lists %q, which cmd does not have", m)
	}
	if got := missing([]string{"a", "b"}, []string{"b"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the comparison does not notice: %q", got)
	}
}

// TestEveryBinaryHasItsPages holds that a man page and a reference page exist
// for each.
func TestEveryBinaryHasItsPages(t *testing.T) {
	for _, p := range docgen.Programs() {
		for _, pattern := range []string{"man/man[18]/" + p.Name + ".[18]", "reference/" + p.Name + ".md"} {
			if found, err := filepath.Glob(filepath.Join("../docs", pattern)); err != nil || len(found) != 1 {
				t.Errorf("docs has %d files %s, want one (%v)", len(found), pattern, err)
			}
		}
	}
}

// unknownGuards lists the guards that a table of transitions names and a
// registry lacks.
func unknownGuards(table []mode.Transition, registry []guard.Descriptor) []string {
	var known, named []string
	for _, d := range registry {
		known = append(known, d.Name)
	}
	for _, tr := range table {
		named = append(named, slices.Concat(tr.Guards, tr.Gates())...)
	}
	slices.Sort(named)
	return missing(slices.Compact(named), known)
}

// TestTransitionsNameGuardsThatExist holds that the table and the registry
// agree: the controller would have nothing to run.
func TestTransitionsNameGuardsThatExist(t *testing.T) {
	if m := unknownGuards(mode.Transitions(), guards.All()); len(m) > 0 {
		t.Errorf("the transitions name the guards %q, which do not exist", m)
	}
	for _, tr := range mode.Transitions() {
		if all := slices.Concat(tr.Guards, tr.Gates()); len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
			t.Errorf("%s -> %s runs a guard twice: %q", tr.From, tr.To, all)
		}
	}
	without := slices.DeleteFunc(guards.All(), func(d guard.Descriptor) bool { return d.Name == "target_reachable" })
	if m := unknownGuards(mode.Transitions(), without); !slices.Equal(m, []string{"target_reachable"}) {
		t.Errorf("a guard that is missing is not noticed: %q", m)
	}
	more := append(mode.Transitions(), mode.Transition{Steps: []mode.Step{{Action: mode.Gate, Guards: []string{"made_up"}}}})
	if m := unknownGuards(more, guards.All()); !slices.Equal(m, []string{"made_up"}) {
		t.Errorf("a gate that does not exist is not noticed: %q", m)
	}
}

// blockCodes are those that the contract gives the guards; soft guards are the
// ones that an operator may override.
var (
	blockCodes = map[string]exitcode.Code{
		"audio_idle": 10, "gpu_display_released": 11, "cpu_load_safe": 12, "user_jobs_safe": 13, "memory_headroom": 14, "vllm_drainable": 15,
		"graphical_session_present": 16, "graphical_session_absent": 17, "graphical_session_terminable": 17,
		"target_reachable": 18, "persistence_paths_ready": 18, "studio_capability_local": 19, "compute_capability_local": 19,
	}
	softGuards = []string{"cpu_load_safe", "user_jobs_safe", "memory_headroom"}
	guardName  = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	reasonWord = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// faults lists what in a descriptor breaks the contract of guards.
func faults(d guard.Descriptor) []string {
	var out []string
	fault := func(bad bool, text string) {
		if bad {
			out = append(out, text)
		}
	}
	fault(!guardName.MatchString(d.Name), "the name is not in snake case")
	fault(!strings.HasSuffix(d.Question, "?"), "the question is none")
	fault(d.Manual == "" || d.Check == nil, "there is no manual, or no check")
	fault(d.Block.Band() != exitcode.BandBlock, "the code is outside 10-19")
	fault(blockCodes[d.Name] != 0 && d.Block != blockCodes[d.Name], "the contract gives it another code")
	fault(d.Hard == slices.Contains(softGuards, d.Name), "the contract has it the other way: hard or soft")
	fault(!slices.Contains(mode.All(), d.Target), "the target is no mode")
	classes, words := map[guard.Class]bool{}, map[string]bool{}
	for _, r := range append(slices.Clone(d.Reasons), guard.Common()...) {
		fault(!reasonWord.MatchString(r.Word), "reason "+r.Word+": not in kebab case")
		fault(r.Meaning == "" || strings.HasSuffix(r.Meaning, "."), "reason "+r.Word+": no meaning, or a full stop")
		fault(words[r.Word], "reason "+r.Word+": declared twice")
		words[r.Word], classes[r.Class] = true, true
	}
	fault(!classes[guard.Pass] || !classes[guard.Block], "it can't pass, or can't block")
	return out
}

func TestDescriptorsKeepTheContract(t *testing.T) {
	for _, d := range guards.All() {
		for _, f := range faults(d) {
			t.Errorf("%s: %s", d.Binary(), f)
		}
		if found, ok := guards.Find(d.Binary()); !ok || found.Name != d.Name {
			t.Errorf("%s is not found by its binary's name", d.Name)
		}
	}
	good, _ := guards.Find("memory_headroom")
	for name, change := range map[string]func(d *guard.Descriptor){
		"name":        func(d *guard.Descriptor) { d.Name = "Memory-Headroom" },
		"question":    func(d *guard.Descriptor) { d.Question = "Memory." },
		"manual":      func(d *guard.Descriptor) { d.Manual = "" },
		"code":        func(d *guard.Descriptor) { d.Block = exitcode.Inspection },
		"other code":  func(d *guard.Descriptor) { d.Block = exitcode.AudioActive },
		"hard":        func(d *guard.Descriptor) { d.Hard = true },
		"target":      func(d *guard.Descriptor) { d.Target = "elsewhere" },
		"no pass":     func(d *guard.Descriptor) { d.Reasons = d.Reasons[1:] },
		"twice":       func(d *guard.Descriptor) { d.Reasons = append(d.Reasons, d.Reasons[0]) },
		"common word": func(d *guard.Descriptor) { d.Reasons = append(d.Reasons, guard.Deadline) },
		"bad word": func(d *guard.Descriptor) {
			d.Reasons = append(d.Reasons, guard.Reason{Word: "No_Way", Class: guard.Block, Meaning: "x"})
		},
	} {
		d := good
		d.Reasons = slices.Clone(good.Reasons)
		change(&d)
		if len(faults(d)) == 0 {
			t.Errorf("a descriptor with another %s is not noticed", name)
		}
	}
}

// TestUnitsRunProgramsThatExist holds that every program of ours that a unit
// starts is one that is built.
func TestUnitsRunProgramsThatExist(t *testing.T) {
	rendered, err := units.Render(config.Default(), units.Paths{BinDir: "/ours"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range rendered {
		for _, m := range regexp.MustCompile(`(?m)^Exec\w+=[-@:+!]*/ours/(\S+)`).FindAllStringSubmatch(f.Text, -1) {
			names = append(names, m[1])
		}
	}
	built := folders(t)
	if i := slices.Index(names, "check_%i"); i < 0 {
		t.Errorf("no unit runs the guards: %q", names)
	} else {
		names = slices.Delete(names, i, i+1)
	}
	if m := missing(names, built); len(m) > 0 || len(names) == 0 {
		t.Errorf("units start %q; of these %q are not built", names, m)
	}
	for _, d := range guards.All() {
		if !slices.Contains(built, d.Binary()) {
			t.Errorf("mode-guard@%s.service would start %s, which is not built", d.Name, d.Binary())
		}
	}
}

// TestExitCodesAgree holds that a program documents every code that its guards
// can hand on. The inspection errors are one row, that of their first code.
func TestExitCodesAgree(t *testing.T) {
	handed := map[exitcode.Code]bool{}
	for _, d := range guards.All() {
		handed[d.Block], handed[exitcode.Inspection] = true, true
	}
	for _, p := range docgen.Programs() {
		codes := p.ExitCodes()
		for _, c := range codes {
			if strings.HasPrefix(c.Meaning(), "exit status") {
				t.Errorf("%s: the code %d has no meaning", p.Name, c)
			}
		}
		if p.Name != "mode" && p.Name != "reconcile" {
			continue
		}
		for _, c := range slices.Sorted(maps.Keys(handed)) {
			if !slices.Contains(codes, c) {
				t.Errorf("%s does not document %d, with which a guard can end it", p.Name, c)
			}
		}
	}
}

// TestResultsAreWrittenOnce holds that a result is told with the same words
// wherever it goes: the guard's line, last-guards.json and the history.
func TestResultsAreWrittenOnce(t *testing.T) {
	data, err := json.Marshal(guard.Result{})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	want := []string{"class", "code", "duration_ms", "evidence", "guard", "hard", "message", "ok", "reason", "target", "timestamp"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(fields))); diff != "" {
		t.Errorf("fields are added, and never renamed (-want +got):\n%s", diff)
	}
}
