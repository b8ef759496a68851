package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseChangelog(t *testing.T) {
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		text string
		want []release
		err  string
	}{
		"two": {
			"# Changelog\n\nWords.\n\n## 0.2.0\n\n- new\n  and more\n\n## 0.1.0 (2026-03-04)\n\n- first\n",
			[]release{{"0.2.0", time.Time{}, []string{"new and more"}}, {"0.1.0", day, []string{"first"}}},
			"",
		},
		"none":          {"# Changelog\n", nil, "has no release"},
		"an old dash":   {"## 0.2.0\n## 0.1.0\n", nil, "docs/changelog.md:2: only the newest"},
		"no such day":   {"## 0.1.0 (2026-13-40)\n", nil, "docs/changelog.md:1"},
		"not a release": {"## Soon\n", nil, "docs/changelog.md:1: not a release"},
	}
	for name, tt := range tests {
		got, err := parseChangelog(tt.text)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(release{})); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}

// TestChangelog prints the repository's own, for its newest release and for a
// build some commits later.
func TestChangelog(t *testing.T) {
	t.Chdir("../..")
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	text, err := os.ReadFile(changes)
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseChangelog(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for version, entries := range map[string]int{all[0].version: len(all), all[0].version + "+5.g0123abc": len(all) + 1} {
		var b bytes.Buffer
		if err := changelog(&b, version); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.HasPrefix(got, "dubnium ("+version+") unstable; urgency=medium\n\n  * ") ||
			strings.Count(got, "\n -- "+packager+"  ") != entries || !strings.Contains(got, "Tue, 14 Nov 2023 22:13:20 +0000\n") {
			t.Errorf("%s: %s", version, got)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if err := changelog(&bytes.Buffer{}, "1"); err == nil {
		t.Error("without a time there is no error")
	}
}

func FuzzParseChangelog(f *testing.F) {
	f.Add("## 0.2.0\n\n- new\n  and more\n\n## 0.1.0 (2026-03-04)\n\n- first\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseChangelog(text)
		if err == nil && len(all) == 0 {
			t.Error("neither a release nor an error")
		}
		for i, r := range all {
			if i > 0 && r.date.IsZero() {
				t.Errorf("%s has no date", r.version)
			}
		}
	})
}

func TestWrap(t *testing.T) {
	if got, want := wrap("aaa bb  c dddddddddd e", 6), "aaa bb\nc\ndddddddddd\ne"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLicences holds that a module that says nothing of its licence is refused.
func TestLicences(t *testing.T) {
	dir := t.TempDir()
	if _, err := licences(dir); err == nil {
		t.Error("a module without a licence passes")
	}
	for _, name := range []string{"LICENSE", "NOTICE.txt", "licence-mit", "license.go.mod.x", "README"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := licences(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if diff := cmp.Diff([]string{"LICENSE", "NOTICE.txt", "licence-mit", "license.go.mod.x"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLinked holds that what is no program of Go is refused.
func TestLinked(t *testing.T) {
	if _, _, err := linked([]string{"main.go"}); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("%v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, goVersion, err := linked([]string{self}); err != nil || !strings.HasPrefix(goVersion, "go1.") {
		t.Errorf("%s %v", goVersion, err)
	}
}

// TestVersion holds which version a tree has: without tags, at one, and after.
func TestVersion(t *testing.T) {
	script, err := os.ReadFile("../version")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	for name, text := range map[string]string{"scripts/version": string(script), "docs/changelog.md": "# C\n\n## 0.3.0\n\n## 0.2.0 (2026-01-01)\n"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(argv ...string) string {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = tree, append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(tree), "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func() { run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-qm", "x") }
	is := func(pattern string) {
		t.Helper()
		if got := run("scripts/version"); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("it is %q, want %s", got, pattern)
		}
	}
	is(`0\.3\.0`) // not a repository
	run("git", "init", "-q", ".")
	commit()
	is(`0\.3\.0`)
	run("git", "tag", "v1.2.3-rc1")
	is(`1\.2\.3-rc1`)
	commit()
	is(`1\.2\.3-rc1\+1\.g[0-9a-f]+`)
	run("git", "tag", "v1.2.3")
	is(`1\.2\.3`)
}
