package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

func TestParsePostmaster(t *testing.T) {
	const file = "4711\n/var/lib/x/data\n1700000000\n5432\n/var/lib/x/socket\n\n  12345    6\nready   \n"
	for text, want := range map[string]postmaster{
		file:               {pid: 4711, ready: true},
		file[:len(file)-9]: {pid: 4711},
		"-4711\n/var/lib":  {pid: 4711},
		"4711":             {pid: 4711},
	} {
		if got, err := parsePostmaster([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "\n", "x\n", "0\n", "99999999\n", "1 2\n"} {
		if got, err := parsePostmaster([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParsePostmaster(f *testing.F) {
	f.Add([]byte("4711\n/d\n1\n5432\n/s\n\n1 2\nready\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := parsePostmaster(text); err == nil && (p.pid <= 0 || p.pid > 1<<22) {
			t.Errorf("pid %d", p.pid)
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	f.Add([]byte("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"))
	f.Add([]byte("postgres (PostgreSQL) 18beta1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, err := parseVersion(text); err == nil && (v < 0 || v > 999) {
			t.Errorf("version %d", v)
		}
	})
}

func TestBuffersFitTheMachine(t *testing.T) {
	for _, c := range []struct {
		name, meminfo string
		asked         uint64
		want          string
	}{
		{"a small machine", "MemTotal: 1048576 kB\nMemAvailable: 1 kB\n", 0, "131072kB"},
		{"a workstation", "MemTotal: 25165824 kB\nMemAvailable: 1 kB\n", 0, "1572864kB"},
		{"a server", "MemTotal: 1073741824 kB\nMemAvailable: 1 kB\n", 0, "4194304kB"},
		{"asked for", "MemTotal: 25165824 kB\nMemAvailable: 1 kB\n", 1 << 20, "1024kB"},
		{"unreadable", "", 0, "131072kB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "proc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "proc", "meminfo"), []byte(c.meminfo), 0o600); err != nil {
				t.Fatal(err)
			}
			args := Config{Root: hostfs.Root(root), SharedBuffers: c.asked}.settings()
			if want := "shared_buffers=" + c.want; !slices.Contains(args, want) {
				t.Errorf("%q has no %s", args, want)
			}
		})
	}
}
