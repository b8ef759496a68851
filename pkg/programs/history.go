package programs

import (
	"context"
	"fmt"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/record"
)

type historyCmd struct {
	output `embed:""`
	Last   int `name:"last" default:"20" placeholder:"N" help:"Show the last N transitions (default ${default}); 0 shows all."`
}

// Run shows the transitions that the history tells of, oldest first.
func (c *historyCmd) Run(_ context.Context, env *cli.Env) error {
	if c.Last < 0 {
		return exitcode.Errorf(exitcode.Usage, "--last: %d is negative; 0 shows all", c.Last)
	}
	var events []record.Event
	bad, err := record.Store{Root: env.Root}.Events(func(ev record.Event) error {
		if ev.Type == record.TypeTransition {
			events = append(events, ev)
		}
		return nil
	})
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	if bad > 0 {
		env.Warnf("%d lines of the history can't be read and were skipped", bad)
	}
	if c.Last > 0 && len(events) > c.Last {
		events = events[len(events)-c.Last:]
	}
	if c.format() == cli.JSON {
		for _, ev := range events {
			if err := cli.WriteJSONLine(env.Stdout, ev); err != nil {
				return err
			}
		}
		return nil
	}
	if len(events) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "No transition yet.")
		return err
	}
	t := env.NewTable("WHEN", "FROM", "REQUESTED", "OUTCOME", "NOW", "TOOK", "EXIT", "ID")
	for _, ev := range events {
		t.Row(ev.Timestamp, string(ev.Prior), string(ev.Requested), string(ev.Outcome), string(ev.Final), short(ev.DurationMS), fmt.Sprint(int(ev.ExitCode)), ev.ID)
	}
	return t.Write()
}
