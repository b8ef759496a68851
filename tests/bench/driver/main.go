// Command driver runs programs many times inside the machine under test and
// prints how long they took, so that nothing but them is measured. It reads a
// [Job] in JSON from stdin and prints an [Outcome].
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Job is what to measure.
type Job struct {
	Runs   int      `json:"runs"`
	Warmup int      `json:"warmup"` // runs before those that count
	Series []Series `json:"series"`
}

// Series is what is measured as one: commands that are started at once. A run
// lasts until the last of them has ended.
type Series struct {
	Name     string     `json:"name"`
	Commands [][]string `json:"commands"`
}

// Outcome is what was measured. A child's peak memory is never less than its
// parent's, which is OwnKiB here.
type Outcome struct {
	Series []Measured `json:"series"`
	OwnKiB int64      `json:"own_kib"`
}

// Measured are the runs of a series, in their order.
type Measured struct {
	Name   string    `json:"name"`
	TookMS []float64 `json:"took_ms"`
	CPUMS  []float64 `json:"cpu_ms"`  // user and system time of the processes and their children
	RSSKiB int64     `json:"rss_kib"` // of the largest process, at its peak
	Codes  []int     `json:"codes"`   // the exit statuses of the last run
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func run() error {
	var job Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	out := Outcome{Series: make([]Measured, len(job.Series))}
	// In turns, so that what else the host does falls on all of them alike.
	for i := range job.Warmup + job.Runs {
		for j, s := range job.Series {
			m := &out.Series[j]
			m.Name = s.Name
			if err := m.once(s.Commands, i >= job.Warmup); err != nil {
				return err
			}
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return err
	}
	out.OwnKiB = own.Maxrss
	return json.NewEncoder(os.Stdout).Encode(out)
}

// once runs the commands of a series once.
func (m *Measured) once(commands [][]string, counts bool) error {
	var all []*exec.Cmd
	for _, argv := range commands {
		all = append(all, exec.Command(argv[0], argv[1:]...))
	}
	start := time.Now()
	for _, cmd := range all {
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	codes, cpu := []int{}, time.Duration(0)
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
			return err
		}
		codes = append(codes, cmd.ProcessState.ExitCode())
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			m.RSSKiB = max(m.RSSKiB, usage.Maxrss)
		}
	}
	took := time.Since(start)
	m.Codes = codes
	if counts {
		m.TookMS, m.CPUMS = append(m.TookMS, ms(took)), append(m.CPUMS, ms(cpu))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
