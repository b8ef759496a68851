package programs

import (
	"path"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/textfile"
	"github.com/ryjen/dubnium/pkg/version"
)

// looked is what the metrics tell of: the last look at the machine, and what
// is on record.
type looked struct {
	state   mode.State
	at      time.Time
	desired mode.Mode // "" for none since boot
	last    *record.Event
	tally   record.Tally
}

// writeMetrics replaces the configured file, where its folder exists. Keep
// says that the tally may be kept, which root's controller alone can. That
// the figures can't be written is told and changes nothing else: what they
// tell of is on record.
func writeMetrics(env *cli.Env, cfg config.Config, state mode.State, keep bool) {
	file := cfg.Metrics.Textfile
	if file == "" {
		return
	}
	if _, err := env.Root.Stat(path.Dir(file)); hostfs.Absent(err) {
		return
	}
	store := record.Store{Root: env.Root}
	l := looked{state: state, at: time.Now()}
	l.desired, _, _ = store.Desired() // a word that can't be read is none
	if last, found, err := store.Last(); err == nil && found {
		l.last = &last
	}
	var err error
	if l.tally, err = store.Tally(); err == nil && keep {
		err = store.SetTally(l.tally)
	}
	if err != nil {
		env.Warnf("count the transitions: %v", err)
	}
	if err := textfile.Write(env.Root.Path(file), l.metrics()); err != nil {
		env.Warnf("%v", err)
	}
}

// Metrics describes the figures, with samples that say nothing but which labels
// there are.
func Metrics() []textfile.Metric {
	return looked{
		last:  &record.Event{Timestamp: time.Unix(0, 0).UTC().Format(time.RFC3339)},
		tally: record.Tally{Transitions: make([]record.TransitionCount, 1), Guards: make([]record.GuardCount, 1)},
	}.metrics()
}

// metrics are the figures by their names in Prometheus.
func (l looked) metrics() []textfile.Metric {
	_, stable := l.state.Stable()
	base, usable := l.state.Base()
	one := func(v float64) []textfile.Sample { return []textfile.Sample{{Value: v}} }
	out := []textfile.Metric{
		{
			Name: "dubnium_build_info", Type: textfile.Gauge, Help: "Always 1; the version that wrote this is its label.",
			Samples: []textfile.Sample{{Labels: []textfile.Label{{Name: "version", Value: orWord(version.Version, "devel")}}, Value: 1}},
		},
		{
			Name: "dubnium_observed_state", Type: textfile.Gauge, Help: "The observed state: 1 for the one that holds, 0 for each other.",
			Samples: textfile.States("state", words(mode.States()), string(l.state)),
		},
		{
			Name: "dubnium_desired_mode", Type: textfile.Gauge, Help: "The desired mode: 1 for the one that is desired, 0 for each other.",
			Samples: textfile.States("mode", words(mode.All()), string(l.desired)),
		},
		{Name: "dubnium_degraded", Type: textfile.Gauge, Help: "1 while a mode is usable and lacks a guarantee.", Samples: one(truth(usable && !stable))},
		{
			Name: "dubnium_reconciliation_needed", Type: textfile.Gauge, Help: "1 while the desired mode is not what is observed.",
			Samples: one(truth(l.desired != "" && (!stable || base != l.desired))),
		},
		{Name: "dubnium_observation_timestamp_seconds", Type: textfile.Gauge, Help: "When the machine was looked at.", Samples: one(seconds(l.at))},
	}
	return append(append(out, l.lastTransition()...), totals(l.tally)...)
}

// lastTransition tells of the last one of this boot.
func (l looked) lastTransition() []textfile.Metric {
	if l.last == nil {
		return nil
	}
	ev := *l.last
	one := func(v float64) []textfile.Sample { return []textfile.Sample{{Value: v}} }
	out := []textfile.Metric{
		{
			Name: "dubnium_last_transition_info", Type: textfile.Gauge, Help: "Always 1; what the last transition was is in its labels.",
			Samples: []textfile.Sample{{Value: 1, Labels: []textfile.Label{
				{Name: "from", Value: string(ev.Prior)},
				{Name: "to", Value: string(ev.Requested)},
				{Name: "final", Value: string(ev.Final)},
				{Name: "outcome", Value: string(ev.Outcome)},
				{Name: "trigger", Value: ev.Trigger},
			}}},
		},
		{Name: "dubnium_last_transition_success", Type: textfile.Gauge, Help: "1 when the last transition converged, or had nothing to do.", Samples: one(truth(ev.Success))},
		{Name: "dubnium_last_transition_exit_code", Type: textfile.Gauge, Help: "The exit code of the last transition.", Samples: one(float64(ev.ExitCode))},
		{Name: "dubnium_last_transition_duration_seconds", Type: textfile.Gauge, Help: "How long the last transition took.", Samples: one(ev.DurationMS / 1000)},
	}
	if at, err := time.Parse(time.RFC3339, ev.Timestamp); err == nil {
		out = append(out, textfile.Metric{
			Name: "dubnium_last_transition_timestamp_seconds", Type: textfile.Gauge, Help: "When the last transition ended.", Samples: one(seconds(at)),
		})
	}
	return out
}

// totals are the counters over all of the history.
func totals(t record.Tally) []textfile.Metric {
	transitions := textfile.Metric{Name: "dubnium_transitions_total", Type: textfile.Counter, Help: "Transitions by where they began, what was requested and how they ended."}
	took := textfile.Metric{Name: "dubnium_transition_duration_seconds", Type: textfile.Summary, Help: "How long transitions took, by the same."}
	for _, c := range t.Transitions {
		labels := []textfile.Label{{Name: "from", Value: string(c.From)}, {Name: "to", Value: string(c.To)}, {Name: "outcome", Value: string(c.Outcome)}}
		transitions.Samples = append(transitions.Samples, textfile.Sample{Labels: labels, Value: float64(c.Count)})
		took.Samples = append(took.Samples,
			textfile.Sample{Suffix: "_sum", Labels: labels, Value: c.DurationMS / 1000},
			textfile.Sample{Suffix: "_count", Labels: labels, Value: float64(c.Count)})
	}
	blocks := textfile.Metric{Name: "dubnium_guard_blocks_total", Type: textfile.Counter, Help: "Transitions in which a guard said no, overridden ones included."}
	failures := textfile.Metric{Name: "dubnium_guard_errors_total", Type: textfile.Counter, Help: "Transitions in which a guard could not look."}
	for _, c := range t.Guards {
		labels := []textfile.Label{{Name: "guard", Value: c.Guard}}
		blocks.Samples = append(blocks.Samples, textfile.Sample{Labels: labels, Value: float64(c.Blocks)})
		failures.Samples = append(failures.Samples, textfile.Sample{Labels: labels, Value: float64(c.Errors)})
	}
	return []textfile.Metric{transitions, took, blocks, failures}
}

func words[T ~string](list []T) []string {
	out := make([]string, 0, len(list))
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a time as Prometheus counts it, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
