package programs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/reconcile"
	"github.com/ryjen/dubnium/pkg/record"
)

// Bounds of --interval. Looking is work, and what guards look at is load.
const (
	leastInterval = 500 * time.Millisecond
	mostInterval  = time.Hour
	usualInterval = 2 * time.Second
)

type guardsCmd struct {
	output   `embed:""`
	Target   string         `arg:"" name:"mode" enum:"${modes}" help:"The mode that a transition would lead to: ${enum}."`
	Watch    bool           `name:"watch" help:"Look again and again until Ctrl-C: on a terminal a table that is kept current, elsewhere a line for each change, with --json a document for each look, one a line."`
	Interval *time.Duration `name:"interval" placeholder:"DURATION" help:"With --watch, rest for DURATION between two looks, from 500ms to 1h (default 2s)."`
}

// Run runs the guards of a transition by hand. The exit code is that of the
// last look.
func (c *guardsCmd) Run(ctx context.Context, env *cli.Env) error {
	rest, err := c.interval()
	if err != nil {
		return err
	}
	eng, err := engine(env, false)
	if err != nil {
		return err
	}
	if c.Watch {
		return c.watch(ctx, env, eng, rest)
	}
	look := lookAtGuards(ctx, eng, mode.Mode(c.Target))
	if err := env.Print(c.format(), look.document(), func(io.Writer) error {
		fmt.Fprintf(env.Stdout, "Guards of %s:\n\n", look.way())
		return guardTable(env, look.results)
	}); err != nil {
		return err
	}
	return worstOf(look.results)
}

func (c *guardsCmd) interval() (time.Duration, error) {
	switch {
	case c.Interval == nil:
		return usualInterval, nil
	case !c.Watch:
		return 0, exitcode.Errorf(exitcode.Usage, "--interval: there is one look only; add --watch")
	case *c.Interval < leastInterval, *c.Interval > mostInterval:
		return 0, exitcode.Errorf(exitcode.Usage, "--interval: %v is not from %v to %v", *c.Interval, leastInterval, mostInterval)
	}
	return *c.Interval, nil
}

// watch looks at the guards until it is ended.
func (c *guardsCmd) watch(ctx context.Context, env *cli.Env, eng *reconcile.Engine, rest time.Duration) error {
	last := guardsFrame{format: c.format()} // of no look
	err := env.Follow(ctx, cli.View{
		Title: "mode guards " + c.Target, Rest: rest, Format: c.format(),
		Look: func(ctx context.Context) (cli.Frame, error) {
			look := lookAtGuards(ctx, eng, mode.Mode(c.Target))
			if ctx.Err() != nil {
				return nil, ctx.Err() // the guards were stopped, which says nothing
			}
			last = look.after(last)
			return last, nil
		},
	})
	if err != nil {
		return err
	}
	return worstOf(last.results)
}

// guardsLook is one look at all guards of a way to a mode.
type guardsLook struct {
	at      time.Time // at which it began
	state   mode.State
	row     mode.Transition
	results []guard.Result
}

// lookAtGuards runs the guards of the way from what is observed now to the target.
func lookAtGuards(ctx context.Context, eng *reconcile.Engine, target mode.Mode) guardsLook {
	look := guardsLook{at: time.Now()}
	look.state = eng.Host.Observe(ctx).State
	look.row = mode.Find(look.state, target)
	look.results = eng.Host.Guards(ctx, look.row.Guards, target, false)
	return look
}

func (l guardsLook) way() string {
	return fmt.Sprintf("%s -> %s, from %s", l.row.From, l.row.To, l.state)
}

func (l guardsLook) document() record.Guards {
	return record.Guards{
		SchemaVersion: record.SchemaVersion, Timestamp: l.at.UTC().Format(record.TimeFormat), Target: l.row.To, Results: l.results,
	}
}

// guardsFrame is a look with what is new in it.
type guardsFrame struct {
	guardsLook
	format  cli.Format
	first   bool            // there was no look before
	turned  bool            // the way is another one than before
	changed map[string]bool // by guards' names; none in the first look
	gone    []string        // guards of the look before that this one has not
	since   time.Time       // when something changed last; zero if nothing has
}

// after compares a look with the one before.
func (l guardsLook) after(before guardsFrame) guardsFrame {
	f := guardsFrame{
		guardsLook: l, format: before.format, first: before.at.IsZero(), changed: map[string]bool{}, since: before.since,
	}
	if f.first {
		return f
	}
	f.turned = l.way() != before.way()
	old := map[string]guard.Result{}
	for _, r := range before.results {
		old[r.Guard] = r
	}
	for _, r := range l.results {
		was, there := old[r.Guard]
		f.changed[r.Guard] = !there || differs(was, r)
		delete(old, r.Guard)
	}
	for _, r := range before.results {
		if _, gone := old[r.Guard]; gone {
			f.gone = append(f.gone, r.Guard)
		}
	}
	if f.turned || len(f.gone) > 0 || slices.Contains(slices.Collect(maps.Values(f.changed)), true) {
		f.since = l.at
	}
	return f
}

// differs tells whether a guard says something else than before. Figures in its
// message don't count: free memory is another at every look.
func differs(a, b guard.Result) bool {
	return a.Class != b.Class || a.Reason != b.Reason || withoutFigures(a.Message) != withoutFigures(b.Message)
}

func withoutFigures(message string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, message)
}

// messageColumns is what a message needs beside the table to be of use there.
const messageColumns = 48

// Draw prints the table, with a mark at what has changed.
func (f guardsFrame) Draw(env *cli.Env) error {
	fmt.Fprintln(env.Stdout, f.summary(env))
	fmt.Fprintln(env.Stdout)
	t := env.NewTable("  GUARD", "RESULT", "REASON", "TIME", "MESSAGE")
	t.Fold(messageColumns)
	for _, r := range f.results {
		mark, result := "  ", string(r.Class)
		style := cli.Style("")
		switch {
		case r.OK:
		case r.Hard:
			style = cli.Red
		default:
			style, result = cli.Yellow, result+", soft"
		}
		if f.changed[r.Guard] {
			mark = "* "
			style = cli.Bold.And(style)
		}
		t.Row(mark+strings.TrimPrefix(r.Guard, "check_"), result, r.Reason, short(r.DurationMS), r.Message)
		t.Style(style)
	}
	return t.Write()
}

// summary is what stands above the table: the way, and what is in it.
func (f guardsFrame) summary(env *cli.Env) string {
	s := f.way() + "\n"
	if worst := guard.Worst(f.results); worst != nil {
		s += env.Paint(cli.Bold, "blocked") + fmt.Sprintf(" by %s (exit code %d)", cli.Visible(worst.Guard), worst.Code)
	} else {
		s += env.Paint(cli.Bold, "nothing is in the way")
	}
	if !f.since.IsZero() {
		s += ", changed at " + f.since.Format(time.TimeOnly)
	}
	return s
}

// Tell prints the document of the look, or a line for each thing that is new.
func (f guardsFrame) Tell(env *cli.Env) error {
	if f.format == cli.JSON {
		return cli.WriteJSONLine(env.Stdout, f.document())
	}
	var b strings.Builder
	line := func(word, rest string) {
		fmt.Fprintf(&b, "%s %-7s %s\n", f.document().Timestamp, word, cli.Visible(strings.Join(strings.Fields(rest), " ")))
	}
	if f.first || f.turned {
		line("way", f.way())
	}
	for _, name := range f.gone {
		line("gone", name)
	}
	for _, r := range f.results {
		if f.first || f.changed[r.Guard] {
			line(string(r.Class), r.Guard+" "+r.Reason+": "+r.Message)
		}
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
