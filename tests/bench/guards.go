package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/machine"
)

// mostMemory is what a guard may take at its peak, in KiB: 12 MB.
const mostMemory = 12_000_000 / 1024

// speakers gives the PipeWire of the machine's desktop a sink that leads nowhere,
// so that there is something to ask about.
const speakers = `context.objects = [
  { factory = adapter args = { factory.name = support.null-audio-sink node.name = speakers media.class = Audio/Sink object.linger = true audio.position = [ FL FR ] } }
]
`

// windowOf is how long a guard watches with the machine's configuration.
func (b bench) windowOf(d guard.Descriptor) (time.Duration, error) {
	cfg, err := config.Load(hostfs.Root(b.m.Path("/")), cliConfig)
	if err != nil || d.Window == nil {
		return 0, err
	}
	return d.Window(cfg), nil
}

const cliConfig = "/etc/dubnium/dubnium.toml"

// guards measures every guard by itself, and those of desktop -> compute as the
// controller runs them: all at once.
func (b bench) guards(ctx context.Context) error {
	var list []series
	var together series
	var longest time.Duration
	wanted := map[string]bool{}
	for _, name := range mode.Find(mode.Desktop.State(), mode.Compute).Guards {
		wanted[name] = true
	}
	for _, d := range guards.All() {
		argv := []string{"/usr/bin/" + d.Binary(), "--target", string(mode.Compute)}
		list = append(list, series{Name: d.Binary(), Commands: [][]string{argv}})
		if !wanted[d.Name] {
			continue
		}
		window, err := b.windowOf(d)
		if err != nil {
			return err
		}
		longest = max(longest, window)
		together.Guards = append(together.Guards, guardproc.Command{Name: d.Binary(), Argv: argv, Code: d.Block, Window: window})
	}
	together.Name = fmt.Sprintf("the %d of desktop -> compute at once", len(together.Guards))
	out, err := b.measure(ctx, append(list, together)...)
	if err != nil {
		return fmt.Errorf("measure the guards: %w", err)
	}
	b.printf("\nThe guards, %d runs of each, in turns\n", runs)
	b.printf("  %-36s %8s %8s %8s %10s\n", "", "median", "minimum", "CPU", "peak RSS")
	var slowest, sum float64
	var errs error
	for i, s := range out.Series {
		if i == len(list) {
			b.printf("  %-36s %5.1f ms %5.1f ms %5.1f ms\n", s.Name, median(s.TookMS), least(s.TookMS), median(s.CPUMS))
			continue
		}
		b.printf("  %-36s %5.1f ms %5.1f ms %5.1f ms %6s MiB\n", s.Name, median(s.TookMS), least(s.TookMS), median(s.CPUMS), out.rss(s))
		if wanted[guards.All()[i].Name] {
			slowest, sum = max(slowest, median(s.TookMS)), sum+median(s.TookMS)
			if s.Codes[0] >= 20 {
				errs = errors.Join(errs, fmt.Errorf("%s exited %d", s.Name, s.Codes[0]))
			}
		}
		if s.RSSKiB > mostMemory {
			errs = errors.Join(errs, fmt.Errorf("%s took %d KiB of memory at its peak, at most %d KiB are allowed", s.Name, s.RSSKiB, mostMemory))
		}
	}
	all := median(out.Series[len(list)].TookMS)
	b.printf("  at once to the slowest alone: %.2f : 1; to one after the other: %.2f : 1\n", all/slowest, all/sum)
	b.printf("  at once beyond the slowest alone: %.0f ms; beyond the longest window (%v): %.0f ms\n", all-slowest, longest, all-ms(longest))
	return errs
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// byHand is what a person would type to find out what a guard finds out.
var byHand = []struct{ guard, typed string }{
	{"check_graphical_session_absent", `loginctl list-sessions --no-legend | while read -r id _; do
		loginctl show-session "$id" -p Name -p Type -p Class -p State
	done
	systemctl is-active graphical.target display-manager.service`},
	{"check_audio_idle", `setpriv --reuid=1000 --regid=1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 pw-dump |
		jq -r '.[] | select((.info.props["media.class"] // "") | startswith("Stream/")) | [.info.state, .info.props["application.name"]] | @tsv'`},
	{"check_gpu_display_released", "fuser --verbose /dev/zero"},
	{"check_gpu_display_released", "lsof /dev/zero"},
	{"check_user_jobs_safe", `who
	ps -eo user,pid,ppid,pcpu,cgroup:60,args --sort=-pcpu | head -n 40
	loginctl list-sessions
	fuser /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock`},
	{"check_cpu_load_safe", `cat /proc/pressure/cpu /proc/loadavg
	nproc
	ps -eo pcpu,user,comm --sort=-pcpu | head -n 10`},
}

// typed measures guards against the commands that a person would type, in one
// run and in turns. What a guard waits on purpose is told beside it.
func (b bench) typed(ctx context.Context) error {
	// The first to ask starts the audio server, which serves from then on.
	asked := b.m.Exec(ctx, machine.Command{Args: []string{"pactl", "info"}, User: "tester", Env: []string{"XDG_RUNTIME_DIR=/run/user/1000"}})
	if asked.Code != 0 {
		return errors.New(asked.String())
	}
	var list []series
	for _, h := range byHand {
		list = append(list,
			series{Name: h.guard, Commands: [][]string{{h.guard}}},
			series{Name: "by hand", Commands: [][]string{{"sh", "-c", "{ " + h.typed + "\n} >/dev/null 2>&1"}}})
	}
	out, err := b.measure(ctx, list...)
	if err != nil {
		return fmt.Errorf("measure what one types: %w", err)
	}
	b.printf("\nGuards against what one would type, in the machine under test, %d runs of each, in turns\n", runs)
	b.printf("  %-30s %9s %9s %9s %9s %9s  %s\n", "", "guard", "of which", "by hand", "to guard", "to guard", "by hand is")
	b.printf("  %-30s %9s %9s %9s %9s %9s\n", "", "", "window", "", "less wind.", "by CPU")
	var errs error
	for i, h := range byHand {
		ours, theirs := out.Series[2*i], out.Series[2*i+1]
		d, _ := guards.Find(h.guard)
		window, err := b.windowOf(d)
		if err != nil {
			return err
		}
		waited := ms(window)
		if median(ours.TookMS) < waited {
			waited = 0 // it had nothing to wait for
		}
		b.printf("  %-30s %6.1f ms %6.0f ms %6.1f ms   1 : %-4.1f   1 : %-4.1f  %s\n", h.guard, median(ours.TookMS), waited, median(theirs.TookMS),
			median(theirs.TookMS)/(median(ours.TookMS)-waited), median(theirs.CPUMS)/median(ours.CPUMS), firstWords(h.typed))
		if ours.Codes[0] >= 20 || theirs.Codes[0] > 3 {
			errs = errors.Join(errs, fmt.Errorf("%s exited %d, and what one types %d", h.guard, ours.Codes[0], theirs.Codes[0]))
		}
	}
	return errs
}

// firstWords shortens a script for a table.
func firstWords(script string) string {
	line := []rune(strings.Join(strings.Fields(script), " "))
	if len(line) > 28 {
		return string(line[:27]) + "…"
	}
	return string(line)
}

var scanLine = regexp.MustCompile(`(?m)^BenchmarkScan/(\d+)/(\w+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+([\d.]+) fds`)

// scan measures the search for who holds a card, inside one process, against
// the two programs that search for who holds a file.
func (b bench) scan(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r := b.m.Run(ctx, scanPath, "-test.run=^$", "-test.bench=^BenchmarkScan$", fmt.Sprintf("-test.benchtime=%dx", runs))
	if r.Code != 0 {
		return errors.New(r.String())
	}
	took := map[string]map[string]float64{}
	b.printf("\nWho holds a device, %d looks of each, in the machine under test\n", runs)
	for _, m := range scanLine.FindAllStringSubmatch(r.Stdout, -1) {
		ns, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return err
		}
		if took[m[1]] == nil {
			took[m[1]] = map[string]float64{}
		}
		took[m[1]][m[2]] = ns / 1e6
	}
	for _, load := range []string{"800", "12800"} {
		t := took[load]
		if t["scan"] == 0 || t["fuser"] == 0 || t["lsof"] == 0 {
			return fmt.Errorf("measure the scan: no figures for %s descriptors in %s", load, r)
		}
		b.printf("  %6s descriptors: the scan %6.1f ms; to fuser 1 : %.1f, to lsof 1 : %.1f\n", load, t["scan"], t["fuser"]/t["scan"], t["lsof"]/t["scan"])
	}
	return nil
}
