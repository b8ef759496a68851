package siteguard

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
)

const folder = "/etc/dubnium/guards.d/compute"

// site is a machine with a folder for guards. The tests run as root, as the
// controller does.
func site(t *testing.T) hostfs.Root {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("site guards belong to root: run this test as root")
	}
	root := hostfs.Root(t.TempDir())
	if err := os.MkdirAll(root.Path(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// put writes a guard; a script gets its first line.
func put(t *testing.T, root hostfs.Root, name, script string) string {
	t.Helper()
	path := root.Path(folder, name)
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// line is what a guard of the contract prints.
func line(code int, class string, more string) string {
	return fmt.Sprintf(`echo '{"guard":"x","ok":%v,"code":%d,"class":"%s","reason":"because","message":"the backup runs (pid 7)"%s}'; exit %d`, code == 0, code, class, more, code)
}

func TestWhatIsRun(t *testing.T) {
	root := site(t)
	cfg := config.Default()
	put(t, root, "b_second", "")
	put(t, root, "a_first", "")
	put(t, root, ".hidden", "")
	commands, results := Commands(root, cfg, mode.Compute)
	want := []guardproc.Command{}
	for _, name := range []string{"a_first", "b_second"} {
		want = append(want, guardproc.Command{
			Name: name, Argv: []string{root.Path(folder, name), "--target=compute", "--timeout=5s"}, Code: exitcode.Inspection, Hard: true, Site: true,
		})
	}
	if diff := cmp.Diff(want, commands); diff != "" || len(results) != 0 {
		t.Errorf("%v (-want +got):\n%s", results, diff)
	}
	// Another mode has none, and neither has a machine without the folder.
	for _, m := range []mode.Mode{mode.Desktop, mode.StudioLocal} {
		if c, r := Commands(root, cfg, m); c != nil || r != nil {
			t.Errorf("%s: %v, %v", m, c, r)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	tests := map[string]struct {
		arrange func(t *testing.T, root hostfs.Root)
		name    string // of the result
		message string
	}{
		"not executable": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Chmod(put(t, root, "x", ""), 0o644))
		}, "x", folder + "/x is not executable"},
		"writable by its group": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Chmod(put(t, root, "x", ""), 0o775))
		}, "x", "can be written by others than root (mode 0775)"},
		"writable by all": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Chmod(put(t, root, "x", ""), 0o757))
		}, "x", "can be written by others than root"},
		"somebody's own": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Chown(put(t, root, "x", ""), 1000, 0))
		}, "x", "belongs to uid 1000"},
		"a link": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Symlink("/bin/true", root.Path(folder, "x")))
		}, "x", "is a symbolic link"},
		"a dangling link": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Symlink("/nowhere", root.Path(folder, "x")))
		}, "x", "is a symbolic link"},
		"a folder": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Mkdir(root.Path(folder, "x"), 0o755))
		}, "x", "is no regular file"},
		"a pipe": {func(t *testing.T, root hostfs.Root) {
			must(t, unix.Mkfifo(root.Path(folder, "x"), 0o755))
		}, "x", "is no regular file"},
		"the name of our own": {func(t *testing.T, root hostfs.Root) {
			put(t, root, "check_memory_headroom", "")
		}, "check_memory_headroom", "name of a guard of Dubnium's own"},
		"a folder that others write": {func(t *testing.T, root hostfs.Root) {
			put(t, root, "x", "")
			must(t, os.Chmod(root.Path(folder), 0o777))
		}, folder, "can be written by others"},
		"a folder above that others own": {func(t *testing.T, root hostfs.Root) {
			put(t, root, "x", "")
			must(t, os.Chown(root.Path("/etc/dubnium"), 1000, 1000))
		}, folder, "etc/dubnium belongs to uid 1000"},
		"a link to a folder that others write": {func(t *testing.T, root hostfs.Root) {
			elsewhere := root.Path("/srv/guards")
			must(t, os.MkdirAll(elsewhere, 0o755))
			must(t, os.Chmod(root.Path("/srv"), 0o777))
			must(t, os.Remove(root.Path(folder)))
			must(t, os.Symlink(elsewhere, root.Path(folder)))
		}, folder, "srv can be written by others"},
		"no folder": {func(t *testing.T, root hostfs.Root) {
			must(t, os.Remove(root.Path(folder)))
			must(t, os.WriteFile(root.Path(folder), nil, 0o644))
		}, folder, "look for the site's guards"},
		"too many": {func(t *testing.T, root hostfs.Root) {
			for i := range maxGuards + 1 {
				put(t, root, "x"+strconv.Itoa(i), "")
			}
		}, folder, "65 guards"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := site(t)
			tt.arrange(t, root)
			commands, results := Commands(root, config.Default(), mode.Compute)
			if len(commands) != 0 || len(results) != 1 {
				t.Fatalf("commands %v, results %v", commands, results)
			}
			r := results[0]
			if r.Guard != tt.name || !strings.Contains(r.Message, tt.message) || r.Reason != Unusable ||
				r.Code != 20 || r.Class != guard.Error || r.OK || !r.Hard || r.Target != mode.Compute || r.Timestamp == "" {
				t.Errorf("%+v, want the guard %s with …%s…", r, tt.name, tt.message)
			}
		})
	}
}

