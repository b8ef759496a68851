package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

type historyCmd struct {
	List  historyListCmd  `cmd:"" default:"withargs" help:"List transitions, oldest first."`
	Show  historyShowCmd  `cmd:"" help:"Tell the whole story of one transition: evidence before, guards, actions, evidence after."`
	Stats historyStatsCmd `cmd:"" help:"Sum up: how long transitions took, what blocked them, how long GPUs took to be released, how they ended."`
}

// historyFilter chooses transitions.
type historyFilter struct {
	Outcome []string `name:"outcome" enum:"${outcomes}" placeholder:"OUTCOME" help:"Only transitions that ended so: ${enum}."`
	Mode    []string `name:"mode" enum:"${modes}" placeholder:"MODE" help:"Only requests for these modes: ${enum}."`
	AskedBy []string `name:"asked-by" placeholder:"USER" help:"Only what these asked for: a user by name or by uid, before any sudo; a unit, such as mode-idle; unknown where nobody knows."`
	Since   string   `name:"since" placeholder:"TIME" help:"Only transitions that ended at TIME or later: 2026-05-28, 2026-05-28 14:00, an RFC 3339 time, today, yesterday, or how long ago: 90m, 12h, 7d."`
	Until   string   `name:"until" placeholder:"TIME" help:"Only transitions that ended before TIME."`
}

// chosen is a filter with its times.
type chosen struct {
	outcomes, modes, askers []string
	since, until            time.Time // zero: no bound
}

func (f historyFilter) chosen(now time.Time) (chosen, error) {
	c := chosen{outcomes: f.Outcome, modes: f.Mode, askers: f.AskedBy}
	if slices.Contains(c.askers, "") {
		return c, exitcode.Errorf(exitcode.Usage, "--asked-by: one of the names is empty; give a user, a unit or %s", record.Nobody)
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.Since, &c.since}, {"--until", f.Until, &c.until}} {
		if t.text == "" {
			continue
		}
		at, err := parseWhen(t.text, now)
		if err != nil {
			return c, exitcode.Errorf(exitcode.Usage, "%s: %w", t.flag, err)
		}
		*t.to = at
	}
	return c, nil
}

// takes tells whether a transition is one of the chosen. One whose time can't
// be read is none when times are asked for.
func (c chosen) takes(kind record.Type, outcome record.Outcome, requested mode.Mode, asker *record.Asker, timestamp string) bool {
	switch {
	case kind != record.TypeTransition,
		len(c.outcomes) > 0 && !slices.Contains(c.outcomes, string(outcome)),
		len(c.modes) > 0 && !slices.Contains(c.modes, string(requested)),
		len(c.askers) > 0 && !slices.ContainsFunc(c.askers, asker.Is):
		return false
	case c.since.IsZero() && c.until.IsZero():
		return true
	}
	at, err := time.Parse(time.RFC3339, timestamp)
	return err == nil && !at.Before(c.since) && (c.until.IsZero() || at.Before(c.until))
}

// narrow is false of a filter that takes every transition.
func (c chosen) narrow() bool {
	return len(c.outcomes)+len(c.modes)+len(c.askers) > 0 || !c.since.IsZero() || !c.until.IsZero()
}

func (c chosen) takesHead(h record.Head) bool {
	return c.takes(h.Type, h.Outcome, h.Requested, h.AskedBy, h.Timestamp)
}

// outcomeNames lists the outcomes for kong's tags.
func outcomeNames() string {
	return strings.Join(words([]record.Outcome{
		record.Converged, record.Noop, record.Blocked, record.CheckError, record.RolledBack,
		record.TimedOut, record.Degraded, record.Failed, record.Interrupted,
	}), ",")
}

type historyListCmd struct {
	output        `embed:""`
	historyFilter `embed:""`
	Last          int  `name:"last" default:"20" placeholder:"N" help:"Show the last N of them (default ${default}); 0 shows all."`
	Follow        bool `name:"follow" help:"Then wait for more, one a line, until Ctrl-C; the log may be rotated meanwhile."`
}

// Run shows the transitions that the history tells of, oldest first.
func (c *historyListCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.Last < 0 {
		return exitcode.Errorf(exitcode.Usage, "--last: %d is negative; 0 shows all", c.Last)
	}
	filter, err := c.chosen(time.Now())
	if err != nil {
		return err
	}
	history, err := record.Store{Root: env.Root}.History()
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	defer history.Close()
	rows, bad, err := c.last(ctx, env, history, filter)
	if err != nil {
		return err
	}
	if bad > 0 {
		env.Warnf("%d lines of the history can't be read and were skipped", bad)
	}
	if err := c.print(env, rows, filter); err != nil || !c.Follow {
		return err
	}
	return c.follow(ctx, env, history, filter)
}

