// Command driver runs programs many times inside the machine under test and
// prints how long they took, so that nothing but them is measured. It reads a
// [Job] in JSON from stdin and prints an [Outcome].
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Job is what to measure.
type Job struct {
	Runs   int      `json:"runs"`
	Warmup int      `json:"warmup"` // runs before those that count
	Series []Series `json:"series"`
}

// Series is what is measured as one: commands that are started at once. A run
// lasts until the last of them has ended. Guards are started as the controller
// starts them; their commands begin with absolute paths.
type Series struct {
	Name     string              `json:"name"`
	Commands [][]string          `json:"commands"`
	Guards   []guardproc.Command `json:"guards"`
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
			if s.Guards != nil {
				m.together(s.Guards, i >= job.Warmup)
				continue
			}
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

// together runs guards as the controller does. The peak memory is not told.
func (m *Measured) together(guards []guardproc.Command, counts bool) {
	before := childrenCPU()
	start := time.Now()
	results := guardproc.All(context.Background(), guards, mode.Compute, 5*time.Second)
	took := time.Since(start)
	m.Codes = []int{}
	for _, r := range results {
		m.Codes = append(m.Codes, int(r.Code))
	}
	if counts {
		m.TookMS, m.CPUMS = append(m.TookMS, ms(took)), append(m.CPUMS, ms(childrenCPU()-before))
	}
}

// childrenCPU is the time that all children that have ended used.
func childrenCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
