package guards_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

// answer is one run of a guard, by its program.
type answer struct {
	code   exitcode.Code
	stdout string
	took   time.Duration
}

func ask(d guard.Descriptor, args ...string) answer {
	var stdout, stderr bytes.Buffer
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code := cli.ExecuteContext(ctx, cli.GuardProgram(d), args, strings.NewReader(""), &stdout, &stderr, os.Getenv)
	return answer{code, stdout.String(), time.Since(begin)}
}

// broken tells how an answer breaks the contract of guards.
func broken(d guard.Descriptor, a answer, deadline time.Duration) error {
	allowed := []exitcode.Code{exitcode.OK, d.Block, d.Block.InspectionOf(), exitcode.Usage, exitcode.Config, exitcode.Internal}
	var r guard.Result
	dec := json.NewDecoder(strings.NewReader(a.stdout))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&r); {
	case err != nil:
		return fmt.Errorf("no result: %w", err)
	case strings.Count(a.stdout, "\n") != 1 || !strings.HasSuffix(a.stdout, "\n"):
		return fmt.Errorf("%d lines", strings.Count(a.stdout, "\n"))
	case len(a.stdout) > guard.MaxLine:
		return fmt.Errorf("%d bytes", len(a.stdout))
	case !slices.Contains(allowed, a.code):
		return fmt.Errorf("exit code %d", a.code)
	case r.Code != a.code || string(r.Class) != string(a.code.Band()) || r.OK != (a.code == 0):
		return fmt.Errorf("exit code %d, but code %d, class %s, ok %v", a.code, r.Code, r.Class, r.OK)
	case a.code == exitcode.Internal:
		return fmt.Errorf("an internal fault: %s", r.Message)
	case r.Guard != d.Binary() || r.Hard != d.Hard || r.Message == "" || r.Timestamp == "":
		return fmt.Errorf("guard %q, hard %v, message %q, timestamp %q", r.Guard, r.Hard, r.Message, r.Timestamp)
	case a.took > deadline+time.Second:
		return fmt.Errorf("took %v", a.took)
	}
	reason, declared := d.Reason(r.Reason)
	if !declared || reason.Class != r.Class {
		return fmt.Errorf("reason %q of class %s", r.Reason, r.Class)
	}
	return nil
}

// damage does harm to a machine, and says what.
func damage(r *rand.Rand, root string, files []string) string {
	name := files[r.IntN(len(files))]
	path := filepath.Join(root, name)
	data, _ := os.ReadFile(path) // what was harmed before may be gone
	mangled := bytes.Clone(data)
	write := func(data []byte) { _ = os.RemoveAll(path); _ = os.WriteFile(path, data, 0o644) }
	switch kind := r.IntN(9); kind {
	case 0:
		write(data[:len(data)/2])
		return "truncate " + name
	case 1:
		for range 1 + len(mangled)/8 {
			if len(mangled) > 0 {
				mangled[r.IntN(len(mangled))] = byte(r.IntN(256))
			}
		}
		write(mangled)
		return "garble " + name
	case 2:
		_ = os.RemoveAll(path)
		return "remove " + name
	case 3:
		_ = os.RemoveAll(path)
		_ = unix.Mkfifo(path, 0o644)
		return "a pipe for " + name
	case 4:
		write(bytes.Repeat([]byte("9999999999 "), 600_000))
		return "bloat " + name
	case 5:
		_ = os.RemoveAll(path)
		_ = os.Mkdir(path, 0o755)
		return "a folder for " + name
	case 6:
		_ = os.RemoveAll(path)
		_ = os.Symlink(filepath.Base(name), path)
		return "a loop for " + name
	case 7:
		write(nil)
		return "empty " + name
	default:
		_ = os.RemoveAll(filepath.Dir(path))
		return "remove the folder of " + name
	}
}

// configurations are files that a machine may have; the last ones are bad.
func configuration(r *rand.Rand) string {
	all := []string{
		"", "", "",
		"[guards.memory]\ncompute = \"64GiB\"\n[guards.persistence]\npaths = []\n",
		"[desktop]\nloginUnits = []\ncompositors = []\n",
		"[vllm]\nenable = true\nmodel = \"" + config.ModelsDirectory + "/x\"\n",
		"[capabilityPlacement]\nai = \"external-rack\"\nstudio = \"external-rack\"\n",
		"[hardware]\npresentGpus = [0]\ndisplayGpu = 0\ncomputeGpus = [0]\n",
		"[guards]\nnonsense = 1\n", "\x00\xff[", strings.Repeat("[", 2000),
	}
	return all[r.IntN(len(all))]
}

