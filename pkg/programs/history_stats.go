package programs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

type historyStatsCmd struct {
	output        `embed:""`
	historyFilter `embed:""`
}

// stats is the document of mode history stats.
type stats struct {
	SchemaVersion int           `json:"schema_version"`
	Transitions   int           `json:"transitions"`
	First         string        `json:"first,omitempty"` // when the first and the last of them ended
	Last          string        `json:"last,omitempty"`
	Outcomes      []outcomeStat `json:"outcomes"`
	Ways          []wayStat     `json:"ways"`        // of those that reached what was asked for, degraded or not
	GPURelease    []durationsOf `json:"gpu_release"` // of the waits in which a GPU was to be let go
	Guards        []guardStat   `json:"guards"`      // that did not pass, one a reason
	Unreadable    int           `json:"unreadable_lines"`
}

type outcomeStat struct {
	Outcome record.Outcome `json:"outcome"`
	Count   int            `json:"count"`
}

// durations sum up how long something took. The median of an even count is the
// lower one, and p95 the least that 95 of 100 did not exceed: each of them was
// really measured.
type durations struct {
	Count    int     `json:"count"`
	MedianMS float64 `json:"median_ms"`
	P95MS    float64 `json:"p95_ms"`
	MaxMS    float64 `json:"max_ms"`
}

type wayStat struct {
	From mode.State `json:"from"`
	To   mode.Mode  `json:"to"`
	durations
}

type durationsOf struct {
	What string `json:"what"`
	durations
}

type guardStat struct {
	Guard  string      `json:"guard"`
	Class  guard.Class `json:"class"`
	Reason string      `json:"reason"`
	Hard   bool        `json:"hard"`
	Count  int         `json:"count"`
}

// The waits in which GPUs are let go.
const (
	byDisplay  = "display: the gate behind the end of the session"
	byWorkload = "compute: the stop of vLLM until its memory is back"
)

// Run sums the history up.
func (c *historyStatsCmd) Run(ctx context.Context, env *cli.Env) error {
	filter, err := c.chosen(time.Now())
	if err != nil {
		return err
	}
	// Only the name of vLLM's unit is needed: what happened can be told under
	// any configuration.
	cfg, err := load(env)
	if err != nil {
		env.Logf("%v", err)
		cfg = config.Default()
	}
	s := newSums(cfg.VLLM.Unit)
	bad, err := record.Store{Root: env.Root}.Sums(func(ev record.Sum) error {
		if filter.takes(ev.Type, ev.Outcome, ev.Requested, ev.AskedBy, ev.Timestamp) {
			s.add(ev)
		}
		return ctx.Err()
	})
	if err != nil {
		return inspection(err)
	}
	doc := s.stats()
	doc.Unreadable = bad
	return env.Print(c.format(), doc, func(io.Writer) error { return writeStats(env, doc) })
}

// sums collects what is summed up.
type sums struct {
	vllm     string
	doc      stats
	outcomes map[record.Outcome]int
	ways     map[wayStat][]float64
	gpu      map[string][]float64
	guards   map[guardStat]int
}

func newSums(vllm string) *sums {
	return &sums{
		vllm: vllm, outcomes: map[record.Outcome]int{}, ways: map[wayStat][]float64{}, gpu: map[string][]float64{}, guards: map[guardStat]int{},
		doc: stats{SchemaVersion: 1, Outcomes: []outcomeStat{}, Ways: []wayStat{}, GPURelease: []durationsOf{}, Guards: []guardStat{}},
	}
}

