// Command bench measures Dubnium on a booted machine, against the commands
// that tell the same facts, and prints a table. It judges nothing: only what
// could not be measured is a failure.
//
//	bench DRIVER FACTS SCAN
//
// DRIVER is the program of tests/bench/driver, FACTS the script facts.sh, SCAN
// the benchmarks of pkg/gpu/holders, built; all are put into the machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/survey"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

// How often each thing is measured.
const (
	runs        = 20
	transitions = 10
)

// Where the machine has what is measured with.
const (
	driverPath = "/usr/lib/dubnium-test/driver"
	factsPath  = "/usr/lib/dubnium-test/facts.sh"
	scanPath   = "/usr/lib/dubnium-test/scan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "bench: usage: bench DRIVER FACTS SCAN")
		os.Exit(1)
	}
	if err := run(ctx, map[string]string{driverPath: os.Args[1], factsPath: os.Args[2], scanPath: os.Args[3]}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures with these files of ours, by their paths in the machine.
func run(ctx context.Context, ours map[string]string) (err error) {
	files := []machine.File{{Path: "/etc/pipewire/pipewire.conf.d/50-devices.conf", Content: speakers}}
	for path, from := range ours {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		files = append(files, machine.File{Path: path, Content: string(data), Mode: 0o755})
	}
	m, err := machine.Boot(ctx, loop.Options(files...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if _, err := m.WaitSession(ctx); err != nil {
		return err
	}
	if r := m.Run(ctx, factsPath); r.Code != 0 || r.Stderr != "" {
		return errors.New(r.String())
	}
	b := bench{m: m, out: os.Stdout}
	return errors.Join(b.looks(ctx), b.guards(ctx), b.typed(ctx), b.scan(ctx), b.roundTrips(ctx), b.controller(ctx))
}

type bench struct {
	m   *machine.Machine
	out *os.File
}

// What the driver reads and prints, as tests/bench/driver has it.
type (
	job struct {
		Runs   int      `json:"runs"`
		Warmup int      `json:"warmup"`
		Series []series `json:"series"`
	}
	series struct {
		Name     string              `json:"name"`
		Commands [][]string          `json:"commands"`
		Guards   []guardproc.Command `json:"guards,omitempty"`
	}
	outcome struct {
		Series []measured `json:"series"`
		OwnKiB int64      `json:"own_kib"`
	}
	measured struct {
		Name   string    `json:"name"`
		TookMS []float64 `json:"took_ms"`
		CPUMS  []float64 `json:"cpu_ms"`
		RSSKiB int64     `json:"rss_kib"`
		Codes  []int     `json:"codes"`
	}
)

// measure runs each series many times inside the machine.
func (b bench) measure(ctx context.Context, list ...series) (outcome, error) {
	in, err := json.Marshal(job{Runs: runs, Warmup: 2, Series: list})
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // a busy host is slow, and no failure
	defer cancel()
	r := b.m.Exec(ctx, machine.Command{Args: []string{driverPath}, Stdin: strings.NewReader(string(in))})
	if r.Code != 0 {
		return outcome{}, errors.New(r.String())
	}
	var out outcome
	if err := json.Unmarshal([]byte(r.Stdout), &out); err != nil {
		return outcome{}, fmt.Errorf("read what the driver printed: %w", err)
	}
	return out, nil
}

// printf adds to the report. A report that can't be printed is of no use to go
// on for.
func (b bench) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) }

// rss tells a peak, which the driver's own hides when it is higher.
func (o outcome) rss(m measured) string {
	if m.RSSKiB <= o.OwnKiB {
		return fmt.Sprintf("<=%4.1f", float64(m.RSSKiB)/1024)
	}
	return fmt.Sprintf("%6.1f", float64(m.RSSKiB)/1024)
}

// looks measures the programs that look against the script.
func (b bench) looks(ctx context.Context) error {
	one := func(argv ...string) series {
		return series{Name: strings.Join(argv, " "), Commands: [][]string{argv}}
	}
	script := one(factsPath)
	script.Name = "facts.sh"
	out, err := b.measure(ctx, script, one("observe-current"), one("mode", "status"), one("true"))
	if err != nil {
		return fmt.Errorf("measure the programs that look: %w", err)
	}
	b.printf("A look at the machine in desktop mode, %d runs of each, in turns\n", runs)
	b.printf("  %-36s %8s %8s %8s %10s %8s\n", "", "median", "minimum", "CPU", "to script", "peak RSS")
	base := out.Series[0]
	for _, s := range out.Series {
		b.printf("  %-36s %5.1f ms %5.1f ms %5.1f ms   1 : %-5.1f %7s MiB\n", s.Name, median(s.TookMS), least(s.TookMS), median(s.CPUMS),
			median(base.TookMS)/median(s.TookMS), out.rss(s))
		if s.Codes[0] != 0 {
			return fmt.Errorf("%s exited %d", s.Name, s.Codes[0])
		}
	}
	return nil
}

// roundTrips counts how often mode status waits for the bus.
func (b bench) roundTrips(ctx context.Context) error {
	root := hostfs.Root(b.m.Path("/"))
	cfg, err := config.Load(root, "")
	if err != nil {
		return err
	}
	s := survey.Look(ctx, root, cfg)
	if !s.Evidence.Sessions.Known() || !s.Evidence.Targets.Known() {
		return fmt.Errorf("count round trips: the bus was not read: %+v %+v", s.Evidence.Sessions, s.Evidence.Targets)
	}
	b.printf("\nD-Bus round trips of mode status: %d\n", s.RoundTrips)
	return nil
}

// controller measures what a transition takes beyond the jobs that it starts.
func (b bench) controller(ctx context.Context) error {
	var beyondJobs, beyondActions, whole []float64
	for range transitions {
		ev, err := b.request(ctx, mode.StudioLocal)
		if err != nil {
			return err
		}
		jobs, actions := 0.0, 0.0
		for _, a := range ev.Actions {
			actions += a.DurationMS
			if a.Action == mode.StartUnit && a.Status == record.Done {
				jobs += a.DurationMS
			}
		}
		beyondJobs, beyondActions = append(beyondJobs, ev.DurationMS-jobs), append(beyondActions, ev.DurationMS-actions)
		whole = append(whole, ev.DurationMS)
		if _, err := b.request(ctx, mode.Desktop); err != nil {
			return err
		}
	}
	b.printf("\nThe controller, desktop -> studio-local, %d transitions\n", transitions)
	b.printf("  %-36s %8s %8s\n", "", "median", "minimum")
	for _, row := range []struct {
		name string
		ms   []float64
	}{
		{"the whole transition", whole},
		{"beyond the two start jobs", beyondJobs},
		{"beyond all actions", beyondActions},
	} {
		b.printf("  %-36s %5.1f ms %5.1f ms\n", row.name, median(row.ms), least(row.ms))
	}
	return nil
}

// request brings the machine to a mode and gives the controller's own record of it.
func (b bench) request(ctx context.Context, to mode.Mode) (record.Event, error) {
	if r := b.m.Run(ctx, "mode", "request", string(to)); r.Code != 0 {
		return record.Event{}, errors.New(r.String())
	}
	ev, found, err := record.Store{Root: hostfs.Root(b.m.Path("/"))}.Last()
	if err != nil {
		return ev, err
	}
	if !found || ev.Requested != to || ev.Outcome != record.Converged {
		return ev, fmt.Errorf("the last transition is not the one to %s: %+v", to, ev)
	}
	return ev, nil
}
