package procinfo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

func TestParseProcessors(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		err      string
	}{
		{"one", "0\n", 1, ""},
		{"all", "0-15\n", 16, ""},
		{"some are off", "0-3,8,10-11\n", 7, ""},
		{"nothing", "\n", 0, `processor ""`},
		{"turned round", "3-0\n", 0, "the last comes before the first"},
		{"open end", "0-\n", 0, `processor "0-"`},
		{"rubbish", "zero\n", 0, `processor "zero"`},
		{"too many", "0-65535\n", 0, "more than 8192"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseProcessors([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseProcessors(f *testing.F) {
	f.Add([]byte("0-3,8,10-11\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parseProcessors(data); err == nil && (n < 1 || n > maxProcessors) {
			t.Errorf("%q gives %d processors", data, n)
		}
	})
}

func TestParseUsage(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     uint64
		err      string
	}{
		{"as the kernel writes it", "usage_usec 4711\nuser_usec 4000\nsystem_usec 711\nnice_usec 0\n", 4711, ""},
		{"other keys first", "nr_periods 0\nusage_usec 0\n", 0, ""},
		{"nothing", "", 0, "usage_usec is missing"},
		{"cut short", "usage_usec", 0, "usage_usec:"},
		{"negative", "usage_usec -1\n", 0, "usage_usec:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseUsage([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte("usage_usec 4711\nuser_usec 4000\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if micros, err := parseUsage(data); err != nil && micros != 0 {
			t.Errorf("%q gives %d and %v", data, micros, err)
		}
	})
}

// made lays files below a new root.
func made(t *testing.T, files map[string]string) hostfs.Root {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return hostfs.Root(root)
}

func TestCPUUsageAndSubgroups(t *testing.T) {
	for _, mount := range mounts {
		root := made(t, map[string]string{
			mount + "/cgroup.controllers":               "",
			mount + "/user.slice/cpu.stat":              "usage_usec 12\n",
			mount + "/user.slice/b.scope/cpu.stat":      "rubbish\n",
			mount + "/user.slice/a.slice/cgroup.events": "",
		})
		if got, exists, err := CPUUsage(root, "/user.slice"); got != 12 || !exists || err != nil {
			t.Errorf("used %d, exists %v, %v", got, exists, err)
		}
		if got, exists, err := CPUUsage(root, "/user.slice/gone.scope"); got != 0 || exists || err != nil {
			t.Errorf("of none: used %d, exists %v, %v", got, exists, err)
		}
		for _, bad := range []string{"/user.slice/b.scope", "/user.slice/a.slice", "user.slice", "/../x"} {
			if got, _, err := CPUUsage(root, bad); err == nil {
				t.Errorf("%s used %d", bad, got)
			}
		}
		names, exists, err := Subgroups(root, "/user.slice")
		if diff := cmp.Diff([]string{"a.slice", "b.scope"}, names); diff != "" || !exists || err != nil {
			t.Errorf("exists %v, %v, -want +got:\n%s", exists, err, diff)
		}
		if names, exists, err := Subgroups(root, "/none.slice"); names != nil || exists || err != nil {
			t.Errorf("below none: %q, exists %v, %v", names, exists, err)
		}
	}
	none := made(t, nil)
	if _, _, err := CPUUsage(none, "/user.slice"); err == nil {
		t.Error("a machine without the hierarchy has a usage")
	}
	if _, _, err := Subgroups(none, "/user.slice"); err == nil {
		t.Error("a machine without the hierarchy has groups")
	}
	if _, err := Processors(none); err == nil {
		t.Error("a machine without /sys has processors")
	}
}

// TestRunningMachineHasProcessors reads the machine that runs the test.
func TestRunningMachineHasProcessors(t *testing.T) {
	if n, err := Processors(""); err != nil || n < 1 {
		t.Errorf("%d, %v", n, err)
	}
}