// errEnough ends reading once there is nothing more to be had.
var errEnough = errors.New("enough was read")

// last reads the last transitions that the filter takes, from the end. All of
// them are read from the beginning, and what needs no table is printed at once.
func (c *historyListCmd) last(ctx context.Context, env *cli.Env, history *record.History, filter chosen) ([]record.Head, int, error) {
	var rows []record.Head
	read, each := history.Back, func(h record.Head) error {
		h.Line = c.document(h)
		if rows = append(rows, h); len(rows) == c.Last {
			return errEnough
		}
		return nil
	}
	if c.Last == 0 {
		read = history.All
		if c.format() == cli.JSON || c.Follow {
			each = func(h record.Head) error { return printing(c.tell(env, h)) }
		}
	}
	bad, err := read(func(h record.Head) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !filter.takesHead(h):
			return nil
		}
		return each(h)
	})
	if err != nil && err != errEnough {
		return nil, bad, inspection(err)
	}
	if c.Last > 0 {
		slices.Reverse(rows)
	}
	return rows, bad, nil
}

// document is what is kept of a line beyond the call that gave it.
func (c *historyListCmd) document(h record.Head) []byte {
	if c.format() != cli.JSON {
		return nil
	}
	return bytes.Clone(h.Line)
}

// printError is a failure to print, which the runner judges.
type printError struct{ error }

func printing(err error) error {
	if err == nil {
		return nil
	}
	return printError{err}
}

// inspection gives any other error the code of a failed look.
func inspection(err error) error {
	var printing printError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &printing):
		return printing.error
	}
	return exitcode.With(exitcode.Inspection, err)
}

func (c *historyListCmd) print(env *cli.Env, rows []record.Head, filter chosen) error {
	switch {
	case c.format() == cli.JSON || c.Follow:
		for _, h := range rows {
			if err := c.tell(env, h); err != nil {
				return err
			}
		}
		return nil
	case len(rows) == 0:
		none := "No transition yet."
		if filter.narrow() {
			none = "No such transition in the history."
		}
		_, err := fmt.Fprintln(env.Stdout, none)
		return err
	}
	t := env.NewTable("WHEN", "FROM", "REQUESTED", "OUTCOME", "NOW", "TOOK", "EXIT", "ID")
	for _, h := range rows {
		t.Row(h.Timestamp, string(h.Prior), string(h.Requested), string(h.Outcome), string(h.Final), short(h.DurationMS), fmt.Sprint(int(h.ExitCode)), h.ID)
		t.Style(outcomeStyle(h.Outcome))
	}
	return t.Write()
}

// outcomeStyle sets off what did not go as it was asked for.
func outcomeStyle(o record.Outcome) cli.Style {
	switch o {
	case record.Converged, record.Noop:
		return ""
	case record.Failed, record.Interrupted:
		return cli.Red
	default:
		return cli.Yellow
	}
}

// tell prints a transition on a line of its own; as JSON it is the line that
// was written.
func (c *historyListCmd) tell(env *cli.Env, h record.Head) error {
	if c.format() == cli.JSON {
		_, err := fmt.Fprintf(env.Stdout, "%s\n", bytes.TrimSpace(h.Line))
		return err
	}
	line := fmt.Sprintf("%s %s %s -> %s, now %s, in %s  %s", h.Timestamp, h.Outcome, h.Prior, h.Requested, orWord(string(h.Final), "not observed"), short(h.DurationMS), h.ID)
	if !h.Success {
		line += ": " + h.Reason
	}
	line = cli.Visible(strings.Join(strings.Fields(line), " "))
	if style := outcomeStyle(h.Outcome); style != "" {
		line = env.Paint(style, line)
	}
	_, err := fmt.Fprintln(env.Stdout, line)
	return err
}

// follow tells of what is added from now on.
func (c *historyListCmd) follow(ctx context.Context, env *cli.Env, history *record.History, filter chosen) error {
	return inspection(history.Follow(ctx, func(h record.Head) error {
		if !filter.takesHead(h) {
			return nil
		}
		return printing(c.tell(env, h))
	}, func() { env.Warnf("a line of the history can't be read and was skipped") }))
}
