package procinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// tree makes a root of the files: names to contents.
func tree(t *testing.T, files map[string]string) hostfs.Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return hostfs.Root(dir)
}

// check compares a value and an error with what is wanted: a value when text is
// "", else an error that holds text.
func check[T any](t *testing.T, got T, err error, want T, text string) {
	t.Helper()
	if text != "" {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q in it", err, text)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const meminfoSample = `MemTotal:       24683620 kB
MemFree:        11862256 kB
MemAvailable:   22163776 kB
Buffers:          512736 kB
SwapCached:            0 kB
SwapTotal:       8388604 kB
SwapFree:        8388000 kB
HugePages_Total:       0
DirectMap4k:       81752 kB
`

func TestParseMeminfo(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Memory
		err      string
	}{
		{"whole", meminfoSample, Memory{24683620, 22163776, 8388604, 8388000}, ""},
		{"no swap lines", "MemTotal: 10 kB\nMemAvailable: 5 kB", Memory{10, 5, 0, 0}, ""},
		{"the first line counts", "MemTotal: 10 kB\nMemAvailable: 5 kB\nMemAvailable: 9 kB\n", Memory{10, 5, 0, 0}, ""},
		{"no MemAvailable", "MemTotal: 10 kB\nMemFree: 5 kB\n", Memory{}, "MemAvailable is missing"},
		{"no MemTotal", "MemAvailable: 10 kB\n", Memory{}, "MemTotal is missing"},
		{"empty", "", Memory{}, "MemTotal is missing"},
		{"no unit", "MemTotal: 10\nMemAvailable: 5 kB\n", Memory{}, "MemTotal: \" 10\": want a number of kB"},
		{"negative", "MemTotal: -10 kB\nMemAvailable: 5 kB\n", Memory{}, "MemTotal: "},
		{"cut short", "MemTotal: 10 kB\nMemAvailable: 5", Memory{}, "MemAvailable: "},
		{"garbled swap", "MemTotal: 10 kB\nMemAvailable: 5 kB\nSwapFree: x kB\n", Memory{}, "SwapFree: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMeminfo([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add([]byte(meminfoSample))
	f.Add([]byte("MemTotal:\nMemAvailable: 18446744073709551616 kB"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMeminfo(data)
		if err != nil {
			if m != (Memory{}) {
				t.Errorf("an error and a value: %+v", m)
			}
			return
		}
		text := fmt.Sprintf("MemTotal: %d kB\nMemAvailable: %d kB\nSwapTotal: %d kB\nSwapFree: %d kB\n",
			m.MemTotalKiB, m.MemAvailableKiB, m.SwapTotalKiB, m.SwapFreeKiB)
		if again, err := parseMeminfo([]byte(text)); err != nil || again != m {
			t.Errorf("%+v reads back as %+v, %v", m, again, err)
		}
	})
}

func TestParseLoad(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     LoadAverage
		err      string
	}{
		{"whole", "0.20 10.18 0.12 1/80 11206\n", LoadAverage{0.20, 10.18, 0.12, 1, 80}, ""},
		{"without the last pid", "0.20 10.18 0.12 1/80", LoadAverage{0.20, 10.18, 0.12, 1, 80}, ""},
		{"empty", "", LoadAverage{}, "0 fields"},
		{"not a number", "x 1 1 1/80 1", LoadAverage{}, "x"},
		{"NaN", "NaN 1 1 1/80 1", LoadAverage{}, "want a number"},
		{"infinite", "1 +Inf 1 1/80 1", LoadAverage{}, "want a number"},
		{"negative", "1 1 -0.5 1/80 1", LoadAverage{}, "want a number"},
		{"no slash", "1 1 1 80 1", LoadAverage{}, `tasks "80"`},
		{"negative tasks", "1 1 1 -1/80 1", LoadAverage{}, `tasks "-1/80"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLoad([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add([]byte("0.20 0.18 0.12 1/80 11206\n"))
	f.Add([]byte("1e309 0x1p-2 infinity 1/80/3 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLoad(data)
		if err == nil && !(l.One >= 0 && l.Five >= 0 && l.Fifteen >= 0 && l.Running >= 0 && l.Total >= 0) {
			t.Errorf("%q reads as %+v", data, l)
		}
	})
}

const pressureSample = `some avg10=9.75 avg60=10.89 avg300=7.53 total=48362777
full avg10=0.00 avg60=0.10 avg300=0.01 total=99
`

var pressureWant = PSI{Some: Stall{9.75, 10.89, 7.53, 48362777}, Full: Stall{0, 0.10, 0.01, 99}, HasFull: true}

func TestParsePressure(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     PSI
		err      string
	}{
		{"whole", pressureSample, pressureWant, ""},
		{"an older kernel's cpu", "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n", PSI{Some: Stall{1, 2, 3, 4}}, ""},
		{"a later kernel's lines and keys", "most avg10=x\nsome avg10=1 avg30=z avg60=2 avg300=3 total=4", PSI{Some: Stall{1, 2, 3, 4}}, ""},
		{"empty", "", PSI{}, `line "some" is missing`},
		{"only full", "full avg10=1.00 avg60=2.00 avg300=3.00 total=4\n", PSI{}, `line "some" is missing`},
		{"cut short", "some avg10=1.00 avg60=2.00 avg3", PSI{}, `line "some": 2 of`},
		{"a key twice in place of another", "some avg10=1.00 avg60=2.00 avg300=3.00", PSI{}, `line "some": 3 of`},
		{"NaN", "some avg10=nan avg60=2.00 avg300=3.00 total=4\n", PSI{}, `line "some": avg10`},
		{"negative total", "some avg10=1 avg60=2.00 avg300=3.00 total=-4\n", PSI{}, `line "some": total`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsePressure([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte(pressureSample))
	f.Add([]byte("some avg10=1 avg10=1 avg10=1 avg10=1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		psi, err := parsePressure(data)
		if err != nil {
			if psi != (PSI{}) {
				t.Errorf("an error and a value: %+v", psi)
			}
			return
		}
		line := func(kind string, s Stall) string {
			return fmt.Sprintf("%s avg10=%g avg60=%g avg300=%g total=%d\n", kind, s.Avg10, s.Avg60, s.Avg300, s.TotalMicros)
		}
		text := line("some", psi.Some)
		if psi.HasFull {
			text += line("full", psi.Full)
		}
		if again, err := parsePressure([]byte(text)); err != nil || again != psi {
			t.Errorf("%+v reads back as %+v, %v", psi, again, err)
		}
	})
}

func TestPressure(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/pressure/memory":                             pressureSample,
		"proc/pressure/io":                                 "garbled",
		"sys/fs/cgroup/cgroup.controllers":                 "cpu\n",
		"sys/fs/cgroup/system.slice/cpu.pressure":          pressureSample,
		"sys/fs/cgroup/system.slice/a.service/io.pressure": "",
	})
	for _, tt := range []struct {
		name, cgroup string
		resource     Resource
		want         PSI
		present      bool
		err          string
	}{
		{"the machine", "", RAM, pressureWant, true, ""},
		{"not accounted", "", CPU, PSI{}, false, ""},
		{"garbled", "", IO, PSI{}, false, "parse /proc/pressure/io"},
		{"a control group", "/system.slice", CPU, pressureWant, true, ""},
		{"not accounted there", "/system.slice", IO, PSI{}, false, ""},
		{"no such control group", "/system.slice/b.service", IO, PSI{}, false, ""},
		{"empty file", "/system.slice/a.service", IO, PSI{}, false, "some"},
		{"outside", "/../system.slice", CPU, PSI{}, false, "want a path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, present, err := Pressure(root, tt.cgroup, tt.resource)
			check(t, got, err, tt.want, tt.err)
			if present != tt.present {
				t.Errorf("present %v, want %v", present, tt.present)
			}
		})
	}
}

func TestUnaccounted(t *testing.T) {
	for err, want := range map[error]bool{
		nil:                 false,
		unix.ENOENT:         true,
		unix.ENODEV:         true,
		unix.EOPNOTSUPP:     true,
		unix.EACCES:         false,
		unix.EIO:            false,
		hostfs.ErrTooLarge:  false,
		errors.New("other"): false,
	} {
		if got := unaccounted(err); got != want {
			t.Errorf("unaccounted(%v) = %v, want %v", err, got, want)
		}
	}
}

func TestParseBootID(t *testing.T) {
	const id = "1d6ee2cf-6b33-4ba4-9d5f-3fbd8a2d5a60"
	for _, tt := range []struct{ name, in, want, err string }{
		{"whole", id + "\n", id, ""},
		{"upper case", strings.ToUpper(id), id, ""},
		{"empty", "", "", "0 characters"},
		{"cut short", id[:20], "", "20 characters"},
		{"a dash amiss", strings.Replace(id, "-", "0", 1), "", "character 9 is '0'"},
		{"no hexadecimal digit", strings.Replace(id, "d", "g", 1), "", "character 2 is 'g'"},
		{"a dash too many", strings.Replace(id, "d", "-", 1), "", "character 2 is '-'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseBootID([]byte(tt.in))
			check(t, got, err, tt.want, tt.err)
		})
	}
}

func FuzzParseBootID(f *testing.F) {
	f.Add([]byte("1d6ee2cf-6b33-4ba4-9d5f-3fbd8a2d5a60\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, err := parseBootID(data)
		if (err == nil) != (len(id) == 36) {
			t.Errorf("%q reads as %q, %v", data, id, err)
		}
	})
}

// The parsers agree with the kernel that runs this test.
func TestThisMachine(t *testing.T) {
	root := hostfs.Root("")
	if m, err := Meminfo(root); err != nil || m.MemTotalKiB == 0 || m.MemAvailableKiB == 0 || m.MemAvailableKiB > m.MemTotalKiB {
		t.Errorf("Meminfo: %+v, %v", m, err)
	}
	if l, err := Load(root); err != nil || l.Total < 1 {
		t.Errorf("Load: %+v, %v", l, err)
	}
	if id, err := BootID(root); err != nil || len(id) != 36 {
		t.Errorf("BootID: %q, %v", id, err)
	}
	for _, resource := range []Resource{CPU, RAM, IO} {
		_, err := os.Stat("/proc/pressure/" + string(resource))
		if _, present, got := Pressure(root, "", resource); got != nil || present != (err == nil) {
			t.Errorf("Pressure of %s: present %v, %v", resource, present, got)
		}
	}
}

func TestMissingFilesAreErrors(t *testing.T) {
	root := tree(t, nil)
	if _, err := Meminfo(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Meminfo: %v", err)
	}
	if _, err := Load(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
	if _, err := BootID(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("BootID: %v", err)
	}
	if _, err := Processes(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Processes: %v", err)
	}
	if _, err := Find(root, []string{"x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find: %v", err)
	}
	if _, _, err := Populated(root, "/system.slice"); !errors.Is(err, ErrNoUnified) {
		t.Errorf("Populated: %v", err)
	}
}