// TestRun runs site guards as reconcile does.
func TestRun(t *testing.T) {
	const deadline = 400 * time.Millisecond
	tests := map[string]struct {
		script string
		code   exitcode.Code
		hard   bool
		reason string
		says   string
	}{
		"a good one that passes":       {line(0, "pass", ""), 0, true, "because", "backup"},
		"a good one that blocks":       {line(17, "block", ""), 17, true, "because", "the backup runs (pid 7)"},
		"a soft one":                   {line(12, "block", `,"hard":false`), 12, false, "because", ""},
		"a hard one":                   {line(10, "block", `,"hard":true`), 10, true, "because", ""},
		"one that could not look":      {line(23, "error", ""), 23, true, "because", ""},
		"one that is told the target":  {`[[ "$*" == "--target=compute --timeout=5s" ]] || exit 1; ` + line(0, "pass", ""), 0, true, "because", ""},
		"rubbish":                      {"echo fine", 20, true, guardproc.Broken, "no JSON object"},
		"nothing":                      {"true", 20, true, guardproc.Broken, "no JSON object"},
		"exit 77":                      {"echo sorry >&2; exit 77", 20, true, guardproc.Broken, "exit status 77 is outside the contract of guards; it said: sorry"},
		"exit 1":                       {"exit 1", 20, true, guardproc.Broken, "exit status 1"},
		"a code of a transition":       {line(40, "block", ""), 20, true, guardproc.Broken, "exit status 40"},
		"killed":                       {"kill -9 $$", 20, true, guardproc.Broken, ""},
		"a pass that is none":          {line(0, "block", ""), 20, true, guardproc.Broken, "disagree"},
		"another code than it says":    {strings.Replace(line(10, "block", ""), "exit 10", "exit 11", 1), 20, true, guardproc.Broken, "disagree"},
		"two lines":                    {"echo; " + line(0, "pass", ""), 20, true, guardproc.Broken, "more than one line"},
		"a hard that is no bool":       {line(10, "block", `,"hard":"no"`), 20, true, guardproc.Broken, "no JSON object"},
		"misuse of its own":            {line(30, "misuse", ""), 20, true, guardproc.Broken, "because"},
		"never ends":                   {"sleep 600", 20, true, guardproc.Overdue, "no answer within 400ms"},
		"forks and never ends":         {"sleep 600 & sleep 601 & wait", 20, true, guardproc.Overdue, "no answer"},
		"answers, and leaves a child":  {"sleep 600 & " + line(0, "pass", ""), 0, true, "because", ""},
		"writes a gigabyte":            {"head -c 1G /dev/zero", 20, true, guardproc.Broken, "more than 65536 bytes"},
		"writes for ever":              {"exec cat /dev/zero", 20, true, guardproc.Overdue, "no answer"},
		"writes a gigabyte of excuses": {"head -c 1G /dev/zero >&2; " + line(0, "pass", ""), 0, true, "because", ""},
		"says nothing of its exit":     {"exit 0", 20, true, guardproc.Broken, "no JSON"},
		"takes its time":               {"sleep 0.1; " + line(0, "pass", ""), 0, true, "because", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := site(t)
			mark := fmt.Sprintf("site-guard-%d-%d", os.Getpid(), time.Now().UnixNano())
			put(t, root, "x", "export SITE_MARK="+mark+"\n"+tt.script+"\n")
			commands, results := Commands(root, config.Default(), mode.Compute)
			if len(commands) != 1 || len(results) != 0 {
				t.Fatalf("commands %v, results %v", commands, results)
			}
			limit := deadline
			if strings.Contains(name, "gigabyte") {
				limit = 20 * time.Second // it takes as long as the machine takes to write it
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			r := guardproc.All(ctx, commands, mode.Compute, limit)[0]
			took := time.Since(start)
			if r.Code != tt.code || r.Hard != tt.hard || r.Reason != tt.reason || !strings.Contains(r.Message, tt.says) ||
				string(r.Class) != string(tt.code.Band()) || r.OK != (tt.code == 0) || r.Guard != "x" || r.Target != mode.Compute {
				t.Errorf("%+v", r)
			}
			if !json.Valid(r.Evidence) {
				t.Errorf("the evidence is %q", r.Evidence)
			}
			if took > limit+time.Second {
				t.Errorf("it took %v, the deadline is %v", took, limit)
			}
			gone(t, mark)
		})
	}
}

// gone waits until no process with the mark in its environment is left.
func gone(t *testing.T, mark string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		var left []string
		files, err := filepath.Glob("/proc/[0-9]*/environ")
		must(t, err)
		for _, f := range files {
			if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), mark) {
				left = append(left, f)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
		time.Sleep(time.Millisecond)
	}
}