func (s *sums) add(ev record.Sum) {
	s.doc.Transitions++
	if s.doc.First == "" {
		s.doc.First = ev.Timestamp
	}
	s.doc.Last = ev.Timestamp
	s.outcomes[ev.Outcome]++
	if ev.Outcome == record.Converged || ev.Outcome == record.Degraded {
		way := wayStat{From: ev.Prior, To: ev.Requested}
		s.ways[way] = append(s.ways[way], ev.DurationMS)
	}
	for _, g := range ev.Guards {
		if !g.OK {
			s.guards[guardStat{Guard: g.Guard, Class: g.Class, Reason: g.Reason, Hard: g.Hard}]++
		}
	}
	for _, a := range ev.Actions {
		switch {
		case a.Status != record.Done:
		case a.Action == mode.Gate:
			s.gpu[byDisplay] = append(s.gpu[byDisplay], a.DurationMS)
		case a.Action == mode.StopUnit && a.Unit == s.vllm:
			s.gpu[byWorkload] = append(s.gpu[byWorkload], a.DurationMS)
		}
	}
}

// stats orders what was collected: outcomes and guards by how often, ways by
// name.
func (s *sums) stats() stats {
	doc := s.doc
	for o, n := range s.outcomes {
		doc.Outcomes = append(doc.Outcomes, outcomeStat{o, n})
	}
	slices.SortFunc(doc.Outcomes, func(a, b outcomeStat) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome))
	})
	for way, list := range s.ways {
		way.durations = sumUp(list)
		doc.Ways = append(doc.Ways, way)
	}
	slices.SortFunc(doc.Ways, func(a, b wayStat) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	for _, what := range slices.Sorted(maps.Keys(s.gpu)) {
		doc.GPURelease = append(doc.GPURelease, durationsOf{what, sumUp(s.gpu[what])})
	}
	for g, n := range s.guards {
		g.Count = n
		doc.Guards = append(doc.Guards, g)
	}
	slices.SortFunc(doc.Guards, func(a, b guardStat) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Guard, b.Guard), cmp.Compare(a.Reason, b.Reason))
	})
	return doc
}

// sumUp sums durations up, in milliseconds, of which there is at least one.
func sumUp(list []float64) durations {
	slices.Sort(list)
	rank := func(p float64) float64 { return list[max(0, int(math.Ceil(p*float64(len(list))))-1)] }
	return durations{Count: len(list), MedianMS: rank(0.5), P95MS: rank(0.95), MaxMS: list[len(list)-1]}
}

func (d durations) cells() []string {
	return []string{fmt.Sprint(d.Count), short(d.MedianMS), short(d.P95MS), short(d.MaxMS)}
}

func writeStats(env *cli.Env, doc stats) error {
	if doc.Unreadable > 0 {
		env.Warnf("%d lines of the history can't be read and were skipped", doc.Unreadable)
	}
	if doc.Transitions == 0 {
		_, err := fmt.Fprintln(env.Stdout, "No transition to sum up.")
		return err
	}
	var outcomes []string
	for _, o := range doc.Outcomes {
		outcomes = append(outcomes, fmt.Sprintf("%d %s", o.Count, o.Outcome))
	}
	fmt.Fprintf(env.Stdout, "%d transitions from %s to %s: %s\n", doc.Transitions, doc.First, doc.Last, cli.Visible(strings.Join(outcomes, ", ")))
	ways := env.NewTable("FROM", "TO", "COUNT", "MEDIAN", "P95", "MAX")
	for _, w := range doc.Ways {
		ways.Row(append([]string{string(w.From), string(w.To)}, w.cells()...)...)
	}
	released := env.NewTable("GPU RELEASED BY", "COUNT", "MEDIAN", "P95", "MAX")
	for _, r := range doc.GPURelease {
		released.Row(append([]string{r.What}, r.cells()...)...)
	}
	blocks := env.NewTable("GUARD", "RESULT", "REASON", "HARD", "COUNT")
	for _, g := range doc.Guards {
		hard := "soft"
		if g.Hard {
			hard = "hard"
		}
		blocks.Row(g.Guard, string(g.Class), g.Reason, hard, fmt.Sprint(g.Count))
	}
	for _, t := range []*cli.Table{ways, released, blocks} {
		if t.Len() == 0 {
			continue
		}
		fmt.Fprintln(env.Stdout)
		if err := t.Write(); err != nil {
			return err
		}
	}
	return nil
}