// TestContract runs every guard on machines that are damaged at random. The
// seed of a failure is in its message.
func TestContract(t *testing.T) {
	const deadline = 700 * time.Millisecond
	var mu sync.Mutex
	var slowest time.Duration
	codes := map[exitcode.Code]int{}
	for seed := range uint64(36) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			names := hosts.Names()
			archive := hosts.Load(t, names[r.IntN(len(names))])
			var done []string
			fault := seed % 6
			h := start(t, archive, fault != 1)
			switch fault {
			case 1:
				done = append(done, "no bus")
			case 2:
				h.KillBus()
				done = append(done, "kill the bus")
			case 3:
				h.HangLogin()
				done = append(done, "silence logind")
			}
			if text := configuration(r); text != "" {
				h.Write("etc/dubnium/dubnium.toml", text)
				done = append(done, fmt.Sprintf("configure %.40q", text))
			}
			files := machineFiles(archive)
			for range r.IntN(6) {
				done = append(done, damage(r, string(h.Root()), files))
			}
			target := mode.All()[r.IntN(3)]
			var all sync.WaitGroup
			for _, d := range guards.All() {
				all.Go(func() {
					a := ask(d, "--root="+string(h.Root()), "--timeout="+deadline.String(), "--target="+string(target))
					if err := broken(d, a, deadline); err != nil {
						t.Errorf("%s for %s: %v\nafter: %s\nstdout: %.600s", d.Binary(), target, err, strings.Join(done, "; "), a.stdout)
					}
					mu.Lock()
					defer mu.Unlock()
					slowest = max(slowest, a.took)
					codes[a.code]++
				})
			}
			all.Wait()
		})
	}
	t.Cleanup(func() {
		t.Logf("slowest of all: %v with a deadline of %v; codes: %v", slowest, deadline, codes)
		for _, band := range []exitcode.Band{exitcode.BandPass, exitcode.BandBlock, exitcode.BandError, exitcode.BandMisuse} {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(codes)), func(c exitcode.Code) bool { return c.Band() == band }) {
				t.Errorf("no guard ended in the band %s: the machines are too much alike", band)
			}
		}
	})
}

func start(t *testing.T, archive *txtar.Archive, bus bool) *hosts.Host {
	if !bus {
		return hosts.Unpack(t, archive)
	}
	return hosts.StartArchive(t, archive)
}

// machineFiles lists an archive's files, those more often that are read most.
func machineFiles(archive *txtar.Archive) []string {
	var out []string
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "dbus/") {
			continue
		}
		out = append(out, f.Name)
		if !strings.HasPrefix(f.Name, "proc/") || strings.Count(f.Name, "/") == 1 {
			out = append(out, f.Name, f.Name, f.Name)
		}
	}
	return out
}

// TestCrowdedMachine holds that a line stays short where there is much to
// tell: it is others who open sessions and take inhibitors.
func TestCrowdedMachine(t *testing.T) {
	var sessions, inhibitors []string
	for i := range 400 {
		sessions = append(sessions, fmt.Sprintf(`{"Id": "s%d", "Name": %q, "UID": 1000, "Seat": "seat0", "Type": "wayland", "Class": "user", "Desktop": %q}`, i, strings.Repeat("long", 50), strings.Repeat("x", 200)))
		inhibitors = append(inhibitors, fmt.Sprintf(`{"what": "shutdown", "who": "w", "why": %q, "mode": "block", "uid": 1, "pid": 1}`, strings.Repeat("\\u0001because ", 100)))
	}
	archive := hosts.Load(t, "empty")
	for i := range archive.Files {
		if archive.Files[i].Name == "dbus/login1.json" {
			archive.Files[i].Data = fmt.Appendf(nil, `{"manager": {}, "sessions": [%s], "inhibitors": [%s]}`, strings.Join(sessions, ","), strings.Join(inhibitors, ","))
		}
	}
	h := hosts.StartArchive(t, archive)
	const deadline = 30 * time.Second
	for name, code := range map[string]exitcode.Code{"graphical_session_absent": 17, "graphical_session_terminable": 17, "graphical_session_present": 0} {
		d, _ := guards.Find(name)
		a := ask(d, "--root="+string(h.Root()), "--timeout="+deadline.String())
		if err := broken(d, a, deadline); err != nil || a.code != code {
			t.Errorf("%s: code %d, want %d: %v: %.400s", name, a.code, code, err, a.stdout)
		}
	}
}

// TestTheContractIsHeld holds that broken notices what breaks the contract.
func TestTheContractIsHeld(t *testing.T) {
	d, _ := guards.Find("memory_headroom")
	root := "--root=" + string(hosts.Unpack(t, hosts.Load(t, "empty")).Root())
	good := ask(d, root)
	if err := broken(d, good, time.Minute); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(a *answer){
		"another code": func(a *answer) { a.code = d.Block },
		"code outside": func(a *answer) { a.code = 1 },
		"two lines":    func(a *answer) { a.stdout += "\n" },
		"no line":      func(a *answer) { a.stdout = "" },
		"rubbish":      func(a *answer) { a.stdout = "rubbish\n" },
		"too long": func(a *answer) {
			a.stdout = strings.Replace(a.stdout, `"message":"`, `"message":"`+strings.Repeat("x", 1<<16), 1)
		},
		"too late":         func(a *answer) { a.took = 2 * time.Minute },
		"unknown reason":   func(a *answer) { a.stdout = strings.Replace(a.stdout, `"enough"`, `"plenty"`, 1) },
		"another's reason": func(a *answer) { a.stdout = strings.Replace(a.stdout, `"enough"`, `"memory-low"`, 1) },
		"another class":    func(a *answer) { a.stdout = strings.Replace(a.stdout, `"pass"`, `"block"`, 1) },
	} {
		a := good
		change(&a)
		if broken(d, a, time.Minute) == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}
