package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ryjen/dubnium/pkg/record"
)

// table tells what came of each fault, and how long it took.
func (b *bench) table() string {
	type row struct {
		outcomes map[string]int
		took     []time.Duration
		share    float64 // of the bound, the largest
		requests int     // the most
	}
	rows := map[string]*row{}
	var order []string
	var overhead []float64
	var longest went
	for _, w := range b.went {
		r := rows[w.fault]
		if r == nil {
			r = &row{outcomes: map[string]int{}}
			rows[w.fault] = r
			order = append(order, w.fault)
		}
		r.outcomes[w.outcome]++
		r.took = append(r.took, w.took)
		r.requests = max(r.requests, w.requests)
		if w.event == nil {
			continue
		}
		if s := share(w.event); s > 0 {
			r.share = max(r.share, s)
			if longest.event == nil || w.event.DurationMS > longest.event.DurationMS {
				longest = w
			}
		}
		if w.event.Outcome == record.Converged {
			overhead = append(overhead, own(w.event))
		}
	}
	var s strings.Builder
	s.WriteByte('\n')
	t := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tTIMES\tOUTCOMES\tMEDIAN\tLONGEST\tOF ITS BOUND\tMORE REQUESTS")
	slices.Sort(order)
	for _, name := range order {
		r := rows[name]
		slices.Sort(r.took)
		var outcomes []string
		for _, o := range slices.Sorted(maps.Keys(r.outcomes)) {
			outcomes = append(outcomes, fmt.Sprintf("%d %s", r.outcomes[o], o))
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%.1f s\t%.1f s\t%.0f %%\t%d\n", name, len(r.took), strings.Join(outcomes, ", "),
			r.took[len(r.took)/2].Seconds(), r.took[len(r.took)-1].Seconds(), 100*r.share, r.requests)
	}
	_ = t.Flush()
	if longest.event != nil {
		fmt.Fprintf(&s, "longest transition: %s, to %s, %s: %.1f s, %.0f %% of the bounds of its steps\n", longest.fault, longest.event.Requested,
			longest.outcome, longest.event.DurationMS/1000, 100*share(longest.event))
	}
	if slices.Sort(overhead); len(overhead) > 0 {
		fmt.Fprintf(&s, "the controller's own time beside steps and guards, of %d that converged: median %.0f ms, longest %.0f ms\n",
			len(overhead), overhead[len(overhead)/2], overhead[len(overhead)-1])
	}
	return s.String()
}

// share is how much of the bounds of its steps a transition took; 0 where no
// step was taken.
func share(ev *record.Event) float64 {
	var bounds int64
	for _, a := range ev.Actions {
		if a.Status != record.Skipped {
			bounds += a.BoundMS
		}
	}
	if bounds == 0 {
		return 0
	}
	return ev.DurationMS / float64(bounds)
}

// own is the time, in milliseconds, that was neither the steps' nor that of the
// guards which came before them: looks at the machine, the records, the last
// observation until the target shows.
func own(ev *record.Event) float64 {
	ms := ev.DurationMS
	for _, a := range ev.Actions {
		ms -= a.DurationMS
	}
	longest := 0.0
	for _, g := range ev.Guards {
		longest = max(longest, float64(g.DurationMS))
	}
	return ms - longest
}
