package programs

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/record"
)

// story tells a transition as it goes: on a terminal with a mark and colours,
// elsewhere as plain lines, or as one JSON document a line. It is told markers,
// of which it may miss some, and says what is new in each.
type story struct {
	env    *cli.Env
	format cli.Format
	id     string
	guards int
	steps  map[int]record.Status
	phase  record.Phase
	drain  record.Drain
	// journal is told as well, where there is one; nil where not.
	journal *reporter
}

func newStory(env *cli.Env, format cli.Format) *story {
	return &story{env: env, format: format, steps: map[int]record.Status{}}
}

// marker tells what a marker has that was not told before.
func (s *story) marker(m record.Marker) {
	if m.ID != s.id {
		s.id = m.ID
		s.say("begin", fmt.Sprintf("%s -> %s", m.Prior, m.Requested), m.ID, m)
		if a := m.AskedBy; a != nil {
			s.say("asked", "by "+a.User, askedDetail(*a), *a)
		}
		if o := m.Override; o != nil {
			s.say("override", strings.Join(o.Guards, ", "), fmt.Sprintf("%s (%s)", o.Reason, o.User), *o)
		}
	}
	if m.Drain != nil && *m.Drain != s.drain {
		s.drain = *m.Drain
		s.say("waiting", m.Drain.Unit, drainDetail(*m.Drain), *m.Drain)
	}
	for ; s.guards < len(m.Guards); s.guards++ {
		g := m.Guards[s.guards]
		s.say(string(g.Class), g.Guard, guardDetail(g), g)
	}
	if m.Phase == record.RollingBack && s.phase != m.Phase {
		s.say("failed", "rolling back", "to "+string(m.Prior), nil)
	}
	s.phase = m.Phase
	for i, a := range m.Steps {
		if s.steps[i] == a.Status || a.Status == record.Pending {
			continue
		}
		s.steps[i] = a.Status
		if a.Status == record.Running && s.format == cli.Plain {
			s.running(a)
			continue
		}
		s.say(string(a.Status), a.Title, actionDetail(a), a)
	}
}

// running shows what is being waited for, where a line can be taken back.
func (s *story) running(a record.Action) {
	if s.env.Terminal {
		fmt.Fprintf(s.env.Stdout, "  %s %s\r", s.env.Paint(cli.Cyan, "…"), a.Title)
	}
}

// finishFrom tells what of a transition was missed because it went by between
// two looks.
func (s *story) finishFrom(ev record.Event) {
	phase := record.Observing
	for _, a := range ev.Actions {
		if a.Rollback {
			phase = record.RollingBack
		}
	}
	s.marker(record.Marker{
		ID: ev.ID, Prior: ev.Prior, Requested: ev.Requested, Phase: phase, Guards: ev.Guards, Steps: ev.Actions,
		AskedBy: ev.AskedBy, Override: ev.Override,
	})
}

// sealed tells that the record of a transition that was cut off is closed.
func (s *story) sealed(ev record.Event) {
	if !s.journal.end(ev) && s.format == cli.Plain {
		fmt.Fprintf(s.env.Stdout, "%-9s %s -> %s: %s\n", ev.Outcome, ev.Prior, ev.Requested, cli.Visible(ev.Reason))
	}
}

// end tells the outcome.
func (s *story) end(ev record.Event) error {
	if s.journal.end(ev) && s.format == cli.Plain {
		return nil
	}
	if s.format == cli.JSON {
		return cli.WriteJSONLine(s.env.Stdout, ev)
	}
	return writeOutcome(s.env, ev)
}

// say writes one line.
func (s *story) say(word, title, detail string, doc any) {
	if s.journal.tell(word, title, detail, doc) && s.format == cli.Plain {
		return
	}
	if s.format == cli.JSON {
		if doc != nil {
			_ = cli.WriteJSONLine(s.env.Stdout, map[string]any{"event": word, "transition_id": s.id, "detail": doc})
		}
		return
	}
	title, detail = cli.Visible(title), cli.Visible(detail)
	if !s.env.Terminal {
		fmt.Fprintf(s.env.Stdout, "%-9s %s%s\n", word, title, colon(detail))
		return
	}
	mark, style := markOf(word)
	line := fmt.Sprintf("  %s %s", s.env.Paint(style, mark), title)
	if detail != "" {
		line += s.env.Paint(cli.Dim, "  "+detail)
	}
	// The line that said what is being waited for is overwritten.
	fmt.Fprintf(s.env.Stdout, "\r\x1b[K%s\n", line)
}

func colon(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func markOf(word string) (string, cli.Style) {
	switch word {
	case "begin":
		return "▶", cli.Bold
	case string(guard.Pass), string(record.Done):
		return "✓", cli.Green
	case string(record.Skipped):
		return "·", cli.Dim
	case "asked":
		return "·", cli.Dim
	case "waiting":
		return "…", cli.Cyan
	case string(record.Tolerated):
		return "!", cli.Yellow
	default:
		return "✗", cli.Red
	}
}

func askedDetail(a record.Asker) string {
	detail := "uid " + strconv.Itoa(a.UID)
	if a.Unit != "" {
		detail += ", in " + a.Unit
	}
	if a.CutOff {
		detail += "; lets vLLM's requests be cut off"
	}
	return detail
}

func drainDetail(d record.Drain) string {
	return fmt.Sprintf("%d requests running and %d waiting, %d s left", d.Running, d.Waiting, (d.LeftMS+999)/1000)
}

func guardDetail(g guard.Result) string {
	return fmt.Sprintf("%s: %s (%s)", g.Reason, g.Message, short(g.DurationMS))
}

func actionDetail(a record.Action) string {
	if a.Status == record.Skipped {
		return a.Detail
	}
	s := short(a.DurationMS)
	if a.Detail != "" {
		s = a.Detail + " (" + s + ")"
	}
	return s
}

// writeOutcome writes the end of a transition for people.
func writeOutcome(env *cli.Env, ev record.Event) error {
	style := cli.Red
	switch {
	case ev.Success:
		style = cli.Green
	case ev.Outcome == record.Degraded:
		style = cli.Yellow
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s -> %s, now %s, in %s\n", env.Paint(style, string(ev.Outcome)), ev.Prior, ev.Requested, ev.Final, short(ev.DurationMS))
	if !ev.Success {
		fmt.Fprintf(&b, "%s\n", cli.Visible(ev.Reason))
		fmt.Fprintf(&b, "exit code %d: %s\n", ev.ExitCode, ev.ExitCode.Meaning())
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
