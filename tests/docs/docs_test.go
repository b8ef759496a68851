package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

const root = "../.."

func blocks(t *testing.T) []Block {
	t.Helper()
	all, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryCommand runs every command of the documentation that is not marked,
// page by page, on a machine with a desktop, a model and a vLLM.
func TestEveryCommand(t *testing.T) {
	var scripts []Block
	for _, b := range blocks(t) {
		script, err := b.Script()
		if err != nil {
			t.Error(err)
		}
		if script != "" && b.Need == "" && b.Run == "" {
			b.Text = script
			scripts = append(scripts, b)
		}
	}
	if len(scripts) < 10 {
		t.Fatalf("only %d blocks of commands were found", len(scripts))
	}
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	o := loop.Options(files...)
	o.LoopDevices = true
	m := machine.Start(t, o)
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the page before left: a machine in compute mode has no session to read of.
	page := ""
	for _, b := range scripts {
		if page != b.Page {
			page = b.Page
			m.MustRun(t, "mode", "request", "desktop")
			if _, err := m.WaitSession(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := Command(b.Text, "/root")
		if start, rest, found := strings.Cut(b.Text, " &\n"); found {
			// Somebody starts a service, and goes on when it is there.
			c = Command(start+" >service.log 2>&1 &\nfor i in {1..300}; do if "+strings.TrimSpace(rest)+"; then exit; fi; sleep 0.1; done; cat service.log >&2; exit 1", "~")
			c.User = "tester"
		}
		if r := m.Exec(ctx, c); r.Code != 0 || r.Err != nil {
			t.Errorf("%s: %s", b, r)
		}
		cancel()
	}
}

// TestEveryMark holds that no test that follows blocks has nothing to follow.
func TestEveryMark(t *testing.T) {
	all := blocks(t)
	for _, run := range Runs {
		if !slices.ContainsFunc(all, func(b Block) bool { return b.Run == run }) {
			t.Errorf("no block says run=%s", run)
		}
	}
	for _, need := range Needs {
		if !slices.ContainsFunc(all, func(b Block) bool { return b.Need == need }) {
			t.Errorf("no block says needs=%s: take it from the list", need)
		}
	}
}

// TestConfigurations holds that every piece of configuration in the pages is one.
func TestConfigurations(t *testing.T) {
	seen := 0
	for _, b := range blocks(t) {
		if b.Lang != "toml" && (b.Lang != "indented" || !strings.HasPrefix(b.Text, "[")) {
			continue
		}
		seen++
		if _, err := config.Parse(b.String(), []byte(b.Text)); err != nil {
			t.Error(err)
		}
	}
	if seen < 3 {
		t.Errorf("only %d were found", seen)
	}
}

// slug is the anchor that a heading has where the pages are shown.
func slug(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

// TestLinks holds that what a page links to is there, and on that page the
// heading.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	seen, anchors := 0, 0
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md", "*/README.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			data, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(data), -1) {
				seen++
				if strings.Contains(m[1], "://") {
					continue
				}
				to := page
				if m[1] != "" {
					to = filepath.Join(filepath.Dir(page), m[1])
				}
				text, err := os.ReadFile(to)
				if info, is := os.Stat(to); is == nil && info.IsDir() && m[2] == "" {
					continue
				}
				if err != nil {
					t.Errorf("%s links to %s, which is not there", page, m[1])
					continue
				}
				if m[2] == "" {
					continue
				}
				anchors++
				if !slices.ContainsFunc(heading.FindAllSubmatch(text, -1), func(h [][]byte) bool { return "#"+slug(string(h[1])) == m[2] }) {
					t.Errorf("%s links to %s%s, and there is no such heading", page, m[1], m[2])
				}
			}
		}
	}
	if seen < 20 || anchors == 0 {
		t.Errorf("only %d links were found, %d of them to headings", seen, anchors)
	}
}

// TestSaidOnce holds that what a table of one page explains, no other page's
// does, and that no page written by hand repeats one that is generated.
func TestSaidOnce(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|")
	type place struct {
		page      string
		generated bool
	}
	said := map[string]place{} // by the first cell
	rows := 0
	for _, pattern := range []string{"README.md", "docs/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			data, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			generated := bytes.HasPrefix(data, []byte("<!-- Code generated"))
			for _, m := range row.FindAllSubmatch(data, -1) {
				rows++
				cell := string(m[1])
				if first, found := said[cell]; found && first.page != page && !(generated && first.generated) {
					t.Errorf("%s explains %s, as %s does", page, cell, first.page)
				}
				said[cell] = place{page, generated}
			}
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows were found", rows)
	}
}

// TestDiagrams draws every diagram, and holds that the drawing beside it says
// the same: versions of Graphviz place things differently, and say the same.
func TestDiagrams(t *testing.T) {
	sources, err := filepath.Glob(root + "/docs/diagrams/*.dot")
	if err != nil || len(sources) < 4 {
		t.Fatalf("%d diagrams: %v", len(sources), err)
	}
	words := regexp.MustCompile(`<(?:title|text[^>]*)>([^<]+)</`)
	said := func(svg []byte) []string {
		var all []string
		for _, m := range words.FindAllSubmatch(svg, -1) {
			all = append(all, string(m[1]))
		}
		slices.Sort(all)
		return all
	}
	for _, source := range sources {
		cmd := exec.CommandContext(t.Context(), "dot", "-Tsvg", source)
		var warnings strings.Builder
		cmd.Stderr = &warnings
		drawn, err := cmd.Output()
		if err != nil || strings.Contains(warnings.String(), "rror") {
			t.Errorf("%s: %v: %s", source, err, warnings.String())
			continue
		}
		kept, err := os.ReadFile(strings.TrimSuffix(source, ".dot") + ".svg")
		if err != nil {
			t.Errorf("%v: run make diagrams", err)
			continue
		}
		if diff := cmp.Diff(said(drawn), said(kept)); diff != "" {
			t.Errorf("%s: run make diagrams, -drawn now +kept:\n%s", source, diff)
		}
	}
}

func TestParse(t *testing.T) {
	const page = "# T\n\n```sh needs=hardware\na\nb\n```\n\n    c  # x\n    d\n\ntext\n\n- item\n\n      of the item\n\n```toml\n[x]\n```\n```console\n$ e\nout\n$ f\n```\n"
	got, err := parse("p", page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Page: "p", Line: 4, Lang: "sh", Need: "hardware", Text: "a\nb\n"},
		{Page: "p", Line: 8, Lang: "indented", Text: "c  # x\nd\n"},
		{Page: "p", Line: 18, Lang: "toml", Text: "[x]\n"},
		{Page: "p", Line: 21, Lang: "console", Text: "$ e\nout\n$ f\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if script, err := got[3].Script(); script != "e\nf\n" || err != nil {
		t.Errorf("%q, %v", script, err)
	}
	for name, text := range map[string]string{"unknown mark": "```sh when=ever\n```\n", "unknown need": "```sh needs=luck\n```\n", "open": "```sh\nx\n"} {
		if _, err := parse("p", text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := (Block{Lang: "fish"}).Script(); err == nil {
		t.Error("a language that nobody knows passes")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("```sh\nx\n```\n    y\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parse("p", text)
		if err != nil {
			return
		}
		for _, b := range all {
			if b.Line < 1 || b.Line > strings.Count(text, "\n")+2 {
				t.Errorf("%s is no line of the page", b)
			}
		}
	})
}
