package procinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

func TestParseCgroup(t *testing.T) {
	for _, tt := range []struct{ name, in, want, err string }{
		{"unified", "0::/user.slice/user-1000.slice/session-2.scope\n", "/user.slice/user-1000.slice/session-2.scope", ""},
		{"beside version 1", "9:name=systemd:/x\n4:memory:/y\n0::/system.slice/a.service\n", "/system.slice/a.service", ""},
		{"version 1 only", "9:name=systemd:/x\n4:memory:/y\n", "", ""},
		{"root", "0::/\n", "/", ""},
		{"colons and spaces in the name", "0::/system.slice/a: b.service", "/system.slice/a: b.service", ""},
		{"outside the namespace", "0::/../../system.slice\n", "/../../system.slice", ""},
		{"removed", "0::/system.slice/a.service (deleted)\n", "/system.slice/a.service", ""},
		{"empty", "", "", ""},
		{"no path", "0::\n", "", "want one that begins with /"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseCgroup([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add([]byte("9:name=systemd:/x\n0::/system.slice/a.service (deleted)\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cgroup, err := parseCgroup(data)
		if err == nil && cgroup != "" && (cgroup[0] != '/' || strings.Contains(cgroup, "\n")) {
			t.Errorf("%q gives the path %q", data, cgroup)
		}
		// Whatever a process is called by the kernel can be looked at.
		Unit(cgroup)
		Session(cgroup)
		UID(cgroup)
	})
}

func TestParseEvents(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     bool
		err      string
	}{
		{"populated", "populated 1\nfrozen 0\n", true, ""},
		{"empty", "frozen 0\npopulated 0\n", false, ""},
		{"nothing", "", false, "populated is missing"},
		{"cut short", "populated", false, `populated ""`},
		{"another number", "populated 2\n", false, `populated "2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseEvents([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte("populated 1\nfrozen 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if populated, err := parseEvents(data); err != nil && populated {
			t.Errorf("%q: populated and %v", data, err)
		}
	})
}

func FuzzParsePIDs(f *testing.F) {
	f.Add([]byte("1\n42\n0\n"))
	f.Add([]byte("1\n+2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		pids, err := parsePIDs(data)
		if err == nil && slices.ContainsFunc(pids, func(pid int) bool { return pid < 0 }) {
			t.Errorf("%q reads as %v", data, pids)
		}
	})
}

// cgroupFiles is the hierarchy of a machine, mounted at mount.
func cgroupFiles(mount string) map[string]string {
	files := map[string]string{
		"cgroup.controllers":                               "cpu memory\n",
		"cgroup.procs":                                     "2\n",
		"system.slice/cgroup.events":                       "populated 1\nfrozen 0\n",
		"system.slice/cgroup.procs":                        "",
		"system.slice/vllm.service/cgroup.events":          "populated 1\nfrozen 0\n",
		"system.slice/vllm.service/cgroup.procs":           "90\n0\n80\n",
		"system.slice/vllm.service/worker/cgroup.procs":    "70\n80\n",
		"system.slice/plano.service/cgroup.events":         "populated 0\nfrozen 0\n",
		"system.slice/plano.service/cgroup.procs":          "",
		"system.slice/garbled.service/cgroup.events":       "populated maybe\n",
		"system.slice/garbled.service/cgroup.procs":        "x\n",
		"system.slice/unreadable.service/cgroup.max.depth": "max\n",
	}
	mounted := map[string]string{}
	for name, content := range files {
		mounted[filepath.Join(mount, name)] = content
	}
	return mounted
}

func TestPopulatedAndProcs(t *testing.T) {
	for _, mount := range mounts {
		t.Run(mount, func(t *testing.T) {
			root := tree(t, cgroupFiles(mount))
			for _, tt := range []struct {
				cgroup            string
				populated, exists bool
				own, all          []int
				err               string
			}{
				{cgroup: "/system.slice/vllm.service", populated: true, exists: true, own: []int{0, 80, 90}, all: []int{0, 70, 80, 90}},
				{cgroup: "/system.slice/plano.service", exists: true},
				{cgroup: "/system.slice/none.service"},
				{cgroup: "/none.slice/none.service"},
				{cgroup: "/", populated: true, exists: true, own: []int{2}, all: []int{0, 2, 70, 80, 90}, err: "garbled"},
				{cgroup: "/system.slice/garbled.service", err: "garbled.service"},
				{cgroup: "/system.slice/unreadable.service", err: "unreadable.service"},
				{cgroup: "/../x", err: "want a path"},
				{cgroup: "", err: "want a path"},
				{cgroup: "system.slice", err: "want a path"},
			} {
				populated, exists, err := Populated(root, tt.cgroup)
				if tt.cgroup == "/" {
					check(t, populated, err, true, "")
					pids, _, err := CgroupProcs(root, tt.cgroup, false)
					check(t, pids, err, tt.own, "")
					_, _, err = CgroupProcs(root, tt.cgroup, true)
					check(t, nil, err, []int(nil), tt.err)
					continue
				}
				check(t, populated, err, tt.populated, tt.err)
				if err == nil && exists != tt.exists {
					t.Errorf("%s: exists %v, want %v", tt.cgroup, exists, tt.exists)
				}
				for recursive, want := range map[bool][]int{false: tt.own, true: tt.all} {
					pids, exists, err := CgroupProcs(root, tt.cgroup, recursive)
					check(t, pids, err, want, tt.err)
					if err == nil && exists != tt.exists {
						t.Errorf("%s: exists %v, want %v", tt.cgroup, exists, tt.exists)
					}
				}
			}
		})
	}
}

func TestNoUnifiedHierarchy(t *testing.T) {
	root := tree(t, map[string]string{"sys/fs/cgroup/memory/cgroup.procs": "1\n"})
	if _, _, err := Populated(root, "/memory"); !errors.Is(err, ErrNoUnified) {
		t.Errorf("Populated: %v, want %v", err, ErrNoUnified)
	}
	if _, _, err := CgroupProcs(root, "/memory", false); !errors.Is(err, ErrNoUnified) {
		t.Errorf("CgroupProcs: %v, want %v", err, ErrNoUnified)
	}
	if _, _, err := Pressure(root, "/memory", RAM); !errors.Is(err, ErrNoUnified) {
		t.Errorf("Pressure: %v, want %v", err, ErrNoUnified)
	}
}

// A control group of the running kernel is made, filled, emptied and removed,
// and one of its groups is threaded.
func TestRealControlGroup(t *testing.T) {
	root := hostfs.Root("")
	own, _, err := Cgroup(root, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	cgroup := filepath.Join(own, fmt.Sprint("procinfo-test-", os.Getpid()))
	dir, err := cgroupDir(root, cgroup)
	if err != nil {
		t.Fatal(err)
	}
	want := func(populated, exists bool, own, all []int) {
		t.Helper()
		gotPopulated, gotExists, err := Populated(root, cgroup)
		if err != nil || gotPopulated != populated || gotExists != exists {
			t.Errorf("populated %v, exists %v, %v, want %v and %v", gotPopulated, gotExists, err, populated, exists)
		}
		for recursive, pids := range map[bool][]int{false: own, true: all} {
			got, gotExists, err := CgroupProcs(root, cgroup, recursive)
			if diff := cmp.Diff(pids, got); err != nil || gotExists != exists || diff != "" {
				t.Errorf("recursive %v: exists %v, %v, %s", recursive, gotExists, err, diff)
			}
		}
	}
	want(false, false, nil, nil)

	leaf, threaded := filepath.Join(dir, "leaf"), filepath.Join(dir, "threaded")
	for _, d := range []string{dir, leaf, threaded} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatalf("this test needs root and a writable unified hierarchy: %v", err)
		}
		// Removed in reverse, and only by Remove: a control group's files can't be
		// unlinked.
		t.Cleanup(func() {
			if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
	want(false, true, nil, nil)

	cat := child(t, "/bin/cat")
	move := func(to, file, what string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(to, file), []byte(what), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pid := cat.Process.Pid
	move(leaf, "cgroup.procs", fmt.Sprint(pid))
	want(true, true, nil, []int{pid})
	if got, alive, err := Cgroup(root, pid); err != nil || !alive || got != cgroup+"/leaf" {
		t.Errorf("Cgroup: %q, %v, %v, want %q", got, alive, err, cgroup+"/leaf")
	}
	_, hasPressure, err := Pressure(root, cgroup, CPU)
	if _, statErr := os.Stat(filepath.Join(dir, "cpu.pressure")); err != nil || hasPressure != (statErr == nil) {
		t.Errorf("Pressure: present %v, %v", hasPressure, err)
	}

	// A threaded group refuses to list its processes; the one above has them.
	move(dir, "cgroup.procs", fmt.Sprint(pid))
	move(threaded, "cgroup.type", "threaded")
	move(threaded, "cgroup.threads", fmt.Sprint(pid))
	want(true, true, []int{pid}, []int{pid})

	if err := cat.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cat.Wait()
	want(false, true, nil, nil)
	events, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for _, d := range []string{threaded, leaf, dir} {
		if err := os.Remove(d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := events.Read(make([]byte, 1)); !gone(err) {
		t.Errorf("a control group that goes between open and read: %v", err)
	}
	want(false, false, nil, nil)
}
