package programs

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
)

type watchCmd struct {
	output   `embed:""`
	Interval time.Duration `name:"interval" default:"2s" placeholder:"DURATION" help:"Rest for DURATION between two looks, from 500ms to 1h (default ${default})."`
}

// Run shows the status until it is ended.
func (c *watchCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.Interval < leastInterval || c.Interval > mostInterval {
		return exitcode.Errorf(exitcode.Usage, "--interval: %v is not from %v to %v", c.Interval, leastInterval, mostInterval)
	}
	cfg, err := load(env)
	if err != nil {
		return err
	}
	last := statusFrame{cfg: cfg, format: c.format()} // of no look
	if err := env.Follow(ctx, cli.View{
		Title: "mode watch", Rest: c.Interval, Format: c.format(),
		Look: func(ctx context.Context) (cli.Frame, error) {
			doc := gatherStatus(ctx, env, cfg)
			if ctx.Err() != nil {
				return nil, ctx.Err() // the look was cut off, which says nothing
			}
			last = statusFrame{status: doc, cfg: cfg, format: c.format(), before: last.now()}
			return last, nil
		},
	}); err != nil {
		return err
	}
	return blind(last.Observation)
}

// statusFrame is one look at the status.
type statusFrame struct {
	status
	cfg    config.Config
	format cli.Format
	before map[string]string // what was told of, in the look before; nil for the first
}

// statusWords are what is told of, in this order.
var statusWords = []string{"observed", "desired", "unmet", "conflict", "unread", "step", "last"}

// now is what a change is told of.
func (f statusFrame) now() map[string]string {
	if f.Observation.State == "" {
		return nil // no look
	}
	o := f.Observation
	now := map[string]string{
		"observed": fmt.Sprintf("%s (confidence %s)", o.State, o.Confidence),
		"desired":  orWord(string(f.Desired), "nothing since boot"),
		"unmet":    list(o.Unmet, func(u observe.Unmet) string { return string(u.Predicate) + ": " + u.Message }),
		"conflict": list(o.Conflicts, func(c observe.Conflict) string { return string(c.Code) + ": " + c.Message }),
		"unread":   list(together(o.InspectionErrors), func(e observe.InspectionError) string { return e.Source + ": " + e.Message }),
		"step":     "none",
		"last":     "no transition since boot",
	}
	if f.Transition != nil && o.State == mode.Transitioning {
		now["step"] = underWay(f.status)
	}
	if f.Last != nil {
		now["last"] = fmt.Sprintf("%s: %s -> %s: %s", f.Last.ID, f.Last.Prior, f.Last.Requested, f.Last.Outcome)
	}
	return now
}

func list[T any](items []T, say func(T) string) string {
	var out []string
	for _, i := range items {
		out = append(out, say(i))
	}
	return orWord(strings.Join(out, "; "), "none")
}

// Draw prints the screen of mode status, and the steps of a transition that is
// under way below it.
func (f statusFrame) Draw(env *cli.Env) error {
	if err := writeStatus(env, f.cfg, f.status); err != nil {
		return err
	}
	if f.Transition == nil || f.Observation.State != mode.Transitioning {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := env.NewTable("STEP", "RESULT", "TIME", "DETAIL")
	for _, a := range f.Transition.Steps {
		took := ""
		if a.DurationMS > 0 {
			took = short(a.DurationMS)
		}
		t.Row(a.Title, string(a.Status), took, a.Detail)
		switch a.Status {
		case record.Running:
			t.Style(cli.Bold)
		case record.Errored:
			t.Style(cli.Red)
		}
	}
	return t.Write()
}

// Tell prints the document of the look, or a line for each thing that is new.
func (f statusFrame) Tell(env *cli.Env) error {
	if f.format == cli.JSON {
		return cli.WriteJSONLine(env.Stdout, f.status)
	}
	now := f.now()
	var b strings.Builder
	for _, word := range statusWords {
		was, told := f.before[word]
		if told && was == now[word] || !told && now[word] == "none" {
			continue
		}
		fmt.Fprintf(&b, "%s %-8s %s\n", f.Observation.Timestamp, word, cli.Visible(strings.Join(strings.Fields(now[word]), " ")))
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
