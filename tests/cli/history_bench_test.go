package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/hosts"
)

// longHistory is a machine's root whose history holds so many events, with the
// evidence and the guards' answers of a fixture machine in each.
func longHistory(b *testing.B, events int) string {
	b.Helper()
	h := hosts.Start(b, "idle-desktop")
	var o observe.Observation
	var g record.Guards
	for _, ask := range []struct {
		into any
		argv []string
	}{{&o, []string{"observe-current", "--json"}}, {&g, []string{"mode", "guards", "compute", "--json"}}} {
		out, _ := exec.Command(ask.argv[0], append(ask.argv[1:], "--root="+string(h.Root()))...).Output() // a guard may block
		if err := json.Unmarshal(out, ask.into); err != nil {
			b.Fatal(err)
		}
	}
	root := b.TempDir()
	path := filepath.Join(root, record.EventsFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	outcomes := []record.Outcome{record.Converged, record.Converged, record.Blocked, record.RolledBack}
	ev := record.Event{
		SchemaVersion: 1, Timestamp: "@TIME@", ID: "@ID@", BootID: "8f8c1d4e-0000-4000-8000-000000000001", InvocationID: strings.Repeat("ab", 16),
		Requested: mode.Compute, Prior: "desktop", Reason: "desktop -> compute", Trigger: "unit", Guards: g.Results,
		Conflicts: []observe.Conflict{}, Unmet: []observe.Unmet{}, Errors: []observe.InspectionError{},
	}
	for i, s := range []string{"announce to the sessions", "stop display-manager.service", "end the graphical sessions", "stop audio-priority.service", "stop studio-local-policy.service", "stop desktop.target", "gate", "start compute.target", "start vllm.service", "wait until vLLM is healthy"} {
		ev.Actions = append(ev.Actions, record.Action{Title: s, Action: mode.StopUnit, Unit: "vllm.service", Status: record.Done, BoundMS: 30000, DurationMS: float64(100 * i)})
	}
	var lines []string // an intent, and a transition of each outcome
	for _, outcome := range append([]record.Outcome{""}, outcomes...) {
		if ev.Type, ev.Before, ev.After, ev.Outcome = record.TypeTransition, nil, &o, outcome; outcome == "" {
			ev.Type, ev.Before, ev.After = record.TypeIntent, &o, nil
		}
		line, err := json.Marshal(ev)
		if err != nil {
			b.Fatal(err)
		}
		lines = append(lines, string(line)+"\n")
	}
	for n := range events {
		at, line := begin.Add(time.Duration(n/2)*5*time.Minute), lines[0]
		if n%2 == 1 {
			line = lines[1+n/2%len(outcomes)]
		}
		id := fmt.Sprintf("%s-%08x", at.Format("20060102T150405Z"), n/2)
		if _, err := strings.NewReplacer("@TIME@", at.Format(record.TimeFormat), "@ID@", id).WriteString(w, line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d events, %d MiB", events, info.Size()>>20)
	return root
}

// BenchmarkHistory times whole processes of mode over 100,000 events. MODE
// names the programs to time, with colons in between, so that one run compares
// them; without it, it is this test binary.
func BenchmarkHistory(b *testing.B) {
	root := longHistory(b, 100_000)
	programs := filepath.SplitList(os.Getenv("MODE"))
	if len(programs) == 0 {
		programs = []string{"mode"}
	}
	for _, args := range []string{"history", "history --last 1000", "history --outcome failed", "history --last 0", "history show", "history stats"} {
		for _, program := range programs {
			b.Run(strings.ReplaceAll(args, " ", "_")+"/"+filepath.Base(program), func(b *testing.B) {
				var took []time.Duration
				var peak int64
				for range b.N {
					cmd := exec.Command(program, append(strings.Fields(args), "--root="+root)...)
					start := time.Now()
					if out, err := cmd.CombinedOutput(); err != nil {
						b.Fatalf("%v: %s", err, out)
					}
					took = append(took, time.Since(start))
					peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
				b.ReportMetric(float64(peak)/1024, "peak-MiB")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
