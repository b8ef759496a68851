package cluster

import "testing"

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
