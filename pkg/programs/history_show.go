package programs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
)

type historyShowCmd struct {
	output `embed:""`
	ID     string `arg:"" optional:"" name:"id" help:"The transition's id, or a beginning of it that no other has; without it, the last one."`
}

// told is the document of mode history show.
type told struct {
	SchemaVersion int           `json:"schema_version"`
	ID            string        `json:"id"`
	Intent        *record.Event `json:"intent,omitempty"`     // absent where nothing was touched
	Transition    *record.Event `json:"transition,omitempty"` // absent while it is under way, or was cut off
}

// Run tells a transition as the history has it.
func (c *historyShowCmd) Run(ctx context.Context, env *cli.Env) error {
	doc, err := find(ctx, record.Store{Root: env.Root}, c.ID)
	if err != nil {
		return err
	}
	return env.Print(c.format(), doc, func(io.Writer) error { return writeTold(env, doc) })
}

// maxNamed bounds how many ids an ambiguous prefix names.
const maxNamed = 5

// after is how many events of others are read back beyond those of a
// transition that was found by its whole id. Its own lie side by side, since
// transitions exclude each other.
const after = 64

// find reads the history back for the events of the one transition whose id
// begins so; "" stands for the last one.
func find(ctx context.Context, store record.Store, prefix string) (told, error) {
	history, err := store.History()
	if err != nil {
		return told{}, inspection(err)
	}
	defer history.Close()
	doc, others, beyond := told{SchemaVersion: record.SchemaVersion}, []string{}, 0
	_, err = history.Back(func(h record.Head) error {
		whole := prefix == "" || doc.ID == prefix
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case doc.ID != "" && h.ID != doc.ID && whole:
			if beyond++; beyond > after {
				return errEnough
			}
			return nil
		case !strings.HasPrefix(h.ID, prefix):
			return nil
		case h.ID == prefix && doc.ID != prefix:
			// Whatever else begins so, this is the one.
			doc, others = told{SchemaVersion: record.SchemaVersion, ID: h.ID}, nil
		case doc.ID == "":
			doc.ID = h.ID
		case h.ID != doc.ID:
			if !slices.Contains(others, h.ID) && len(others) < maxNamed {
				others = append(others, h.ID)
			}
			return nil
		}
		ev, err := h.Event()
		if err != nil {
			return fmt.Errorf("read %s in the history: %w", h.ID, err)
		}
		if h.Type == record.TypeIntent {
			doc.Intent = &ev
		} else if doc.Transition == nil {
			doc.Transition = &ev
		}
		return nil
	})
	switch {
	case err != nil && err != errEnough:
		return told{}, inspection(err)
	case doc.ID == "" && prefix == "":
		return told{}, exitcode.Errorf(exitcode.Usage, "the history tells of no transition yet")
	case doc.ID == "":
		return told{}, exitcode.Errorf(exitcode.Usage, "no transition in the history has an id that begins with %q; mode history lists them", prefix)
	case len(others) > 0:
		slices.Reverse(others)
		return told{}, exitcode.Errorf(exitcode.Usage, "%q is the beginning of more than one id: %s, %s; write more of it", prefix, strings.Join(others, ", "), doc.ID)
	}
	return doc, nil
}

// writeTold writes the whole story for people.
func writeTold(env *cli.Env, doc told) error {
	ev := doc.Transition
	if ev == nil {
		ev = doc.Intent
		fmt.Fprintf(env.Stdout, "%s  %s  (%s)\n%s -> %s: it was begun, and the history does not tell how it ended: it is under way, or was cut off\n",
			env.Paint(cli.Bold, ev.ID), ev.Timestamp, ev.Trigger, ev.Prior, ev.Requested)
	} else if err := writeHeader(env, *ev); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "Asked for by %s.\n", askedBy(ev.AskedBy))
	if o := ev.Override; o != nil {
		fmt.Fprintf(env.Stdout, "Overridden by %s (uid %d): %s, because: %s. Passed over: %s.\n",
			cli.Visible(o.User), o.UID, strings.Join(o.Guards, ", "), cli.Visible(o.Reason), orWord(strings.Join(o.Used, ", "), "none"))
	}
	if doc.Intent != nil {
		writeEvidence(env, "before", doc.Intent.Before)
	} else if ev.After != nil {
		writeEvidence(env, "before, and nothing was touched", ev.After)
	}
	if err := writeGuards(env, ev.Guards); err != nil {
		return err
	}
	if err := writeActions(env, ev.Actions); err != nil {
		return err
	}
	if doc.Intent != nil && doc.Transition != nil {
		writeEvidence(env, "after", ev.After)
	}
	return writeGaps(env, *ev)
}

// askedBy names who asked for a transition.
func askedBy(a *record.Asker) string {
	if a == nil {
		return "somebody who is not known: the unit was started otherwise than by mode or mode-idle, or by several at once"
	}
	s := cli.Visible(a.User)
	if a.LoginUID >= 0 && a.LoginUID != a.UID {
		s += fmt.Sprintf(" (login uid %d, as uid %d", a.LoginUID, a.UID)
	} else {
		s += fmt.Sprintf(" (uid %d", a.UID)
	}
	if a.Unit != "" {
		s += ", in " + cli.Visible(a.Unit)
	}
	s += ")"
	if a.CutOff {
		s += ", who let vLLM's requests be cut off"
	}
	return s
}

// writeEvidence writes what an observation rests on, one family a line.
func writeEvidence(env *cli.Env, when string, o *observe.Observation) {
	fmt.Fprintf(env.Stdout, "\n%s\n", env.Paint(cli.Bold, "Evidence "+when))
	if o == nil {
		fmt.Fprintln(env.Stdout, "  not recorded")
		return
	}
	line := func(label, text string) {
		fmt.Fprintf(env.Stdout, "%s %s\n", env.Paint(cli.Dim, fmt.Sprintf("%12s", label)), cli.Visible(text))
	}
	s := o.Signals
	line("observed", fmt.Sprintf("%s (confidence %s) at %s", o.State, o.Confidence, o.Timestamp))
	if s.Sessions.Status == "" {
		line("signals", "left out: they were too long for the history")
		return
	}
	line("sessions", sessionsLine(s.Sessions))
	line("login path", loginLine(s.LoginPath))
	line("compositors", known(s.Compositors, func(list []evidence.Process) string {
		var out []string
		for _, p := range list {
			out = append(out, fmt.Sprintf("%s (pid %d)", p.Comm, p.PID))
		}
		return orWord(strings.Join(out, ", "), "none")
	}))
	line("targets", known(s.Targets, func(t evidence.Targets) string { return t.Desktop.String() + ", " + t.Compute.String() }))
	line("vllm", known(s.VLLM, func(v evidence.VLLM) string { return v.Unit.String() + ", health " + string(v.Health) }))
	line("overlay", known(s.Overlay, func(o evidence.Overlay) string { return o.Policy.String() + ", " + o.Priority.String() }))
	if s.GPU.Known() {
		line("gpus", fmt.Sprintf("%d cards, %d holders", s.GPU.Value.Cards, len(s.GPU.Value.Holders)))
	}
}

// known is what a reading says, if it could be read.
func known[T any](r evidence.Reading[T], say func(T) string) string {
	if !r.Known() {
		return "could not be read: " + orWord(r.Error, string(r.Status))
	}
	return say(r.Value)
}
